"""Subscriptions that ask for what the publishers offer.

A best-effort subscription loses most large images on a default install, and a reliable one gets nothing
from a best-effort publisher. So the reliability follows the publishers, also when they change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

_CHECK_PERIOD_S = 0.5


class MatchingSubscription:
    """One subscription, made anew when its publishers' reliability changes.

    Args:
        node: Where it lives.
        message_type: Of the messages.
        topic: Relative name.
        callback: Gets every message.
        reliability: ``auto``, ``reliable`` or ``best_effort``.
        depth: Messages kept for the callback.
        callback_group: Of the callback.
    """

    def __init__(
        self,
        node: Node,
        message_type: type,
        topic: str,
        callback: Callable[[Any], None],
        *,
        reliability: str,
        depth: int,
        callback_group: CallbackGroup,
    ) -> None:
        self._node = node
        self._make = lambda policy: node.create_subscription(
            message_type,
            topic,
            callback,
            QoSProfile(depth=depth, reliability=policy),
            callback_group=callback_group,
        )
        self._policy = ReliabilityPolicy.BEST_EFFORT if reliability == "best_effort" else ReliabilityPolicy.RELIABLE
        self._subscription = self._make(self._policy)
        if reliability == "auto":
            node.create_timer(_CHECK_PERIOD_S, self._follow_publishers, callback_group=callback_group)

    @property
    def topic(self) -> str:
        """The resolved name."""
        return self._subscription.topic_name

    @property
    def policy(self) -> ReliabilityPolicy:
        """What is asked for now."""
        return self._policy

    def _follow_publishers(self) -> None:
        offered = {p.qos_profile.reliability for p in self._node.get_publishers_info_by_topic(self.topic)}
        if not offered:
            return
        lossy = ReliabilityPolicy.BEST_EFFORT in offered
        wanted = ReliabilityPolicy.BEST_EFFORT if lossy else ReliabilityPolicy.RELIABLE
        if wanted is self._policy:
            return
        # The new one first, so that nothing falls between; a message that both get is dropped as old.
        old, self._subscription, self._policy = self._subscription, self._make(wanted), wanted
        self._node.destroy_subscription(old)
        self._node.get_logger().info(f"{self.topic}: asking for {wanted.name.lower()} images, as they are offered")
