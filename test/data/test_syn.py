"""The benchmark's objects, starts and dataset."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from rnnpose_ros.data.path_traced.look import TracedLook
from rnnpose_ros.data.syn.dataset import BenchmarkOrder, Progress, write_benchmark
from rnnpose_ros.data.syn.objects import DESIGNS, BenchmarkObject, Design, build_object
from rnnpose_ros.data.syn.reading import read_benchmark
from rnnpose_ros.data.syn.starts import frame_starts, start_at_angle
from rnnpose_ros.errors import InputError
from rnnpose_ros.geometry.perturbation import NOISES
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.rendering.warp_renderer import WarpRenderer

COARSE = TracedLook(paths=4000, samples=(2, 4), samples_elsewhere=1)


@pytest.fixture(scope="module")
def items() -> dict[str, BenchmarkObject]:
    return {design.label: build_object(design) for design in DESIGNS}


def test_there_are_twelve_objects_of_four_kinds_of_household_size(items):
    assert len(items) == 12
    assert Counter(item.design.kind for item in items.values()) == dict.fromkeys(
        ("textured", "texture-less", "thin", "symmetric"), 3
    )
    for label, item in items.items():
        assert 0.05 < item.model.diameter < 0.32, label
        torch.testing.assert_close(item.model.centre, torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize("design", [d for d in DESIGNS if d.discrete or d.axis], ids=lambda d: d.label)
def test_a_said_symmetry_maps_the_shape_onto_itself(items, design: Design):
    model = items[design.label].model
    assert len(model.symmetries) > 1
    corners = model.mesh.vertices.double()
    moved = transform(model.symmetries, corners.expand(len(model.symmetries), -1, -1))
    distances = cKDTree(corners.numpy()).query(moved.numpy())[0]
    assert distances.max() < (1e-4 if design.axis is None else 0.03 * model.diameter)


@pytest.mark.parametrize("design", [d for d in DESIGNS if not (d.discrete or d.axis)], ids=lambda d: d.label)
def test_an_object_without_symmetries_differs_from_itself_upside_down(items, design: Design):
    vertices = items[design.label].model.mesh.vertices.double().numpy()
    tree = cKDTree(vertices)
    for turn in (np.diag([1.0, -1, -1]), np.diag([-1.0, 1, -1])):
        textured = items[design.label].model.mesh.texture is not None
        assert textured or tree.query(vertices @ turn)[0].max() > 3e-3


def test_starts_are_as_far_from_the_truth_as_their_noise_says_and_always_the_same(items):
    model = items["mug"].model
    truth = torch.eye(4, dtype=torch.float64)
    truth[2, 3] = 0.8
    for name, (low, high) in {"N1": (0, 45), "N2": (0, 90), "N3": (45, 90)}.items():
        starts = torch.cat([frame_starts(truth, model, noise=name, seed=seed) for seed in range(10)])
        degrees = rotation_angle(starts[:, :3, :3]).rad2deg()
        assert float(degrees.min()) >= low
        assert float(degrees.max()) <= high + 1e-6
        assert torch.equal(starts[:3], frame_starts(truth, model, noise=name, seed=0))
    assert set(NOISES) == {"N1", "N2", "N3"}


@pytest.mark.parametrize("angle_deg", [0.0, 60.0])
def test_a_start_of_the_basin_is_turned_by_its_angle_about_the_centre(items, angle_deg):
    model = dataclasses.replace(items["mug"].model, centre=torch.tensor([0.1, 0.0, 0.0], dtype=torch.float64))
    truth = torch.eye(4, dtype=torch.float64)
    truth[2, 3] = 0.8
    start = start_at_angle(truth, model, angle_deg=angle_deg, seed=5)
    assert math.degrees(float(rotation_angle(start[None, :3, :3])[0])) == pytest.approx(angle_deg, abs=1e-4)
    moved = start[:3, :3] @ model.centre + start[:3, 3] - (truth[:3, :3] @ model.centre + truth[:3, 3])
    assert float(moved[:2].norm()) < 0.05


def test_the_labels_lie_on_the_object(syn_folder):
    """The picture of the pose, drawn by another renderer, is the mask that was written."""
    benchmark = read_benchmark(syn_folder)
    for image in benchmark.images:
        frame = benchmark.dataset.frame(image)
        (annotation,) = image.annotations
        model = benchmark.dataset.models[annotation.object_id]
        renderer = WarpRenderer()
        depth = renderer.render([renderer.upload(model.mesh)], annotation.T_camera_object[None], frame.camera).depth[0]
        folder = syn_folder / "test" / f"{image.scene_id:06d}"
        assert float(((frame.depth - depth).abs() < 2e-4)[depth > 0].double().mean()) == pytest.approx(
            annotation.visible_share, abs=0.02
        )
        assert (folder / "mask_visib" / f"{image.image_id:06d}_000000.png").is_file()
        assert benchmark.starts[image.scene_id, image.image_id, "N1"].shape == (3, 4, 4)


def test_an_interrupted_rendering_goes_on_and_ends_the_same(syn_folder, tmp_path):
    out = Path(shutil.copytree(syn_folder, tmp_path / "syn"))
    picture = out / "test" / "000002" / "rgb" / "000000.png"
    expected = picture.read_bytes()
    picture.write_bytes(expected[: len(expected) // 2])
    seen: list[Progress] = []
    order = BenchmarkOrder(out=out, edition="tiny", objects=2, look=COARSE)
    write_benchmark(order, on_frame=seen.append)
    assert [(p.done, p.made, p.frames) for p in seen] == [(2, 1, 2)]
    assert picture.read_bytes() == expected
    assert json.loads((out / "starts.json").read_text()) == json.loads((syn_folder / "starts.json").read_text())


def test_a_folder_of_another_seed_is_not_mixed_with_this_one(syn_folder):
    order = BenchmarkOrder(out=syn_folder, edition="tiny", objects=2, look=COARSE, seed=1)
    with pytest.raises(InputError, match="seed is 0, expected 1"):
        write_benchmark(order)


def test_a_missing_benchmark_says_how_to_make_it(tmp_path):
    with pytest.raises(InputError, match="rnnpose benchmark_data --out"):
        read_benchmark(tmp_path)


def test_an_unfinished_benchmark_says_how_many_frames_are_missing(syn_folder, tmp_path):
    out = Path(shutil.copytree(syn_folder, tmp_path / "syn"))
    manifest = json.loads((out / "manifest.json").read_text()) | {"frames_per_object": 25}
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"expected 50 frames, got 2; the rendering goes on"):
        read_benchmark(out)
