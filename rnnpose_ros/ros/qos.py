"""Qualities of service that several nodes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

from rnnpose_ros.errors import ConfigError

__all__ = ["LATCHED", "SubscriptionEventCallbacks", "check_overrides", "overridable"]

_WORDS = {
    "durability": DurabilityPolicy,
    "history": HistoryPolicy,
    "liveliness": LivelinessPolicy,
    "reliability": ReliabilityPolicy,
}

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""For what is said once and must be heard by those who come later."""


def overridable() -> QoSOverridingOptions:
    """History, depth and reliability may be set by parameters ``qos_overrides.<topic>.<publisher|subscription>.*``."""
    return QoSOverridingOptions.with_default_policies()


def check_overrides(values: Mapping[str, Any]) -> None:
    """
    Raises:
        ConfigError: A parameter ``qos_overrides...`` has a value that does not exist, which rclpy would say too late.
    """
    for name, value in values.items():
        policies = _WORDS.get(name.rpartition(".")[2])
        if name.startswith("qos_overrides.") and policies is not None and value not in policies.short_keys():
            raise ConfigError(f"{name}: expected one of {policies.short_keys()}, got {value!r}")
