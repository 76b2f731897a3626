"""What is known of a topic; needs no ROS."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TopicReport:
    """What is known of a topic that is listened to."""

    topic: str
    publishers: int
    reliability: str
    """What is asked for."""
    lost: int
    """Messages that the middleware knows it has lost."""
    trouble: str
    """Why nothing can come, and what to do; empty when nothing is wrong."""
