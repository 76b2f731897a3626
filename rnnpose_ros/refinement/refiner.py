"""From an image and rough poses to refined poses: RNNPose's render cycles around :mod:`.cycle`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from rnnpose_ros.config import param
from rnnpose_ros.errors import InputError
from rnnpose_ros.geometry.camera import NEAR_M
from rnnpose_ros.geometry.rotations import nearest_rotation
from rnnpose_ros.networks.outline import OutlineEstimator
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.networks.rnnpose_network import CorrespondenceNetwork
from rnnpose_ros.refinement.alignment import AlignmentConfig
from rnnpose_ros.refinement.cycle import CycleInputs, CycleOutput, refine_cycle
from rnnpose_ros.refinement.cycle_report import CycleReport, report_cycle
from rnnpose_ros.refinement.features import FeatureCache, ObjectFeatures
from rnnpose_ros.refinement.following import corrected, follow, uncorrected
from rnnpose_ros.refinement.iteration_trace import describe_iterations
from rnnpose_ros.refinement.kernels import Kernels
from rnnpose_ros.refinement.opinions import OpinionConfig, ask_again
from rnnpose_ros.refinement.outline import OutlineConfig, fit_to_outline
from rnnpose_ros.refinement.restarts import Refine, RestartConfig, finish_best, try_again
from rnnpose_ros.refinement.solution import solution
from rnnpose_ros.refinement.solver import SolverConfig
from rnnpose_ros.refinement.status import Calibration, CycleState, judge
from rnnpose_ros.refinement.views import Views, check_crop_size, open_views
from rnnpose_ros.rendering.renderer import Renderer
from rnnpose_ros.stages import stage
from rnnpose_ros.types import (
    CameraIntrinsics,
    ImageFrame,
    ObjectModel,
    PoseHypothesis,
    RefinementResult,
    RefinementStatus,
)

_GLANCE_PX = 160
_GLANCE_ITERATIONS = 2


@dataclass(frozen=True, slots=True)
class RefinerConfig:
    """How long to refine, at which resolution, and what to believe."""

    cycles: int = param(3, doc="Render cycles for a new object", bounds=(1, 20), dynamic=True)
    iterations: int = param(
        4, doc="Recurrent iterations, one solver step each, per cycle", bounds=(1, 20), dynamic=True
    )
    crop_size: int = param(240, doc="Side of the zoomed crop", unit="px", bounds=(64, 640))
    crop_margin: float = param(
        1.2,
        doc="Half side of the crop over the object's largest extent from its centre",
        bounds=(1.0, 3.0),
        dynamic=True,
    )
    weighting: str = param(
        "both", doc="What weighs a correspondence", choices=("confidence", "similarity", "both"), dynamic=True
    )
    min_score: float = param(0.2, doc="Results that score lower are marked LOW_SCORE", bounds=(0.0, 1.0), dynamic=True)
    min_cells: int = param(
        8, doc="Cells of the render (8 x 8 crop pixels each) that must show the object", bounds=(4, 1000), dynamic=True
    )
    converged_px: float = param(
        1.0,
        doc="A last step that moves the object's outline less than this is convergence",
        unit="px",
        bounds=(0.0, 100.0),
        dynamic=True,
    )
    settled_px: float = param(
        16.0,
        doc="A cycle that moved the object less, and ended with render and photograph alike, is the last; 0: never",
        unit="crop px",
        bounds=(0.0, 100.0),
        dynamic=True,
    )
    settled_step: float = param(
        0.002,
        doc="An iteration whose step is shorter, in diameters and radians together, is the last of its cycle; 0: never",
        bounds=(0.0, 1.0),
        dynamic=True,
    )
    max_batch: int = param(8, doc="Objects refined at once", bounds=(1, 64))
    solver: SolverConfig = SolverConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    outline: OutlineConfig = OutlineConfig()
    restarts: RestartConfig = RestartConfig()
    opinions: OpinionConfig = OpinionConfig()


@dataclass(frozen=True, slots=True)
class _Effort:
    """Of one cycle, and what is made of the last."""

    iterations: int
    trace: bool
    polish: bool
    """Align the pictures, and fit to the outline at the end."""


class Refiner:
    """Refines rough object poses in colour images.

    Args:
        network: Trained network.
        renderer: Draws the reference views, on the network's device.
        config: See :class:`RefinerConfig`.
        calibration: Turns raw measures into score and covariance; from the checkpoint.
        kernels: What an engine computes in its own way; see ``acceleration.engines.kernels_of``.
    """

    def __init__(
        self,
        network: CorrespondenceNetwork | PaperNetwork,
        renderer: Renderer,
        config: RefinerConfig = RefinerConfig(),
        *,
        calibration: Calibration = Calibration(),  # noqa: B008 - frozen
        kernels: Kernels = Kernels(),  # noqa: B008 - frozen
    ) -> None:
        check_crop_size(network, config.crop_size)
        self.network = network
        self.renderer = renderer
        self.config = config
        self.calibration = calibration
        self._kernels = kernels
        self.features = FeatureCache(renderer, network=network if isinstance(network, PaperNetwork) else None)

    def with_config(self, config: RefinerConfig) -> Refiner:
        """The same refiner, sharing its network and cached objects, under another configuration."""
        other = Refiner(self.network, self.renderer, config, calibration=self.calibration, kernels=self._kernels)
        other.features = self.features
        return other

    @torch.inference_mode()
    def refine(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        cycles: int | None = None,
        iterations: int | None = None,
        trace: bool = False,
    ) -> list[RefinementResult]:
        """Refines every hypothesis independently, in batches.

        Args:
            frame: Rectified colour image with its camera.
            hypotheses: Rough poses, camera frame of ``frame``.
            objects: What is known of each label.
            cycles: Instead of the configured number; nothing is tried again then, nor second opinions asked for.
            iterations: Instead of the configured number.
            trace: Keep every iteration in the results, for pictures.

        Returns:
            One result per hypothesis, in order. A hypothesis that cannot be refined gives a result with
            its initial pose and a status that says why.

        Raises:
            InputError: The image does not fit its camera, or a label is unknown.
        """
        refine = self._refining(frame, hypotheses, objects, iterations=iterations, trace=trace)
        results = refine(hypotheses, cycles or self.config.cycles)
        if cycles is not None or isinstance(self.network, PaperNetwork):
            return results
        begin = partial(refine, effort=dataclasses.replace(refine.keywords["effort"], polish=False))
        return [
            self._reconsider(h, r, objects[h.label], begin=begin, refine=refine)
            for h, r in zip(hypotheses, results, strict=True)
        ]

    def _reconsider(
        self,
        hypothesis: PoseHypothesis,
        result: RefinementResult,
        model: ObjectModel,
        *,
        begin: Refine,
        refine: Refine,
    ) -> RefinementResult:
        """Tries again where the result is poor, and asks for second opinions where it is not beyond doubt."""
        restarts, opinions = self.config.restarts, self.config.opinions
        if restarts.count and result.measures is not None and result.score < restarts.below_score:
            cycles = self.config.cycles
            result = try_again(hypothesis, result, model, begin=begin, refine=refine, cycles=cycles, config=restarts)
        if opinions.count and result.is_usable and result.score < opinions.below_score:
            result = ask_again(
                result, model, refine=refine, config=opinions, calibration=self.calibration,
                min_score=self.config.min_score,
            )  # fmt: skip
        return result

    @torch.inference_mode()
    def refine_best(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        keep: int = 1,
        cycles: int | None = None,
        iterations: int | None = None,
        trace: bool = False,
    ) -> list[RefinementResult]:
        """Refines several starts of one object: all for one cycle in batches, those then best supported to the end.

        For an object of which too little is known for one start; see :func:`~.restarts.poses_around`. Nothing is
        tried again around them.

        Args:
            frame: Rectified colour image with its camera.
            hypotheses: Where the object may be, camera frame of ``frame``.
            objects: What is known of each label.
            keep: How many are refined to the end.
            cycles: Instead of the configured number.
            iterations: Instead of the configured number.
            trace: Keep every iteration in the results, for pictures.

        Returns:
            ``keep`` results, or fewer where there are fewer starts; the best supported first.

        Raises:
            InputError: As :meth:`refine`; no start or starts of several objects; nothing to keep.
        """
        labels = sorted({h.label for h in hypotheses})
        if len(labels) != 1 or keep < 1:
            raise InputError(f"expected starts of one object and at least 1 to keep, got objects {labels}, keep {keep}")
        refine = self._refining(frame, hypotheses, objects, iterations=iterations, trace=trace)
        return finish_best(hypotheses, begin=refine, refine=refine, cycles=cycles or self.config.cycles, keep=keep)

    @torch.inference_mode()
    def follow(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        least_agreement: float,
    ) -> list[RefinementResult | None]:
        """Where objects went since the last picture, by the pictures alone; see :mod:`.following`.

        Args:
            frame: Rectified colour image with its camera.
            hypotheses: The last results, with what the network measured of them; camera frame of ``frame``.
            objects: What is known of each label.
            least_agreement: Correlation of render and photograph under which there is no answer.

        Returns:
            One result per hypothesis, in order; None where the network is needed.

        Raises:
            InputError: As :meth:`refine`.
        """
        if isinstance(self.network, PaperNetwork):
            return [None] * len(hypotheses)
        results: list[RefinementResult | None] = []
        with self._kernels.torch_threads():
            image, camera = self._on_device(frame, hypotheses, objects)
            for h in hypotheses:
                features = self.features.get(objects[h.label])
                views = open_views(self.network, self.renderer, image, camera, [features], config=self.config)
                start = uncorrected(h)
                inputs, _ = views.prepare(start.T_camera_object[None].to(camera.K), [0])
                with stage("align"):
                    found = follow(
                        start, 0, inputs, features.model, least_agreement=least_agreement,
                        config=self.config.alignment, calibration=self.calibration, descend=self._kernels.descend,
                    )  # fmt: skip
                results.append(None if found is None else corrected(found, h))
        return results

    @torch.inference_mode()
    def glance(
        self, frame: ImageFrame, hypotheses: Sequence[PoseHypothesis], objects: Mapping[str, ObjectModel]
    ) -> list[RefinementResult]:
        """How much the picture supports each of many poses, at a fraction of a refinement's cost.

        One short cycle at a small crop, neither aligned nor fitted to the outline. Its results are to be compared with
        each other only; see :func:`~.restarts.support`.

        Args:
            frame: Rectified colour image with its camera.
            hypotheses: Where objects may be, camera frame of ``frame``.
            objects: What is known of each label.

        Returns:
            One result per hypothesis, in order, a step from it.

        Raises:
            InputError: As :meth:`refine`.
        """
        if isinstance(self.network, PaperNetwork):
            return self.refine(frame, hypotheses, objects, cycles=1)
        quick = self.with_config(dataclasses.replace(self.config, crop_size=min(_GLANCE_PX, self.config.crop_size)))
        return quick._refining(frame, hypotheses, objects, iterations=_GLANCE_ITERATIONS, polish=False)(hypotheses, 1)

    def _refining(
        self,
        frame: ImageFrame,
        hypotheses: Sequence[PoseHypothesis],
        objects: Mapping[str, ObjectModel],
        *,
        iterations: int | None,
        trace: bool = False,
        polish: bool = True,
    ) -> partial[list[RefinementResult]]:
        """What refines hypotheses on this picture, once it is checked and on the device."""
        image, camera = self._on_device(frame, hypotheses, objects)
        effort = _Effort(iterations or self.config.iterations, trace=trace, polish=polish)
        return partial(self._refine_all, image, camera, objects, effort=effort)

    def _on_device(
        self, frame: ImageFrame, hypotheses: Sequence[PoseHypothesis], objects: Mapping[str, ObjectModel]
    ) -> tuple[UInt8[Tensor, "H W 3"], CameraIntrinsics]:
        """The picture and its camera, checked."""
        _check_frame(frame)
        unknown = sorted({h.label for h in hypotheses if h.label not in objects})
        if unknown:
            raise InputError(f"no object is called {unknown[0]!r}; known: {sorted(objects)}")
        device = self.renderer.device
        return frame.rgb.to(device), dataclasses.replace(frame.camera, K=frame.camera.K.to(device, torch.float64))

    def _refine_all(
        self,
        image: UInt8[Tensor, "H W 3"],
        camera: CameraIntrinsics,
        objects: Mapping[str, ObjectModel],
        hypotheses: Sequence[PoseHypothesis],
        cycles: int,
        *,
        effort: _Effort,
    ) -> list[RefinementResult]:
        """Refines every hypothesis once, in batches."""
        results: list[RefinementResult] = []
        size = self.config.max_batch
        for start in range(0, len(hypotheses), size):
            part = hypotheses[start : start + size]
            features = [self.features.get(objects[h.label]) for h in part]
            with self._kernels.torch_threads():
                results += self._refine_batch(image, camera, part, features, cycles=cycles, effort=effort)
        return results

    def _refine_batch(
        self,
        image: UInt8[Tensor, "H W 3"],
        camera: CameraIntrinsics,
        hypotheses: Sequence[PoseHypothesis],
        features: Sequence[ObjectFeatures],
        *,
        cycles: int,
        effort: _Effort,
    ) -> list[RefinementResult]:
        states = [CycleState(h, f.model) for h, f in zip(hypotheses, features, strict=True)]
        views = open_views(self.network, self.renderer, image, camera, features, config=self.config)
        # The published network does as published.
        settled_step = 0.0 if isinstance(self.network, PaperNetwork) else self.config.settled_step
        for cycle in range(cycles):
            alive = [i for i, s in enumerate(states) if s.goes_on]
            if not alive:
                break
            T = torch.stack([states[i].T_camera_object for i in alive]).to(camera.K)
            inputs, affine = views.prepare(T, alive)
            output = refine_cycle(
                self.network, inputs, iterations=effort.iterations, solver=self.config.solver,
                weighting=self.config.weighting, solve=self._kernels.solve, settled_step=settled_step,
            )  # fmt: skip
            reports = report_cycle(output, affine, (camera.height, camera.width))
            for row, i in enumerate(alive):
                self._advance(states[i], row, inputs, output, reports[row], align=effort.polish)
                if effort.trace:
                    states[i].trace += describe_iterations(row, cycle, inputs, output, affine[row])
        for i, state in enumerate(states if effort.polish else ()):
            self._fit_to_outline(state, i, views, camera)
        return [judge(s, self.config, self.calibration) for s in states]

    def _fit_to_outline(self, state: CycleState, row: int, views: Views, camera: CameraIntrinsics) -> None:
        """Fits what the cycles found to the outline, where that can tell more."""
        if state.status is not None or state.solution is None or not isinstance(self.network, OutlineEstimator):
            return

        def look(T_camera_object: Float[Tensor, "4 4"]) -> CycleInputs:
            return views.prepare(T_camera_object[None].to(camera.K), [row])[0]

        with stage("outline"):
            found = fit_to_outline(state.solution, state.model, look, self.network, config=self.config.outline)
        state.end_with(found)

    def _advance(
        self,
        state: CycleState,
        row: int,
        inputs: CycleInputs,
        output: CycleOutput,
        report: CycleReport,
        *,
        align: bool,
    ) -> None:
        """Takes over one item's new pose, or its reason to stop."""
        if report.cells_in_image == 0:
            state.status = RefinementStatus.OUT_OF_VIEW
        elif report.cells_in_image < self.config.min_cells:
            state.status = RefinementStatus.TOO_FEW_CORRESPONDENCES
        elif not report.ok:
            state.status = RefinementStatus.SINGULAR
        else:
            T = report.T_camera_object.clone()
            T[:3, :3] = nearest_rotation(T[:3, :3])
            if not bool(torch.isfinite(T).all()) or float(T[2, 3]) < NEAR_M:
                state.status = RefinementStatus.SINGULAR
                return
            with stage("align"):
                found = solution(
                    T, row, inputs, output, report, T_start=state.T_camera_object, model=state.model,
                    alignment=self.config.alignment if align and not isinstance(self.network, PaperNetwork) else None,
                    descend=self._kernels.descend,
                )  # fmt: skip
            state.take(found, settled_px=self.config.settled_px)


def _check_frame(frame: ImageFrame) -> None:
    height, width = frame.rgb.shape[:2]
    camera = frame.camera
    if (camera.height, camera.width) != (height, width):
        raise InputError(f"the image is {width} x {height} but its camera is {camera.width} x {camera.height}")
    K = camera.K
    if not bool(torch.isfinite(K).all()) or float(K[0, 0, 0]) <= 0 or float(K[0, 1, 1]) <= 0:
        raise InputError("the camera is not calibrated: fx and fy must be finite and above 0")
