"""What is remembered about one object, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.types import PoseHypothesis, RefinementResult

TRACK_SOURCE = "track"
"""``PoseHypothesis.source`` of a start pose that is the tracker's own last result: a short programme will do."""
RECHECK_SOURCE = "recheck"
"""The same where the full programme is wanted."""


def object_name(label: str, number: int) -> str:
    """How the objects of one class are told apart."""
    return f"{label}_{number}"


@dataclass(frozen=True, slots=True, eq=False)
class TrackedObject:
    """One object that may be published."""

    label: str
    number: int
    """Counts the objects of one class from 0; free numbers are used again."""
    instance_id: str
    """The detector's own name, or ``<label>_<number>``."""
    result: RefinementResult

    @property
    def name(self) -> str:
        """``<label>_<number>``: no other object is called so at the same time."""
        return object_name(self.label, self.number)


@dataclass(frozen=True, slots=True, eq=False)
class LostObject:
    """A start pose that led nowhere, or to a score too low to be believed."""

    label: str
    result: RefinementResult
    name: str = ""
    """Of the object that was tracked, as :attr:`TrackedObject.name`; empty for a pose that never became one."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameOutcome:
    """What one picture showed."""

    tracked: tuple[TrackedObject, ...]
    lost: tuple[LostObject, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One object from picture to picture; ``(label, number)`` is its key."""

    label: str
    number: int
    upstream_id: str
    """What the detector calls it; empty when it has no name for it."""
    T_camera_object: Float[Tensor, "4 4"]
    """Where it was last seen."""
    score: float
    seen_ns: int = 0
    """Stamp of the picture that :attr:`T_camera_object` is of."""
    velocity: Float[Tensor, "6"] | None = None
    """See :func:`~rnnpose_ros.tracking.motion.velocity`; None until two pictures showed it."""
    lost_frames: int = 0
    """Pictures in a row for which it was not published."""
    lost_ns: int = 0
    """Stamp of the first of them."""
    disagreements: int = 0
    """Poses from outside in a row that say it is elsewhere."""
    confirmed_ns: int = 0
    """Stamp of the picture for which a pose from outside last agreed."""
    checked_ns: int = 0
    """Stamp of the last refinement by the full programme."""
    measures: tuple[float, ...] | None = None
    """Of its last result."""
    asked_ns: int = 0
    """Stamp of the last picture that the network looked at."""
    dissent: Float[Tensor, "6 6"] | None = None
    """How far second opinions lay apart when it was found, and since then the network from where it was followed to: a
    part of its covariance (x y z rotX rotY rotZ, camera axes); None where nobody was asked."""
    correction: Float[Tensor, "4 4"] | None = None
    """See :attr:`~rnnpose_ros.types.PoseHypothesis.correction`."""
    pull: Float[Tensor, "4 4"] | None = None
    """The same by the network's last look alone; None before the first."""
    network_misses: int = 0
    """Times in a row that what the network found was not believed."""

    @property
    def key(self) -> tuple[str, int]:
        """What it is found by."""
        return self.label, self.number

    @property
    def is_lost(self) -> bool:
        """True while it is looked for where it was last seen."""
        return self.lost_frames > 0

    @property
    def instance_id(self) -> str:
        """The name under which it is published."""
        return self.upstream_id or object_name(self.label, self.number)

    def start(
        self, T_camera_object: Float[Tensor, "4 4"], *, source: str, may_be_followed: bool = False
    ) -> PoseHypothesis:
        """Where it should be now, as a start pose."""
        return PoseHypothesis(
            label=self.label,
            T_camera_object=T_camera_object,
            score=self.score,
            source=source,
            instance_id=self.upstream_id,
            measures=self.measures if may_be_followed else None,
            correction=self.correction if may_be_followed else None,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """A start pose and the key of the track it may renew; None for what may become a new track."""

    hypothesis: PoseHypothesis
    key: tuple[str, int] | None
