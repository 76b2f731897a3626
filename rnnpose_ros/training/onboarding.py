"""From a mesh to a certified refiner: pictures, measurement, fine-tuning, measurement, answer. Resumable throughout."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rnnpose_ros import __version__
from rnnpose_ros.checkpoints.checkpoint import Network, default_weights, load_network, save_checkpoint
from rnnpose_ros.data.held_out.painters import ranges_for
from rnnpose_ros.data.held_out.views import HeldOutViews
from rnnpose_ros.errors import InputError
from rnnpose_ros.evaluation.certificate import Certificate, error_curve, network_result, recall_row
from rnnpose_ros.evaluation.certificate_page import write_certificate
from rnnpose_ros.evaluation.object_trials import ObjectMeter, ObjectTrial, TrialPlan, precision
from rnnpose_ros.evaluation.timing import Timing, time_refinement
from rnnpose_ros.evaluation.worst_cases import worst_pictures
from rnnpose_ros.files import write_json, write_whole
from rnnpose_ros.networks.rnnpose_network import RnnposeNetwork
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.objects.object_writer import write_description, write_mesh
from rnnpose_ros.refinement.refiner import Refiner
from rnnpose_ros.refinement.status import Calibration
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.training.onboarding_order import OnboardingOrder, WorkFolder
from rnnpose_ros.training.recipes import make_recipe
from rnnpose_ros.training.trainer import Trainer
from rnnpose_ros.types import ObjectModel, PoseHypothesis

GENERIC, TUNED = "generic", "fine-tuned"
WEIGHTS_FILE = "weights.safetensors"
_FEWEST_VIEWS, _MOST_VIEWS = 8, 32
_MEASURING_SHARE = 0.45
"""Of the budget, for making held-out pictures and measuring both networks on them, where the fewest take no more."""
_LEAST_TRAINING_SHARE = 0.3
_CLOSING_S = 10.0
_GENTLE: Mapping[str, Any] = {"learning_rate": 1e-4}
"""What is known already is not to be lost."""
_OUTLINE: Mapping[str, Any] = {"learning_rate": 5e-4, "scenes.look.cutouts": 0}
"""Other objects' cut-outs would all be of this one, which hardly tells it from itself."""
_OUTLINE_SHARE = 0.5
"""Of the training, for where the object's outline lies; the rest is for correspondences."""

WhileTraining = Callable[[Trainer], AbstractContextManager[None]]
"""Around the fine-tuning: where a door catches signals and calls ``stop``."""


def share_budget(budget_s: float, making: Sequence[float], measuring: Sequence[float]) -> tuple[int, float]:
    """How many held-out pictures there will be, and how many minutes of training.

    Args:
        budget_s: For all.
        making: Seconds that each of the first pictures took; none where they were there already.
        measuring: Seconds that one network took on each of them.
    """
    count, spent = _FEWEST_VIEWS, 0.0
    if making:
        each = statistics.median(making) + 2.0 * statistics.median(measuring)  # both networks are measured
        count = max(_FEWEST_VIEWS, min(_MOST_VIEWS, int(_MEASURING_SHARE * budget_s / each)))
        spent = count * each
    return count, max(budget_s - spent - _CLOSING_S, _LEAST_TRAINING_SHARE * budget_s) / 60.0


class Onboarding:
    """One object's way to its certificate.

    Args:
        order: What to do.
        renderer: On the device that trains and refines.
        show: Takes lines of progress.
        while_training: See :data:`WhileTraining`.
    """

    def __init__(
        self, order: OnboardingOrder, renderer: Renderer, *, show: Callable[[str], None], while_training: WhileTraining
    ) -> None:
        self._order = order
        self._renderer = renderer
        self._show = show
        self._while_training = while_training
        self._work = WorkFolder(order)

    def run(self) -> Certificate | None:
        """Everything that is not done yet.

        Returns:
            The certificate, written; None where fine-tuning was stopped and waits to go on.

        Raises:
            ConfigError: Another unfinished onboarding waits in the folder.
            OutputError: Something cannot be written; what is done stays.
            CheckpointError: The weights to start from cannot be used.
        """
        order = self._order
        self._work.claim()
        write_mesh(order.folder, order.label, order.mesh)
        has_weights = (order.folder / WEIGHTS_FILE).is_file()  # of an onboarding before: they serve until the new ones
        model = self._describe(WEIGHTS_FILE if has_weights else None)
        views = HeldOutViews(model, self._work.path / "views", painter=order.painter, seed=order.seed)
        meter = ObjectMeter(model, views.get, plan=TrialPlan(seed=order.seed), folder=self._work.path / "trials")
        generic = self._refiner(order.initial)
        count, minutes = self._work.plan() or self._decide(generic, views, meter)
        before = self._trials(meter, generic, GENERIC, count)
        tuned_weights = self._tune(model, minutes)
        if tuned_weights is None:
            return None
        tuned = self._refiner(tuned_weights)
        after = self._trials(meter, tuned, TUNED, count)
        kept = TUNED if precision(after) > precision(before) else GENERIC
        trials, refiner = (after, tuned) if kept == TUNED else (before, generic)
        facts = self._facts(tuned_weights, minutes)
        certificate = self._certificate({GENERIC: before, TUNED: after}, kept, count, facts)
        certificate = replace(certificate, timing=_timing(refiner, views, trials, model))
        worst = worst_pictures(refiner, views.get, [t for t in trials if t.is_from_noise], model)
        self._finish(kept, tuned_weights, certificate, worst)
        return certificate

    def _describe(self, weights_file: str | None) -> ObjectModel:
        """Writes the description and reads the object back: what is certified is what will be loaded."""
        order = self._order
        path = write_description(
            order.folder,
            label=order.label,
            mesh_file=f"{order.label}.obj",
            discrete=order.discrete,
            continuous=order.continuous,
            weights_file=weights_file,
        )
        return load_object(path)

    def _refiner(self, weights: Path) -> Refiner:
        network, info = load_network(weights, device=self._renderer.device)
        return Refiner(network, self._renderer, calibration=Calibration.from_mapping(info.calibration))

    def _decide(self, generic: Refiner, views: HeldOutViews, meter: ObjectMeter) -> tuple[int, float]:
        """How many pictures, and how many minutes of training, from what the first pictures cost here."""
        making, measuring = [], []
        for number in range(_FEWEST_VIEWS):
            self._show(f"held-out picture {number + 1}, and the {GENERIC} weights on it")
            is_new = not views.has(number)
            begun = time.monotonic()
            views.get(number)
            made = time.monotonic()
            list(meter.measure(generic, GENERIC, [number]))
            if is_new:
                making.append(made - begun)
                measuring.append(time.monotonic() - made)
        count, minutes = share_budget(self._order.budget_s, making, measuring)
        self._work.decide(count, minutes)
        return count, minutes

    def _trials(self, meter: ObjectMeter, refiner: Refiner, name: str, count: int) -> list[ObjectTrial]:
        trials: list[ObjectTrial] = []
        for number, more in enumerate(meter.measure(refiner, name.replace("-", "_"), range(count)), start=1):
            self._show(f"{name} weights on picture {number} of {count}")
            trials += more
        if not any(t.is_from_noise for t in trials):
            raise InputError(f"{self._order.label}: none of {count} held-out pictures shows the object")
        return trials

    def _tune(self, model: ObjectModel, minutes: float) -> Path | None:
        """The averaged weights after fine-tuning, float16; None where it was stopped."""
        start, initial = load_network(self._order.initial)
        weights, share = self._order.initial, 1.0
        if isinstance(start, RnnposeNetwork) and start.outline is not None:
            share = 1.0 - _OUTLINE_SHARE
            found = self._train("outline", model, weights, _OUTLINE_SHARE * minutes, _OUTLINE)
            if found is None:
                return None
            weights = found
        found = self._train("finetune", model, weights, share * minutes, {**_GENTLE, **self._order.settings})
        if found is None:
            return None
        network, info = load_network(found)
        path = self._work.path / WEIGHTS_FILE
        info = replace(info, labels=(self._order.label,), calibration=initial.calibration)
        save_checkpoint(path, network, info, half=True)
        return path

    def _train(
        self, name: str, model: ObjectModel, initial: Path, minutes: float, settings: Mapping[str, Any]
    ) -> Path | None:
        """The weights after one of the recipes; None where it was stopped."""
        near, far = ranges_for(model.diameter).distance_m
        given = {
            "log_seconds": 5.0,
            "scenes.view.distance_m": (near, far),
            **settings,
            "initial": str(initial),
            "minutes": minutes,
        }
        folder = self._work.path / name
        trainer = Trainer(
            make_recipe(name, given, self._renderer, objects=[model]),
            self._renderer,
            folder,
            objects=[model],
            show=lambda line: self._show(f"{name} {line}"),
        )
        with self._while_training(trainer):
            return folder / WEIGHTS_FILE if trainer.run() else None

    def _certificate(
        self, trials: Mapping[str, list[ObjectTrial]], kept: str, count: int, facts: Mapping[str, str]
    ) -> Certificate:
        order = self._order
        noisy = [t for t in trials[GENERIC] if t.is_from_noise]
        return Certificate(
            label=order.label,
            bar=order.bar,
            kept=kept,
            start=recall_row("start", noisy, refined=False),
            start_curve=error_curve(noisy, refined=False),
            results=tuple(network_result(name, own) for name, own in trials.items()),
            views=count,
            painter=order.painter.name,
            timing=None,
            findings=order.findings,
            symmetries=order.symmetries,
            facts=facts,
        )

    def _facts(self, tuned_weights: Path, minutes: float) -> dict[str, str]:
        tuned, info = load_network(tuned_weights)
        initial, _ = load_network(self._order.initial)
        changed, total = _changed(initial, tuned)
        return {
            "fine-tuning": f"{info.provenance.get('step')} steps in {minutes:.1f} min, encoders frozen, "
            "on pictures rendered by another renderer than the held-out ones",
            "budget": f"{self._order.budget_s:.0f} s",
            "weights": f"{tuned_weights.stat().st_size / 1e6:.2f} MB in float16; "
            f"{2 * changed / 1e6:.2f} MB of it ({100 * changed / total:.0f} %) differ from the generic ones",
            "command": str(info.provenance.get("command")),
            "device": str(self._renderer.device),
            "version": __version__,
        }

    def _finish(self, kept: str, tuned_weights: Path, certificate: Certificate, worst: list[Any]) -> None:
        """Puts the kept weights in their place, writes the record and the certificate, and tidies up."""
        folder, order = self._order.folder, self._order
        own = tuned_weights if kept == TUNED else None
        if own is None and not _is_packaged(order.initial):
            own = order.initial
        if own is not None:
            write_whole(folder / WEIGHTS_FILE, own.read_bytes())
        self._describe(None if own is None else WEIGHTS_FILE)
        if own is None:
            with suppress(FileNotFoundError):
                (folder / WEIGHTS_FILE).unlink()
        _, info = load_network(tuned_weights)
        write_json(folder / "training.json", {"kept": kept, "bar": order.bar, **info.provenance})
        write_whole(folder / "training_log.jsonl", (self._work.path / "finetune" / "log.jsonl").read_bytes())
        write_certificate(folder, replace(certificate, order=order.finished_identity), worst)
        self._work.remove()


def _is_packaged(weights: Path) -> bool:
    return weights.resolve() == default_weights().resolve()


def _changed(initial: Network, tuned: Network) -> tuple[int, int]:
    """Numbers that differ at float16, and all."""
    then, now = initial.state_dict(), tuned.state_dict()
    different = sum(int((then[name].half() != value.half()).sum()) for name, value in now.items())
    return different, sum(value.numel() for value in now.values())


def _timing(refiner: Refiner, views: HeldOutViews, trials: list[ObjectTrial], model: ObjectModel) -> Timing | None:
    """Of one refinement, on the first picture whose starts all go to their end; None without such."""
    for number in sorted({t.view for t in trials}):
        start = next(t for t in trials if t.view == number)
        hypothesis = PoseHypothesis(model.label, torch.tensor(start.T_start, dtype=torch.float64).reshape(4, 4))
        with suppress(InputError):
            return time_refinement(refiner, views.get(number).frame, [hypothesis], {model.label: model})
    return None
