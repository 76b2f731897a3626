"""What every test has: seeds, the data lent to us, a ROS domain of its own."""

from __future__ import annotations

import itertools
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from rnnpose_ros.data.path_traced.look import TracedLook
from rnnpose_ros.data.syn.dataset import BenchmarkOrder, write_benchmark
from rnnpose_ros.errors import BackendUnavailableError
from rnnpose_ros.rendering.backends import make_renderer
from rnnpose_ros.rendering.renderer import Renderer

ROOT = Path(__file__).resolve().parents[1]
SEED = 20221

# Domain ids up to 101 keep the ports of Linux's own range free; the low ones are what people use by hand.
_FIRST_DOMAIN, _DOMAINS = 40, 60
_domain_count = itertools.count()

COARSE_LOOK = TracedLook(paths=4000, samples=(2, 4), samples_elsewhere=1)
"""Path-traced pictures in a fraction of a second."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds --slow."""
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the slow tests unless they are asked for, and the GPU tests where there is no GPU."""
    slow = pytest.mark.skip(reason="slow; run with --slow")
    gpu = pytest.mark.skip(reason="torch finds no CUDA device")
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(slow)
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(gpu)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same random numbers for each test, whichever ran before."""
    random.seed(SEED)
    np.random.seed(SEED)
    torch.manual_seed(SEED)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled graphs and point pyramids of this run, not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RNNPOSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of measured data and golden figures; RNNPOSE_SHARED names it, else it lies beside the checkout."""
    folder = Path(os.environ.get("RNNPOSE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is not there (RNNPOSE_SHARED names another folder)")
    return folder


@pytest.fixture(scope="session")
def pytorch3d_renderer() -> Renderer:
    """Skips with the reason where PyTorch3D is absent."""
    try:
        return make_renderer("pytorch3d")
    except BackendUnavailableError as error:
        pytest.skip(f"PyTorch3D cannot be imported: {error.__cause__}")


@pytest.fixture
def without_pytorch3d(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it were not installed."""
    for name in ("pytorch3d", "pytorch3d.renderer", "pytorch3d.renderer.mesh", "pytorch3d.structures"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def ros_domain_id(monkeypatch: pytest.MonkeyPatch) -> int:
    """A ROS_DOMAIN_ID that no other test of this run has, set in the environment for nodes and child processes."""
    number = _FIRST_DOMAIN + (os.getpid() + next(_domain_count)) % _DOMAINS
    monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
    return number


@pytest.fixture(scope="session")
def syn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The benchmark SYN with two objects and one coarse frame of each; skips with the reason without Mitsuba."""
    order = BenchmarkOrder(out=tmp_path_factory.mktemp("syn"), edition="tiny", objects=2, look=COARSE_LOOK)
    try:
        write_benchmark(order)
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    return order.out
