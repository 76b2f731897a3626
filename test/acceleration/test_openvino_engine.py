"""Graphs compiled by OpenVINO give the poses that torch gives, start quickly, and are there when asked for."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rnnpose_ros.acceleration import openvino_engine
from rnnpose_ros.acceleration.compiled_network import CompiledRnnposeNetwork
from rnnpose_ros.acceleration.engines import accelerate, choose_engine, engine_of
from rnnpose_ros.acceleration.graph_cache import GraphCache
from rnnpose_ros.acceleration.openvino_engine import CompiledGraph, GraphCompiler
from rnnpose_ros.checkpoints.checkpoint import default_weights, load_network
from rnnpose_ros.cli.main import main
from rnnpose_ros.errors import BackendUnavailableError, ConfigError
from rnnpose_ros.geometry.perturbation import perturb
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.networks.rnnpose_network import RnnposeNetwork
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.sources.sequence import Sequence, read_sequence
from rnnpose_ros.types import ImageFrame, PoseHypothesis, RefinementResult

INDEX = 20


@pytest.fixture(scope="module")
def sequence() -> Sequence:
    return read_sequence("package://rnnpose_ros/models/sequences/tea_box")


def refiner(engine: str, precision: str) -> Refiner:
    network, _ = load_network(default_weights(), precision=precision)
    assert isinstance(network, RnnposeNetwork)
    return Refiner(accelerate(network, engine), WarpRenderer("cpu"))


def refine(
    what: Refiner, sequence: Sequence, *, first: int = 0, count: int, cycles: int = 3, iterations: int = 4
) -> list[RefinementResult]:
    truth, centre = sequence.poses[INDEX].expand(3, 4, 4), sequence.object.centre.expand(3, 3)
    poses = perturb(truth, generator=torch.Generator().manual_seed(0), scale=0.6, centre_object=centre)
    hypotheses = [PoseHypothesis(sequence.object.label, T) for T in poses[first : first + count]]
    frame = ImageFrame(rgb=sequence.frame(INDEX), camera=sequence.camera)
    objects = {sequence.object.label: sequence.object}
    return what.refine(frame, hypotheses, objects, cycles=cycles, iterations=iterations)


@pytest.mark.parametrize(("precision", "mm", "deg"), [("float32", 0.1, 0.05), ("bfloat16", 0.3, 0.1)])
def test_poses_are_those_of_torch(sequence: Sequence, precision: str, mm: float, deg: float) -> None:
    compiled = refine(refiner("openvino", precision), sequence, count=1)
    eager = refine(refiner("eager", precision), sequence, count=1)
    for ours, theirs in zip(compiled, eager, strict=True):
        shift = (ours.T_camera_object - theirs.T_camera_object)[:3, 3].norm()
        turn = torch.rad2deg(rotation_angle(ours.T_camera_object[:3, :3].T @ theirs.T_camera_object[:3, :3]))
        assert 1000 * float(shift) < mm
        assert float(turn) < deg
        assert ours.score == pytest.approx(theirs.score, abs=0.01)


def test_two_runs_give_the_same_bits_in_both_engines(sequence: Sequence) -> None:
    for engine in ("eager", "openvino"):
        what = refiner(engine, "auto")
        first, second = (refine(what, sequence, count=1, cycles=2, iterations=2)[0] for _ in range(2))
        assert torch.equal(first.T_camera_object, second.T_camera_object)
        assert first.score == second.score


def test_a_batch_gives_the_poses_of_single_runs(sequence: Sequence) -> None:
    what = refiner("openvino", "float32")
    together = refine(what, sequence, count=3, cycles=1, iterations=2)
    for i, result in enumerate(together):
        (alone,) = refine(what, sequence, first=i, count=1, cycles=1, iterations=2)
        torch.testing.assert_close(alone.T_camera_object, result.T_camera_object, rtol=0, atol=1e-5)


def test_auto_takes_openvino_on_the_cpu_only() -> None:
    assert choose_engine("auto", "cpu") == "openvino"
    network = RnnposeNetwork().eval()
    assert engine_of(accelerate(network, "openvino")) == "openvino"
    assert accelerate(network, "eager") is network
    with pytest.raises(BackendUnavailableError, match="not on cuda"):
        choose_engine("openvino", "cuda")
    with pytest.raises(ConfigError, match="expected one of"):
        choose_engine("tensorrt", "cpu")


def test_where_it_is_not_installed_auto_is_eager_and_the_name_is_refused(monkeypatch, capsys) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert choose_engine("auto", "cpu") == "eager"
    assert main(["bench", "--engine", "openvino", "--runs", "1"]) == 2
    assert "pip install openvino" in capsys.readouterr().err


def test_importing_it_sends_no_usage_statistics() -> None:
    code = (
        "import sys; from rnnpose_ros.acceleration.openvino_engine import load_openvino; load_openvino();"
        "print('openvino' in sys.modules, [m for m in sys.modules if 'openvino_telemetry' in m])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.split("\n")[0] == "True []"


def double(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def compiled_double(folder: Path, *, network: RnnposeNetwork | None = None) -> CompiledGraph:
    cache = GraphCache(folder, network or RnnposeNetwork().requires_grad_(False))
    return GraphCompiler(cache, threads=1).compile("double", double, [torch.zeros(2, 3)])


def result_of(graph: CompiledGraph) -> torch.Tensor:
    out = torch.empty(2, 3)
    graph.run([torch.arange(6.0).view(2, 3)], [out])
    return out


def test_a_second_start_takes_the_graph_from_disk(tmp_path: Path, monkeypatch) -> None:
    network = RnnposeNetwork()
    compiled_double(tmp_path, network=network)
    assert len(list(tmp_path.glob("*.graph"))) == 1
    monkeypatch.setattr(GraphCompiler, "_converted", lambda *_: pytest.fail("compiled again"))
    assert torch.equal(result_of(compiled_double(tmp_path, network=network)), torch.arange(0.0, 12.0, 2).view(2, 3))


def test_other_weights_and_other_shapes_are_other_graphs(tmp_path: Path) -> None:
    compiled_double(tmp_path, network=RnnposeNetwork())
    compiled_double(tmp_path, network=RnnposeNetwork())
    assert len(list(tmp_path.glob("*.graph"))) == 2, "two networks with random weights"


def test_a_damaged_graph_on_disk_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    network = RnnposeNetwork()
    compiled_double(tmp_path, network=network)
    (kept,) = tmp_path.glob("*.graph")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])
    assert torch.equal(result_of(compiled_double(tmp_path, network=network)), torch.arange(0.0, 12.0, 2).view(2, 3))
    assert "made again" in caplog.text
    caplog.clear()
    compiled_double(tmp_path, network=network)
    assert "made again" not in caplog.text, "the one on disk is whole again"


def test_a_folder_that_cannot_be_written_costs_time_and_nothing_else(tmp_path: Path, caplog) -> None:
    (tmp_path / "file").touch()
    assert float(result_of(compiled_double(tmp_path / "file" / "graphs"))[1, 2]) == 10.0
    assert "the next start compiles them again" in caplog.text


def test_a_tensor_of_another_shape_is_refused_before_memory_is_read(tmp_path: Path) -> None:
    graph = compiled_double(tmp_path)
    for wrong in (torch.zeros(3, 3), torch.zeros(2, 3, dtype=torch.float64), torch.zeros(3, 2).T):
        with pytest.raises(ValueError, match="expected a contiguous float32"):
            graph.run([wrong], [torch.empty(2, 3)])


def test_each_number_of_objects_is_compiled_once_and_said(
    sequence: Sequence, monkeypatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=openvino_engine.__name__)
    network = RnnposeNetwork().eval()
    compiler = GraphCompiler(None, threads=1)
    what = Refiner(CompiledRnnposeNetwork(network, compiler), WarpRenderer("cpu"))
    for _ in range(2):
        refine(what, sequence, count=1, cycles=1, iterations=1)
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [
        f"compiled graph {name}" for name in ("encode", "advance")
    ]
