"""The refiner's own services. Their answers are JSON in the message field, of success and of failure alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from rnnpose_ros.errors import InputError, RnnposeError
from rnnpose_ros.ros.parameters import NodeConfig, NodeParameters
from rnnpose_ros.ros.pipeline import FrameAnswer
from rnnpose_ros.ros.session import RefinerSession
from rnnpose_ros.ros.snapshot import save_snapshot

_WORKER_S = 10.0
"""Longest wait for the worker to end its picture."""


class RefinerServices:
    """``~/reset``, ``~/set_enabled``, ``~/refine_once``, ``~/reload_objects`` and ``~/save_snapshot``.

    Args:
        node: Where the services live.
        session: What is served; raises an ``RnnposeError`` while there is none.
        settings: The node's configuration.
    """

    def __init__(self, node: Node, session: Callable[[], RefinerSession], settings: NodeParameters) -> None:
        self._session = session
        self._settings = settings
        # Of their own, so that one that waits for a picture keeps neither pictures nor other services waiting.
        group = ReentrantCallbackGroup()
        triggers = {
            "reset": self._reset,
            "refine_once": self._refine_once,
            "reload_objects": self._reload_objects,
            "save_snapshot": self._save_snapshot,
        }
        for name, act in triggers.items():
            node.create_service(Trigger, f"~/{name}", _trigger(act), callback_group=group)
        node.create_service(SetBool, "~/set_enabled", self._set_enabled, callback_group=group)

    def _reset(self) -> dict[str, Any]:
        """Forget every object."""
        self._session().reset(timeout_s=_WORKER_S)
        return {}

    def _refine_once(self) -> dict[str, Any]:
        """The objects of the next picture, also while refining is not enabled."""
        config: NodeConfig = self._settings.current
        return describe_answer(self._session().refine_once(timeout_s=config.services.picture_timeout))

    def _reload_objects(self) -> dict[str, Any]:
        """Read objects_file again; a wrong file changes nothing."""
        session = self._session()
        session.reload_objects(timeout_s=_WORKER_S)
        return {"objects": session.labels}

    def _save_snapshot(self) -> dict[str, Any]:
        """The last picture, its camera, and the poses that went in and came out, as a file."""
        answer = self._session().last_answer
        if answer is None:
            raise InputError("no picture was refined yet")
        return {"file": str(save_snapshot(answer, self._settings.current))}

    def _set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        def switch() -> dict[str, Any]:
            self._session().is_enabled = bool(request.data)
            return {"enabled": bool(request.data)}

        return _answer(switch, response)


def describe_answer(answer: FrameAnswer) -> dict[str, Any]:
    """One picture's objects in plain values."""
    objects = [
        {
            "class_id": item.label,
            "id": item.instance_id,
            "score": round(item.result.score, 4),
            "status": item.result.status.value,
            "T_camera_object": item.result.T_camera_object.tolist(),
        }
        for item in answer.outcome.tracked
    ]
    lost = [
        {"class_id": item.label, "score": round(item.result.score, 4), "status": item.result.status.value}
        for item in answer.outcome.lost
    ]
    header = {"stamp_ns": answer.frame.stamp_ns, "frame_id": answer.frame.frame_id}
    return {**header, "objects": objects, "lost": lost}


def _trigger(act: Callable[[], dict[str, Any]]) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
    return lambda _, response: _answer(act, response)


def _answer(act: Callable[[], dict[str, Any]], response: Any) -> Any:
    try:
        answer, response.success = act(), True
    except RnnposeError as error:
        answer, response.success = {"error": str(error)}, False
    response.message = json.dumps(answer)
    return response
