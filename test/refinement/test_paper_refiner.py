"""The published network in the refiner: many objects at once, and views that cannot be refined."""

from __future__ import annotations

import pytest
import torch
import trimesh

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
from rnnpose_ros.refinement.trace_pictures import draw_trace
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import ImageFrame, Mesh, ObjectModel, PoseHypothesis, RefinementStatus

CAMERA = intrinsics(570.0, 572.0, 320.0, 240.0, width=640, height=480)


def make_object(label: str, shape: trimesh.Trimesh) -> ObjectModel:
    vertices, faces = torch.tensor(shape.vertices).float(), torch.tensor(shape.faces).long()
    normals = torch.tensor(shape.face_normals).float()[:, None].expand(-1, 3, -1).contiguous()
    colors = (255 * torch.rand(len(vertices), 3, generator=torch.Generator().manual_seed(0))).byte()
    return object_from_mesh(
        Mesh(vertices=vertices, faces=faces, corner_normals=normals, vertex_colors=colors), label=label
    )


@pytest.fixture(scope="module")
def objects() -> dict[str, ObjectModel]:
    shapes = {
        "ball": trimesh.creation.icosphere(3, radius=0.05),
        "box": trimesh.creation.box((0.1, 0.07, 0.05)).subdivide().subdivide().subdivide(),
        "ring": trimesh.creation.torus(0.05, 0.02),
    }
    return {label: make_object(label, shape) for label, shape in shapes.items()}


@pytest.fixture(scope="module")
def refiner() -> Refiner:
    torch.manual_seed(3)
    return Refiner(PaperNetwork().eval(), WarpRenderer("cpu"), RefinerConfig(cycles=2, iterations=2))


@pytest.fixture(scope="module")
def frame() -> ImageFrame:
    generator = torch.Generator().manual_seed(1)
    blocks = torch.randint(0, 256, (1, 3, 60, 80), generator=generator).float()
    picture = torch.nn.functional.interpolate(blocks, size=(480, 640), mode="bilinear")[0]
    return ImageFrame(rgb=picture.permute(1, 2, 0).byte().contiguous(), camera=CAMERA)


def start(label: str, x: float, y: float, z: float, turn: float = 0.3) -> PoseHypothesis:
    R = exp_so3(torch.tensor([[turn, -0.4, 0.2]], dtype=torch.float64))
    T = from_rotation_translation(R, torch.tensor([[x, y, z]], dtype=torch.float64))[0]
    return PoseHypothesis(label=label, T_camera_object=T)


@pytest.mark.slow
def test_eight_objects_of_three_kinds_at_once_equal_eight_single_runs(refiner, objects, frame):
    labels = ["ball", "box", "ring", "box", "ball", "ring", "ring", "box"]
    starts = [
        start(n, 0.08 * (i % 4) - 0.1, 0.1 * (i // 4) - 0.05, 0.6 + 0.05 * i, 0.2 * i) for i, n in enumerate(labels)
    ]
    together = refiner.refine(frame, starts, objects)
    for one, result in zip(starts, together, strict=True):
        (alone,) = refiner.refine(frame, [one], objects)
        torch.testing.assert_close(result.T_camera_object, alone.T_camera_object, rtol=0, atol=1e-4)
        assert result.status == alone.status


def test_objects_outside_of_the_picture_or_behind_the_camera_keep_their_pose(refiner, objects, frame):
    starts = [start("ball", 2.0, 0.0, 0.8), start("ball", 0.0, 0.0, -0.8)]
    results = refiner.refine(frame, starts, objects)
    assert [r.status for r in results] == [RefinementStatus.OUT_OF_VIEW] * 2
    for result, one in zip(results, starts, strict=True):
        torch.testing.assert_close(result.T_camera_object, one.T_camera_object)


def test_a_trace_shows_every_pixel_of_the_object(refiner, objects, frame):
    (result,) = refiner.refine(frame, [start("box", 0.0, 0.0, 0.6)], objects, cycles=1, iterations=1, trace=True)
    (step,) = result.trace
    assert step.similarity.shape == (240, 240)
    shown = step.similarity > 0
    assert 1000 < int(shown.sum()) < 240 * 240
    assert torch.equal(step.field.confidence[0] > 0, shown)
    inside = (step.induced_uv - step.cell_uv)[shown]
    assert float(inside.abs().max()) < 0.01


def test_a_trace_holds_each_field_after_rectification_and_can_be_drawn(refiner, objects, frame):
    hypothesis = start("box", 0.0, 0.0, 0.6)
    (result,) = refiner.refine(frame, [hypothesis], objects, cycles=1, iterations=2, trace=True)
    first, second = result.trace
    shown = first.similarity > 0
    assert torch.equal(shown, first.depth > 0)
    torch.testing.assert_close(first.rectified_uv[shown], second.induced_uv[shown], rtol=0, atol=0.01)
    pictures = draw_trace(result.trace, frame, objects["box"], hypothesis.T_camera_object)
    assert [p.field.shape for p in pictures] == [(240, 240, 3)] * 2
    assert (pictures[0].warped.any(-1) <= shown.numpy()).all()
