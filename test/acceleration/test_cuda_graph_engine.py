"""Cycles recorded as CUDA graphs: what can be recorded, how batches and buffers are handled, and what a GPU gives."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rnnpose_ros.acceleration.cuda_graph import CudaGraphRecorder, packed, unpacked
from rnnpose_ros.acceleration.cuda_graph_engine import (
    GraphedRnnposeNetwork,
    bucket_of,
    filled,
    flattened,
    parts_of,
    tensors_of,
)
from rnnpose_ros.acceleration.engines import accelerate, choose_engine, engine_of, kernels_of
from rnnpose_ros.checkpoints.checkpoint import default_weights, load_network
from rnnpose_ros.errors import BackendUnavailableError
from rnnpose_ros.geometry.perturbation import perturb
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.networks.rnnpose_network import NetworkConfig, RnnposeNetwork
from rnnpose_ros.refinement.cycle import CycleInputs, CycleOutput, refine_cycle
from rnnpose_ros.refinement.kernels import Kernels
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.refinement.solver import SolverConfig
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.sources.sequence import Sequence as ImageSequence
from rnnpose_ros.sources.sequence import read_sequence
from rnnpose_ros.types import CameraIntrinsics, ImageFrame, PoseHypothesis, RefinementResult, RenderBuffers

WAITING = ("_local_scalar_dense", "item", "nonzero", "masked_select", "masked_scatter", "unique", "repeat_interleave")
WAITING += ("lift_fresh", "linalg_inv_ex", "linalg_solve", "linalg_svd", "linalg_cholesky", "cholesky_solve", "lu_")
"""Operations that wait for the device, copy to it from the processor, or whose output's size depends on values."""
SIZE = 64


class ListsOperations(TorchDispatchMode):
    """Counts what is computed, and which of it a CUDA graph cannot hold."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()
        self.forbidden: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = str(func).removeprefix("aten.")
        self.seen[name] += 1
        by_mask = any(
            isinstance(index, Tensor) and index.dtype == torch.bool
            for arg in args
            if isinstance(arg, list | tuple)
            for index in arg
        )
        if name.startswith(WAITING) or (name.startswith("index") and by_mask):
            self.forbidden[name] += 1
        return func(*args, **(kwargs or {}))


class CpuRecorder:
    """Behaves as graphs do, on the processor: fixed inputs, and outputs that every run writes over."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def record(self, function: Callable[..., Any], example: Sequence[Tensor]) -> CpuRecording:
        self.rows.append(len(example[0]))
        return CpuRecording(function, example)


class CpuRecording:
    def __init__(self, function: Callable[..., Any], example: Sequence[Tensor]) -> None:
        self.function, self.inputs = function, [tensor.clone() for tensor in example]
        outputs = function(*self.inputs)
        self.layout, self.outputs = [(t.dtype, t.shape) for t in outputs], packed(outputs)

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        for buffer, tensor in zip(self.inputs, inputs, strict=True):
            buffer[: len(tensor)].copy_(tensor)
        for buffer, tensor in zip(self.outputs, packed(self.function(*self.inputs)), strict=True):
            buffer.copy_(tensor)
        return unpacked([buffer.clone() for buffer in self.outputs], self.layout)


@pytest.fixture(scope="module")
def network() -> RnnposeNetwork:
    torch.manual_seed(0)
    small = NetworkConfig(
        feature_widths=(8, 8, 16, 16), feature_channels=16, context_widths=(8, 8, 16, 16), context_channels=16,
        hidden_channels=16, descriptor_channels=8, correlation_radius=1,
    )  # fmt: skip
    return RnnposeNetwork(small).requires_grad_(False).eval()


def made_up(batch: int, *, seed: int = 0) -> CycleInputs:
    """Flat things half a metre away, in pictures of noise."""
    g = torch.Generator().manual_seed(seed)
    depth = torch.zeros(batch, SIZE, SIZE)
    depth[:, 8:-8, 8:-8] = 0.5 + 0.02 * torch.rand(batch, 1, 1, generator=g)
    pictures = torch.rand(2, batch, 3, SIZE, SIZE, generator=g)
    normals = torch.tensor([0.0, 0.0, -1.0])[:, None, None].expand(batch, 3, SIZE, SIZE)
    K = torch.tensor([[200.0, 0.0, 32.0], [0.0, 200.0, 32.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    T = torch.eye(4, dtype=torch.float64).repeat(batch, 1, 1)
    T[:, 2, 3] = 0.5
    return CycleInputs(
        photo=pictures[0],
        render=RenderBuffers(depth, pictures[1], normals, torch.zeros(batch, SIZE, SIZE, dtype=torch.int32)),
        camera=CameraIntrinsics(K.expand(batch, 3, 3), SIZE, SIZE),
        T_render=T,
        centre_object=torch.zeros(batch, 3),
        diameter=torch.full((batch,), 0.15),
    )


def cycle(network: Any, inputs: CycleInputs, *, iterations: int = 2) -> CycleOutput:
    with torch.inference_mode():
        return refine_cycle(network, inputs, iterations=iterations, solver=SolverConfig(robust_steps=1))


def assert_same(ours: CycleOutput, theirs: CycleOutput) -> None:
    assert len(ours.iterations) == len(theirs.iterations)
    assert ours.stride == theirs.stride
    for a, b in zip(flattened(ours), flattened(theirs), strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert torch.equal(ours.iterations[0].T_camera_object, ours.iterations[0].step.T_camera_object)


def test_a_cycle_on_a_gpu_does_nothing_that_a_graph_cannot_hold(network: RnnposeNetwork, monkeypatch) -> None:
    monkeypatch.setattr(Tensor, "is_cuda", property(lambda _: True))  # takes the branches that are for GPUs
    inputs = made_up(1)
    with ListsOperations() as listed:
        cycle(network, inputs)
    assert listed.seen["argsort.default"] == 2, "the solver was among it"
    assert not listed.forbidden


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: float(x.sum()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x * torch.tensor([1.0, 2.0]),
        lambda x: torch.linalg.cholesky_ex(x.T @ x),
        lambda x: x.repeat_interleave(torch.tensor(2)),
    ],
)
def test_what_a_graph_cannot_hold_is_found(waits: Callable[[Tensor], object]) -> None:
    x = torch.randn(3, 2)
    with ListsOperations() as listed:
        waits(x)
    assert listed.forbidden


@pytest.mark.parametrize("batch", [1, 3, 18])
def test_a_recorded_cycle_gives_every_object_what_the_network_gives(network: RnnposeNetwork, batch: int) -> None:
    recorder = CpuRecorder()
    graphed = GraphedRnnposeNetwork(network, recorder)
    for seed in range(2):
        inputs = made_up(batch, seed=seed)
        assert_same(cycle(graphed, inputs), cycle(network, inputs))
    assert recorder.rows == {1: [1], 3: [4], 18: [16, 2]}[batch], "recorded once, for the next larger size"


def test_outputs_stay_when_the_graph_runs_again(network: RnnposeNetwork) -> None:
    graphed = GraphedRnnposeNetwork(network, CpuRecorder())
    first = cycle(graphed, made_up(2, seed=0))
    kept = [tensor.clone() for tensor in flattened(first)]
    second = cycle(graphed, made_up(2, seed=1))
    assert all(torch.equal(a, b) for a, b in zip(flattened(first), kept, strict=True))
    assert not torch.equal(first.iterations[0].T_camera_object, second.iterations[0].T_camera_object)


def test_other_settings_are_other_recordings_and_the_oldest_goes(network: RnnposeNetwork) -> None:
    recorder = CpuRecorder()
    graphed = GraphedRnnposeNetwork(network, recorder)
    for iterations in (1, 2, 1):
        assert len(cycle(graphed, made_up(1), iterations=iterations).iterations) == iterations
    assert recorder.rows == [1, 1]
    with torch.inference_mode():
        for prior in range(16):
            refine_cycle(graphed, made_up(1), iterations=1, solver=SolverConfig(prior=float(prior), robust_steps=0))
    assert recorder.rows == [1] * 18
    cycle(graphed, made_up(1), iterations=1)
    assert recorder.rows == [1] * 19


def test_where_nothing_can_be_recorded_the_cycle_is_computed_and_that_is_said(
    network: RnnposeNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    class Refuses:
        def record(self, function: Callable[..., Any], example: Sequence[Tensor]) -> CpuRecording:
            raise RuntimeError("operation not permitted when stream is capturing")

    graphed = GraphedRnnposeNetwork(network, Refuses())
    assert engine_of(graphed) == "cuda_graph"
    for _ in range(2):
        assert_same(cycle(graphed, made_up(3)), cycle(network, made_up(3)))
    assert engine_of(graphed) == "eager"
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    assert "not permitted when stream is capturing" in caplog.text


def test_batches_are_rounded_up_and_split_at_the_largest() -> None:
    assert [bucket_of(n) for n in (1, 2, 3, 5, 8, 9, 16)] == [1, 2, 4, 8, 8, 16, 16]
    assert list(parts_of(35)) == [range(16), range(16, 32), range(32, 35)]
    rows = filled(torch.tensor([[1.0], [2.0]]), 4)
    assert rows[:, 0].tolist() == [1.0, 2.0, 2.0, 2.0]


def test_packed_tensors_come_out_as_they_went_in() -> None:
    given = [torch.rand(2, 3), torch.arange(4), torch.rand(2).double(), torch.rand(1, 1, 2), torch.tensor([True])]
    buffers = packed(given)
    assert [b.dtype for b in buffers] == [torch.float32, torch.int64, torch.float64, torch.bool]
    back = unpacked(buffers, [(t.dtype, t.shape) for t in given])
    assert all(torch.equal(a, b) for a, b in zip(given, back, strict=True))


def test_it_is_taken_by_name_and_refused_elsewhere_with_the_remedy() -> None:
    assert choose_engine("auto", "cuda") == "eager"
    assert kernels_of(RnnposeNetwork()) == Kernels()
    with pytest.raises(BackendUnavailableError, match="take the device cuda"):
        choose_engine("cuda_graph", "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(BackendUnavailableError, match="engine 'auto'"):
            choose_engine("cuda_graph", "cuda")


# What follows needs a GPU.


@pytest.fixture(scope="module")
def sequence() -> ImageSequence:
    return read_sequence("package://rnnpose_ros/models/sequences/tea_box")


def gpu_refiner(engine: str, precision: str, *, device: str = "cuda", **changes: Any) -> Refiner:
    plain, _ = load_network(default_weights(), device=device, precision=precision)
    refiner = Refiner(accelerate(plain, engine), WarpRenderer(device))
    return refiner.with_config(dataclasses.replace(refiner.config, **{"settled_px": 0.0, "max_batch": 16, **changes}))


def refined(refiner: Refiner, sequence: ImageSequence, count: int) -> list[RefinementResult]:
    truth, centre = sequence.poses[20].expand(count, 4, 4), sequence.object.centre.expand(count, 3)
    poses = perturb(truth, generator=torch.Generator().manual_seed(0), scale=0.6, centre_object=centre)
    starts = [PoseHypothesis(sequence.object.label, T) for T in poses]
    frame = ImageFrame(rgb=sequence.frame(20), camera=sequence.camera)
    return refiner.refine(frame, starts, {sequence.object.label: sequence.object}, cycles=3)


def assert_poses_agree(ours: list[RefinementResult], theirs: list[RefinementResult], mm: float, deg: float) -> None:
    for a, b in zip(ours, theirs, strict=True):
        assert 1000 * float((a.T_camera_object - b.T_camera_object)[:3, 3].norm()) < mm
        turn = rotation_angle(a.T_camera_object[:3, :3].T @ b.T_camera_object[:3, :3])
        assert float(torch.rad2deg(turn)) < deg


@pytest.mark.gpu
@pytest.mark.parametrize("count", [1, 3, 16])
@pytest.mark.parametrize(("precision", "mm", "deg"), [("float32", 0.1, 0.05), ("bfloat16", 0.3, 0.1)])
def test_graphs_give_the_poses_of_eager(
    sequence: ImageSequence, precision: str, mm: float, deg: float, count: int
) -> None:
    graphed = gpu_refiner("cuda_graph", precision)
    for _ in range(2):
        ours = refined(graphed, sequence, count)
        assert_poses_agree(ours, refined(gpu_refiner("eager", precision), sequence, count), mm, deg)
    assert engine_of(graphed.network) == "cuda_graph", "nothing was computed eagerly instead"


@pytest.mark.gpu
def test_a_gpu_gives_the_poses_of_the_cpu(sequence: ImageSequence, monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    on_cpu = refined(gpu_refiner("eager", "float32", device="cpu"), sequence, 3)
    assert_poses_agree(refined(gpu_refiner("cuda_graph", "float32"), sequence, 3), on_cpu, 0.1, 0.05)


@pytest.mark.gpu
def test_two_runs_of_a_graph_agree(sequence: ImageSequence) -> None:
    graphed = gpu_refiner("cuda_graph", "bfloat16")
    first, second = (refined(graphed, sequence, 2) for _ in range(2))
    assert_poses_agree(first, second, 0.01, 0.005)


@pytest.mark.gpu
def test_a_graph_is_quicker_than_its_operations_one_by_one(network: RnnposeNetwork) -> None:
    def on_gpu(tensors: list[Tensor]) -> list[Tensor]:
        return [tensor.cuda() for tensor in tensors]

    made = made_up(1)
    photo, color, depth, normals, K, T, centre, diameter = on_gpu(tensors_of(made))
    buffers = RenderBuffers(depth, color, normals, torch.zeros_like(depth, dtype=torch.int32))
    inputs = CycleInputs(photo, buffers, CameraIntrinsics(K, SIZE, SIZE), T, centre, diameter)
    plain = RnnposeNetwork(network.config).cuda().eval()
    took: dict[str, list[float]] = {"eager": [], "cuda_graph": []}
    both = {name: accelerate(plain, name) for name in took}
    for turn in range(13):
        for name, one in both.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            cycle(one, inputs, iterations=4)
            torch.cuda.synchronize()
            if turn >= 3:
                took[name].append(time.perf_counter() - started)
    assert min(took["cuda_graph"]) < 0.5 * min(took["eager"])


def test_the_recorder_takes_gpus_only() -> None:
    with pytest.raises(BackendUnavailableError, match="computes on a GPU"):
        CudaGraphRecorder("cpu")
