"""In which precision convolutions run."""

from __future__ import annotations

import torch

from rnnpose_ros.errors import ConfigError

PRECISIONS = ("auto", "float32", "bfloat16")
"""``auto`` is bfloat16 where the processor computes in it, float32 elsewhere."""


def use_bfloat16(precision: str, device: torch.device | str) -> bool:
    """Whether convolutions are to run in bfloat16.

    Raises:
        ConfigError: The name is none of :data:`PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: expected one of {list(PRECISIONS)}, got {precision!r}")
    return precision == "bfloat16" or (precision == "auto" and computes_bfloat16(torch.device(device)))


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16: without, it is emulated and slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and ask is not None and bool(ask())
