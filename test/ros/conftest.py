"""A small ROS graph of its own for every test: own context, own domain, everything waited for by event."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_CUBE_HALF_M = 0.05
WIDTH, HEIGHT, FOCAL_PX = 64, 48, 60.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that take the graph are ROS tests."""
    for item in items:
        if "graph" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ros)


def _domain_ids() -> Iterator[int]:
    """Domains 1..100, beginning where another process probably does not."""
    start = os.getpid()
    while True:
        start += 1
        yield 1 + start % 100


_DOMAINS = _domain_ids()


@pytest.fixture
def domain_id() -> int:
    """A domain that no other test of this process uses at the same time."""
    return next(_DOMAINS)


@pytest.fixture(scope="session")
def cube_mesh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cube with sides of 10 cm, centred, as an OBJ file called cube."""
    h = _CUBE_HALF_M
    corners = [(x, y, z) for x in (-h, h) for y in (-h, h) for z in (-h, h)]
    quads = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    lines = [f"v {x} {y} {z}" for x, y, z in corners]
    lines += [f"f {a} {b} {c}\nf {a} {c} {d}" for a, b, c, d in quads]
    path = tmp_path_factory.mktemp("objects") / "cube.obj"
    path.write_text("\n".join(lines) + "\n")
    return path


class Graph:
    """Test side of a refiner: publishes its inputs, keeps its outputs."""

    def __init__(self, domain_id: int) -> None:
        import rclpy
        from rclpy.context import Context
        from rclpy.node import Node
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import CameraInfo, Image
        from tf2_msgs.msg import TFMessage
        from vision_msgs.msg import Detection3DArray

        from rnnpose_ros.ros.executor import TolerantExecutor

        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain_id)
        self.node = Node("tester", context=self.context)
        self.executor = TolerantExecutor(3, context=self.context)
        self.executor.add_node(self.node)
        self.images = self.node.create_publisher(Image, "image", QoSProfile(depth=50))
        self.infos = self.node.create_publisher(CameraInfo, "camera_info", QoSProfile(depth=50))
        self.poses = self.node.create_publisher(Detection3DArray, "initial_detections", 10)
        self.changed = threading.Condition()
        self.transforms: list[Any] = []
        self.detections: list[Any] = []
        self.node.create_subscription(TFMessage, "/tf", self._keep(self.transforms), 100)
        self.node.create_subscription(Detection3DArray, "/rnnpose/detections", self._keep(self.detections), 100)
        self._nodes: list[Any] = []
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def listen(self, message_type: type, topic: str) -> list[Any]:
        """The list into which messages of a topic come."""
        messages: list[Any] = []
        self.node.create_subscription(message_type, topic, self._keep(messages), 10)
        return messages

    def publisher(self, message_type: type, topic: str, **qos: Any) -> Any:
        """A publisher of one more topic."""
        from rclpy.qos import QoSProfile

        return self.node.create_publisher(message_type, topic, QoSProfile(depth=50, **qos))

    def start_refiner(self, mesh: Path, **parameters: Any) -> Any:
        """A refiner node with the fake engine in this graph, once it is connected."""
        refiner = self.add_refiner(mesh, **parameters)
        self.wait_for(
            lambda: refiner.state_label == "active" and self._is_connected(), "the refiner to work", timeout_s=60.0
        )
        return refiner

    def add_refiner(self, mesh: Path, **parameters: Any) -> Any:
        """The same, in whatever state it is."""
        from rclpy.parameter import Parameter

        from rnnpose_ros.ros.refiner_node import RefinerNode

        # The stamps of most tests are made up, and years old.
        values = {"engine": "fake", "objects_file": str(mesh), "max_latency": 0.0, **parameters}
        overrides = [Parameter(name.replace("__", "."), value=value) for name, value in values.items()]
        refiner = RefinerNode(context=self.context, parameter_overrides=overrides)
        self._nodes.append(refiner)
        self.executor.add_node(refiner)
        return refiner

    def call(self, kind: type, name: str, *, timeout_s: float = 30.0, **fields: Any) -> Any:
        """A service's answer."""
        client = self.node.create_client(kind, name)
        try:
            assert client.wait_for_service(timeout_s), f"no service {name}"
            future = client.call_async(kind.Request(**fields))
            self.wait_for(future.done, f"an answer of {name}", timeout_s=timeout_s)
            return future.result()
        finally:
            self.node.destroy_client(client)

    def start_node(self, node: Any) -> None:
        """Spin and close another node with the graph."""
        self._nodes.append(node)
        self.executor.add_node(node)

    def wait_for(self, condition: Callable[[], Any], what: str, *, timeout_s: float = 20.0) -> None:
        """Until the condition holds; checked at every message, and now and then for what sends none."""
        if not self.comes(condition, timeout_s=timeout_s):
            pytest.fail(f"waited {timeout_s:g} s for {what}")

    def comes(self, condition: Callable[[], Any], *, timeout_s: float) -> bool:
        """True as soon as the condition holds; False when it does not in time."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while not condition():
                if time.monotonic() >= deadline:
                    return False
                self.changed.wait(0.05)
        return True

    def send(self, stamp_ns: int, **changes: Any) -> None:
        """An image and its info."""
        self.images.publish(image_message(stamp_ns, **changes))
        self.infos.publish(info_message(stamp_ns, **changes))

    def send_pose(self, stamp_ns: int, **changes: Any) -> None:
        """One initial pose; returns when the refiner of this process has it, so before the next image."""
        self.deliver(poses_message(stamp_ns, **changes))

    def deliver(self, message: Any, publisher: Any = None) -> None:
        """The same with a message, and on any topic of initial poses."""
        publisher = publisher or self.poses
        self.wait_for(publisher.get_subscription_count, f"somebody to listen to {publisher.topic_name}")
        refiners = [node for node in self._nodes if hasattr(node, "initial_poses_received")]
        before = [node.initial_poses_received for node in refiners]
        publisher.publish(message)
        self.wait_for(
            lambda: all(n.initial_poses_received > b for n, b in zip(refiners, before, strict=True)),
            "the refiner to have the pose",
        )

    def round_trip(self, stamp_ns: int, **changes: Any) -> Any:
        """Send an image and wait for its detections."""
        self.send(stamp_ns, **changes)
        found: list[Any] = []
        self.wait_for(lambda: found.extend(self.detections_at(stamp_ns)) or found, f"detections of stamp {stamp_ns}")
        return found[0]

    def detections_at(self, stamp_ns: int) -> list[Any]:
        """The arrays that carry this stamp."""
        return [m for m in self.detections if _ns(m.header.stamp) == stamp_ns]

    def transforms_at(self, stamp_ns: int) -> list[Any]:
        """The transforms that carry this stamp."""
        return [t for m in self.transforms for t in m.transforms if _ns(t.header.stamp) == stamp_ns]

    def close(self) -> None:
        """End every node and the context."""
        for node in self._nodes:
            node.close()
        self.context.try_shutdown()
        self._thread.join(5.0)

    def _keep(self, messages: list[Any]) -> Callable[[Any], None]:
        def keep(message: Any) -> None:
            with self.changed:
                messages.append(message)
                self.changed.notify_all()

        return keep

    def _is_connected(self) -> bool:
        inputs = (self.images, self.infos, self.poses)
        return all(p.get_subscription_count() for p in inputs) and all(
            self.node.count_publishers(topic) for topic in ("/tf", "/rnnpose/detections")
        )

    def _spin(self) -> None:
        from rclpy.executors import ExternalShutdownException

        try:
            self.executor.spin()
        except ExternalShutdownException:
            return
        except RuntimeError:
            # Between two waits the context may have been shut down, which rclpy says in another way.
            if self.context.ok():
                raise


@pytest.fixture
def graph(domain_id: int) -> Iterator[Graph]:
    """A graph that ends with the test."""
    pytest.importorskip("rclpy", reason="no ROS 2 on this machine")
    made = Graph(domain_id)
    yield made
    made.close()


def image_message(
    stamp_ns: int, *, frame_id: str = "camera", encoding: str = "rgb8", size: Any = None, **_: Any
) -> Any:
    """A grey rgb8 picture."""
    from sensor_msgs.msg import Image

    from rnnpose_ros.ros.images import fill_message

    width, height = size or (WIDTH, HEIGHT)
    message = fill_message(Image(), np.full((height, width, 3), 128, np.uint8), encoding="rgb8")
    message.encoding = encoding
    fill_header(message.header, stamp_ns, frame_id)
    return message


def info_message(stamp_ns: int, *, frame_id: str = "camera", focal: float = FOCAL_PX, **_: Any) -> Any:
    """The camera of the picture."""
    from sensor_msgs.msg import CameraInfo

    message = CameraInfo(width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5)
    message.k = [focal, 0.0, WIDTH / 2, 0.0, focal, HEIGHT / 2, 0.0, 0.0, 1.0]
    message.p = [focal, 0.0, WIDTH / 2, 0.0, 0.0, focal, HEIGHT / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    fill_header(message.header, stamp_ns, frame_id)
    return message


def poses_message(
    stamp_ns: int,
    *,
    label: str = "cube",
    position: tuple[float, float, float] = (0.01, -0.02, 0.5),
    quaternion: tuple[float, float, float, float] = (0.1, 0.2, 0.3, 0.9),
    frame_id: str = "camera",
    name: str = "",
    score: float = 1.0,
) -> Any:
    """One initial pose."""
    from vision_msgs.msg import Detection3D, Detection3DArray, ObjectHypothesisWithPose

    best = ObjectHypothesisWithPose()
    best.hypothesis.class_id = label
    best.hypothesis.score = score
    pose = best.pose.pose
    pose.position.x, pose.position.y, pose.position.z = position
    pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w = quaternion
    message = Detection3DArray(detections=[Detection3D(results=[best], id=name)])
    for header in (message.header, message.detections[0].header):
        fill_header(header, stamp_ns, frame_id)
    return message


def fill_header(header: Any, stamp_ns: int, frame_id: str) -> None:
    header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
    header.frame_id = frame_id


def transform_message(
    stamp_ns: int, *, parent: str, child: str, position: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Any:
    """A transform without rotation, for /tf or /tf_static."""
    from geometry_msgs.msg import TransformStamped
    from tf2_msgs.msg import TFMessage

    transform = TransformStamped(child_frame_id=child)
    fill_header(transform.header, stamp_ns, parent)
    place = transform.transform.translation
    place.x, place.y, place.z = position
    return TFMessage(transforms=[transform])


def _ns(stamp: Any) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec
