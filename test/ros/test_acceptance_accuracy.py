"""Acceptance A3: the node is as accurate as the library, on rendered pictures of the packaged object."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rnnpose_ros.evaluation.metrics import add
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import exp_so3
from rnnpose_ros.ros.images import fill_message
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis

from .conftest import Graph, poses_message

_ROOT = Path(__file__).resolve().parents[2]
T0 = 1_700_000_000_123_456_789
STEP = 33_333_333


@dataclass(frozen=True, eq=False)
class _View:
    """A rendered picture of the packaged object, and a start up to 3 cm and 15 degrees off."""

    frame: ImageFrame
    truth: Tensor
    start: Tensor


def _views(model: ObjectModel, number: int) -> Iterator[_View]:
    from rnnpose_ros.data.synthetic.full_frame import Studio
    from rnnpose_ros.data.synthetic.randomization import FullFrameConfig
    from rnnpose_ros.rendering.warp_renderer import WarpRenderer

    studio = Studio(WarpRenderer("cpu"), {1: model}, config=FullFrameConfig(objects=1, distractors=1), seed=7)
    camera = intrinsics(620.0, 620.0, 319.5, 239.5, width=640, height=480)
    setup = studio.set_up(0, camera=camera)
    generator = torch.Generator().manual_seed(7)
    image = 0
    while number:
        scene = studio.take(setup, image)
        image += 1
        if scene.objects and scene.objects[0].visible.sum() > 0.8 * scene.objects[0].outline.sum():
            truth = scene.objects[0].T_camera_object
            shift, axis = torch.randn(2, 3, generator=generator, dtype=torch.float64)
            how_far = torch.rand(2, generator=generator, dtype=torch.float64)
            start = truth.clone()
            start[:3, :3] = exp_so3(axis / axis.norm() * math.radians(15.0) * how_far[0]) @ truth[:3, :3]
            start[:3, 3] += shift / shift.norm() * 0.03 * how_far[1]
            frame = ImageFrame(rgb=torch.from_numpy(scene.rgb), camera=camera, stamp_ns=T0 + number * STEP)
            yield _View(frame, truth, start)
            number -= 1


@pytest.mark.parametrize("number", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_a3_accuracy(graph: Graph, number: int) -> None:
    """Rendered poses, starts up to 3 cm and 15 degrees off: the node is the library, and both better the start."""
    from sensor_msgs.msg import Image

    from rnnpose_ros.cli.engine import load_refiner
    from rnnpose_ros.objects.description import read_description
    from rnnpose_ros.objects.library import load_described
    from rnnpose_ros.ros.messages import camera_info_message, matrix_from_transform, pose_message

    description = _ROOT / "models" / "objects" / "demo" / "tea_box" / "object.yaml"
    model = load_described(read_description(description))
    library = load_refiner(None, precision="float32", engine="eager", settings=["min_score=0.0"])
    views = sorted(_views(model, number), key=lambda view: view.frame.stamp_ns)
    graph.start_refiner(
        description, engine="eager", device="cpu", precision="float32", refine__min_score=0.0,
        tracking__enabled=False, tracking__lost_score=0.0, tracking__recover_score=0.0, tracking__max_uncertainty=0.0,
        tracking__max_translation=0.0, tracking__max_rotation=0.0,
    )  # fmt: skip
    errors: list[tuple[float, float]] = []
    for view in views:
        hypothesis = PoseHypothesis(model.label, view.start)
        (expected,) = library.refine(view.frame, [hypothesis], {model.label: model})
        message = poses_message(view.frame.stamp_ns, label=model.label)
        message.detections[0].results[0].pose.pose = pose_message(view.start)
        graph.deliver(message)
        graph.infos.publish(camera_info_message(view.frame.camera, header=message.header))
        graph.images.publish(fill_message(Image(header=message.header), view.frame.rgb.numpy(), encoding="rgb8"))
        graph.wait_for(lambda view=view: graph.transforms_at(view.frame.stamp_ns), "the transform", timeout_s=120.0)
        T = matrix_from_transform(graph.transforms_at(view.frame.stamp_ns)[0])
        assert float((T - expected.T_camera_object)[:3, 3].norm()) < 1e-4
        assert float(torch.rad2deg(rotation_angle(T[:3, :3].T @ expected.T_camera_object[:3, :3]))) < 0.05
        before, after = (
            float(add(P[None], view.truth[None], points_object=model.mesh.vertices.double())) for P in (view.start, T)
        )
        errors.append((before, after))
    refined = sorted(after for _, after in errors)
    assert refined[len(refined) // 2] < 0.5 * sorted(before for before, _ in errors)[len(errors) // 2]
    if number >= 50:
        right = sum(after < 0.1 * model.diameter for _, after in errors) / number
        assert right > 0.8
