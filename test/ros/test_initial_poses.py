"""Rough poses of every kind of message, in any frame, at any time; no ROS is needed."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from rnnpose_ros.errors import ConfigError
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.rotations import quaternion_xyzw_from_matrix
from rnnpose_ros.geometry.se3 import exp_se3
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.ros.initial_poses import InitialPoseInputConfig
from rnnpose_ros.ros.inputs import InitialPoseInbox
from rnnpose_ros.ros.reasons import Reason
from rnnpose_ros.ros.reporter import Reporter
from rnnpose_ros.tracking.frame_history import FrameSample
from rnnpose_ros.tracking.transform_tree import TransformTree
from rnnpose_ros.types import ImageFrame, Mesh, PoseHypothesis

T0 = 1_700_000_000_000_000_000
S = 1_000_000_000
POSE = exp_se3(torch.tensor([0.05, -0.02, 0.6, 0.3, -0.2, 0.5], dtype=torch.float64))


class Lines(list):
    """A logger that keeps what was said."""

    def warning(self, text: str) -> None:
        self.append(text)


class Inbox(InitialPoseInbox):
    """An inbox with its tree and log at hand."""

    def __init__(self, *labels: str, **config: Any) -> None:
        mesh = Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]), torch.ones(1, 3, 3))
        self.tree = TransformTree()
        self.lines = Lines()
        self.reports = Reporter(self.lines, period_s=0.0)
        objects = {label: object_from_mesh(mesh, label=label) for label in labels or ("cube",)}
        settings = InitialPoseInputConfig(**config)
        super().__init__(objects, settings, frames=self.tree, reporter=self.reports)

    def of(self, *messages: Any, stamp_ns: int = T0, fixed_frame: str = "") -> list[PoseHypothesis]:
        for message in messages:
            self.put(message)
        return self.take(picture(stamp_ns), fixed_frame=fixed_frame)

    def place(self, child: str, parent: str, T: Tensor, *, stamp_ns: int | None = None) -> None:
        q = quaternion_xyzw_from_matrix(T[:3, :3]).tolist()
        sample = FrameSample(parent, tuple(T[:3, 3].tolist()), tuple(q))
        self.tree.add(child, sample, stamp_ns=stamp_ns or 0, is_static=stamp_ns is None)


def picture(stamp_ns: int) -> ImageFrame:
    camera = intrinsics(60.0, 60.0, 32.0, 24.0, width=64, height=48)
    return ImageFrame(torch.zeros(48, 64, 3, dtype=torch.uint8), camera, stamp_ns=stamp_ns, frame_id="camera")


def header(stamp_ns: int = T0, frame_id: str = "camera") -> Any:
    sec, nanosec = divmod(stamp_ns, S)
    return SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame_id)


def pose_fields(T: Tensor = POSE) -> Any:
    x, y, z, w = quaternion_xyzw_from_matrix(T[:3, :3]).tolist()
    px, py, pz = T[:3, 3].tolist()
    return SimpleNamespace(position=SimpleNamespace(x=px, y=py, z=pz), orientation=SimpleNamespace(x=x, y=y, z=z, w=w))


def with_covariance(T: Tensor = POSE, diagonal: tuple[float, ...] = (0.0,) * 6) -> Any:
    return SimpleNamespace(pose=pose_fields(T), covariance=torch.diag(torch.tensor(diagonal)).flatten().tolist())


def detection(
    T: Tensor = POSE, *, class_id: str = "cube", score: float = 0.8, name: str = "", where: Any = None, **pose: Any
) -> Any:
    best = SimpleNamespace(hypothesis=SimpleNamespace(class_id=class_id, score=score), pose=with_covariance(T, **pose))
    return SimpleNamespace(header=where or header(frame_id=""), results=[best], id=name)


def detections(*items: Any, where: Any = None) -> Any:
    return SimpleNamespace(header=where or header(), detections=list(items))


def stamped(T: Tensor = POSE, where: Any = None) -> Any:
    return SimpleNamespace(header=where or header(), pose=pose_fields(T))


EVERY_KIND = {
    "detections, also 2D ones": detections(detection()),
    "pose": stamped(),
    "pose with covariance": SimpleNamespace(header=header(), pose=with_covariance()),
    "pose array": SimpleNamespace(header=header(), poses=[pose_fields()]),
}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_kind_of_message_gives_the_same_pose(kind: str) -> None:
    (found,) = Inbox().of(EVERY_KIND[kind])
    assert found.label == "cube"
    torch.testing.assert_close(found.T_camera_object, POSE, atol=1e-12, rtol=0.0)


def test_each_message_is_used_once_and_by_the_newest_of_one_object() -> None:
    inbox = Inbox()
    near, far = exp_se3(POSE.new_tensor([0, 0, 0.5, 0, 0, 0])), exp_se3(POSE.new_tensor([0, 0, 2.0, 0, 0, 0]))
    (found,) = inbox.of(stamped(far), stamped(near))
    assert float(found.T_camera_object[2, 3]) == 0.5
    assert inbox.of() == []


def test_detectors_that_share_a_topic_do_not_push_each_other_out() -> None:
    inbox = Inbox("cube", "mug")
    found = inbox.of(detections(detection()), detections(detection(class_id="mug")), detections())
    assert [pose.label for pose in found] == ["cube", "mug"]


def test_of_one_object_the_newest_counts_whatever_kind_of_message_it_came_in() -> None:
    inbox = Inbox()
    far = exp_se3(POSE.new_tensor([0, 0, 2.0, 0, 0, 0]))
    (found,) = inbox.of(stamped(far), detections(detection(far)), stamped())
    torch.testing.assert_close(found.T_camera_object, POSE, atol=1e-12, rtol=0.0)
    assert inbox.reports.counts == {Reason.POSE_REPLACED: 2}


def test_poses_that_find_no_room_are_counted() -> None:
    inbox = Inbox()
    assert len(inbox.of(*[stamped()] * 20)) == 1
    assert inbox.reports.counts == {Reason.POSE_REPLACED: 19}


def test_a_picture_is_worth_so_many_poses_and_the_best_are_taken() -> None:
    inbox = Inbox(max_poses=2)
    scores = [0.3, 0.9, 0.1, 0.5]
    found = inbox.of(detections(*[detection(score=score) for score in scores]))
    assert [pose.score for pose in found] == [0.9, 0.5]
    assert inbox.reports.counts == {Reason.POSE_SURPLUS: 2}
    assert "initial_pose.max_poses is 2" in inbox.lines[0]


def test_a_message_of_a_million_poses_is_not_read_to_its_end() -> None:
    inbox = Inbox()
    inbox.of(SimpleNamespace(header=header(), poses=[pose_fields()] * 1_000_000))
    assert inbox.reports.counts == {Reason.POSE_SURPLUS: 1_000_000 - 16}


def test_poses_of_a_low_score_are_not_believed() -> None:
    inbox = Inbox(min_score=0.5)
    assert inbox.of(detections(detection(score=0.4))) == []
    assert inbox.reports.counts == {Reason.POSE_UNCERTAIN: 1}


def test_a_poses_class_may_be_given_by_the_parameter() -> None:
    assert Inbox("cube", "mug", default_class_id="mug").of(stamped())[0].label == "mug"
    inbox = Inbox("cube", "mug")
    assert inbox.of(stamped()) == []
    assert inbox.reports.counts == {Reason.NO_CLASS: 1}
    assert "set initial_pose.default_class_id" in inbox.lines[0]


def test_an_alias_means_the_object() -> None:
    inbox = Inbox("mug")
    inbox._objects = {**inbox._objects, "obj_000014": inbox._objects["mug"]}
    (found,) = inbox.of(detections(detection(class_id="obj_000014")))
    assert found.label == "mug"


REFUSED = {
    "POSE_INVALID": detections(SimpleNamespace(header=header(), results=[], id="")),
    "POSE_INVALID no class": detections(detection(class_id="")),
    "POSE_INVALID no pose": detections(detection(torch.eye(4, dtype=torch.float64))),
    "POSE_INVALID score": detections(detection(score=math.nan)),
    "POSE_INVALID behind": stamped(exp_se3(POSE.new_tensor([0, 0, -0.5, 0, 0, 0]))),
    "POSE_INVALID millimetres": stamped(exp_se3(POSE.new_tensor([0, 0, 500.0, 0, 0, 0]))),
    "POSE_INVALID far": stamped(exp_se3(POSE.new_tensor([1e200, 0, 0.5, 0, 0, 0]))),
    "POSE_UNCERTAIN position": SimpleNamespace(
        header=header(), pose=with_covariance(diagonal=(0.01, 0.09, 0.01, 0.1, 0.1, 0.1))
    ),
    "POSE_UNCERTAIN rotation": SimpleNamespace(
        header=header(), pose=with_covariance(diagonal=(0.01, 0.01, 0.01, 0.1, 0.1, 4.0))
    ),
    "POSE_UNCERTAIN nan": SimpleNamespace(header=header(), pose=with_covariance(diagonal=(math.nan,) * 6)),
    "POSE_STALE": stamped(where=header(T0 - 2 * S)),
    "POSE_STALE future": stamped(where=header(T0 + 2 * S)),
    "POSE_INVALID no frame": stamped(where=header(frame_id="")),
    "NO_MESH": detections(detection(class_id="teapot")),
    "TF_UNAVAILABLE": stamped(where=header(frame_id="base_link")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_counted_by_its_reason_and_said(case: str) -> None:
    inbox = Inbox()
    assert inbox.of(REFUSED[case]) == []
    reason = Reason(case.split()[0])
    assert inbox.reports.counts == {reason: 1}
    assert inbox.lines[0].startswith(reason.value)


def test_a_bad_pose_does_not_take_the_good_one_beside_it_along() -> None:
    inbox = Inbox()
    assert len(inbox.of(detections(detection(score=math.nan), detection()))) == 1


def test_stamp_0_means_now() -> None:
    assert len(Inbox().of(stamped(where=header(0)))) == 1


def test_a_detector_may_mean_another_frame_of_the_object_than_its_mesh() -> None:
    """It says where its own frame is, and gets the pose of the mesh."""
    inbox = Inbox()
    T_detector_mesh = exp_se3(POSE.new_tensor([0.01, 0.02, -0.05, 0.0, 0.0, 1.2]))
    inbox._objects["cube"] = replace(inbox._objects["cube"], T_detector_mesh=T_detector_mesh)
    (found,) = inbox.of(stamped())
    torch.testing.assert_close(found.T_camera_object, POSE @ T_detector_mesh, atol=1e-12, rtol=0.0)


def test_a_pose_in_another_frame_is_seen_from_the_camera() -> None:
    inbox = Inbox()
    T_base_camera = exp_se3(POSE.new_tensor([0.3, -0.4, 1.0, 2.0, 0.4, -0.3]))
    inbox.place("camera", "/base_link", T_base_camera)
    (found,) = inbox.of(stamped(T_base_camera @ POSE, header(frame_id="/base_link")))
    torch.testing.assert_close(found.T_camera_object, POSE, atol=1e-9, rtol=0.0)


def test_a_covariance_turns_with_the_frame() -> None:
    inbox = Inbox()
    quarter = exp_se3(POSE.new_tensor([0, 0, 0, 0, 0, math.pi / 2]))
    inbox.place("camera", "base", quarter)
    variances = (1e-4, 2e-4, 3e-4, 4e-3, 5e-3, 6e-3)
    (found,) = inbox.of(detections(detection(quarter @ POSE, diagonal=variances), where=header(frame_id="base")))
    assert found.covariance is not None
    assert found.covariance.diagonal().tolist() == pytest.approx([2e-4, 1e-4, 3e-4, 5e-3, 4e-3, 6e-3], rel=1e-5)


def _driving(inbox: Inbox) -> None:
    """The camera drives along its x axis at 0.2 m/s in odom; base_link carries it 1 m above the ground."""
    inbox.place("camera", "base_link", exp_se3(POSE.new_tensor([0, 0, 1.0, 0, 0, 0])))
    for i in range(-10, 11):
        x = 0.2 * 0.1 * i
        inbox.place("base_link", "odom", exp_se3(POSE.new_tensor([x, 0, 0, 0, 0, 0])), stamp_ns=T0 + i * S // 10)


@pytest.mark.parametrize("frame_id", ["camera", "base_link", "odom"])
def test_over_a_fixed_frame_an_old_pose_is_moved_to_where_the_object_is_now(frame_id: str) -> None:
    inbox = Inbox()
    _driving(inbox)
    then_ns = T0 - 3 * S // 10
    T_frame_object = inbox.tree.lookup(frame_id, "camera", then_ns) @ POSE
    (found,) = inbox.of(stamped(T_frame_object, header(then_ns, frame_id)), fixed_frame="odom")
    expected = POSE.clone()
    expected[0, 3] -= 0.2 * 0.3
    torch.testing.assert_close(found.T_camera_object, expected, atol=1e-6, rtol=0.0)
    assert inbox.lines == []


def test_without_a_fixed_frame_a_moving_camera_is_said_once_and_the_pose_holds_as_of_its_time() -> None:
    inbox = Inbox()
    _driving(inbox)
    for late in (1, 2, 3):
        then_ns = T0 - late * S // 10
        T_odom_object = inbox.tree.lookup("odom", "camera", then_ns) @ POSE
        (found,) = inbox.of(stamped(T_odom_object, header(then_ns, "odom")))
        torch.testing.assert_close(found.T_camera_object, POSE, atol=1e-6, rtol=0.0)
    assert len(inbox.lines) == 1
    assert "set tf.fixed_frame" in inbox.lines[0]
    T_base_object = inbox.tree.lookup("base_link", "camera", T0) @ POSE
    assert len(inbox.of(stamped(T_base_object, header(T0 - S // 10, "base_link")))) == 1
    assert len(inbox.lines) == 1, "the camera does not move in base_link"


def test_a_transform_that_is_missing_at_the_poses_time_refuses_it_with_the_frames_name() -> None:
    inbox = Inbox()
    _driving(inbox)
    assert inbox.of(stamped(where=header(T0, "map"))) == []
    assert inbox.of(stamped(where=header(T0 + 9 * S // 5, "base_link")), stamp_ns=T0 + S, fixed_frame="odom") == []
    assert inbox.reports.counts == {Reason.TF_UNAVAILABLE: 2}
    assert "'map'" in inbox.lines[0]
    assert "the newest sample of 'base_link' is 0.800 s older" in inbox.lines[1]


def test_a_frame_of_tf_is_a_rough_pose_and_is_used_once_for_each_of_its_times() -> None:
    inbox = Inbox(tf_frames=("cube=detector/cube",))
    assert inbox.of() == []
    assert inbox.reports.counts == {Reason.TF_UNAVAILABLE: 1}
    inbox.place("camera", "base_link", torch.eye(4, dtype=torch.float64))
    inbox.place("detector/cube", "camera", POSE, stamp_ns=T0)
    (found,) = inbox.of(stamp_ns=T0 + S // 10)
    torch.testing.assert_close(found.T_camera_object, POSE, atol=1e-9, rtol=0.0)
    assert (found.label, found.instance_id, found.source) == ("cube", "detector/cube", "tf")
    assert inbox.of(stamp_ns=T0 + S // 5) == []
    inbox.place("detector/cube", "camera", POSE, stamp_ns=T0 + S // 4)
    assert len(inbox.of(stamp_ns=T0 + S // 3)) == 1


def test_a_frame_of_tf_is_moved_over_the_fixed_frame_too() -> None:
    inbox = Inbox(tf_frames=("cube=rough",))
    _driving(inbox)
    inbox.place("rough", "camera", POSE, stamp_ns=T0 - S // 2)
    (found,) = inbox.of(fixed_frame="odom")
    expected = POSE.clone()
    expected[0, 3] -= 0.2 * 0.5
    torch.testing.assert_close(found.T_camera_object, expected, atol=1e-6, rtol=0.0)


def test_a_frame_of_tf_that_is_too_old_is_stale_once() -> None:
    inbox = Inbox(tf_frames=("cube=rough",))
    inbox.place("rough", "camera", POSE, stamp_ns=T0 - 5 * S)
    assert inbox.of() == inbox.of() == []
    assert inbox.reports.counts == {Reason.POSE_STALE: 1}


@pytest.mark.parametrize(
    "config", [{"tf_frames": ("cube:rough",)}, {"tf_frames": ("teapot=rough",)}, {"default_class_id": "teapot"}]
)
def test_settings_that_name_no_object_are_refused_at_once(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cube"):
        Inbox(**config)
