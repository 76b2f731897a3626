"""How often the full programme is spent on what is not found, so that what is tracked keeps its pace.

The full programme, with its further starts, takes as long as ten pictures and more. A lost object is mostly near where
it was last seen, and the short programme finds it there as soon as it shows again. So the full one has its turn only
now and then; while another object is tracked, once in ``tracking.search_period`` at most, for one object at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

from rnnpose_ros.tracking.track import Track

SHORT_TRIES = 2
"""Pictures of the short programme before each one of the full programme."""
_NS_PER_S = 1e9


class SearchBudget:
    """Remembers when something was last looked for."""

    def __init__(self) -> None:
        self._searched_ns: int | None = None
        self._missed_ns: dict[str, int] = {}

    def reset(self) -> None:
        """Everything may be looked for at once."""
        self._searched_ns = None
        self._missed_ns.clear()

    def spend_on_lost(self, tracks: Sequence[Track], *, stamp_ns: int, period_s: float) -> set[tuple[str, int]]:
        """The lost tracks that are looked for by the full programme in this picture.

        Args:
            tracks: All of them.
            stamp_ns: The picture's.
            period_s: Between searches, while another object is tracked.
        """
        waiting = [track for track in tracks if track.lost_frames > SHORT_TRIES]
        if all(track.is_lost for track in tracks):
            return {track.key for track in waiting if track.lost_frames % (SHORT_TRIES + 1) == 0}
        if not waiting or not _is_over(self._searched_ns, stamp_ns, period_s):
            return set()
        self._searched_ns = stamp_ns
        return {min(waiting, key=lambda track: track.checked_ns).key}

    def allows_outside(self, label: str, *, stamp_ns: int, period_s: float) -> bool:
        """Whether a pose from outside is refined while another object is tracked."""
        return _is_over(self._missed_ns.get(label), stamp_ns, period_s)

    def note_outside(self, label: str, *, stamp_ns: int, found: bool) -> None:
        """What came of a pose from outside."""
        if found:
            self._missed_ns.pop(label, None)
        else:
            self._missed_ns[label] = stamp_ns


def _is_over(since_ns: int | None, now_ns: int, period_s: float) -> bool:
    return since_ns is None or now_ns - since_ns >= period_s * _NS_PER_S
