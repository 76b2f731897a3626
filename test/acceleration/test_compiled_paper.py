"""The published network compiled by OpenVINO gives the poses that torch gives, under both conventions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rnnpose_ros.acceleration.engines import accelerate, engine_of
from rnnpose_ros.evaluation.standard_case import standard_case
from rnnpose_ros.geometry.crop import CropConvention
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.networks.paper_network import PaperConfig, PaperNetwork, TrainedFor
from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
from rnnpose_ros.rendering.warp_renderer import WarpRenderer

CONFIG = RefinerConfig(cycles=2, iterations=2)


@pytest.fixture(scope="module")
def network() -> PaperNetwork:
    torch.manual_seed(5)
    network = PaperNetwork(PaperConfig(input_scaling="published")).eval().requires_grad_(False)
    network.trained_for = TrainedFor(convention=CropConvention.OFFICIAL)
    # Random weights see hardly any flow; these move the object by a centimetre.
    network.update_block.flow[2].weight.mul_(40.0)
    return network


def exact(network: PaperNetwork) -> PaperNetwork:
    other = PaperNetwork().eval().requires_grad_(False)
    other.load_state_dict(network.state_dict())
    return other


def refined(network: PaperNetwork, *, objects: int = 1) -> tuple[Tensor, Tensor]:
    """Starts and results."""
    frame, start, model = standard_case(1280)
    starts = [start.T_camera_object.clone() for _ in range(objects)]
    for i, T in enumerate(starts):
        T[0, 3] += 0.03 * i
    hypotheses = [type(start)(model.label, T) for T in starts]
    results = Refiner(network, WarpRenderer("cpu"), CONFIG).refine(frame, hypotheses, {model.label: model})
    return torch.stack(starts), torch.stack([r.T_camera_object for r in results])


def assert_close(ours: Tensor, theirs: Tensor, *, mm: float, deg: float) -> None:
    assert 1000 * float((ours - theirs)[:, :3, 3].norm(dim=1).max()) < mm
    turns = rotation_angle(ours[:, :3, :3].transpose(1, 2) @ theirs[:, :3, :3])
    assert float(torch.rad2deg(turns).max()) < deg


@pytest.mark.parametrize(("precision", "mm", "deg"), [("float32", 0.1, 0.05), ("bfloat16", 0.3, 0.1)])
def test_converted_weights_give_the_poses_of_torch(network, precision, mm, deg):
    start, theirs = refined(network)
    compiled = accelerate(network, "openvino", precision=precision)
    assert engine_of(compiled) == "openvino"
    _, ours = refined(compiled)
    assert_close(ours, theirs, mm=mm, deg=deg)
    moved = 1000 * float((theirs - start)[:, :3, 3].norm())
    assert moved > 10 * mm, "the comparison says nothing where nothing moves"


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "mm", "deg"), [("float32", 0.1, 0.05), ("bfloat16", 0.3, 0.1)])
def test_weights_trained_here_give_the_poses_of_torch(network, precision, mm, deg):
    own = exact(network)
    _, theirs = refined(own)
    _, ours = refined(accelerate(own, "openvino", precision=precision))
    assert_close(ours, theirs, mm=mm, deg=deg)


@pytest.mark.slow
def test_several_objects_at_once_give_the_poses_of_single_runs(network):
    compiled = accelerate(network, "openvino", precision="float32")
    starts, together = refined(compiled, objects=3)
    _, first = refined(compiled)
    assert_close(together[:1], first, mm=0.01, deg=0.01)
    _, theirs = refined(network, objects=3)
    assert_close(together, theirs, mm=0.1, deg=0.05)
    assert len(starts) == 3


def test_the_given_network_stays_as_it_was(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    compiled = accelerate(network, "openvino", precision="bfloat16")
    assert compiled is not network
    assert engine_of(network) == "eager"
    assert not network.mixed_precision
    assert compiled.state_dict().keys() == before.keys()
    assert all(compiled.state_dict()[name].data_ptr() == network.state_dict()[name].data_ptr() for name in before)


def test_the_published_network_is_compiled_in_float32_unless_less_is_asked_for(network):
    precisions = {"auto": False, "float32": False, "bfloat16": True}
    for precision, bfloat16 in precisions.items():
        assert accelerate(network, "openvino", precision=precision).mixed_precision is bfloat16


@pytest.mark.parametrize(("precision", "engine"), [("auto", "eager"), ("float32", "eager"), ("bfloat16", "openvino")])
def test_left_to_itself_it_is_compiled_only_where_that_is_faster(network, precision, engine):
    assert engine_of(accelerate(network, "auto", precision=precision)) == engine
