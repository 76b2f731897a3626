"""A refinement must not depend on which renderer draws its references."""

from __future__ import annotations

import pytest
import torch
import trimesh

from rnnpose_ros.checkpoints.checkpoint import default_weights, load_network
from rnnpose_ros.geometry.perturbation import perturb
from rnnpose_ros.geometry.se3 import log_so3
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.sources.sequence import Sequence, read_sequence
from rnnpose_ros.types import ImageFrame, Mesh, ObjectModel, PoseHypothesis

INDEX = 20


@pytest.fixture(scope="module")
def sequence() -> Sequence:
    return read_sequence("package://rnnpose_ros/models/sequences/tea_box")


def difference(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
    """Radians and metres."""
    turn = log_so3(a[:3, :3].T @ b[:3, :3])
    return float(turn.norm()), float((a - b)[:3, 3].norm())


def test_the_small_network_ends_at_the_same_pose_with_either_renderer(
    pytorch3d_renderer: Renderer, sequence: Sequence
) -> None:
    network, _ = load_network(default_weights(), precision="float32")
    frame = ImageFrame(rgb=sequence.frame(INDEX), camera=sequence.camera)
    generator = torch.Generator().manual_seed(0)
    centre = sequence.object.centre[None]
    (T,) = perturb(sequence.poses[INDEX][None], generator=generator, scale=0.6, centre_object=centre)
    ends = []
    for renderer in (WarpRenderer("cpu"), pytorch3d_renderer):
        refiner = Refiner(network, renderer, RefinerConfig(cycles=2))
        start = PoseHypothesis(sequence.object.label, T)
        (result,) = refiner.refine(frame, [start], {sequence.object.label: sequence.object})
        assert result.is_usable
        ends.append(result.T_camera_object)
    assert difference(T, ends[0])[1] > 5e-3  # it went somewhere
    turned, moved = difference(*ends)
    assert turned < 5e-4
    assert moved < 1e-4


def ball() -> ObjectModel:
    shape = trimesh.creation.icosphere(2, radius=0.05)
    vertices, faces = torch.tensor(shape.vertices).float(), torch.tensor(shape.faces).long()
    normals = torch.tensor(shape.face_normals).float()[:, None].expand(-1, 3, -1).contiguous()
    colors = (255 * torch.rand(len(vertices), 3, generator=torch.Generator().manual_seed(0))).byte()
    mesh = Mesh(vertices=vertices, faces=faces, corner_normals=normals, vertex_colors=colors)
    return object_from_mesh(mesh, label="ball")


def test_the_published_network_ends_at_the_same_pose_with_either_renderer(
    pytorch3d_renderer: Renderer, sequence: Sequence
) -> None:
    torch.manual_seed(3)
    network, model = PaperNetwork().eval(), ball()
    frame = ImageFrame(rgb=sequence.frame(INDEX), camera=sequence.camera)
    T = torch.eye(4, dtype=torch.float64)
    T[2, 3] = 0.6
    ends = []
    for renderer in (WarpRenderer("cpu"), pytorch3d_renderer):
        refiner = Refiner(network, renderer, RefinerConfig(cycles=1, iterations=2))
        (result,) = refiner.refine(frame, [PoseHypothesis("ball", T)], {"ball": model})
        ends.append(result.T_camera_object)
    assert difference(T, ends[0]) != (0.0, 0.0)
    turned, moved = difference(*ends)
    assert turned < 1e-4
    assert moved < 1e-5
