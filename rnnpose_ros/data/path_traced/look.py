"""What is random in a path-traced photograph, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

from rnnpose_ros.config import param


@dataclass(frozen=True, slots=True)
class SensorLook:
    """The camera: lens, sensor, development."""

    exposure_stops: float = param(0.35, doc="Spread of the exposure.", unit="stops", bounds=(0.0, 3.0))
    white_balance: float = param(0.07, doc="Spread of the channels' gains, logarithmic.", bounds=(0.0, 1.0))
    noise: tuple[float, ...] = param((0.004, 0.035), doc="Range of the noise at white, 0..1.", bounds=(0.0, 1.0))
    gamma: tuple[float, ...] = param((1.9, 2.5), doc="Range of the display gamma.", bounds=(1.0, 4.0))
    contrast: float = param(0.5, doc="Strongest S-curve.", bounds=(0.0, 1.0))
    sharpen_share: float = param(0.3, doc="Share of sharpened pictures.", bounds=(0.0, 1.0))
    defocus_share: float = param(0.6, doc="Share of pictures with a visible depth of field.", bounds=(0.0, 1.0))
    defocus_px: tuple[float, ...] = param(
        (1.0, 10.0), doc="Range of the blur's radius at infinity.", unit="px", bounds=(0.0, 50.0)
    )
    focus_error: float = param(0.08, doc="Spread of the focus about the object, logarithmic.", bounds=(0.0, 1.0))
    motion_share: float = param(0.35, doc="Share of pictures blurred by motion.", bounds=(0.0, 1.0))
    motion_px: tuple[float, ...] = param((1.0, 6.0), doc="Range of its length.", unit="px", bounds=(0.0, 50.0))
    jpeg_share: float = param(0.6, doc="Share of compressed pictures.", bounds=(0.0, 1.0))
    jpeg_quality: tuple[int, ...] = param((55, 95), doc="Range of the quality.", bounds=(1.0, 100.0))


@dataclass(frozen=True, slots=True)
class TracedLook:
    """Everything that :func:`rnnpose_ros.data.path_traced.photograph.trace_photograph` draws from."""

    paths: int = param(300_000, doc="Paths about the object, in all.", bounds=(1.0, 1e9))
    samples: tuple[int, ...] = param(
        (6, 25), doc="Range of the paths per pixel about the object.", bounds=(1.0, 4096.0)
    )
    samples_elsewhere: int = param(4, doc="Paths per 2 x 2 pixels in the rest of the picture.", bounds=(1.0, 4096.0))
    clutter: tuple[int, ...] = param((2, 7), doc="Range of the number of other things about.", bounds=(0.0, 100.0))
    occluded_share: float = param(0.6, doc="Share of pictures with something before the object.", bounds=(0.0, 1.0))
    occlusion: tuple[float, ...] = param((0.05, 0.6), doc="Range of what it hides of the object.", bounds=(0.0, 0.95))
    lamps: tuple[int, ...] = param((0, 3), doc="Range of the number of lamps.", bounds=(0.0, 20.0))
    wall_share: float = param(0.5, doc="Share of pictures with a wall behind the table.", bounds=(0.0, 1.0))
    floating_share: float = param(0.1, doc="Share of pictures without table or wall.", bounds=(0.0, 1.0))
    sensor: SensorLook = SensorLook()
