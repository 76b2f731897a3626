"""Held-out pictures: right poses, the same for the same seed, damaged ones made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rnnpose_ros.data.held_out.painters import HeldOutView, RayCasting, choose_painter, ranges_for
from rnnpose_ros.data.held_out.views import HeldOutViews
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import ObjectModel

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 160


@pytest.fixture(scope="module")
def box() -> ObjectModel:
    return load_object(ROOT / "models" / "objects" / "demo" / "tea_box")


def test_the_object_is_where_its_pose_says(box: ObjectModel) -> None:
    renderer = WarpRenderer()
    mesh = renderer.upload(box.mesh)
    likeness = []
    for seed in range(4):
        view = RayCasting(WIDTH).view(box, seed=seed)
        buffers = renderer.render([mesh], view.T_camera_object[None], view.frame.camera)
        inside = buffers.depth[0] > 0
        assert view.frame.rgb.shape == (120, WIDTH, 3)
        assert inside.sum() > 50
        if view.visible_share == 1.0:
            ours = view.frame.rgb[inside].float().mean(-1)
            likeness.append(float(torch.corrcoef(torch.stack([ours, buffers.color[0].mean(0)[inside]]))[0, 1]))
    assert likeness
    assert np.median(likeness) > 0.5  # two lamps change how bright each side is, the print on it stays


@pytest.mark.parametrize("diameter", [0.005, 0.15, 3.0])
def test_no_camera_stands_inside_the_object(diameter: float) -> None:
    near, far = ranges_for(diameter).distance_m
    assert 1.2 * diameter <= near < far


def test_pictures_are_kept_and_damaged_ones_made_again(
    box: ObjectModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def views() -> HeldOutViews:
        return HeldOutViews(box, tmp_path, painter=RayCasting(WIDTH), seed=3)

    assert not views().has(0)
    first, second = views().get(0), views().get(1)
    assert not torch.equal(first.frame.rgb, second.frame.rgb)
    assert_same(views().get(0), first)
    picture = tmp_path / "000.png"
    picture.write_bytes(picture.read_bytes()[:-20])
    assert_same(views().get(0), first)
    assert "000.png is damaged and is made again" in caplog.text
    (tmp_path / "001.json").write_text('{"crc32": 1')
    assert_same(views().get(1), second)
    (tmp_path / "001.json").unlink()  # killed between the two files
    assert not views().has(1)


def assert_same(one: HeldOutView, other: HeldOutView) -> None:
    assert torch.equal(one.frame.rgb, other.frame.rgb)
    assert torch.equal(one.frame.camera.K, other.frame.camera.K)
    assert torch.equal(one.T_camera_object, other.T_camera_object)
    assert one.visible_share == other.visible_share


def test_without_a_path_tracer_pictures_are_ray_cast_aloud(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(choose_painter("auto"), RayCasting)
    assert "pip install 'rnnpose_ros[pathtracer]'" in caplog.text
    with pytest.raises(ConfigError, match="expected one of auto, path-traced, ray-cast, got 'photo'"):
        choose_painter("photo")
