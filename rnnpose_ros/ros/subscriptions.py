"""What the refiner listens to, by subscriptions that ask for what the publishers offer.

A best-effort subscription loses most large images on a default install, and a reliable one gets nothing
from a best-effort publisher. So the reliability follows the publishers, also when they change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy, qos_policy_name_from_kind
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from rnnpose_ros.ros.initial_poses import POSE_INPUTS
from rnnpose_ros.ros.message_types import message_class
from rnnpose_ros.ros.pairing import Pair
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.pipeline import RefinementPipeline
from rnnpose_ros.ros.qos import SubscriptionEventCallbacks, overridable
from rnnpose_ros.ros.running import steady_clock
from rnnpose_ros.ros.topic_report import TopicReport

_CHECK_PERIOD_S = 0.5
_IMAGE_DEPTH = 8
_INFO_DEPTH = 50
"""Infos are small: one that is dropped here costs its image."""


class MatchingSubscription:
    """One subscription, made anew when its publishers' reliability changes.

    What ``qos_overrides`` says about its reliability stands above ``reliability``.

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
        self._node, self._message_type = node, message_type
        self._lost_before = self._lost = 0
        self._refused_policy = ""
        is_overridden = overridden_reliability(node, topic)
        kinds = [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH]
        if is_overridden:
            kinds.append(QoSPolicyKind.RELIABILITY)
        events = SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible, message_lost=self._on_lost)
        self._make = lambda policy: node.create_subscription(
            message_type,
            topic,
            callback,
            QoSProfile(depth=depth, reliability=policy),
            callback_group=callback_group,
            event_callbacks=events,
            qos_overriding_options=QoSOverridingOptions(kinds),
        )
        self._policy = ReliabilityPolicy.BEST_EFFORT if reliability == "best_effort" else ReliabilityPolicy.RELIABLE
        self._subscription = self._make(self._policy)
        self._timer = None
        if reliability == "auto" and not is_overridden:
            self._timer = node.create_timer(
                _CHECK_PERIOD_S, self._follow_publishers, callback_group=callback_group, clock=steady_clock()
            )

    def close(self) -> None:
        """Listen no longer."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    @property
    def topic(self) -> str:
        """The resolved name."""
        return self._subscription.topic_name

    @property
    def policy(self) -> ReliabilityPolicy:
        """What is asked for now."""
        return self._policy

    def report(self) -> TopicReport:
        """What is known of the topic now."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        own_type = f"{self._message_type.__module__.partition('.')[0]}/msg/{self._message_type.__name__}"
        offered = {publisher.topic_type for publisher in publishers}
        trouble = ""
        if not publishers:
            trouble = f"nobody publishes {self.topic}: is the camera running, and the topic remapped?"
        elif own_type not in offered:
            trouble = f"{self.topic} is published as {', '.join(sorted(offered))}, expected {own_type}"
        elif self._refused_policy:
            trouble = f"a publisher of {self.topic} offers another {self._refused_policy}: set qos.image_reliability"
        return TopicReport(
            self.topic, len(publishers), self._policy.name.lower(), self._lost_before + self._lost, trouble
        )

    def _on_incompatible(self, event: Any) -> None:
        """A publisher that this subscription will never hear, until it asks for less."""
        self._refused_policy = qos_policy_name_from_kind(event.last_policy_kind).lower()
        self._node.get_logger().warning(
            f"{self.topic}: a publisher offers another {self._refused_policy} than is asked for, and is not heard"
        )

    def _on_lost(self, event: Any) -> None:
        self._lost = event.total_count

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
        self._lost_before, self._lost, self._refused_policy = self._lost_before + self._lost, 0, ""
        self._node.destroy_subscription(old)
        self._node.get_logger().info(f"{self.topic}: asking for {wanted.name.lower()} images, as they are offered")


def overridden_reliability(node: Node, topic: str) -> bool:
    """True where a parameter ``qos_overrides.<topic>.subscription.reliability`` was given to the node."""
    return f"qos_overrides.{node.resolve_topic_name(topic)}.subscription.reliability" in node._parameter_overrides


class InputSubscriptions:
    """The refiner's inputs: everything that comes is handed to its pipeline.

    Args:
        node: Where they live.
        pipeline: Pairs pictures and infos, keeps rough poses.
        config: Which inputs there are.
        on_pair: Gets every pair that became complete; must not compute.
    """

    def __init__(
        self,
        node: Node,
        pipeline: RefinementPipeline,
        config: NodeConfig,
        *,
        on_pair: Callable[[Pair | None], None],
    ) -> None:
        reliability = config.qos.image_reliability
        image_type, image_topic = Image, "image"
        if config.image_transport == "compressed":
            # As image_transport does: a remapping of the image topic moves its compressed kin along.
            image_type, image_topic = CompressedImage, f"{node.resolve_topic_name('image')}/compressed"
        pictures, others = MutuallyExclusiveCallbackGroup(), MutuallyExclusiveCallbackGroup()
        images = MatchingSubscription(
            node,
            image_type,
            image_topic,
            lambda image: on_pair(pipeline.add_image(image)),
            reliability=reliability,
            depth=_IMAGE_DEPTH,
            callback_group=pictures,
        )
        infos = MatchingSubscription(
            node,
            CameraInfo,
            "camera_info",
            lambda info: on_pair(pipeline.add_info(info)),
            reliability=reliability,
            depth=_INFO_DEPTH,
            callback_group=others,
        )
        self._node = node
        self._pictures = (images, infos)
        self._poses = [
            node.create_subscription(
                message_class(POSE_INPUTS[kind].message_type),
                POSE_INPUTS[kind].topic,
                pipeline.poses.put,
                10,
                callback_group=others,
                qos_overriding_options=overridable(),
            )
            for kind in config.initial_pose.inputs
        ]

    def reports(self) -> list[TopicReport]:
        """What is known of images and camera infos."""
        return [pictures.report() for pictures in self._pictures]

    def close(self) -> None:
        """Listen no longer."""
        for pictures in self._pictures:
            pictures.close()
        for poses in self._poses:
            self._node.destroy_subscription(poses)
