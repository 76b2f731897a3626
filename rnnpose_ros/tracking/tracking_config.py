"""What the tracker can be told."""

from __future__ import annotations

from dataclasses import dataclass

from rnnpose_ros.config import param
from rnnpose_ros.errors import ConfigError

_SMALLEST_CROP_PX = 64
LEAST_AGREEMENT = 0.4
"""Correlation of render and photograph under which nothing is followed."""


@dataclass(frozen=True, slots=True)
class TrackingConfig:
    """When an object counts as found and as lost."""

    enabled: bool = param(True, doc="Start each picture from the last result.", dynamic=True)
    cycles: int = param(1, doc="Render cycles for a start from the last result.", bounds=(1, 20), dynamic=True)
    iterations: int = param(4, doc="Iterations per cycle for such a start.", bounds=(1, 20), dynamic=True)
    crop_size: int = param(
        0,
        doc="Side of the zoomed crop for such a start; 0: refine.crop_size; 160 is quicker",
        unit="px",
        bounds=(0, 640),
    )
    weights: str = param(
        "",
        doc="Weights for such a start, a path or package://; empty: the same as for a new object; "
        "package://rnnpose_ros/models/weights/tiny.safetensors is quicker",
    )
    threads: int = param(
        0,
        doc="Processor threads of a compiled network for such a start; 0: as many as for a new object; 1 leaves the "
        "others to what is followed meanwhile",
        bounds=(0, 256),
    )
    outline_rounds: int = param(
        -1,
        doc="Fits to the outline for such a start; -1: refine.outline.rounds; 0, the quickest, only looks at it",
        bounds=(-1, 10),
    )
    follow_agreement: float = param(
        0.7,
        doc="A tracked object whose render and photograph agree so much is followed by aligning the two alone, "
        "without the network; 1: never.",
        bounds=(0.3, 1.0),
        dynamic=True,
    )
    network_period: float = param(
        1.0,
        doc="So often the network looks at an object that is followed without it; 0: at every picture.",
        unit="s",
        bounds=(0.0, 3600.0),
        dynamic=True,
    )
    doubt_period: float = param(
        0.05,
        doc="The same where render and photograph agree less than follow_agreement, but as in the last picture, or "
        "where the network was not believed.",
        unit="s",
        bounds=(0.0, 3600.0),
        dynamic=True,
    )
    publish_first: bool = param(
        True,
        doc="Where the network is due to look at an object that can be followed without it, publish first: it looks "
        "afterwards, and what it says counts from the next picture on.",
        dynamic=True,
    )
    lost_score: float = param(0.35, doc="A tracked object under this score is lost.", bounds=(0.0, 1.0), dynamic=True)
    recover_score: float = param(
        0.55, doc="A new or lost object must reach this score to be published.", bounds=(0.0, 1.0), dynamic=True
    )
    max_translation: float = param(
        0.2,
        doc="A result that lies farther from its start is not believed; 0: any is.",
        unit="m",
        bounds=(0.0, 10.0),
        dynamic=True,
    )
    max_rotation: float = param(
        0.9,
        doc="A result that is turned farther from its start, symmetries apart, is not believed; 0: any is.",
        unit="rad",
        bounds=(0.0, 3.15),
        dynamic=True,
    )
    max_uncertainty: float = param(
        0.2,
        doc="A result whose covariance predicts a larger error of the object's outline, in diameters, is not "
        "believed, nor one of a tracked object from half as much again on; 0: any is.",
        bounds=(0.0, 10.0),
        dynamic=True,
    )
    rivals: int = param(
        8,
        doc="Poses turned otherwise, on all sides, with which the result of a new or searched object is compared; "
        "0: none.",
        bounds=(0, 64),
        dynamic=True,
    )
    rival_support: float = param(
        0.75,
        doc="The result is not believed where the picture supports one of them so much, as a share of its own support.",
        bounds=(0.1, 2.0),
        dynamic=True,
    )
    max_lost_time: float = param(
        2.0,
        doc="So long a lost object is looked for where it was last seen, and at least in one picture.",
        unit="s",
        bounds=(0.0, 60.0),
        dynamic=True,
    )
    search_period: float = param(
        1.0,
        doc="While another object is tracked, so often at most a lost one is looked for by the full programme, and a "
        "pose from outside refined whose class was not found; 0: no such limit.",
        unit="s",
        bounds=(0.0, 60.0),
        dynamic=True,
    )
    prediction: float = param(
        0.2,
        doc="Up to such a time after the last picture a tracked object's motion is carried on, by half, for the next "
        "start; 0: never.",
        unit="s",
        bounds=(0.0, 2.0),
        dynamic=True,
    )
    max_gap: float = param(
        1.5,
        doc="After a longer time without pictures all is lost.",
        unit="s",
        bounds=(0.0, 60.0),
        dynamic=True,
    )
    max_instances_per_class: int = param(4, doc="Most objects of one class at a time.", bounds=(1, 64))
    disagreements: int = param(
        3,
        doc="So many poses from outside in a row that contradict what is tracked are checked by a full refinement; "
        "the better score stays.",
        bounds=(1, 100),
        dynamic=True,
    )
    recheck_period: float = param(
        0.0,
        doc="So often a tracked object is refined in full, from its own pose and from one from outside; 0: never.",
        unit="s",
        bounds=(0.0, 3600.0),
        dynamic=True,
    )

    def __post_init__(self) -> None:
        if 0 < self.crop_size < _SMALLEST_CROP_PX:
            raise ConfigError(
                f"tracking.crop_size: expected 0 (as refine.crop_size) or at least {_SMALLEST_CROP_PX} px, "
                f"got {self.crop_size}"
            )
        if self.recover_score < self.lost_score:
            raise ConfigError(
                f"tracking.recover_score ({self.recover_score:g}) must not lie under tracking.lost_score "
                f"({self.lost_score:g}): a recovered object would be lost at once"
            )


@dataclass(frozen=True, slots=True)
class InitialPoseConfig:
    """Which poses from outside are believed, and when they mean an object that is tracked already."""

    max_age: float = param(
        1.0,
        doc="Largest time between a pose and its picture.",
        unit="s",
        bounds=(0.001, 9.0),
        dynamic=True,
    )
    min_score: float = param(0.0, doc="Poses of a lower score are not used.", bounds=(0.0, 1.0), dynamic=True)
    association_distance: float = param(
        0.1, doc="A pose farther away means another object.", unit="m", bounds=(0.001, 2.0), dynamic=True
    )
    association_angle: float = param(
        0.8,
        doc="A pose turned farther means another object.",
        unit="rad",
        bounds=(0.01, 3.15),
        dynamic=True,
    )
