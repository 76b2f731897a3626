"""Settings of the published recipe, as published, for a short run, and for fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rnnpose_ros.config import param
from rnnpose_ros.data.synthetic.randomization import LookRanges, SceneConfig, ViewRanges
from rnnpose_ros.networks.paper_network import PaperConfig
from rnnpose_ros.training.circle_loss import CircleConfig
from rnnpose_ros.training.experiment import TrainingConfig
from rnnpose_ros.training.paper_losses import PaperLossConfig

SCHEDULES = ("one-cycle", "half-cosine")
_N1_ITSELF = ViewRanges(noise_factor=(1.0, 1.0), small_noise_share=0.0, noise_diameter_m=0.0)


@dataclass(frozen=True, slots=True)
class PaperTrainingConfig(TrainingConfig):
    """Settings of the published recipe, with its values: 320 px photographs, 240 px zooms, 3 x 4 iterations."""

    initial: str = param("", doc="Weights of the paper family to start from; without: random ones")
    frozen: tuple[str, ...] = param((), doc="Modules of the network that keep their weights")
    minutes: float = param(600.0, doc="Time budget; the schedule ends with it", unit="min", bounds=(0.01, 1e5))
    streams: int = param(1, doc="Streams of samples, each a batch a step; processes share them", bounds=(1, 4096))
    stages: str = param(
        "1.0:320:1.6:1:4",
        doc="Parts of the run: share of the budget : photograph px (zooms have three quarters) : margin : batch : "
        "iterations per cycle",
    )
    cycles: int = param(3, doc="Render cycles of a sample", bounds=(1, 20))
    starts: int = param(
        1, doc="Start poses refined from each photograph, which is described once; published: one", bounds=(1, 256)
    )
    crop_margin: float = param(1.2, doc="Of the zooms, as in refining", bounds=(1.0, 3.0))
    learning_rate: float = param(1e-4, doc="Peak of the schedule", bounds=(1e-7, 1.0))
    sigma_rate: float = param(
        1.0,
        doc="Factor on sigma's learning rate; Adam moves nothing by more than the rate in a step, and it starts at 1",
        bounds=(0.0, 1000.0),
    )
    schedule: str = param(
        "one-cycle", doc="As in the public code, or as in the supplementary without warm-up", choices=SCHEDULES
    )
    weight_decay: float = param(1e-4, doc="On all weights", bounds=(0.0, 1.0))
    clip_norm: float = param(10.0, doc="Gradients are scaled down to this norm", bounds=(1e-3, 1e3))
    mixed_precision: bool = param(False, doc="bfloat16 convolutions")
    network: PaperConfig = PaperConfig()
    losses: PaperLossConfig = PaperLossConfig()
    circle: CircleConfig = CircleConfig()
    scenes: SceneConfig = SceneConfig(view=_N1_ITSELF)


@dataclass(frozen=True, slots=True)
class PaperShortConfig(PaperTrainingConfig):
    """A few hundred steps on a processor core, to see within minutes that an object can be learned; not published.

    Small crops of near views, in which 5 cm of depth can be seen; none of the object's own cut-outs around it; the
    matching loss, and more of the pose's; a rate that gets somewhere in so few steps, for sigma more of it.
    """

    steps: int = param(300, doc="Budget in optimiser steps; where it is not 0, minutes do not count", bounds=(0, 10**9))
    stages: str = param(
        "1.0:88:1.6:2:2",
        doc="Parts of the run: share of the budget : photograph px (zooms have three quarters) : margin : batch : "
        "iterations per cycle",
    )
    cycles: int = param(1, doc="Render cycles of a sample", bounds=(1, 20))
    starts: int = param(4, doc="Start poses refined from each photograph, which is described once", bounds=(1, 256))
    learning_rate: float = param(1e-3, doc="Peak of the schedule", bounds=(1e-7, 1.0))
    sigma_rate: float = param(10.0, doc="Factor on sigma's learning rate", bounds=(0.0, 1000.0))
    mixed_precision: bool = param(True, doc="bfloat16 convolutions")
    average_decay: float = param(0.95, doc="Of the weights' exponential average", bounds=(0.0, 0.99999))
    losses: PaperLossConfig = PaperLossConfig(matching=1.0, pose=10.0)
    scenes: SceneConfig = SceneConfig(
        view=replace(_N1_ITSELF, object_px=(250.0, 450.0), distance_m=(0.2, 0.6)),
        look=LookRanges(occluder_share=0.0, cutouts=0, grey_share=0.0, pale_share=0.0),
    )


@dataclass(frozen=True, slots=True)
class PaperFinetuneConfig(PaperTrainingConfig):
    """The supplementary's fine-tuning to (other) objects: recurrent unit, descriptors and sigma learn on."""

    frozen: tuple[str, ...] = param(("features", "context3d"), doc="Modules of the network that keep their weights")
    minutes: float = param(120.0, doc="Time budget; the schedule ends with it", unit="min", bounds=(0.01, 1e5))
