"""Networks compiled by OpenVINO: a torch function becomes a graph for one set of shapes, kept on disk.

The only module that imports OpenVINO. Its own start-up code reports to its makers that it was started, unless told
not to; :func:`load_openvino` imports it without that.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rnnpose_ros.acceleration.graph_cache import GraphCache
from rnnpose_ros.errors import BackendUnavailableError

if TYPE_CHECKING:
    import openvino

logger = logging.getLogger(__name__)

_TELEMETRY = "openvino_telemetry"


def is_installed() -> bool:
    """Whether OpenVINO can be imported; importing it takes half a second and is not done here."""
    return importlib.util.find_spec("openvino") is not None


def load_openvino() -> Any:
    """The imported package, which sends no usage statistics from this process.

    Raises:
        BackendUnavailableError: It is not installed.
    """
    # Its `openvino.tools` reports every import where this package can be imported, and goes on without where not.
    blocked = sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]
    try:
        import openvino
        import openvino.frontend.pytorch.ts_decoder
    except ImportError as error:
        raise BackendUnavailableError(
            f"engine 'openvino' is not here ({error}): pip install openvino, or ask for the engine 'eager'"
        ) from error
    finally:
        if blocked is None:
            sys.modules.pop(_TELEMETRY, None)
    return openvino


class CompiledGraph:
    """A function of tensors, compiled for tensors of these shapes. Its calls follow one another (a lock).

    Args:
        compiled: By :class:`GraphCompiler`.
    """

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        self._tensor = load_openvino().Tensor
        self._lock = threading.Lock()
        self.input_shapes = tuple(tuple(port.shape) for port in compiled.inputs)
        self.output_shapes = tuple(tuple(port.shape) for port in compiled.outputs)

    def run(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        """Reads the inputs and writes the outputs where they lie: contiguous float32 in the processor's memory."""
        with self._lock:
            for i, tensor in enumerate(inputs):
                self._request.set_input_tensor(i, self._shared(tensor, self.input_shapes[i]))
            for i, tensor in enumerate(outputs):
                self._request.set_output_tensor(i, self._shared(tensor, self.output_shapes[i]))
            # Not infer(): that copies the outputs once more, into a dictionary.
            self._request.start_async()
            self._request.wait()

    def _shared(self, tensor: Tensor, shape: tuple[int, ...]) -> openvino.Tensor:
        if tensor.shape != shape or tensor.dtype != torch.float32 or not tensor.is_contiguous():
            raise ValueError(f"expected a contiguous float32 tensor {shape}, got {tensor.dtype} {tuple(tensor.shape)}")
        return self._tensor(tensor.detach().numpy(), shared_memory=True)


class GraphCompiler:
    """Compiles functions, or finds them compiled on disk.

    Args:
        cache: Where compiled graphs are kept from start to start; None to compile at each.
        threads: Processor threads that a graph may use.

    Raises:
        BackendUnavailableError: OpenVINO is not installed.
    """

    def __init__(self, cache: GraphCache | None, *, threads: int) -> None:
        self._openvino = load_openvino()
        self._core = self._openvino.Core()
        self._cache = cache
        self._threads = threads

    def compile(
        self, name: str, function: Callable[..., Any], example: Sequence[Tensor], *, bfloat16: bool = False
    ) -> CompiledGraph:
        """The function as a graph for tensors of the examples' shapes.

        Args:
            name: Of the graph, for the cache and the log.
            function: Of tensors, giving one or a tuple; what it does may depend on their shapes, not on their values.
            example: Float32 tensors.
            bfloat16: Convolutions and products in bfloat16 instead of float32.
        """
        started = time.perf_counter()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": self._threads,
            "PERFORMANCE_HINT": "LATENCY",
            # Other nodes of a robot want the processor too: the scheduler places the threads.
            "ENABLE_CPU_PINNING": False,
        }
        shapes = [tuple(t.shape) for t in example]
        facts = (name, shapes, sorted(settings.items()), self._openvino.__version__)
        kept = self._cache.read(facts) if self._cache else None
        compiled = self._restored(kept, settings) if kept else None
        if compiled is None:
            compiled = self._core.compile_model(self._converted(function, example), "CPU", settings)
            if self._cache:
                self._cache.write(facts, bytes(compiled.export_model().getbuffer()))
        took = time.perf_counter() - started
        logger.info("%s graph %s: %.2f s", "loaded" if kept else "compiled", name, took)
        return CompiledGraph(compiled)

    def _restored(self, kept: bytes, settings: dict[str, Any]) -> openvino.CompiledModel | None:
        try:
            return self._core.import_model(kept, "CPU", settings)
        except RuntimeError as error:
            logger.warning("a compiled graph on disk cannot be used and is made again: %s", error)
            return None

    def _converted(self, function: Callable[..., Any], example: Sequence[Tensor]) -> openvino.Model:
        plain = torch.autocast("cpu", enabled=False)
        with torch.inference_mode(False), torch.no_grad(), plain, warnings.catch_warnings():
            # Shapes become constants of the graph, as they should; torch warns of each.
            warnings.simplefilter("ignore")
            tensors = tuple(t.detach().clone() for t in example)
            # Methods of modules are not traced as they are.
            traced = torch.jit.trace(lambda *given: function(*given), tensors, check_trace=False)
            frontend = self._openvino.frontend.FrontEndManager().load_by_framework("pytorch")
            decoder = self._openvino.frontend.pytorch.ts_decoder.TorchScriptPythonDecoder(traced)
            model = frontend.convert(frontend.load(decoder))
        for port, tensor in zip(model.inputs, tensors, strict=True):
            node = port.get_node()
            node.set_partial_shape(self._openvino.PartialShape(list(tensor.shape)))
            node.set_element_type(self._openvino.Type.f32)
        model.validate_nodes_and_infer_types()
        return model
