"""The node's own account of itself: what comes in, what goes out, how long it takes, and why nothing comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from rnnpose_ros.ros.frame_log import CountWindow, FrameSnapshot
from rnnpose_ros.ros.mailbox import MailboxCounts
from rnnpose_ros.ros.pairing import PairingCounts
from rnnpose_ros.ros.parameters import DiagnosticsConfig
from rnnpose_ros.ros.reasons import Reason, reason_lost
from rnnpose_ros.ros.topic_report import TopicReport
from rnnpose_ros.tracking.track import LostObject, TrackedObject


class Level(IntEnum):
    """Of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True, slots=True)
class Status:
    """One line of the account."""

    name: str
    level: Level
    message: str
    values: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What is known at one moment."""

    state: str
    """Of the lifecycle."""
    is_enabled: bool
    frames: FrameSnapshot
    mailbox: MailboxCounts
    pairing: PairingCounts
    poses: int
    """Messages of initial poses so far."""
    reasons: Mapping[Reason, int]
    topics: Sequence[TopicReport] = ()
    """Of images and camera infos."""
    memory: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    clock_is_silent: bool = False
    """Simulated time is asked for, and nobody says what time it is."""


_PICTURE_REASONS = (Reason.BAD_HEADER, Reason.BAD_INFO, Reason.BAD_ENCODING, Reason.OOM, Reason.OLD, Reason.LATE)
"""Why pairs are not answered."""
_POSE_REASONS = (
    Reason.LOW_SCORE,
    Reason.OUT_OF_VIEW,
    Reason.TOO_SMALL,
    Reason.SOLVER_FAILED,
    Reason.DIVERGED,
    Reason.UNCERTAIN,
    Reason.AMBIGUOUS,
    Reason.TF_UNAVAILABLE,
    Reason.POSE_STALE,
    Reason.POSE_INVALID,
    Reason.POSE_UNCERTAIN,
    Reason.NO_CLASS,
    Reason.NO_MESH,
)
"""Why answered pictures show nothing, where poses came."""
_REMEDIES = {
    Reason.NO_IMAGE: "no image comes",
    Reason.NO_INFO: "images come, but no camera_info: is its topic remapped?",
    Reason.UNSYNCED: "images and camera_infos come, but with other stamps: sync.slop, or sync.camera_info_mode latest",
    Reason.NO_INITIAL_POSE: "pictures are refined, but no initial pose says where to begin",
    Reason.DISABLED: "switched off: call ~/set_enabled with true",
    Reason.BUSY: "a picture is being refined for a long time",
    Reason.AMBIGUOUS: "turned otherwise, the object looks nearly as much like the picture: name its symmetries in "
    "object.yaml, or set tracking.rivals to 0 where initial poses are never turned far",
    Reason.LATE: "images are older than max_latency when their turn comes; of a recording or simulation: use_sim_time",
}


class Account:
    """Makes the statuses from readings once a second."""

    def __init__(self) -> None:
        self._window = CountWindow()

    def statuses(self, reading: Reading, config: DiagnosticsConfig) -> list[Status]:
        """Four lines: input, engine, output, objects."""
        self._window.add(_totals(reading))
        if reading.state != "active":
            message = f"the node is {reading.state}"
            return [Status(name, Level.OK, message, {}) for name in ("input", "engine", "output", "objects")]
        reason = self.why_nothing(reading)
        return [
            self._input(reading, reason),
            self._engine(reading),
            self._output(reading, reason, config),
            _objects(reading, reason),
        ]

    def why_nothing(self, reading: Reading) -> Reason:
        """Why nothing was published within the window; OK when something was."""
        grew = self._window.growth
        if grew("tracked"):
            return Reason.OK
        if not reading.is_enabled:
            return Reason.DISABLED
        if not grew("images"):
            return Reason.NO_IMAGE
        if not reading.pairing.infos:
            return Reason.NO_INFO
        if not grew("pairs"):
            return Reason.NO_INFO if not grew("infos") else Reason.UNSYNCED
        if not grew("frames"):
            return self._most(_PICTURE_REASONS) or Reason.BUSY
        return self._most(_POSE_REASONS) or Reason.NO_INITIAL_POSE

    def _most(self, reasons: Sequence[Reason]) -> Reason | None:
        most = max(reasons, key=lambda reason: self._window.growth(reason.value))
        return most if self._window.growth(most.value) else None

    def _input(self, reading: Reading, reason: Reason) -> Status:
        pairing, rate = reading.pairing, self._window.rate_hz
        is_at_fault = reason in (*_PICTURE_REASONS, Reason.NO_IMAGE, Reason.NO_INFO, Reason.UNSYNCED)
        trouble = [report.trouble for report in reading.topics if report.trouble]
        if is_at_fault and not trouble:
            trouble.append(_said(reason))
        if reading.clock_is_silent:
            trouble.append("use_sim_time is set, but /clock is silent")
        values = {
            "image_rate_hz": f"{rate('images'):.2f}",
            "camera_info_rate_hz": f"{rate('infos'):.2f}",
            "pose_rate_hz": f"{rate('poses'):.2f}",
            "images": str(pairing.images),
            "camera_infos": str(pairing.infos),
            "poses": str(reading.poses),
            "pairs": str(reading.mailbox.offered),
            "unpaired": str(pairing.unpaired_images),
            "images_missing": f"{pairing.missing_images} of {pairing.infos}",
            "nearest_offset_s": "unknown" if pairing.nearest_offset_s is None else f"{pairing.nearest_offset_s:.4f}",
            **_topic_values(reading.topics),
            **{known.value: str(number) for known, number in reading.reasons.items() if number},
        }
        prefix = f"{reason.value}: " if is_at_fault else ""
        message = prefix + "; ".join(trouble) if trouble else "OK"
        return Status("input", Level.WARN if trouble else Level.OK, message, values)

    def _engine(self, reading: Reading) -> Status:
        failures = self._window.growth(Reason.OOM.value)
        values = {
            "device": reading.device,
            **reading.memory,
            "oom": str(reading.reasons.get(Reason.OOM, 0)),
            **_percentiles("engine_ms", reading.frames.engine_ms),
        }
        for name in reading.frames.stages_ms[-1] if reading.frames.stages_ms else ():
            times = [stages[name] for stages in reading.frames.stages_ms if name in stages]
            values.update(_percentiles(f"{name}_ms", times))
        if failures:
            return Status("engine", Level.ERROR, f"OOM: no memory for {failures} of the last pictures", values)
        return Status("engine", Level.OK, "OK", values)

    def _output(self, reading: Reading, reason: Reason, config: DiagnosticsConfig) -> Status:
        frames = reading.frames
        rate_hz = self._window.rate_hz("frames")
        values = {
            "rate_hz": f"{rate_hz:.2f}",
            "tracked_rate_hz": f"{self._window.rate_hz('tracked'):.2f}",
            "frames": str(frames.frames),
            **_percentiles("latency_ms", frames.latency_ms),
            "dropped_busy": str(reading.mailbox.dropped),
            "dropped_unsynced": str(reading.pairing.unpaired_images),
        }
        for known in (*_PICTURE_REASONS, Reason.TF_UNAVAILABLE, Reason.DISABLED):
            values[f"dropped_{known.value.lower()}"] = str(reading.reasons.get(known, 0))
        if reason is not Reason.OK:
            return Status("output", Level.WARN, f"{reason.value}: {_said(reason)}", values)
        if self._window.growth(Reason.FRAME_TAKEN.value):
            message = f"{Reason.FRAME_TAKEN.value}: somebody else publishes frames of our names: tf.frame_prefix"
            return Status("output", Level.WARN, message, values)
        p95_s = 1e-3 * float(np.percentile(frames.latency_ms, 95)) if frames.latency_ms else 0.0
        for level, limit_s in ((Level.ERROR, config.latency_error), (Level.WARN, config.latency_warn)):
            if limit_s and p95_s > limit_s:
                return Status("output", level, f"poses are {p95_s:.2f} s old (p95), more than {limit_s:g} s", values)
        if config.expected_rate and rate_hz < _ENOUGH * config.expected_rate:
            message = f"{rate_hz:.1f} Hz, expected are {config.expected_rate:g} Hz"
            return Status("output", Level.WARN, message, values)
        return Status("output", Level.OK, "OK", values)


_ENOUGH = 0.8
"""Share of the expected rate that is good enough."""


def _totals(reading: Reading) -> dict[str, int]:
    return {
        "images": reading.pairing.images,
        "infos": reading.pairing.infos,
        "poses": reading.poses,
        "pairs": reading.mailbox.offered,
        "frames": reading.frames.frames,
        "tracked": reading.frames.frames_tracked,
        **{reason.value: number for reason, number in reading.reasons.items()},
    }


def _topic_values(reports: Sequence[TopicReport]) -> dict[str, str]:
    return {
        f"topic {report.topic}": f"{report.publishers} publishers, asking for {report.reliability}, {report.lost} lost"
        for report in reports
    }


def _objects(reading: Reading, reason: Reason) -> Status:
    outcome = reading.frames.outcome
    tracked, lost = (outcome.tracked, outcome.lost) if outcome else ((), ())
    values = {item.name: _tracked_text(item, reading.frames) for item in tracked}
    for item in lost:
        values[item.name or f"{item.label} (new)"] = _lost_text(item)
    if lost:
        worst = reason_lost(lost[0].result.status)
        return Status("objects", Level.WARN, f"{worst.value}: {len(lost)} lost, {len(tracked)} tracked", values)
    if tracked:
        return Status("objects", Level.OK, f"{len(tracked)} tracked", values)
    return Status("objects", Level.WARN, f"{reason.value}: nothing is tracked", values)


def _tracked_text(item: TrackedObject, frames: FrameSnapshot) -> str:
    age_s = 1e-9 * (frames.last_stamp_ns - (frames.seen_since_ns or {}).get(item.name, frames.last_stamp_ns))
    text = f"tracked for {age_s:.1f} s, score {item.result.score:.2f}, {item.result.status.value}"
    if item.instance_id != item.name:
        text += f", detector's id {item.instance_id!r}"
    covariance = item.result.covariance
    if covariance is None:
        return text
    sigma_mm = (1e3 * covariance.diagonal()[:3].clamp_min(0.0).sqrt()).tolist()
    return text + ", sigma_xyz_mm " + " ".join(f"{value:.2f}" for value in sigma_mm)


def _lost_text(item: LostObject) -> str:
    status = item.result.status
    return f"lost: {reason_lost(status).value}, score {item.result.score:.2f}, {status.value}"


def _said(reason: Reason) -> str:
    return _REMEDIES.get(reason, "see the log of the node")


def _percentiles(name: str, values: Sequence[float]) -> dict[str, str]:
    if not values:
        return {}
    p50, p95 = np.percentile(values, (50, 95))
    return {f"{name}_p50": f"{p50:.1f}", f"{name}_p95": f"{p95:.1f}"}
