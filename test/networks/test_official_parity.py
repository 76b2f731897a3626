"""The published RNNPose, number for number: every stage fed with recorded inputs, then the whole chain.

Differences are relative to the largest recorded value of the stage.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rnnpose_ros.acceleration.engines import accelerate
from rnnpose_ros.geometry import official_crop as crop
from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.networks.paper_network import CONTEXT_CHANNELS, CONTEXT_SCALE
from rnnpose_ros.objects.point_pyramid import build_pyramid
from rnnpose_ros.refinement.dense_field import PaperCycleInputs
from rnnpose_ros.refinement.features import FeatureCache, ObjectFeatures
from rnnpose_ros.refinement.official_field import OfficialField
from rnnpose_ros.refinement.official_views import OfficialViews
from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
from rnnpose_ros.refinement.solver import SolverConfig
from rnnpose_ros.rendering.surface import visible_points
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import PoseHypothesis

pytestmark = pytest.mark.golden

PIXEL_SHARE = 0.002
"""Pixels of the object that another rasteriser may see differently."""


def assert_relative(ours: Tensor, theirs: Tensor, bound: float) -> None:
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    assert error <= bound, f"largest difference {error:.2e} of the largest value, allowed {bound:.0e}"


def assert_few_pixels_differ(ours: Tensor, theirs: Tensor, *, bound: float) -> None:
    """Channel-first maps; counts the pixels that differ by more than ``bound``, against those of the object."""
    covered = int((theirs.abs().amax(0) > 0).sum())
    wrong = int(((ours - theirs).abs().amax(0) > bound).sum())
    assert wrong < PIXEL_SHARE * covered, f"{wrong} of {covered} pixels differ"


@pytest.fixture(scope="module")
def features(official) -> ObjectFeatures:
    with torch.inference_mode():
        return FeatureCache(WarpRenderer("cpu"), network=official.network).get(official.model)


@pytest.fixture(scope="module")
def views(official, features) -> OfficialViews:
    return OfficialViews(official.network, WarpRenderer("cpu"), official.frame.rgb, official.frame.camera, [features])


@pytest.fixture(scope="module")
def cycles(official, views) -> list[PaperCycleInputs]:
    """The inputs of the cycles at the recorded poses."""
    with torch.inference_mode():
        return [views.prepare(T[None], [0])[0] for T in official.cycle_poses()]


def test_index_tables_are_identical(official):
    pyramid = build_pyramid(official.model.mesh)
    assert pyramid.limits == tuple(official.arrays["limits"].tolist())
    for level in range(1, len(pyramid.points)):
        assert torch.equal(pyramid.points[level], official.tensor(f"in_model_points_{level}"))
    tables = {"neighbors": pyramid.neighbours, "pools": pyramid.pools, "upsamples": pyramid.upsamples}
    for name, ours in tables.items():
        theirs = official.tensor(f"in_{name}_0")
        assert torch.equal(ours[0][: len(theirs)], theirs), name


@torch.inference_mode()
def test_vertex_features_equal_the_published_ones(official):
    features = official.network.encode_object(build_pyramid(official.model.mesh))
    assert_relative(features.descriptors, official.tensor("descriptors_3d")[0], 1e-4)
    assert_relative(features.context, official.tensor("ctx_fea_3d")[0], 1e-4)


def test_first_crop_is_the_published_one_bit_for_bit(official):
    box = crop.splat_box(official.model.mesh.vertices, official.T_initial, official.frame.camera)
    window = crop.first_window(box)
    assert torch.equal(crop.cut_first(official.frame.rgb, window), official.tensor("in_image")[0])
    K = crop.first_camera(official.frame.camera, window).K
    torch.testing.assert_close(K, official.tensor("in_K").double(), rtol=1e-6, atol=1e-4)


@torch.inference_mode()
def test_descriptors_of_the_photograph_equal_the_published_ones(official):
    ours = official.network.descriptor2d(official.tensor("in_image"))[0, :, ::8, ::8]
    assert_relative(ours, official.tensor("descriptors_2d"), 1e-4)


def test_zoomed_picture_and_cameras_equal_the_published_ones(official, cycles):
    for ours, theirs in zip(cycles, official.tensor("intrinsics_crop"), strict=True):
        torch.testing.assert_close(ours.camera.K, theirs.double(), rtol=1e-6, atol=1e-3)
    torch.testing.assert_close(cycles[0].photo, official.tensor("enc_img2"), rtol=0, atol=1e-4)


def test_rendered_colour_equals_the_published_one(official, cycles):
    assert_few_pixels_differ(cycles[0].render.color[0], official.tensor("enc_img1")[0], bound=1e-3)


def test_depth_is_the_published_nearest_vertex_depth(official, cycles):
    for ours, theirs in zip(cycles, official.tensor("syn_depth"), strict=True):
        assert_few_pixels_differ(ours.render.depth, theirs[None], bound=1e-6)


@torch.inference_mode()
def test_rendered_context_equals_the_published_one(official, cycles, features):
    seen = cycles[0].render.face_ids[0]
    K = crop.render_camera(cycles[0].camera).K[0]
    points = visible_points(seen, features.encoded.surface, official.T_initial, K)
    flat = torch.zeros(seen.numel(), CONTEXT_CHANNELS)
    flat[points.pixel] = CONTEXT_SCALE * points.interpolate(features.encoded.features.context)
    dense = flat.T.view(-1, *seen.shape)
    assert_few_pixels_differ(dense[::16, ::8, ::8], official.tensor("cfea"), bound=1e-4)
    at_cells = F.interpolate(dense[None], size=cycles[0].context.shape[2:], mode="bilinear", align_corners=True)
    assert_relative(cycles[0].context, at_cells, 1e-5)


@torch.inference_mode()
def test_encoder_maps_equal_the_published_ones(official, cycles):
    pictures = [(official.tensor("enc_img1"), official.tensor("enc_img2"))]
    pictures += [(inputs.render.color, inputs.photo) for inputs in cycles[1:]]
    for i, both in enumerate(pictures):
        maps = official.network.features(2 * (torch.cat(both) / 255.0) - 1)
        assert_relative(maps[0, ::16], official.tensor("fmap1")[i], 1e-3)
        assert_relative(maps[1, ::16], official.tensor("fmap2")[i], 1e-3)


@pytest.fixture(scope="module")
def forced(official, cycles) -> list[dict[str, Tensor]]:
    """All iterations, each started at the recorded pose."""
    results = []
    with torch.inference_mode():
        for c, inputs in enumerate(cycles):
            field = OfficialField(official.network, inputs)
            K, T_render = inputs.camera.K.float(), inputs.T_render.float()
            for i in range(c * official.iterations, (c + 1) * official.iterations):
                dT = official.tensor("T_before")[i, 0]
                points = transform(dT, field.points_render)
                matches = field.match(project(points, K))
                T = dT @ T_render
                step = field.solve(
                    T,
                    points,
                    matches.target_uv,
                    matches.weights,
                    K,
                    centre_camera=T[:, :3, 3],
                    diameter=inputs.diameter,
                    config=SolverConfig(),
                )
                results.append(
                    {
                        "flow": field.as_map(matches.target_uv)[0] - field.cell_uv,
                        "induced": field.as_map(project(points, K))[0] - field.cell_uv,
                        "seen": field.depth[0] > 0,
                        "hidden": field.hidden[0],
                        "weights": field.as_map(matches.weights)[0],
                        "dT": (step.T_camera_object @ inverse(T_render))[0],
                    }
                )
    return results


def test_rectified_field_equals_the_published_one(official, forced):
    for i, step in enumerate(forced):
        ours = (step["induced"] * step["seen"][..., None])[::8, ::8].permute(2, 0, 1)
        torch.testing.assert_close(ours, official.tensor("flow_init")[i], rtol=1e-3, atol=1e-3)


def test_flow_and_recurrent_state_equal_the_published_ones(official, forced):
    for i, step in enumerate(forced):
        seen = step["seen"][::8, ::8]
        flow = step["flow"][::8, ::8].permute(2, 0, 1)
        assert_relative(flow * seen, official.tensor("flow")[i] * seen, 1e-3)
        assert_relative(step["hidden"][::16], official.tensor("net")[i], 1e-3)


def test_similarity_weights_equal_the_published_ones(official, forced):
    for i, step in enumerate(forced):
        assert_relative(step["weights"][::4, ::4], official.tensor("lm_weight")[i], 1e-3)


def test_solver_steps_equal_the_published_ones(official, forced):
    for i, step in enumerate(forced):
        torch.testing.assert_close(step["dT"], official.tensor("T_after")[i, 0, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("engine", ["eager", "openvino"])
def test_final_pose_equals_the_published_one(official, engine):
    config = RefinerConfig(cycles=official.cycles, iterations=official.iterations)
    network = accelerate(official.network, engine, precision="float32")
    refiner = Refiner(network, WarpRenderer("cpu"), config)
    start = PoseHypothesis(label="object", T_camera_object=official.T_initial)
    (result,) = refiner.refine(official.frame, [start], {"object": official.model})
    theirs = official.tensor("Ti_pred")[0, 0].double()
    angle = rotation_angle((result.T_camera_object @ inverse(theirs))[:3, :3])
    assert math.degrees(float(angle)) < 0.05
    assert float((result.T_camera_object - theirs)[:3, 3].norm()) < 1e-4
