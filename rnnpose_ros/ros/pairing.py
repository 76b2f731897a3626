"""Which camera info belongs to which image, and whether time runs forwards.

Queues are bounded by *arrival*, not by stamp: when a recording starts again from the beginning, what is
left of its first run is pushed out by the second, and pairing goes on. Nothing is called under the lock:
the caller gets the pair back and hands it over itself.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Any

_NS_PER_S = 1_000_000_000
JUMP_NS = _NS_PER_S
"""A stamp that lies this far before the last one is a new beginning, not a late message."""
LATE_LIMIT = 3
"""So many late stamps in rising order are no longer late: the clock was set back by a little."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its camera info, as the messages came."""

    image: Any
    info: Any
    stamp_ns: int
    """Of the image."""


@dataclass(frozen=True, slots=True)
class PairingCounts:
    """What pairing has seen so far."""

    images: int
    infos: int
    unpaired_images: int
    """Pushed out of the queue without an info, or by another image of the same stamp."""
    nearest_offset_s: float | None
    """Of the last image that was pushed out: to the nearest info still known; None when there was none."""
    missing_images: int = 0
    """Infos pushed out of the queue whose image never came: most of them were lost on their way."""
    waiting_images: int = 0
    """Whose info may still come."""


class StampPairing:
    """Pairs images with infos by their stamps, in any order of arrival.

    Args:
        depth: How many unpaired messages of each kind are kept.
        slop_s: Largest difference of stamps, inclusive; 0 means equal to the nanosecond.
        use_latest_info: Take whatever info came last and ask no stamps.
    """

    def __init__(self, *, depth: int = 8, slop_s: float = 0.0, use_latest_info: bool = False) -> None:
        self._lock = threading.Lock()
        self._depth = depth
        self._slop_ns = round(slop_s * _NS_PER_S)
        self._use_latest_info = use_latest_info
        self._images: OrderedDict[int, Any] = OrderedDict()
        self._infos: OrderedDict[int, Any] = OrderedDict()
        self._image_count = self._info_count = self._unpaired = self._missing_images = 0
        self._nearest_offset_s: float | None = None

    def add_image(self, image: Any, *, stamp_ns: int) -> Pair | None:
        """The pair that this image completes, or None while its info is missing."""
        with self._lock:
            self._image_count += 1
            if self._use_latest_info and self._infos:
                return Pair(image, next(reversed(self._infos.values())), stamp_ns)
            match = _nearest(self._infos, stamp_ns, self._slop_ns)
            if match is not None:
                return Pair(image, self._infos.pop(match), stamp_ns)
            self._keep(self._images, stamp_ns, image)
            return None

    def add_info(self, info: Any, *, stamp_ns: int) -> Pair | None:
        """The pair that this info completes, or None while its image is missing."""
        with self._lock:
            self._info_count += 1
            if self._use_latest_info:
                self._keep(self._infos, stamp_ns, info)
                return self._serve_waiting(info)
            match = _nearest(self._images, stamp_ns, self._slop_ns)
            if match is not None:
                return Pair(self._images.pop(match), info, match)
            self._keep(self._infos, stamp_ns, info)
            return None

    @property
    def counts(self) -> PairingCounts:
        """What came so far, taken in one moment."""
        with self._lock:
            return PairingCounts(
                images=self._image_count,
                infos=self._info_count,
                unpaired_images=self._unpaired,
                nearest_offset_s=self._nearest_offset_s,
                missing_images=self._missing_images,
                waiting_images=len(self._images),
            )

    def _serve_waiting(self, info: Any) -> Pair | None:
        """Of the images that came before the first info, the newest is still worth an answer."""
        if not self._images:
            return None
        stamp_ns, image = self._images.popitem()
        self._unpaired += len(self._images)
        self._images.clear()
        return Pair(image, info, stamp_ns)

    def _keep(self, queue: OrderedDict[int, Any], stamp_ns: int, message: Any) -> None:
        if queue.pop(stamp_ns, None) is not None and queue is self._images:
            self._unpaired += 1
        queue[stamp_ns] = message
        while len(queue) > self._depth:
            pushed_out, _ = queue.popitem(last=False)
            if queue is self._images:
                self._unpaired += 1
                offsets = [abs(pushed_out - other) for other in self._infos]
                self._nearest_offset_s = min(offsets) / _NS_PER_S if offsets else None
            elif not self._use_latest_info:
                self._missing_images += 1


class Order(Enum):
    """How a stamp stands to the ones before it."""

    NEXT = "next"
    OLD = "old"
    """Late or repeated: to be left out."""
    RESTARTED = "restarted"
    """Time began again: everything remembered about the past is void."""


class StampOrder:
    """Tells a late message from a clock that was set back.

    A stamp far before the last one is a restart at once. A stamp a little before it is late, unless
    ``LATE_LIMIT`` of them follow each other in rising order: then time runs again, from there. The last one once more
    says nothing: had it to be answered again, a transform would come twice for one stamp.
    """

    def __init__(self) -> None:
        self._last_ns: int | None = None
        self._late_ns: list[int] = []

    def judge(self, stamp_ns: int) -> Order:
        """How this stamp stands to the ones judged before; the accepted ones become the past."""
        order = self._compare(stamp_ns)
        if order is not Order.OLD:
            self._last_ns = stamp_ns
            self._late_ns.clear()
        return order

    def _compare(self, stamp_ns: int) -> Order:
        if self._last_ns is None or stamp_ns > self._last_ns:
            return Order.NEXT
        if self._last_ns - stamp_ns >= JUMP_NS:
            return Order.RESTARTED
        if stamp_ns == self._last_ns:
            return Order.OLD
        if self._late_ns and stamp_ns <= self._late_ns[-1]:
            self._late_ns.clear()
        self._late_ns.append(stamp_ns)
        return Order.RESTARTED if len(self._late_ns) >= LATE_LIMIT else Order.OLD


def _nearest(queue: OrderedDict[int, Any], stamp_ns: int, slop_ns: int) -> int | None:
    if stamp_ns in queue:
        return stamp_ns
    if slop_ns == 0 or not queue:
        return None
    nearest = min(queue, key=lambda other: abs(other - stamp_ns))
    return nearest if abs(nearest - stamp_ns) <= slop_ns else None
