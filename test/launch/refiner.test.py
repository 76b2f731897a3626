"""The refiner as ``ros2 launch`` starts it: in a namespace, fed, interrupted.

For launch_testing. ``test_launch_testing.py`` runs it where that is installed; by hand it is
``launch_test test/launch/refiner.test.py``.
"""

from __future__ import annotations

import os
import time
import unittest
from pathlib import Path
from typing import Any

import launch_testing.asserts
import launch_testing.markers
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest

from launch import LaunchDescription
from rnnpose_ros.ros.soak_camera import SoakCamera, SoakCounts
from rnnpose_ros.sources.perturbed import PerturbedPoses
from rnnpose_ros.sources.recorded import FrameClock, RecordedPoses
from rnnpose_ros.sources.sequence import read_sequence
from rnnpose_ros.types import ImageFrame

_ROOT = Path(__file__).resolve().parents[2]
_NAMESPACE = f"launched_{os.getpid()}"
_ARGUMENTS = {
    "namespace": _NAMESPACE,
    "objects_file": "package://rnnpose_ros/models/objects",
    "engine": "fake",
    "device": "cpu",
    # The camera info is expected beside it.
    "image_topic": f"/{_NAMESPACE}/image",
    "frame_prefix": f"{_NAMESPACE}/",
}
_START_LIMIT_S, _ANSWER_LIMIT_S, _PERIOD_S = 120.0, 60.0, 0.1


def generate_test_description() -> LaunchDescription:
    """The launch file of the node alone."""
    file = PythonLaunchDescriptionSource(str(_ROOT / "launch" / "refiner.launch.py"))
    refiner = IncludeLaunchDescription(file, launch_arguments=_ARGUMENTS.items())
    return LaunchDescription([refiner, ReadyToTest()])


def _feed(camera: SoakCamera, *, answers: int) -> SoakCounts:
    """Show a picture again and again until so many were answered with an object, or for a minute."""
    sequence = read_sequence("package://rnnpose_ros/models/sequences/tea_box")
    frame = ImageFrame(rgb=next(iter(sequence.frames([0])))[1], camera=sequence.camera)
    clock = FrameClock(sequence.fps)
    recorded = RecordedPoses(sequence.poses, label=sequence.object.label, clock=clock)
    poses = PerturbedPoses(recorded, clock=clock).propose_at(0)
    deadline = time.monotonic() + _ANSWER_LIMIT_S
    while camera.counts().tracked < answers and time.monotonic() < deadline:
        camera.send(frame, poses)
        time.sleep(_PERIOD_S)
    return camera.counts()


class WhileItRuns(unittest.TestCase):
    """Between start and interrupt."""

    def test_it_starts_itself_and_answers_pictures_with_transforms(self, proc_output: Any) -> None:
        camera = SoakCamera(int(os.environ.get("ROS_DOMAIN_ID", "0")), _NAMESPACE)
        try:
            assert camera.wait_for_refiner(timeout_s=_START_LIMIT_S), "the node does not listen"
            counts = _feed(camera, answers=3)
        finally:
            camera.close()
        proc_output.assertWaitFor("ready", timeout=10.0)
        assert counts.tracked >= 3
        assert counts.transforms >= 3
        assert counts.newer_than_image == 0


@launch_testing.post_shutdown_test()
class AfterItsEnd(unittest.TestCase):
    """Interrupted by the launch."""

    def test_it_ends_with_code_0_and_without_a_traceback(self, proc_info: Any, proc_output: Any) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
        said = [line.text.decode(errors="replace") for line in proc_output]
        assert [text for text in said if "Traceback" in text] == []
