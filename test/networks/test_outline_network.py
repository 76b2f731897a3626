"""The outline's network: where its answers lie, and how it travels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rnnpose_ros.acceleration.engines import accelerate
from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, describe, load_network, save_checkpoint
from rnnpose_ros.networks.outline import INPUTS, STRIDE, OutlineNetwork, finer
from rnnpose_ros.networks.rnnpose_network import NetworkConfig, RnnposeNetwork
from rnnpose_ros.types import RenderBuffers

WITH_OUTLINE = NetworkConfig(outline_widths=(8, 8, 16, 16))


def picture(seed: int) -> tuple[RenderBuffers, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    depth = 0.5 + 0.1 * torch.rand(2, 64, 64, generator=g)
    depth[:, :, :20] = 0.0
    render = RenderBuffers(
        depth=depth,
        color=torch.rand(2, 3, 64, 64, generator=g),
        attributes=torch.nn.functional.normalize(torch.randn(2, 3, 64, 64, generator=g), dim=1),
        face_ids=torch.zeros(2, 64, 64, dtype=torch.int32),
    )
    return render, torch.rand(2, 3, 64, 64, generator=g)


def test_an_answer_is_centred_on_its_pixel() -> None:
    stem = OutlineNetwork((8, 8, 8, 8)).stem[0]
    image = torch.rand(1, INPUTS, 64, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    stem(image)[0, :, 15, 11].sum().backward()
    assert image.grad is not None
    rows, columns = torch.nonzero(image.grad[0, 0], as_tuple=True)
    assert (int(rows.min()) + int(rows.max())) / 2 == STRIDE * 15
    assert (int(columns.min()) + int(columns.max())) / 2 == STRIDE * 11


def test_coarser_answers_stay_in_place_among_finer_ones() -> None:
    coarse = torch.arange(5.0).expand(1, 1, 4, 5)
    fine = finer(2 * coarse, torch.zeros(1, 1, 8, 10))
    torch.testing.assert_close(fine[0, 0, 3], torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 7, 8, 8]))


@pytest.mark.parametrize("size", [240, 160, 100, 33])
def test_crops_of_any_size_are_answered_at_every_second_pixel(size: int) -> None:
    with torch.inference_mode():
        assert OutlineNetwork((8, 8, 8, 8))(torch.rand(1, INPUTS, size, size)).shape == (
            1,
            2,
            -(-size // 2),
            -(-size // 2),
        )


def test_it_is_kept_in_the_checkpoint_and_older_checkpoints_have_none(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = RnnposeNetwork(WITH_OUTLINE).eval()
    save_checkpoint(tmp_path / "with.safetensors", network, CheckpointInfo(network=describe(network)))
    loaded, _ = load_network(tmp_path / "with.safetensors", precision="float32")
    assert isinstance(loaded, RnnposeNetwork)
    render, photo = picture(1)
    given = {"depth_centre": torch.full((2,), 0.5), "diameter": torch.full((2,), 0.1)}
    with torch.inference_mode():
        ours, theirs = (n.find_outline(render, photo, **given) for n in (network, loaded))
    assert ours is not None
    assert theirs is not None
    assert torch.equal(ours.within, theirs.within)
    bare = RnnposeNetwork()
    facts = {name: value for name, value in describe(bare).items() if name != "outline_widths"}
    save_checkpoint(tmp_path / "without.safetensors", bare, CheckpointInfo(network=facts))
    older, _ = load_network(tmp_path / "without.safetensors")
    assert isinstance(older, RnnposeNetwork)
    assert older.find_outline(render, photo, **given) is None


def test_compiled_it_says_the_same() -> None:
    torch.manual_seed(0)
    network = RnnposeNetwork(WITH_OUTLINE).eval()
    compiled = accelerate(network, "openvino")
    render, photo = picture(2)
    given = {"depth_centre": torch.full((2,), 0.5), "diameter": torch.full((2,), 0.1)}
    with torch.inference_mode():
        ours, theirs = (n.find_outline(render, photo, **given) for n in (network, compiled))
    assert ours is not None
    assert theirs is not None
    torch.testing.assert_close(theirs.within, ours.within, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(theirs.visible, ours.visible, rtol=1e-3, atol=1e-3)
