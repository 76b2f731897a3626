"""The processes that train one network together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.errors import ConfigError

Item = TypeVar("Item")


class Processes:
    """Those of torch.distributed's default group, or one alone where there is none."""

    def __init__(self) -> None:
        together = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank() if together else 0
        self.count = dist.get_world_size() if together else 1

    @property
    def is_first(self) -> bool:
        """The first one writes files and decides when."""
        return self.rank == 0

    def shared(self, count: int) -> range:
        """Which of so many streams are this process's.

        Raises:
            ConfigError: They cannot be shared evenly.
        """
        if count % self.count:
            raise ConfigError(
                f"streams: {count} cannot be shared evenly by {self.count} processes; "
                f"set streams={-(-count // self.count) * self.count} or start another number of processes"
            )
        return range(self.rank, count, self.count)

    def agree(self, values: Sequence[float]) -> list[float]:
        """The first process's values."""
        if self.count == 1:
            return list(values)
        message = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(message, 0)
        return [float(value) for value in message]

    def add_up(self, values: Float[Tensor, "N"]) -> Float[Tensor, "N"]:
        """The sum over the processes, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def from_first(self, item: Item) -> Item:
        """The first process's item, at every process."""
        if self.count == 1:
            return item
        items = [item]
        dist.broadcast_object_list(items, 0)
        return items[0]

    def collect(self, items: Sequence[Item]) -> list[Item]:
        """All streams' items in the streams' order at the first process; nothing at the others."""
        if self.count == 1:
            return list(items)
        gathered: list[list[Item]] | None = [[]] * self.count if self.is_first else None
        dist.gather_object(list(items), gathered, 0)
        return [item for turn in zip(*gathered, strict=True) for item in turn] if gathered else []
