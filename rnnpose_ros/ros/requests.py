"""What other threads ask of the worker, which alone may touch the tracks."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Generic, TypeVar

from rnnpose_ros.errors import InputError, RnnposeError

Answer = TypeVar("Answer")
Awaited = TypeVar("Awaited")


class BusyError(RnnposeError):
    """The worker does not answer in time."""


class WorkerRequests:
    """Errands for the worker, done between two pictures.

    Args:
        wake: Makes the worker look for errands.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def post(self, act: Callable[[], Answer]) -> Future[Answer]:
        """Have something done, without waiting for it."""
        future: Future[Answer] = Future()

        def do() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(act())
            except RnnposeError as error:
                future.set_exception(error)

        self._waiting.put(do)
        self._wake()
        return future

    def ask(self, act: Callable[[], Answer], *, timeout_s: float) -> Answer:
        """Have something done, and wait for its answer.

        Raises:
            BusyError: The worker does not come to it in time; then it is not done later either.
        """
        future = self.post(act)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            if future.cancel():
                raise BusyError(f"a picture has been refined for {timeout_s:g} s; try again") from None
            return future.result()

    def do_all(self) -> None:
        """Do what waits; for the worker."""
        while not self._waiting.empty():
            self._waiting.get_nowait()()


class NextAnswer(Generic[Awaited]):
    """Those who wait for the next picture's answer; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Future[Awaited]] = []

    @property
    def is_awaited(self) -> bool:
        """True while somebody waits."""
        return bool(self._waiting)

    def wait(self, *, timeout_s: float) -> Awaited:
        """The answer to the next picture.

        Raises:
            InputError: None came in time, or it was refused.
        """
        future: Future[Awaited] = Future()
        with self._lock:
            self._waiting.append(future)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            with self._lock:
                self._waiting = [other for other in self._waiting if other is not future]
            raise InputError(f"no pair of image and camera_info was answered within {timeout_s:g} s") from None
        except CancelledError:
            raise InputError("the node was stopped meanwhile") from None

    def give(self, answer: Awaited) -> None:
        """Answer all who wait."""
        for future in self._take():
            future.set_result(answer)

    def refuse(self, error: RnnposeError) -> None:
        """Tell all who wait why there is no answer."""
        for future in self._take():
            future.set_exception(error)

    def cancel(self) -> None:
        """Nobody waits any more."""
        for future in self._take():
            future.cancel()

    def _take(self) -> list[Future[Awaited]]:
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken
