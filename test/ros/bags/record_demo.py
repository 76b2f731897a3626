"""Writes the packaged sequence as a recording, with rough poses as the demonstration's detector sends them.

``python test/ros/bags/record_demo.py FOLDER``: for measuring ``rnnpose bag`` on pictures that everybody has.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from recordings import T0, Recorder

from rnnpose_ros.ros.bags.bag_file import BagWriter
from rnnpose_ros.sources.perturbed import PerturbedPoses
from rnnpose_ros.sources.recorded import FrameClock, RecordedPoses
from rnnpose_ros.sources.sequence import read_sequence


def main(folder: Path) -> None:
    """Every picture with its camera info, and a rough pose beside each that has a recorded one."""
    sequence = read_sequence("package://rnnpose_ros/models/sequences/tea_box")
    clock = FrameClock(sequence.fps, start_ns=T0)
    label = sequence.object.label
    rough = PerturbedPoses(RecordedPoses(sequence.poses, label=label, clock=clock), clock=clock)
    with BagWriter(folder) as writer:
        recorder = Recorder(writer, frame_id="camera_color_optical_frame", camera=sequence.camera)
        for index, rgb in sequence.frames():
            stamp_ns = clock.stamp_ns(index)
            for hypothesis in rough.propose_at(index):
                recorder.pose(stamp_ns, hypothesis.T_camera_object, label=label)
            recorder.info(stamp_ns)
            recorder.image(stamp_ns, rgb.numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
