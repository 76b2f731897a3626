"""Qualities of service that several nodes share."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

__all__ = ["LATCHED", "SubscriptionEventCallbacks", "overridable"]

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""For what is said once and must be heard by those who come later."""


def overridable() -> QoSOverridingOptions:
    """History, depth and reliability may be set by parameters ``qos_overrides.<topic>.<publisher|subscription>.*``."""
    return QoSOverridingOptions.with_default_policies()
