"""The packaged demonstration: its object, its scenery, its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnpose_ros.data.demo_sequence.light import lamp_camera, lamps
from rnnpose_ros.data.demo_sequence.motion import BoxMotion, camera_pose, look_at
from rnnpose_ros.data.demo_sequence.scenery import build_scenery
from rnnpose_ros.data.demo_sequence.solids import handle, lathe, plain_panels, rounded_box
from rnnpose_ros.data.demo_sequence.tea_box import LABEL, SIZE_M, tea_box_artwork, tea_box_solid
from rnnpose_ros.data.demo_sequence.writer import write_object
from rnnpose_ros.geometry.camera import project
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.objects.normals import face_normals
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.sources.sequence import Sequence, read_sequence

SEQUENCE = Path(__file__).resolve().parents[2] / "models" / "sequences" / LABEL


def volume(solid) -> float:
    """Positive where faces turn outwards."""
    a, b, c = (solid.vertices[solid.faces[:, i]] for i in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)


def test_solids_are_closed_and_turned_outwards():
    box = rounded_box((0.1, 0.2, 0.3), 0.004, plain_panels())
    cylinder = lathe([(0.0, 0.0), (0.05, 0.0), (0.05, 0.2), (0.0, 0.2)])
    grip = handle(reach=0.03, height=0.06, thickness=0.005, radius=0.04)
    assert volume(box) == pytest.approx(0.006, rel=0.01)
    assert volume(cylinder) == pytest.approx(np.pi * 0.05**2 * 0.2, rel=0.01)
    assert volume(grip) > 0
    for solid in (box, cylinder):
        edges = np.sort(np.concatenate([solid.faces[:, [i, (i + 1) % 3]] for i in range(3)]), axis=1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_the_box_has_its_size_and_shows_every_panel_upright():
    solid = tea_box_solid()
    np.testing.assert_allclose(np.ptp(solid.vertices, axis=0), SIZE_M, atol=1e-9)
    normals = face_normals(solid.vertices, solid.faces)[0]
    front = normals[:, 1] < -0.999
    points, uvs = solid.vertices[solid.faces[front]].reshape(-1, 3), solid.corner_uvs[front].reshape(-1, 2)
    assert np.corrcoef(points[:, 0], uvs[:, 0])[0, 1] > 0.999
    assert np.corrcoef(points[:, 2], uvs[:, 1])[0, 1] > 0.999


def test_the_object_folder_reads_back_as_it_was_made(tmp_path):
    write_object(tmp_path)
    model = load_object(tmp_path)
    solid = tea_box_solid()
    assert model.label == LABEL
    np.testing.assert_allclose(model.mesh.vertices.numpy(), solid.vertices, atol=1e-6)
    np.testing.assert_allclose(model.mesh.corner_uvs.numpy(), solid.corner_uvs, atol=2e-6)
    assert np.abs(model.mesh.texture.numpy().astype(int) - tea_box_artwork()).mean() < 3


def test_a_camera_looks_where_it_is_told_and_holds_its_head_up():
    T_camera_world = look_at((0.3, -1.0, 0.5), (0.0, 0.1, 0.0))
    points = torch.tensor([[0.0, 0.1, 0.0], [0.0, 0.1, 0.1]], dtype=torch.float64)
    seen = transform(T_camera_world[None], points[None])[0]
    assert seen[0, :2].abs().max() < 1e-12
    assert seen[0, 2] > 1.0
    assert seen[1, 1] < 0
    torch.testing.assert_close(T_camera_world[:3, :3] @ T_camera_world[:3, :3].T, torch.eye(3, dtype=torch.float64))


def test_lamps_give_the_same_light_in_every_sub_frame():
    rng = np.random.default_rng(0)
    totals = [sum(lamp.color for lamp in lamps(rng)) for _ in range(2)]
    torch.testing.assert_close(totals[0], totals[1])


def test_a_lamp_hides_what_lies_behind_the_nearest_surface():
    lamp = lamps(np.random.default_rng(0))[0]
    camera = lamp_camera()
    depth = torch.full((camera.height, camera.width), 3.0)
    towards = lamp.direction * torch.tensor([[0.1], [-0.1]]) + torch.tensor([0.0, 0.02, 0.05])
    located = lamp.locate(towards)
    assert located.hidden(depth).tolist() == [False, True]
    assert located.hidden(torch.zeros_like(depth)).tolist() == [False, False]


def test_the_box_meets_neither_the_table_nor_anything_on_it():
    # A millimetre into the table, as it tips up, is less than a pixel.
    corners = torch.from_numpy(tea_box_solid().vertices)
    half = torch.tensor(SIZE_M, dtype=torch.float64) / 2
    props = []
    for prop in build_scenery(seed=3):
        if prop.casts_shadow:
            vertices = prop.mesh.vertices.double()
            surface = torch.cat([vertices, vertices[prop.mesh.faces].mean(1)])
            props.append(transform(prop.T_world_object[None], surface[None])[0])
    for seconds in np.arange(0.0, 6.4, 0.1):
        T_world_box = BoxMotion().pose_in_world(float(seconds))
        assert transform(T_world_box[None], corners[None])[0, :, 2].min() > -0.001
        for surface in props:
            inside = (transform(inverse(T_world_box)[None], surface[None])[0].abs() < half).all(-1)
            assert not bool(inside.any())


def test_the_path_is_slow_enough_to_be_tracked_before_it_leaves():
    motion = BoxMotion()
    for seconds in np.arange(0.0, 5.4, 0.04):
        a, b = motion.pose_in_world(float(seconds)), motion.pose_in_world(float(seconds) + 0.04)
        assert (a[:3, 3] - b[:3, 3]).norm() / 0.04 < 0.25


@pytest.fixture(scope="module")
def packaged() -> Sequence:
    return read_sequence(SEQUENCE)


def test_the_packaged_demonstration_is_small():
    files = [p for folder in (SEQUENCE, SEQUENCE.parents[1] / "objects" / "demo") for p in folder.rglob("*")]
    assert sum(p.stat().st_size for p in files if p.is_file()) < 2_000_000


def test_the_packaged_demonstration_reads_completely(packaged):
    assert packaged.object.label == LABEL
    frames = [index for index, _ in packaged.frames()]
    assert frames == list(range(packaged.n_frames))
    assert 5.0 <= packaged.n_frames / packaged.fps <= 7.0


def test_the_packaged_box_is_hidden_for_a_moment_and_leaves_at_the_end():
    shares = {
        int(k): v["visible_share"] for k, v in json.loads((SEQUENCE / "poses.json").read_text())["frames"].items()
    }
    assert min(share for index, share in shares.items() if index < 100) < 0.75
    assert max(shares) < 128 - 2
    assert shares[0] == 1.0


def test_the_packaged_poses_lie_on_the_pictures_to_two_pixels(packaged):
    """The box drawn at its pose agrees with the picture better than two millimetres to any side."""
    renderer = WarpRenderer("cpu")
    mesh = renderer.upload(packaged.object.mesh)

    def agreement(T: torch.Tensor, rgb: torch.Tensor) -> float:
        view = renderer.render([mesh], T[None], packaged.camera)
        seen = view.depth[0] > 0
        pairs = torch.stack([view.color[0][:, seen].flatten(), rgb.permute(2, 0, 1)[:, seen].flatten() / 255.0])
        return float(torch.corrcoef(pairs)[0, 1])

    for index, rgb in packaged.frames([10, 50, 105]):
        T = packaged.poses[index]
        here = agreement(T, rgb)
        assert here > 0.7
        for shift in ((0.002, 0.0, 0.0), (-0.002, 0.0, 0.0), (0.0, 0.002, 0.0), (0.0, -0.002, 0.0)):
            beside = T.clone()
            beside[:3, 3] += torch.tensor(shift, dtype=torch.float64)
            assert agreement(beside, rgb) < here - 0.02


def test_the_packaged_box_starts_in_the_picture(packaged):
    uv = project(transform(packaged.poses[0][None], packaged.object.mesh.vertices.double()[None]), packaged.camera.K)[0]
    assert bool(((uv > 20) & (uv < torch.tensor([620.0, 460.0]))).all())


def test_the_camera_stands_over_the_table():
    assert float(torch.linalg.inv(camera_pose())[2, 3]) > 0.2
