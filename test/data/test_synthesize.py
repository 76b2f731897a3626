"""Datasets made of meshes: exact annotations, the same bytes after any interruption."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rnnpose_ros.cli.main import main
from rnnpose_ros.data.bop.dataset import BopDataset, read_bop
from rnnpose_ros.data.synthetic.depth_noise import measured_depth
from rnnpose_ros.data.synthetic.randomization import FullFrameConfig
from rnnpose_ros.data.synthetic.writer import SynthesisOrder, synthesize
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.geometry.camera import intrinsics, project
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.objects.description import ObjectDescription
from rnnpose_ros.rendering.warp_renderer import WarpRenderer

CAMERA = intrinsics(150.0, 151.0, 79.0, 60.5, width=160, height=120)
SMALL = FullFrameConfig(image_px=(160, 120), object_px=(30.0, 90.0), distractors=1)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wedge of 12 cm, and one of 6 cm."""
    folder = tmp_path_factory.mktemp("meshes")
    paths = []
    for name, size in (("large", 0.12), ("small", 0.06)):
        points = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)]
        corners = [f"v {size * x} {size * y} {0.5 * size * z}" for x, y, z in points]
        faces = ["1 3 2", "4 5 6", "1 2 5", "1 5 4", "2 3 6", "2 6 5", "3 1 4", "3 4 6"]
        path = folder / f"{name}.obj"
        path.write_text("\n".join([*corners, *(f"f {face}" for face in faces)]))
        paths.append(path)
    return paths[0], paths[1]


@pytest.fixture(scope="module")
def order(meshes: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> SynthesisOrder:
    described = tuple(ObjectDescription(mesh.stem, mesh) for mesh in meshes)
    out = tmp_path_factory.mktemp("made") / "wedges"
    return SynthesisOrder(out, described, scenes=1, images=6, seed=3, split="test", camera=CAMERA, config=SMALL)


@pytest.fixture(scope="module")
def dataset(order: SynthesisOrder) -> BopDataset:
    synthesize(order, WarpRenderer())
    return read_bop(order.out)


def mask(dataset: BopDataset, kind: str, image_id: int, index: int) -> np.ndarray:
    path = dataset.folder / "test" / "000001" / kind / f"{image_id:06d}_{index:06d}.png"
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture > 0


def test_pictures_cameras_and_targets_are_there(dataset: BopDataset) -> None:
    assert len(dataset.images) == 6
    assert {t.object_id for t in dataset.targets} == {1, 2}
    for image in dataset.images.values():
        frame = dataset.frame(image)
        assert frame.rgb.shape == (120, 160, 3)
        assert frame.rgb.float().std() > 3
        assert torch.equal(frame.camera.K, CAMERA.K)


def test_poses_project_onto_the_masks_to_half_a_pixel(dataset: BopDataset) -> None:
    shifts = []
    for image in dataset.images.values():
        for index, annotation in enumerate(image.annotations or ()):
            rows, columns = np.nonzero(mask(dataset, "mask", image.image_id, index))
            if not len(rows) or columns.min() == 0 or rows.min() == 0 or columns.max() == 159 or rows.max() == 119:
                continue  # the picture cuts it off
            vertices = dataset.evaluation_models[annotation.object_id].mesh.vertices.double()
            uv = project(transform(annotation.T_camera_object, vertices)[None], image.K)[0].numpy()
            first, last = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])
            # A pixel is covered when its centre is: the outline ends less than a pixel or so (at a tip) beyond it.
            for beyond in (first - uv.min(0), uv.max(0) - last):
                assert (beyond > -1e-9).all()
                assert (beyond < 1.5).all()
            shifts.append(0.5 * (uv.min(0) + uv.max(0) - first - last))
    assert len(shifts) >= 6
    assert np.abs(shifts).max() < 0.5
    assert np.abs(np.mean(shifts, 0)).max() < 0.2


def test_depth_is_that_of_the_nearest_surface_at_the_true_poses(dataset: BopDataset) -> None:
    renderer = WarpRenderer()
    for image in dataset.images.values():
        frame = dataset.frame(image)
        for index, annotation in enumerate(image.annotations or ()):
            mesh = renderer.upload(dataset.evaluation_models[annotation.object_id].mesh)
            alone = renderer.render([mesh], annotation.T_camera_object[None], frame.camera).depth[0]
            whole = torch.from_numpy(mask(dataset, "mask", image.image_id, index))
            seen = torch.from_numpy(mask(dataset, "mask_visib", image.image_id, index))
            assert float((whole == (alone > 0)).float().mean()) > 0.9999
            assert float((frame.depth - alone)[seen].abs().max() if seen.any() else 0.0) < 1.1e-4
            hidden = whole & ~seen
            assert bool((frame.depth[hidden] < alone[hidden] + 1e-4).all())
            share = float(seen.sum()) / max(float(whole.sum()), 1.0)
            assert annotation.visible_share <= share + 1e-9


def test_a_cut_off_object_counts_its_pixels_beyond_the_picture(order: SynthesisOrder, dataset: BopDataset) -> None:
    infos = json.loads((order.out / "test" / "000001" / "scene_gt_info.json").read_text())
    wholes = 0
    for image in dataset.images.values():
        for index, info in enumerate(infos[str(image.image_id)]):
            pixels = int(mask(dataset, "mask", image.image_id, index).sum())
            x, y, width, height = info["bbox_obj"]
            inside = info["bbox_obj"] != [-1] * 4 and x > 0 and y > 0 and x + width < 159 and y + height < 119
            if inside:
                assert info["px_count_all"] == pixels == info["px_count_valid"]
                wholes += 1
            assert info["px_count_all"] >= pixels >= info["px_count_visib"]
    assert wholes >= 4


def test_objects_do_not_reach_into_each_other(dataset: BopDataset) -> None:
    for image in dataset.images.values():
        models = [dataset.models[a.object_id] for a in image.annotations or ()]
        centres = [
            transform(a.T_camera_object, m.centre.double()[None])[0]
            for a, m in zip(image.annotations or (), models, strict=True)
        ]
        for i in range(len(models)):
            for j in range(i):
                assert float((centres[i] - centres[j]).norm()) > 0.5 * (models[i].diameter + models[j].diameter)


def digest(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_picture_depends_on_its_number_alone_and_other_settings_are_refused(
    order: SynthesisOrder, dataset: BopDataset, tmp_path: Path
) -> None:
    fewer = replace(order, out=tmp_path / "again", images=2)
    assert synthesize(fewer, WarpRenderer()).images_made == 2
    grown = synthesize(replace(fewer, images=6), WarpRenderer())
    assert (grown.images_made, grown.images_done) == (4, 6)
    assert digest(fewer.out) == digest(order.out)
    with pytest.raises(ConfigError, match=r"holds a dataset of other settings \(seed: 3 there, 4 now\)"):
        synthesize(replace(fewer, seed=4), WarpRenderer())


def arguments(meshes: tuple[Path, Path], out: Path, images: int) -> list[str]:
    settings = ["--set", "image_px=96,72", "--set", "distractors=0", "--set", "object_px=20,50"]
    named = ["--mesh", *map(str, meshes), "--out", str(out), "--scenes", "1", "--images", str(images)]
    return ["synthesize", *named, "--seed", "5", *settings]


def started(words: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rnnpose_ros.cli.main", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_after_a_kill_and_a_corrupt_file_the_same_dataset_comes_out(
    meshes: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert main(arguments(meshes, whole, 8)) == 0
    process = started(arguments(meshes, broken, 100000))
    records = broken / "train" / "000001" / "frames"
    try:
        deadline = time.monotonic() + 120
        while not (records / "000003.json").exists():
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait(30)
    newest = broken / "train" / "000001" / "rgb" / "000002.png"
    newest.write_bytes(newest.read_bytes()[:-40])
    for record in records.glob("*.json"):
        if int(record.stem) > 7:
            record.unlink()
    capsys.readouterr()
    assert main(arguments(meshes, broken, 8)) == 0
    assert "image 000002 is damaged and is made again" in caplog.text
    assert int(capsys.readouterr().out.split(" were there")[0].split()[-1]) >= 3
    kept = {name: value for name, value in digest(broken).items() if name in digest(whole)}
    assert kept == digest(whole)


def test_a_disk_without_room_is_said_in_one_line_and_no_half_file_stays(
    meshes: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A limit on the size of files stands in for a full disk: the same call fails, with its own number.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        code = main(arguments(meshes, tmp_path / "out", 2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("rnnpose synthesize: cannot write ")
    assert "larger than this shell allows" in last
    assert (tmp_path / "out" / "models" / "obj_000001.ply").is_file()
    assert list((tmp_path / "out").rglob("*.partial")) == []


def test_an_output_that_is_a_file_and_no_images_are_refused(
    meshes: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    assert main(arguments(meshes, tmp_path / "taken" / "out", 1)) == 2
    assert "a file stands where a folder is needed" in capsys.readouterr().err
    assert main(arguments(meshes, tmp_path / "out", 0)) == 2
    assert "--images: expected at least 1, got 0" in capsys.readouterr().err
    assert main([*arguments(meshes, tmp_path / "out", 1), "--set", "object_px=90"]) == 2
    assert "object_px: expected the least and the largest value, got (90.0,)" in capsys.readouterr().err


def test_depth_noise_is_unbiased_grows_with_distance_and_loses_edges() -> None:
    rng = np.random.default_rng(0)
    depth = np.full((200, 300), 0.5, np.float32)
    depth[:, 100:] = 1.5
    depth[:, 200:] = 0
    noisy = measured_depth(depth, factor=1.0, rng=rng)
    near, far = noisy[:, 2:98] - 0.5, noisy[:, 102:198] - 1.5
    assert abs(near.mean()) < 1e-4
    assert near.std() == pytest.approx(0.0012 + 0.0019 * 0.01, rel=0.05)
    assert far.std() == pytest.approx(0.0012 + 0.0019 * 1.21, rel=0.05)
    assert (noisy[:, 201:] == 0).all()
    assert 0.4 < (noisy[:, 99:101] == 0).mean() < 0.8
