"""What an engine computes in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from rnnpose_ros.refinement.alignment import Descend, descend
from rnnpose_ros.refinement.field import Solve


@dataclass(frozen=True, slots=True)
class Kernels:
    """What an engine may compute in its own way, with the same results."""

    solve: Solve | None = None
    """A pose step; None for the network's own."""
    descend: Descend = descend
    """The steps of the direct alignment."""
    threads: int = 0
    """Of torch meanwhile; 0 for as many as it has. What a compiled engine leaves to torch is too small to share:
    where another program holds the second processor, waiting for it takes many times longer."""

    @contextmanager
    def torch_threads(self) -> Iterator[None]:
        """Torch has so many threads inside."""
        before = torch.get_num_threads()
        if self.threads in (0, before):
            yield
            return
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
