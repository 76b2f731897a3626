"""Why something was not processed or not published, in words that do not change."""

from __future__ import annotations

from enum import Enum

from rnnpose_ros.errors import InputError
from rnnpose_ros.types import RefinementStatus


class Reason(Enum):
    """Codes of the diagnostics, the counters and the log."""

    OK = "OK"
    NO_IMAGE = "NO_IMAGE"
    NO_INFO = "NO_INFO"
    BAD_INFO = "BAD_INFO"
    BAD_ENCODING = "BAD_ENCODING"
    BAD_HEADER = "BAD_HEADER"
    UNSYNCED = "UNSYNCED"
    BUSY = "BUSY"
    OLD = "OLD"
    LATE = "LATE"
    NO_INITIAL_POSE = "NO_INITIAL_POSE"
    POSE_STALE = "POSE_STALE"
    POSE_INVALID = "POSE_INVALID"
    POSE_UNCERTAIN = "POSE_UNCERTAIN"
    POSE_REPLACED = "POSE_REPLACED"
    POSE_SURPLUS = "POSE_SURPLUS"
    NO_CLASS = "NO_CLASS"
    TF_UNAVAILABLE = "TF_UNAVAILABLE"
    BAD_TF = "BAD_TF"
    FRAME_TAKEN = "FRAME_TAKEN"
    OUT_OF_VIEW = "OUT_OF_VIEW"
    TOO_SMALL = "TOO_SMALL"
    LOW_SCORE = "LOW_SCORE"
    DIVERGED = "DIVERGED"
    UNCERTAIN = "UNCERTAIN"
    AMBIGUOUS = "AMBIGUOUS"
    SOLVER_FAILED = "SOLVER_FAILED"
    NO_MESH = "NO_MESH"
    ENGINE_ERROR = "ENGINE_ERROR"
    OOM = "OOM"
    DISABLED = "DISABLED"


class RefusedInputError(InputError):
    """Something from outside that cannot be used, with its code."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


_REASON_OF_STATUS = {
    RefinementStatus.CONVERGED: Reason.LOW_SCORE,
    RefinementStatus.NOT_CONVERGED: Reason.LOW_SCORE,
    RefinementStatus.OUT_OF_VIEW: Reason.OUT_OF_VIEW,
    RefinementStatus.TOO_FEW_CORRESPONDENCES: Reason.TOO_SMALL,
    RefinementStatus.SINGULAR: Reason.SOLVER_FAILED,
    RefinementStatus.LOW_SCORE: Reason.LOW_SCORE,
    RefinementStatus.DIVERGED: Reason.DIVERGED,
    RefinementStatus.UNCERTAIN: Reason.UNCERTAIN,
    RefinementStatus.AMBIGUOUS: Reason.AMBIGUOUS,
}


def reason_lost(status: RefinementStatus) -> Reason:
    """Why an object that was refined with this status is lost (a solved one: its score was too low)."""
    return _REASON_OF_STATUS[status]
