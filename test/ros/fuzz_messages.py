"""Throws made-up messages at the refiner, and counts what must not be: crashes, hangs, impossible poses, silence.

``make soak`` runs it. It prints one line of figures; what goes wrong ends it with the shortest sequence of messages
that hypothesis finds for it. The engine is the fake one; everything between the messages and the engine, and between
its answers and the messages that go out, is real.
"""

from __future__ import annotations

import argparse
import dataclasses
import faulthandler
import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from hypothesis import HealthCheck, given, seed, settings

from rnnpose_ros.config import build
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.ros.frame_lookups import WaitingLookups, take_in
from rnnpose_ros.ros.initial_poses import pose_count
from rnnpose_ros.ros.loading import load_engines
from rnnpose_ros.ros.messages import stamp_ns
from rnnpose_ros.ros.outputs import pose_messages
from rnnpose_ros.ros.pairing import Pair
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.pipeline import RefinementPipeline
from rnnpose_ros.ros.reasons import Reason, RefusedInputError
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.tracking.transform_tree import TransformTree
from rnnpose_ros.types import ImageFrame, Mesh, ObjectModel, PoseHypothesis

from .made_up_messages import SEQUENCES, SETTINGS, Sent

HANG_S = 1.0
"""Of the processor's time, for one message: a busy machine makes anything late."""
_PATIENCE_S = 0.01
_STUCK_S = 60.0
"""After so long without an end the process says where it hangs, and ends."""
_PICTURE_REASONS = (Reason.BAD_HEADER, Reason.BAD_INFO, Reason.BAD_ENCODING, Reason.OLD)
_POSE_REASONS = (
    Reason.POSE_STALE,
    Reason.POSE_INVALID,
    Reason.POSE_UNCERTAIN,
    Reason.POSE_REPLACED,
    Reason.POSE_SURPLUS,
    Reason.NO_CLASS,
    Reason.NO_MESH,
    Reason.TF_UNAVAILABLE,
)


@dataclasses.dataclass
class Tally:
    """What came and what became of it."""

    messages: int = 0
    pictures: int = 0
    answered: int = 0
    poses: int = 0
    used: int = 0
    transforms_out: int = 0
    refused: dict[str, int] = dataclasses.field(default_factory=dict)
    """By reason."""
    hangs: int = 0
    longest_s: float = 0.0
    """Of the processor's time."""


def _objects() -> dict[str, ObjectModel]:
    """Two tetrahedra, one that looks alike from two sides."""
    corners = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    mesh = Mesh(corners, faces, torch.nn.functional.normalize(torch.ones(4, 3, 3), dim=-1))
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=torch.float64))
    twofold = torch.stack([torch.eye(4, dtype=torch.float64), half_turn])
    return {
        "cube": object_from_mesh(mesh, label="cube"),
        "can": object_from_mesh(mesh, label="can", symmetries=twofold),
    }


class Silent:
    """A logger."""

    def warning(self, text: str) -> None:
        """Nobody reads it."""


class Fuzzed:
    """A refiner without a graph: the node's own parts, its callbacks called by hand.

    Args:
        values: Of the node's parameters.
        tally: Where it is noted.
    """

    objects = _objects()

    def __init__(self, values: Mapping[str, Any], tally: Tally) -> None:
        self.tally = tally
        self.config = build(NodeConfig, {"engine": "fake", **values})
        self.reporter = Reporter(Silent())
        self._tree = TransformTree()
        frames = WaitingLookups(self._tree, timeout_s=lambda: _PATIENCE_S)
        self.pipeline = RefinementPipeline(
            self.config,
            load_engines(self.config),
            self.objects,
            image_topic="/camera/image",
            reporter=self.reporter,
            frames=frames,
        )
        self.pairs = self.answers = self.poses = self.used = 0
        self._take_poses, self.pipeline.poses.take = self.pipeline.poses.take, self._count_used
        self._last_out: dict[str, int] = {}
        self._last_answered_ns = 0

    def take(self, topic: str, message: Any) -> None:
        """One message, all the way."""
        self.tally.messages += 1
        pair = None
        if topic in ("image", "image/compressed"):
            pair = self.pipeline.add_image(message)
        elif topic == "camera_info":
            pair = self.pipeline.add_info(message)
        elif topic in ("/tf", "/tf_static"):
            take_in(self._tree, message.transforms, is_static=topic == "/tf_static", reporter=self.reporter)
        else:
            self.poses += pose_count(message)
            self.pipeline.poses.put(message)
        if pair is not None:
            self.pairs += 1
            self._process(pair)

    def _process(self, pair: Pair) -> None:
        try:
            answer = self.pipeline.process(pair)
        except RefusedInputError as error:
            self.reporter.refuse_error(error)
            return
        if answer is None:
            return
        self.answers += 1
        if answer.frame.stamp_ns < self._last_answered_ns:
            # Time began again, for those who listen, too: its stamps are other ones than before.
            self._last_out.clear()
        self._last_answered_ns = answer.frame.stamp_ns
        out = pose_messages(answer.outcome.tracked, self.objects, header=pair.image.header, config=self.config)
        for transform in out.transforms:
            self._check_transform(transform, pair)
        assert len(out.detections.detections) == len(out.transforms)
        for detection in out.detections.detections:
            score = detection.results[0].hypothesis.score
            assert 0.0 <= score <= 1.0
            assert all(map(math.isfinite, detection.results[0].pose.covariance))

    def _check_transform(self, transform: Any, pair: Pair) -> None:
        t, q = transform.transform.translation, transform.transform.rotation
        assert all(map(math.isfinite, (t.x, t.y, t.z, q.x, q.y, q.z, q.w))), f"not finite: {transform}"
        assert abs(math.hypot(q.x, q.y, q.z, q.w) - 1.0) < 1e-6, f"no unit quaternion: {transform}"
        assert transform.header == pair.image.header, "another stamp or frame than the image's"
        assert transform.child_frame_id.startswith("rnnpose/")
        last = self._last_out.get(transform.child_frame_id)
        assert last != stamp_ns(transform.header.stamp), "twice for one stamp"
        self._last_out[transform.child_frame_id] = stamp_ns(transform.header.stamp)
        self.tally.transforms_out += 1

    def _count_used(self, frame: ImageFrame, **options: Any) -> list[PoseHypothesis]:
        poses = self._take_poses(frame, **options)
        self.used += len(poses)
        return poses

    def check_account(self) -> None:
        """Everything that came is somewhere: used, refused under a reason, or waiting."""
        counts = self.reporter.counts
        pairing = self.pipeline.pairing.counts
        refused = sum(counts.get(reason, 0) for reason in _PICTURE_REASONS)
        assert self.pairs == self.answers + refused, f"{self.pairs} pictures, {self.answers} answers, {counts}"
        assert pairing.images == self.pairs + pairing.unpaired_images + pairing.waiting_images, pairing
        refused = sum(counts.get(reason, 0) for reason in _POSE_REASONS)
        left = self.pipeline.poses.waiting
        assert self.poses == self.used + refused + left, f"{self.poses} poses, {self.used} used, {left} left, {counts}"
        tally = self.tally
        tally.pictures += self.pairs
        tally.answered += self.answers
        tally.poses += self.poses
        tally.used += self.used
        for reason, number in counts.items():
            tally.refused[reason.value] = tally.refused.get(reason.value, 0) + number


def play(values: Mapping[str, Any], sequence: Sequence[Sent], tally: Tally) -> None:
    """One sequence through a fresh refiner.

    Raises:
        AssertionError: Something came out that must not, or something was lost without a count.
    """
    refiner = Fuzzed(values, tally)
    for sent in sequence:
        began = time.thread_time()
        refiner.take(sent.topic, sent.message)
        took = time.thread_time() - began
        tally.longest_s = max(tally.longest_s, took)
        tally.hangs += took > HANG_S
    refiner.check_account()


def fuzz(*, messages: int, first_seed: int = 0, examples: int = 100) -> Tally:
    """Sequences of made-up messages until so many were sent; the same ones for the same seed."""
    tally = Tally()
    number = first_seed

    def one(values: Mapping[str, Any], sequence: Sequence[Sent]) -> None:
        faulthandler.dump_traceback_later(_STUCK_S, exit=True)
        try:
            play(values, sequence, tally)
        finally:
            faulthandler.cancel_dump_traceback_later()

    while tally.messages < messages:
        limited = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        limited(seed(number)(given(SETTINGS, SEQUENCES)(one)))()
        number += 1
    return tally


def main() -> int:
    """Fuzz and print."""
    parser = argparse.ArgumentParser(description="Throw made-up messages at the refiner.")
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.monotonic()
    tally = fuzz(messages=args.messages, first_seed=args.seed)
    print(json.dumps({**dataclasses.asdict(tally), "seconds": round(time.monotonic() - began)}))
    return 1 if tally.hangs else 0


if __name__ == "__main__":
    raise SystemExit(main())
