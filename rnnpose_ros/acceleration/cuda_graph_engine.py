"""Whole cycles of the ``small`` and ``base`` networks as CUDA graphs.

Encoders, lookups, recurrent updates and solver steps become one launch. One by one, the thousands of small operations
of a cycle cost a GPU more than their arithmetic. The render before a cycle and the alignment after it stay outside.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.acceleration.cuda_graph import Recorder, Recording
from rnnpose_ros.networks.outline import OutlineField
from rnnpose_ros.networks.rnnpose_network import EncodedPair, FieldUpdate, RnnposeNetwork
from rnnpose_ros.refinement.cycle import CycleInputs, CycleOutput, IterationOutput, refine_cycle
from rnnpose_ros.refinement.field import Solve
from rnnpose_ros.refinement.solver import SolverConfig, SolverStep
from rnnpose_ros.stages import stage
from rnnpose_ros.types import CameraIntrinsics, RenderBuffers

logger = logging.getLogger(__name__)

BATCHES = (1, 2, 4, 8, 16)
"""Numbers of objects that graphs are recorded for, each at first use; fewer take the next larger one."""
_MOST_GRAPHS = 16
"""Each holds its own memory on the device; the one unused for longest goes."""
_STEP_FIELDS = tuple(field.name for field in dataclasses.fields(SolverStep))


class GraphedRnnposeNetwork:
    """A network whose cycles are recordings (:class:`~rnnpose_ros.refinement.cycle.WholeCycles`).

    Args:
        network: On the recorder's device, in evaluation mode.
        recorder: Records.
    """

    def __init__(self, network: RnnposeNetwork, recorder: Recorder) -> None:
        self.config = network.config
        self.stride = network.stride
        self.mixed_precision = network.mixed_precision
        # Graphs read the weights where they lie: nobody else moves or changes these.
        self._network = copy.deepcopy(network).requires_grad_(False)
        self._recorder = recorder
        self._recordings: OrderedDict[tuple[object, ...], Recording] = OrderedDict()
        self._lock = threading.Lock()
        self.is_recorded = True
        """False once a cycle could not be recorded."""

    def encode(
        self,
        render: RenderBuffers,
        photo: Float[Tensor, "B 3 S S"],
        *,
        depth_centre: Float[Tensor, "B"],
        diameter: Float[Tensor, "B"],
    ) -> tuple[EncodedPair, Float[Tensor, "B H h w"]]:
        """Outside of whole cycles, as the network does it."""
        return self._network.encode(render, photo, depth_centre=depth_centre, diameter=diameter)

    def update(
        self,
        pair: EncodedPair,
        hidden: Float[Tensor, "B H h w"],
        cells: Float[Tensor, "h w 2"],
        flow: Float[Tensor, "B h w 2"],
    ) -> FieldUpdate:
        """Outside of whole cycles, as the network does it."""
        return self._network.update(pair, hidden, cells, flow)

    def find_outline(
        self,
        render: RenderBuffers,
        photo: Float[Tensor, "B 3 S S"],
        *,
        depth_centre: Float[Tensor, "B"],
        diameter: Float[Tensor, "B"],
    ) -> OutlineField | None:
        """As the network does it: it is one pass through few layers."""
        return self._network.find_outline(render, photo, depth_centre=depth_centre, diameter=diameter)

    @torch.inference_mode()
    def refine_cycle(
        self, inputs: CycleInputs, *, iterations: int, solver: SolverConfig, weighting: str, solve: Solve | None = None
    ) -> CycleOutput:
        """See :func:`~rnnpose_ros.refinement.cycle.refine_cycle`; all of it counts as the stage "update"."""
        size = (inputs.camera.height, inputs.camera.width)
        given = tensors_of(inputs)

        def cycle(*tensors: Tensor) -> list[Tensor]:
            again = inputs_of(tensors, size)
            return flattened(
                refine_cycle(
                    self._network, again, iterations=iterations, solver=solver, weighting=weighting, solve=solve
                )
            )

        with stage("update"):
            parts = []
            for rows in parts_of(len(given[0])):
                part = [tensor[rows.start : rows.stop] for tensor in given]
                recording, recorded_for = self._recording(cycle, part, (iterations, solver, weighting, solve, size))
                parts.append(rows_of(recording.run(part), len(rows), recorded_for))
            joined = parts[0] if len(parts) == 1 else [parts[0][0], *map(torch.cat, list(zip(*parts, strict=True))[1:])]
            return rebuilt(joined, self.stride)

    def _recording(
        self, function: Callable[..., list[Tensor]], inputs: Sequence[Tensor], facts: tuple[object, ...]
    ) -> tuple[Recording, int]:
        """What was recorded for inputs of these shapes, at first use recorded; and for how many objects."""
        batch = bucket_of(len(inputs[0]))
        key = (batch, facts, tuple((tuple(tensor.shape[1:]), tensor.dtype) for tensor in inputs))
        with self._lock:
            if key not in self._recordings:
                while len(self._recordings) >= _MOST_GRAPHS:
                    self._recordings.popitem(last=False)
                self._recordings[key] = self._record(function, [filled(tensor, batch) for tensor in inputs])
            self._recordings.move_to_end(key)
            return self._recordings[key], batch

    def _record(self, function: Callable[..., list[Tensor]], example: Sequence[Tensor]) -> Recording:
        """A recording, or where the device makes none the function as it is, aloud."""
        started, batch = time.perf_counter(), len(example[0])
        try:
            recording = self._recorder.record(function, example)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.is_recorded = False
            logger.error("a cycle of %d objects is no CUDA graph and is computed eagerly, slower: %s", batch, error)
            return _Unrecorded(function, batch)
        logger.info("recorded the cycle of %d objects: %.2f s", batch, time.perf_counter() - started)
        return recording


class _Unrecorded:
    """A function that stands for its recording."""

    def __init__(self, function: Callable[..., list[Tensor]], batch: int) -> None:
        self._function, self._batch = function, batch

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """See :class:`Recording`."""
        return self._function(*(filled(tensor, self._batch) for tensor in inputs))


def bucket_of(batch: int) -> int:
    """The number of objects that a graph for this many is recorded for."""
    return next(size for size in BATCHES if size >= batch)


def parts_of(batch: int) -> Iterator[range]:
    """The rows of a batch in parts that fit the largest graph."""
    for start in range(0, batch, BATCHES[-1]):
        yield range(start, min(start + BATCHES[-1], batch))


def filled(tensor: Tensor, batch: int) -> Tensor:
    """As many rows as that, the last one repeated."""
    return torch.cat([tensor, tensor[-1:].expand(batch - len(tensor), *tensor.shape[1:])])


def rows_of(outputs: Sequence[Tensor], batch: int, recorded_for: int) -> list[Tensor]:
    """The first objects' part of the outputs of :func:`flattened`; each object may have several rows of them."""
    return [outputs[0], *(tensor[: len(tensor) // recorded_for * batch] for tensor in outputs[1:])]


def tensors_of(inputs: CycleInputs) -> list[Tensor]:
    """What a cycle reads, one row an object."""
    render = inputs.render
    pictures = [inputs.photo, render.color, render.depth, render.attributes[:, :3]]
    return [*pictures, inputs.camera.K, inputs.T_render, inputs.centre_object, inputs.diameter]


def inputs_of(tensors: Sequence[Tensor], size: tuple[int, int]) -> CycleInputs:
    """The inputs that :func:`tensors_of` took apart; which face a pixel shows is not among them."""
    photo, color, depth, normals, K, T_render, centre, diameter = tensors
    faces = torch.zeros_like(depth, dtype=torch.int32)
    render = RenderBuffers(depth=depth, color=color, attributes=normals, face_ids=faces)
    return CycleInputs(photo, render, CameraIntrinsics(K, *size), T_render, centre, diameter)


def flattened(output: CycleOutput) -> list[Tensor]:
    """All tensors of an output: the cells, which all objects share, then those with rows of each object."""
    assert output.descriptors is not None
    tensors = [output.cell_uv, output.depth, output.correlation, *output.descriptors]
    for it in output.iterations:
        assert it.confidence_logit is not None
        tensors += [it.induced_uv, it.target_uv, it.confidence_logit, it.similarity, it.weights]
        tensors += [getattr(it.step, name) for name in _STEP_FIELDS]
    return tensors


def rebuilt(tensors: Sequence[Tensor], stride: int) -> CycleOutput:
    """The output that :func:`flattened` took apart."""
    cell_uv, depth, correlation, of_render, of_photo, *rest = tensors
    each = 5 + len(_STEP_FIELDS)
    iterations = []
    for start in range(0, len(rest), each):
        induced, target, logit, similarity, weights, *of_step = rest[start : start + each]
        step = SolverStep(*of_step)
        iterations.append(IterationOutput(step.T_camera_object, induced, target, logit, similarity, weights, step))
    return CycleOutput(tuple(iterations), cell_uv, depth, correlation, (of_render, of_photo), stride)
