"""What computes the networks: torch as it is (eager), or graphs compiled for this processor or recorded on this GPU."""

from __future__ import annotations

import logging

import torch

from rnnpose_ros.acceleration import openvino_engine
from rnnpose_ros.acceleration.compiled_network import CompiledRnnposeNetwork
from rnnpose_ros.acceleration.compiled_paper import compile_paper, is_compiled
from rnnpose_ros.acceleration.cuda_graph import CudaGraphRecorder
from rnnpose_ros.acceleration.cuda_graph_engine import GraphedRnnposeNetwork
from rnnpose_ros.acceleration.graph_cache import GraphCache
from rnnpose_ros.errors import BackendUnavailableError, ConfigError
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.networks.precision import use_bfloat16
from rnnpose_ros.networks.rnnpose_network import CorrespondenceNetwork, RnnposeNetwork
from rnnpose_ros.paths import cache_folder
from rnnpose_ros.refinement.kernels import Kernels

logger = logging.getLogger(__name__)

ENGINES = ("auto", "eager", "openvino", "cuda_graph")
"""``auto`` is OpenVINO on a CPU where it is installed, eager elsewhere. CUDA graphs have yet to be measured on a GPU:
they are taken by name only."""


def choose_engine(name: str, device: torch.device | str) -> str:
    """ "eager", "openvino" or "cuda_graph".

    Raises:
        ConfigError: The name is none of :data:`ENGINES`.
        BackendUnavailableError: An engine asked for by name is not here, or not for this device.
    """
    if name not in ENGINES:
        raise ConfigError(f"engine: expected one of {list(ENGINES)}, got {name!r}")
    on_cpu = torch.device(device).type == "cpu"
    if name == "auto":
        return "openvino" if on_cpu and openvino_engine.is_installed() else "eager"
    if name == "openvino":
        if not on_cpu:
            raise BackendUnavailableError(
                f"engine 'openvino' computes on the CPU, not on {device}: take the device cpu, or the engine 'eager'"
            )
        openvino_engine.load_openvino()
    if name == "cuda_graph":
        CudaGraphRecorder(device)
    return name


def engine_of(network: CorrespondenceNetwork | PaperNetwork) -> str:
    """The engine that a network is computed by."""
    if isinstance(network, GraphedRnnposeNetwork):
        return "cuda_graph" if network.is_recorded else "eager"
    compiled = (
        is_compiled(network) if isinstance(network, PaperNetwork) else isinstance(network, CompiledRnnposeNetwork)
    )
    return "openvino" if compiled else "eager"


def kernels_of(network: CorrespondenceNetwork | PaperNetwork) -> Kernels:
    """What the engine of an accelerated network computes besides it."""
    if not isinstance(network, CompiledRnnposeNetwork):
        return Kernels()
    from rnnpose_ros.acceleration.alignment_kernel import fused_descend
    from rnnpose_ros.acceleration.solver_kernel import fused_robust_step

    return Kernels(solve=fused_robust_step, descend=fused_descend, threads=1)


def accelerate(
    network: RnnposeNetwork | PaperNetwork, engine: str, *, threads: int = 0, precision: str = "auto"
) -> CorrespondenceNetwork | PaperNetwork:
    """The network as an engine computes it.

    Args:
        network: Loaded, in evaluation mode, on the engine's device.
        engine: One of :data:`ENGINES`; "auto" leaves the published network to torch unless bfloat16 is asked for: in
            float32 its graphs are no faster.
        threads: Processor threads for compiled graphs; 0 for as many as torch has.
        precision: Of a compiled ``paper`` network's convolutions: bfloat16 by name, else float32, which it always has
            eagerly. The others know their own.

    Raises:
        ConfigError, BackendUnavailableError: As :func:`choose_engine`.
    """
    by_itself = engine == "auto" and isinstance(network, PaperNetwork) and precision != "bfloat16"
    engine = "eager" if by_itself else choose_engine(engine, next(network.parameters()).device)
    if engine == "cuda_graph" and isinstance(network, PaperNetwork):
        logger.info("the published network is computed eagerly: the engine 'cuda_graph' computes small and base")
        return network
    if engine == "eager":
        return network
    if engine == "cuda_graph":
        assert isinstance(network, RnnposeNetwork)
        return GraphedRnnposeNetwork(network, CudaGraphRecorder(network.log_sigma.device))
    graphs = openvino_engine.GraphCompiler(
        GraphCache(cache_folder("graphs"), network), threads=threads or torch.get_num_threads()
    )
    if isinstance(network, PaperNetwork):
        # Published results are promised number for number: bfloat16 only where it is asked for.
        return compile_paper(network, graphs, bfloat16=precision != "auto" and use_bfloat16(precision, "cpu"))
    return CompiledRnnposeNetwork(network, graphs)
