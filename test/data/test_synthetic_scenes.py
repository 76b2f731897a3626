"""What a training batch promises: exact geometry under wild looks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from rnnpose_ros.data.synthetic.randomization import LookRanges, ObjectRanges, SceneConfig
from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import CameraIntrinsics, TrainingBatch

SIZE, MARGIN = 96, 1.3
PLAIN_SOLIDS = SceneConfig(
    objects=ObjectRanges(pool_size=24, plain_share=1.0, bare_model_share=0.0, metallic_share=0.0)
)


@pytest.fixture(scope="module")
def renderer() -> WarpRenderer:
    return WarpRenderer("cpu")


@pytest.fixture(scope="module")
def batch(renderer: WarpRenderer) -> TrainingBatch:
    return SceneGenerator(renderer, seed=5).batch(24, size=SIZE, margin=MARGIN)


def test_a_batch_is_bytes_finite_and_of_the_promised_shapes(batch: TrainingBatch) -> None:
    assert batch.photo.dtype == torch.uint8
    assert batch.photo.shape == (24, 3, SIZE, SIZE)
    assert batch.photo_depth.shape == (24, SIZE, SIZE)
    assert (batch.camera.height, batch.camera.width) == (SIZE, SIZE)
    for values in (batch.photo_depth, batch.camera.K, batch.T_camera_object, batch.T_camera_object_initial):
        assert torch.isfinite(values).all()
    assert len(batch.objects) == 24
    assert batch.valid.dtype == torch.bool
    assert batch.valid.float().mean() > 0.9
    assert batch.photo.float().std() > 20


def test_the_same_seed_gives_the_same_batches(renderer: WarpRenderer) -> None:
    first, second, other = (SceneGenerator(renderer, seed=s) for s in (3, 3, 4))
    for _ in range(2):
        a, b, c = (g.batch(5, size=SIZE, margin=MARGIN) for g in (first, second, other))
        assert torch.equal(a.photo, b.photo)
        assert torch.equal(a.photo_depth, b.photo_depth)
        assert torch.equal(a.T_camera_object_initial, b.T_camera_object_initial)
        assert all(torch.equal(x.mesh.vertices, y.mesh.vertices) for x, y in zip(a.objects, b.objects, strict=True))
        assert not torch.equal(a.photo, c.photo)


def test_photo_depth_is_the_renders_depth_at_the_truth_wherever_it_is_seen(
    batch: TrainingBatch, renderer: WarpRenderer
) -> None:
    meshes = [renderer.upload(model.mesh) for model in batch.objects]
    depth = renderer.render(meshes, batch.T_camera_object, batch.camera).depth
    seen = batch.photo_depth > 0
    assert torch.equal(batch.photo_depth[seen], depth[seen])
    assert 0.6 < seen.sum() / (depth > 0).sum() < 1.0


def test_photographs_show_the_object_where_the_truth_says_to_a_fifth_of_a_pixel(renderer: WarpRenderer) -> None:
    config = SceneConfig(look=LookRanges(occluder_share=0.0))
    batch = SceneGenerator(renderer, config=config, seed=11).batch(64, size=SIZE, margin=MARGIN)
    shifts = np.arange(-3, 4)
    strength = np.zeros((2, len(shifts)))
    for photo, depth in zip(batch.photo.numpy(), batch.photo_depth.numpy(), strict=True):
        grey = photo.mean(0).astype(np.float32)
        edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
        outline = cv2.morphologyEx((depth > 0).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        for axis in (0, 1):
            moved = [(np.roll(outline, s, axis) * edges).sum() for s in shifts]
            strength[axis] += np.array(moved) / (edges.mean() * outline.sum() + 1e-6)
    for profile in strength:
        assert profile.argmax() == 3
        below, peak, above = profile[2:5]
        offset_px = 0.5 * (below - above) / (below - 2 * peak + above)
        assert abs(offset_px) < 0.2


def test_the_crop_is_centred_on_the_start_pose_and_as_wide_as_its_margin(batch: TrainingBatch) -> None:
    centres = torch.stack([m.centre for m in batch.objects]).double()
    uv = project(transform(batch.T_camera_object_initial, centres[:, None]), batch.camera.K)
    assert torch.allclose(uv, torch.full_like(uv, SIZE // 2), atol=1e-6)
    for i, model in enumerate(batch.objects):
        vertices = model.mesh.vertices.double()[None]
        uv = project(transform(batch.T_camera_object_initial[i : i + 1], vertices), batch.camera.K[i : i + 1])
        margin = SIZE / 2 / float((uv - SIZE // 2).abs().max())
        assert 0.9 * MARGIN - 0.02 < margin < 1.1 * MARGIN + 0.02


def test_the_centre_is_the_boxes_and_origins_are_sometimes_elsewhere(batch: TrainingBatch) -> None:
    offsets = []
    for model in batch.objects:
        low, high = model.mesh.vertices.amin(0), model.mesh.vertices.amax(0)
        assert torch.allclose(model.centre, 0.5 * (low + high), atol=1e-6)
        offsets.append(float(model.centre.norm()) / model.diameter)
    assert sum(o > 0.02 for o in offsets) >= 4
    assert sum(o < 1e-6 for o in offsets) >= 4


def test_of_all_symmetric_truths_the_nearest_to_the_start_is_given(renderer: WarpRenderer) -> None:
    batch = SceneGenerator(renderer, config=PLAIN_SOLIDS, seed=2).batch(24, size=SIZE, margin=MARGIN)
    symmetric = 0
    for i, model in enumerate(batch.objects):
        vertices = model.mesh.vertices.double()
        start = transform(batch.T_camera_object_initial[i], vertices)
        candidates = batch.T_camera_object[i] @ model.symmetries
        away = [(transform(T, vertices) - start).norm(dim=-1).mean() for T in candidates]
        assert away[0] <= 1.02 * min(away) + 1e-9
        symmetric += len(candidates) > 1
    assert symmetric >= 4


def test_plain_objects_look_the_same_from_every_symmetric_pose(renderer: WarpRenderer) -> None:
    batch = SceneGenerator(renderer, config=PLAIN_SOLIDS, seed=8).batch(40, size=SIZE, margin=MARGIN)
    compared = 0
    for i, model in enumerate(batch.objects):
        chosen = model.symmetries[1 :: max(1, len(model.symmetries) // 5)]
        if not len(chosen):
            continue
        poses = batch.T_camera_object[i] @ torch.cat([model.symmetries[:1], chosen])
        seen = renderer.render([renderer.upload(model.mesh)] * len(poses), poses, one_camera(batch, i, len(poses)))
        mask = seen.depth > 0
        overlap = (mask[1:] & mask[:1]).sum((1, 2)) / (mask[1:] | mask[:1]).sum((1, 2)).clamp_min(1)
        both = mask[1:] & mask[:1]
        away = ((seen.depth[1:] - seen.depth[:1]).abs() * both).sum((1, 2)) / both.sum((1, 2)).clamp_min(1)
        assert overlap.min() > 0.95, model.label
        assert away.max() < 0.02 * model.diameter
        compared += 1
    assert compared >= 4


def one_camera(batch: TrainingBatch, index: int, count: int) -> CameraIntrinsics:
    """The camera of one sample, as often as needed."""
    return CameraIntrinsics(K=batch.camera.K[index].expand(count, 3, 3), height=SIZE, width=SIZE)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_share_of_grey_photographs_is_as_configured(renderer: WarpRenderer, share: float) -> None:
    config = SceneConfig(look=LookRanges(grey_share=share, pale_share=0.0))
    batch = SceneGenerator(renderer, config=config, seed=1).batch(48, size=48, margin=MARGIN)
    photo = batch.photo.int()
    grey = ((photo.amax(1) - photo.amin(1)).flatten(1).amax(1) <= 2).float().mean()
    assert abs(float(grey) - share) < 0.17


def test_occluders_hide_depth_but_leave_the_configured_share(renderer: WarpRenderer) -> None:
    look = LookRanges(occluder_share=1.0, min_visible=0.5)
    batch = SceneGenerator(renderer, config=SceneConfig(look=look), seed=6).batch(32, size=SIZE, margin=MARGIN)
    depth = renderer.render([renderer.upload(m.mesh) for m in batch.objects], batch.T_camera_object, batch.camera).depth
    visible = (batch.photo_depth > 0).sum((1, 2)) / (depth > 0).sum((1, 2)).clamp_min(1)
    black = (batch.photo == 0).all(1)
    whole = (black & (depth > 0)).sum((1, 2)) == 0
    assert (visible < 0.97).float().mean() > 0.3
    assert (visible[whole] >= 0.5).all()
