"""The paper family under the exact convention: what is rendered lies on what is photographed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import trimesh
from torch import Tensor, nn

from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, describe, load_network, save_checkpoint
from rnnpose_ros.errors import CheckpointError, ConfigError
from rnnpose_ros.geometry.camera import intrinsics, project
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation, transform
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.refinement.cycle import open_field, refine_cycle
from rnnpose_ros.refinement.dense_field import DenseField, PaperCycleInputs
from rnnpose_ros.refinement.exact_views import reference_view
from rnnpose_ros.refinement.official_field import OfficialField
from rnnpose_ros.refinement.paper_views import DescribedPhoto, PaperViews
from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
from rnnpose_ros.refinement.solver import SolverConfig
from rnnpose_ros.refinement.views import open_views
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import ImageFrame, Mesh, ObjectModel, PoseHypothesis, RefinementStatus

SIZE = 96
CAMERA = intrinsics(570.0, 572.0, 321.3, 238.6, width=640, height=480)
CONFIG = RefinerConfig(cycles=1, iterations=2, crop_size=SIZE)


class PictureAsDescriptors(nn.Module):
    """Stands for the 2D network: the pixels themselves, over and over."""

    def forward(self, image: Tensor) -> Tensor:
        return image.repeat(1, 11, 1, 1)[:, :32]


def ball() -> ObjectModel:
    shape = trimesh.creation.icosphere(3, radius=0.06)
    vertices, faces = torch.tensor(shape.vertices).float(), torch.tensor(shape.faces).long()
    colors = (127 + 110 * torch.sin(60 * vertices + torch.tensor([0.0, 1.0, 2.0]))).byte()
    normals = torch.tensor(shape.vertex_normals).float()[faces]
    mesh = Mesh(vertices=vertices, faces=faces, corner_normals=normals, vertex_colors=colors)
    return object_from_mesh(mesh, label="ball")


def pose(x: float = 0.03, z: float = 0.5) -> Tensor:
    R = exp_so3(torch.tensor([[0.4, -0.3, 0.2]], dtype=torch.float64))
    return from_rotation_translation(R, torch.tensor([[x, -0.02, z]], dtype=torch.float64))[0]


@pytest.fixture(scope="module")
def model() -> ObjectModel:
    return ball()


@pytest.fixture(scope="module")
def photograph(model: ObjectModel) -> Tensor:
    """The ball at its true pose, lit as references are, over grey."""
    renderer = WarpRenderer("cpu")
    view = reference_view(renderer, [renderer.upload(model.mesh)], pose()[None], CAMERA)
    picture = view.color[0] + 0.5 * (view.depth[0] == 0)
    return (255 * picture).round().byte().permute(1, 2, 0).contiguous()


def network_of(convention: CropConvention) -> PaperNetwork:
    torch.manual_seed(5)
    network = PaperNetwork().eval()
    network.trained_for = dataclasses.replace(network.trained_for, convention=convention)
    return network


@torch.inference_mode()
def first_inputs(network: PaperNetwork, photograph: Tensor, model: ObjectModel) -> PaperCycleInputs:
    refiner = Refiner(network, WarpRenderer("cpu"), CONFIG)
    features = [refiner.features.get(model)]
    views = open_views(network, refiner.renderer, photograph, CAMERA, features, config=CONFIG)
    inputs, _ = views.prepare(pose()[None], [0])
    assert isinstance(inputs, PaperCycleInputs)
    return inputs


def displacement_px(moved: Tensor, still: Tensor, inside: Tensor) -> Tensor:
    """The shift (u, v) that best explains ``moved`` as ``still`` elsewhere, by least squares on its gradients."""
    du = 0.5 * (still[:, 1:-1, 2:] - still[:, 1:-1, :-2])
    dv = 0.5 * (still[:, 2:, 1:-1] - still[:, :-2, 1:-1])
    used = inside[None, 1:-1, 1:-1].expand_as(du)
    slopes = torch.stack([du[used], dv[used]], 1).double()
    change = (still - moved)[:, 1:-1, 1:-1][used].double()
    return torch.linalg.lstsq(slopes, change[:, None]).solution[:, 0]


def interior(inputs: PaperCycleInputs) -> Tensor:
    """Pixels well inside of the object, where nothing of the background is mixed in."""
    outside = (inputs.render.depth == 0).float()[:, None]
    return nn.functional.max_pool2d(outside, 13, stride=1, padding=6)[0, 0] == 0


def test_render_and_photograph_agree_to_a_hundredth_pixel_at_the_true_pose(photograph, model) -> None:
    inputs = first_inputs(network_of(CropConvention.EXACT), photograph, model)
    shift = displacement_px(inputs.photo[0], inputs.render.color[0], interior(inputs))
    assert int(interior(inputs).sum()) > 1000
    assert float(shift.norm()) < 0.01


def test_descriptors_of_the_photograph_lie_on_the_photograph(photograph, model) -> None:
    network = network_of(CropConvention.EXACT)
    network.descriptor2d = PictureAsDescriptors()
    inputs = first_inputs(network, photograph, model)
    shift = displacement_px(
        inputs.descriptors_photo[0].around(torch.zeros(0, 2))[:3], inputs.photo[0], interior(inputs)
    )
    assert float(shift.norm()) < 0.01


def test_descriptors_are_read_where_the_picture_is() -> None:
    u, v = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="xy")
    affine = torch.tensor([[2.0, 0.0, -6.0], [0.0, 2.0, -10.0]], dtype=torch.float64)
    photo = DescribedPhoto(torch.stack([u, v]), affine)
    cut = photo.cut(torch.tensor([[4.0, 0.0, -30.0], [0.0, 4.0, -32.0]], dtype=torch.float64), size=24)
    # Pixel (8, 4) of the crop is (9.5, 9) of the image, so (13, 8) of the described window.
    torch.testing.assert_close(cut[:, 4, 8], torch.tensor([13.0, 8.0]))
    read = photo.at(torch.tensor([[9.5, 9.0], [200.0, 9.0]], dtype=torch.float64))
    torch.testing.assert_close(read[0], nn.functional.normalize(torch.tensor([13.0, 8.0]), dim=0))
    assert bool((read[1] == 0).all())


def test_points_of_the_render_lie_on_their_pixels_and_on_the_surface(photograph, model) -> None:
    network = network_of(CropConvention.EXACT)
    inputs = first_inputs(network, photograph, model)
    with torch.inference_mode():
        field = open_field(network, inputs, weighting="both")
    assert type(field) is DenseField
    uv = project(field.points_render, inputs.camera.K.float())
    own = torch.stack([inputs.pixel % SIZE, inputs.pixel // SIZE], -1).float()
    assert float((uv - own)[inputs.shown].abs().max()) < 1e-3
    radius = (field.points_render - transform(pose()[None], torch.zeros(1, 1, 3).double()).float()).norm(dim=-1)
    assert float((radius - 0.06)[inputs.shown].abs().max()) < 5e-4


def test_targets_outside_of_the_crop_count_nothing(photograph, model) -> None:
    network = network_of(CropConvention.EXACT)
    inputs = first_inputs(network, photograph, model)
    with torch.inference_mode():
        network.update_block.flow[2].bias.fill_(40.0)
        output = refine_cycle(network, inputs, iterations=1, solver=SolverConfig())
    (only,) = output.iterations
    assert float(only.similarity.max()) > 0
    assert float(only.weights.abs().max()) == 0


@pytest.mark.parametrize("convention", list(CropConvention))
def test_the_checkpoint_s_convention_decides_how_it_refines(convention, photograph, model, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    network = network_of(convention)
    save_checkpoint(path, network, CheckpointInfo(network=describe(network), convention=convention.value))
    loaded, info = load_network(path)
    assert (info.convention, loaded.trained_for.convention) == (convention.value, convention)
    inputs = first_inputs(loaded, photograph, model)
    with torch.inference_mode():
        field = open_field(loaded, inputs, weighting="both")
    assert isinstance(field, OfficialField) is (convention is CropConvention.OFFICIAL)
    frame = ImageFrame(rgb=photograph, camera=CAMERA)
    starts = [PoseHypothesis("ball", pose())]
    (result,) = Refiner(loaded, WarpRenderer("cpu"), CONFIG).refine(frame, starts, {"ball": model})
    assert result.status is not RefinementStatus.OUT_OF_VIEW
    assert bool(torch.isfinite(result.T_camera_object).all())


def test_unknown_conventions_and_broken_crops_are_refused(tmp_path: Path) -> None:
    network = PaperNetwork()
    save_checkpoint(tmp_path / "w.safetensors", network, CheckpointInfo(describe(network), convention="almost"))
    with pytest.raises(CheckpointError, match="unknown crop convention 'almost'; known: exact, official"):
        load_network(tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="multiple of 8, got 100"):
        Refiner(network, WarpRenderer("cpu"), RefinerConfig(crop_size=100))


def test_the_photograph_is_described_once_for_all_cycles(photograph, model) -> None:
    network = network_of(CropConvention.EXACT)
    refiner = Refiner(network, WarpRenderer("cpu"), CONFIG)
    asked = []
    network.descriptor2d.register_forward_hook(lambda module, args, output: asked.append(output.shape[-1]))
    features = [refiner.features.get(model)]
    views = PaperViews(network, refiner.renderer, photograph, CAMERA, features, size=SIZE, margin=1.2)
    with torch.inference_mode():
        for x in (0.03, 0.04):
            views.prepare(pose(x)[None], [0])
    assert asked == [128]
