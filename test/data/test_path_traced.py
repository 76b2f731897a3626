"""Path-traced pictures show what they say they show."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch

from rnnpose_ros.data.path_traced.look import TracedLook
from rnnpose_ros.data.path_traced.mitsuba_tracer import PathTracer, renderer_version
from rnnpose_ros.data.path_traced.scene import Body, Coat, Finish, Scene, Thing
from rnnpose_ros.data.path_traced.sensor import photographed
from rnnpose_ros.data.path_traced.views import TracedView, traced_views
from rnnpose_ros.errors import BackendUnavailableError
from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import exp_so3, transform
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import CameraIntrinsics, Mesh, ObjectModel

WIDTH = 64
COARSE = TracedLook(paths=4000, samples=(2, 4), samples_elsewhere=1)


@pytest.fixture(autouse=True)
def _mitsuba() -> None:
    """Skips with the reason where Mitsuba is absent."""
    try:
        renderer_version()
    except BackendUnavailableError as error:
        pytest.skip(str(error))


def wedge(size_m: float) -> ObjectModel:
    """Four triangles that no rotation maps onto themselves."""
    vertices = size_m * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0.7, 0], [0, 0, 0.4]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    corners = vertices[faces]
    normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = torch.nn.functional.normalize(normals, dim=-1)[:, None].expand(-1, 3, -1).contiguous()
    colors = torch.tensor([[220, 40, 40], [40, 220, 40], [40, 40, 220], [220, 220, 40]], dtype=torch.uint8)
    return object_from_mesh(Mesh(vertices, faces, normals, vertex_colors=colors), label="wedge")


def one_view(model: ObjectModel, *, seed: int = 3) -> TracedView:
    """The first of a series."""
    return next(traced_views(model, count=1, seed=seed, width=WIDTH, look=COARSE))


def test_a_view_says_where_the_object_is_and_the_tracer_sees_it_there():
    model = wedge(0.15)
    frame, T, visible_share = one_view(model)
    assert frame.rgb.shape == (48, 64, 3)
    assert 0.4 <= visible_share <= 1.0
    pixels = project(transform(T[None], model.mesh.vertices[None].double()), frame.camera.K)[0]
    assert bool(((pixels > -0.5) & (pixels < torch.tensor([63.5, 47.5]))).all())
    alone = WarpRenderer().render([WarpRenderer().upload(model.mesh)], T[None], frame.camera).depth[0]
    assert frame.depth is not None
    same = (frame.depth - alone).abs()[alone > 0] < 1e-4
    assert float(same.float().mean()) == pytest.approx(visible_share, abs=0.02)


@pytest.mark.parametrize("factor", [20.0, 0.005])
def test_an_object_of_unusual_size_looks_as_a_smaller_or_larger_twin(factor):
    twin_m = 0.4 if factor > 1 else 0.05
    size = twin_m / wedge(1.0).diameter
    twin, model = wedge(size), wedge(size * factor)
    usual, unusual = one_view(twin), one_view(model)
    difference = (usual.frame.rgb.float() - unusual.frame.rgb.float()).abs().mean()
    assert float(difference) < 1.0
    torch.testing.assert_close(
        usual.T_camera_object[:3, 3] * factor, unusual.T_camera_object[:3, 3], rtol=1e-5, atol=1e-7
    )
    depths = usual.frame.depth, unusual.frame.depth
    assert float(depths[1].median() / depths[0].median()) == pytest.approx(factor, rel=1e-3)


def test_the_same_seed_gives_the_same_picture_and_another_seed_another():
    model = wedge(0.15)
    first, again, other = one_view(model), one_view(model), one_view(model, seed=4)
    assert torch.equal(first.frame.rgb, again.frame.rgb)
    assert not torch.equal(first.frame.rgb, other.frame.rgb)


def test_a_longer_series_begins_with_the_shorter_one():
    model = wedge(0.15)
    short = one_view(model)
    first, second = traced_views(model, count=2, seed=3, width=WIDTH, look=COARSE)
    assert torch.equal(first.frame.rgb, short.frame.rgb)
    assert not torch.equal(first.T_camera_object, second.T_camera_object)


def test_without_mitsuba_the_first_call_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    with pytest.raises(BackendUnavailableError, match=r"rnnpose_ros\[pathtracer\]"):
        traced_views(wedge(0.15), count=1, seed=0)


def test_light_and_geometry_lie_on_the_same_pixels_as_our_own_renderer_puts_them():
    model = wedge(0.2)
    K = torch.tensor([[[70.0, 0, 30.2], [0, 66.0, 24.9], [0, 0, 1]]], dtype=torch.float64)
    camera = CameraIntrinsics(K=K, height=48, width=64)
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3] = exp_so3(torch.tensor([0.7, -0.5, 0.3], dtype=torch.float64))
    T[:3, 3] = torch.tensor([-0.02, 0.01, 0.35])
    body = Body(Thing(model.mesh, (Coat(Finish.MATT, 0.5),)), T)
    scene = Scene((body,), (), np.full((4, 8, 3), 1e-3, np.float32), (0.0, -1.0, 0.0))
    seen = PathTracer(scene, camera).geometry(camera)
    expected = WarpRenderer().render([WarpRenderer().upload(model.mesh)], T[None], camera).depth[0].numpy()
    mask = expected > 0
    assert (mask != (seen.body == 0)).mean() < 2e-3
    both = mask & (seen.body == 0)
    np.testing.assert_allclose(seen.depth[both], expected[both], atol=2e-5)


def test_an_evenly_lit_white_surface_sends_back_what_it_gets():
    """A convex matt body of albedo a in light L from all around looks a L everywhere (the furnace test)."""
    model = wedge(0.2)
    white = dataclasses.replace(model.mesh, vertex_colors=torch.full((4, 3), 255, dtype=torch.uint8))
    K = torch.tensor([[[70.0, 0, 31.5], [0, 70.0, 23.5], [0, 0, 1]]], dtype=torch.float64)
    camera = CameraIntrinsics(K=K, height=48, width=64)
    T = torch.eye(4, dtype=torch.float64)
    T[2, 3] = 0.5
    body = Body(Thing(white, (Coat(Finish.MATT, 0.5),)), T)
    scene = Scene((body,), (), np.full((4, 8, 3), 0.8, np.float32), (0.0, -1.0, 0.0))
    radiance = PathTracer(scene, camera).radiance(camera, samples=16, seed=0)
    np.testing.assert_allclose(radiance, 0.8, rtol=0.15)
    np.testing.assert_allclose(radiance.mean((0, 1)), 0.8, rtol=1e-3)


def test_the_camera_moves_nothing():
    """A patch of light stays where it is under every lens, shake, mosaic and tone curve."""
    look = dataclasses.replace(TracedLook().sensor, noise=(0.0, 0.001), exposure_stops=0.0, jpeg_share=0.0)
    light = np.full((33, 33, 3), 0.02, np.float32)
    light[14:19, 12:17] = 1.0
    for seed in range(12):
        picture = photographed(
            light,
            np.full((33, 33), 0.5, np.float32),
            focus_m=0.5,
            meter=light.reshape(-1, 3),
            look=look,
            rng=np.random.default_rng(seed),
        )
        bright = picture.astype(float).mean(-1)
        bright = (bright - np.median(bright)).clip(0)
        rows, columns = np.mgrid[0:33, 0:33]
        assert (bright * rows).sum() / bright.sum() == pytest.approx(16, abs=0.2)
        assert (bright * columns).sum() / bright.sum() == pytest.approx(14, abs=0.2)
