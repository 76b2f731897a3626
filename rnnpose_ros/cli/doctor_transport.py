"""Whether pictures get through: sent from one process to another, and counted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rnnpose_ros.cli.doctor_findings import Finding, error, ok, warn
from rnnpose_ros.cli.doctor_ros import FAST_DDS, ask_middleware
from rnnpose_ros.cli.progress_line import ProgressLine
from rnnpose_ros.paths import resolve_path
from rnnpose_ros.ros.fastdds_profile import PACKAGED_PROFILE, profile_in_use, profile_variable
from rnnpose_ros.ros.transport_measurement import (
    RELIABILITIES,
    ImageStream,
    StreamResult,
    TransportError,
    measure_transport,
)

SECTION = "images"
_ENOUGH = 0.95
_DISCOVERY = "try: ros2 daemon stop; unset ROS_DISCOVERY_SERVER ROS_AUTOMATIC_DISCOVERY_RANGE; look at the firewall"


@dataclass(frozen=True, slots=True)
class TransportQuestion:
    """What is sent."""

    sizes: tuple[tuple[int, int], ...] = ((640, 480), (1280, 720))
    """Widths and heights."""
    rate_hz: float = 30.0
    count: int = 45
    """Pictures of each size from each kind of publisher."""

    @property
    def streams(self) -> list[ImageStream]:
        """Each size from a reliable and from a best-effort publisher."""
        return [ImageStream(*size, reliability) for size in self.sizes for reliability in RELIABILITIES]


def check_transport(question: TransportQuestion) -> Iterator[Finding]:
    """As the shell is set; and, where that loses pictures on Fast DDS without a profile, with ours."""
    middleware = ask_middleware()
    if not middleware.is_found:
        yield ok(SECTION, "not measured: there is no ROS 2 here")
        return
    try:
        results = _measure(question)
        may_improve = middleware.text.startswith(FAST_DDS) and not profile_in_use(os.environ)
        improved = _measure(question, with_profile=True) if may_improve and _loses(results) else None
    except TransportError as problem:
        yield error(SECTION, str(problem), _DISCOVERY)
        return
    yield from judge(results, improved, os.environ)


def judge(
    results: Sequence[StreamResult], improved: Sequence[StreamResult] | None, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Findings of what was measured.

    Args:
        results: As the shell is set.
        improved: The same with our profile; None where it was not tried.
        environment: Of the shell.
    """
    profile = f"export {profile_variable(environment)}={resolve_path(PACKAGED_PROFILE)}, for the camera as well"
    others = (
        "a smaller picture or rate, image_transport: compressed, or another middleware "
        "(sudo apt install ros-$ROS_DISTRO-rmw-cyclonedds-cpp; export RMW_IMPLEMENTATION=rmw_cyclonedds_cpp)"
    )
    for number, result in enumerate(results):
        if result.share >= _ENOUGH:
            yield ok(SECTION, _line(result))
            continue
        better = improved[number] if improved else None
        helps = better is not None and better.share > result.share
        yield warn(SECTION, _line(result), profile if helps else others)
    for result in improved or ():
        text = f"{_line(result)}, with fastdds_large_images.xml"
        yield ok(SECTION, text) if result.share >= _ENOUGH else warn(SECTION, text, others)


def _measure(question: TransportQuestion, *, with_profile: bool = False) -> list[StreamResult]:
    profile = resolve_path(PACKAGED_PROFILE) if with_profile else None
    streams = question.streams
    seconds = len(streams) * (0.5 + question.count / question.rate_hz) + 5.0
    with ProgressLine("doctor") as line:
        line.show(f"sending pictures from one process to another, about {seconds:.0f} s")
        return measure_transport(streams, profile=profile, count=question.count, rate_hz=question.rate_hz)


def _loses(results: Sequence[StreamResult]) -> bool:
    return any(result.share < _ENOUGH for result in results)


def _line(result: StreamResult) -> str:
    stream = result.stream
    kind = stream.reliability.replace("_", "-")
    delay = "" if result.delay_ms is None else f", median delay {result.delay_ms:.1f} ms"
    return f"{stream.width}x{stream.height} rgb8, {kind}: {result.received} of {result.sent} received{delay}"
