"""Tracked objects as markers for rviz: the mesh at its pose, text above it, and a farewell when it is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from rnnpose_ros.ros.message_types import HeaderFields, MessageMaker, ros_message
from rnnpose_ros.ros.messages import pose_message
from rnnpose_ros.tracking.track import TrackedObject
from rnnpose_ros.types import ObjectModel

_ADD, _DELETE = 0, 2
_TEXT_VIEW_FACING, _MESH_RESOURCE = 9, 10
"""Numbers of visualization_msgs/Marker."""
_PLAIN_RGBA = (0.31, 1.0, 0.24, 0.7)
_TEXT_RGBA = (1.0, 1.0, 1.0, 1.0)
_TEXT_HEIGHT_DIAMETERS = 0.15


class MarkerBook:
    """Knows which markers are on the screens, so that those of lost objects are taken away."""

    def __init__(self) -> None:
        self._shown: set[tuple[str, int]] = set()

    def messages(
        self,
        tracked: Sequence[TrackedObject],
        objects: Mapping[str, ObjectModel],
        *,
        header: HeaderFields,
        lifetime_s: float,
        make: MessageMaker = ros_message,
    ) -> list[Any]:
        """The markers of one picture: namespace is the class, id the track's number.

        Args:
            tracked: What may be published.
            objects: By label.
            header: The image's own.
            lifetime_s: After which rviz takes them away by itself.
            make: Makes the messages.
        """
        markers: list[Any] = []
        shown: set[tuple[str, int]] = set()
        for item in tracked:
            both = (_mesh(item, objects[item.label], make=make), _text(item, objects[item.label], make=make))
            for marker in both:
                if marker is not None:
                    marker.header, marker.action = header, _ADD
                    marker.lifetime.sec, marker.lifetime.nanosec = divmod(round(lifetime_s * 1e9), 1_000_000_000)
                    markers.append(marker)
                    shown.add((marker.ns, marker.id))
        for namespace, number in sorted(self._shown - shown):
            markers.append(make("visualization_msgs/Marker", header=header, ns=namespace, id=number, action=_DELETE))
        self._shown = shown
        return markers


def mesh_resource(mesh_path: str) -> str:
    """The address under which rviz finds a mesh: ``package://`` for installed ones, so that it holds elsewhere too."""
    path = Path(mesh_path).absolute()
    for parent in path.parents:
        if parent.parent.name == "share" and (parent / "package.xml").is_file():
            return f"package://{parent.name}/{path.relative_to(parent).as_posix()}"
    return path.as_uri()


def _mesh(item: TrackedObject, model: ObjectModel, *, make: MessageMaker) -> Any:
    if not model.mesh_path:
        return None
    marker = make("visualization_msgs/Marker", ns=item.label, id=item.number, type=_MESH_RESOURCE)
    marker.pose = pose_message(item.result.T_camera_object.double(), make=make)
    marker.scale.x = marker.scale.y = marker.scale.z = model.mesh_scale
    marker.mesh_resource = mesh_resource(model.mesh_path)
    has_look = model.mesh.texture is not None or model.mesh.vertex_colors is not None
    marker.mesh_use_embedded_materials = has_look
    if not has_look:
        _colour(marker, _PLAIN_RGBA)
    return marker


def _text(item: TrackedObject, model: ObjectModel, *, make: MessageMaker) -> Any:
    marker = make("visualization_msgs/Marker", ns=f"{item.label}/text", id=item.number, type=_TEXT_VIEW_FACING)
    T = item.result.T_camera_object.double()
    above = torch.eye(4, dtype=torch.float64)
    above[:3, 3] = T[:3, :3] @ model.centre.double() + T[:3, 3]
    above[1, 3] -= 0.6 * model.diameter  # y points down
    marker.pose = pose_message(above, make=make)
    marker.scale.z = _TEXT_HEIGHT_DIAMETERS * model.diameter
    marker.text = f"{item.instance_id} {item.result.score:.2f}"
    _colour(marker, _TEXT_RGBA)
    return marker


def _colour(marker: Any, rgba: tuple[float, float, float, float]) -> None:
    marker.color.r, marker.color.g, marker.color.b, marker.color.a = rgba
