"""How wrong a pose is, in the terms of the BOP benchmark and of the 2D projection error.

All functions take batches of estimated and reference poses (object to camera, metres) and answer one error
per pair. A pose that is not finite has the error NaN, and NaN counts as a miss in every recall.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from rnnpose_ros.geometry.camera import backproject, pixel_grid, project
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.geometry.se3 import inverse, transform
from rnnpose_ros.types import CameraIntrinsics, ObjectModel


@dataclass(frozen=True, slots=True, eq=False)
class PoseErrors:
    """Every error of a batch of estimated poses."""

    projection_px: Float[Tensor, "B"]
    """Mean over all vertices."""
    visible_projection_px: Float[Tensor, "B"] | None
    """Mean over the surface seen at the reference pose; None where that was not given."""
    add: Float[Tensor, "B"]
    """Metres."""
    add_s: Float[Tensor, "B"]
    """Metres."""
    mssd: Float[Tensor, "B"]
    """Metres."""
    mspd: Float[Tensor, "B"]
    """Pixels."""
    rotation: Float[Tensor, "B"]
    """Radians, to the nearest symmetric reference."""
    translation: Float[Tensor, "B"]
    """Metres, between the object's centres."""


def pose_errors(
    T_camera_object: Float[Tensor, "B 4 4"],
    T_camera_object_reference: Float[Tensor, "B 4 4"],
    *,
    model: ObjectModel,
    camera: CameraIntrinsics,
    visible_points_object: Float[Tensor, "M 3"] | None = None,
) -> PoseErrors:
    """All errors of estimated poses of one object.

    Args:
        T_camera_object: Estimates.
        T_camera_object_reference: References.
        model: The object.
        camera: One camera for all, or one each.
        visible_points_object: See :func:`visible_points`; one set for the whole batch.
    """
    T, T_reference = T_camera_object.double(), T_camera_object_reference.double()
    points, K, symmetries = model.mesh.vertices.double(), camera.K.double(), model.symmetries.double()
    visible = None
    if visible_points_object is not None:
        visible = projection_error(T, T_reference, points_object=visible_points_object.double(), K=K)
    return PoseErrors(
        projection_px=projection_error(T, T_reference, points_object=points, K=K),
        visible_projection_px=visible,
        add=add(T, T_reference, points_object=points),
        add_s=add_s(T, T_reference, points_object=points),
        mssd=mssd(T, T_reference, points_object=points, symmetries=symmetries),
        mspd=mspd(T, T_reference, points_object=points, symmetries=symmetries, K=K),
        rotation=rotation_error(T, T_reference, symmetries=symmetries),
        translation=translation_error(T, T_reference, centre_object=model.centre.double()),
    )


def add(
    T_camera_object: Float[Tensor, "B 4 4"],
    T_camera_object_reference: Float[Tensor, "B 4 4"],
    *,
    points_object: Float[Tensor, "N 3"],
) -> Float[Tensor, "B"]:
    """ADD: mean distance between the same points at both poses, metres."""
    return _distances(T_camera_object, T_camera_object_reference, points_object).mean(-1)


def add_s(
    T_camera_object: Float[Tensor, "B 4 4"],
    T_camera_object_reference: Float[Tensor, "B 4 4"],
    *,
    points_object: Float[Tensor, "N 3"],
) -> Float[Tensor, "B"]:
    """ADD-S (ADI): mean distance from each point at the reference to the *nearest* point at the estimate, metres."""
    # Distances do not change when both are taken into the estimate's object frame: one tree serves the batch.
    tree = cKDTree(points_object.detach().cpu().double().numpy())
    T_object_reference = inverse(T_camera_object) @ T_camera_object_reference
    queries = transform(T_object_reference, _expand(points_object, T_object_reference))
    errors = torch.full(queries.shape[:1], float("nan"), dtype=queries.dtype)
    for i, query in enumerate(queries.detach().cpu()):
        if bool(torch.isfinite(query).all()):
            errors[i] = float(tree.query(query.double().numpy())[0].mean())
    return errors.to(queries)


def projection_error(
    T_camera_object: Float[Tensor, "B 4 4"],
    T_camera_object_reference: Float[Tensor, "B 4 4"],
    *,
    points_object: Float[Tensor, "N 3"],
    K: Float[Tensor, "C 3 3"],
) -> Float[Tensor, "B"]:
    """Mean distance in the image between the projections of the same points at both poses, pixels.

    Give the mesh's vertices for the error over the whole object, or :func:`visible_points` for the error
    over the surface that the picture shows.

    Args:
        T_camera_object: Estimates.
        T_camera_object_reference: References.
        points_object: Metres.
        K: One camera (C = 1) or one each (C = B).
    """
    return _pixel_distances(T_camera_object, T_camera_object_reference, points_object, K).mean(-1)


def mssd(
    T_camera_object: Float[Tensor, "B 4 4"],
    T_camera_object_reference: Float[Tensor, "B 4 4"],
    *,
    points_object: Float[Tensor, "N 3"],
    symmetries: Float[Tensor, "S 4 4"],
) -> Float[Tensor, "B"]:
    """MSSD: over the symmetric references the smallest of the largest point distances, metres."""
    errors = [_distances(T_camera_object, T_camera_object_reference @ S, points_object).amax(-1) for S in symmetries]
    return torch.stack(errors).amin(0)


def mspd(
    T_camera_object: Float[Tensor, "B 4 4"],
    T_camera_object_reference: Float[Tensor, "B 4 4"],
    *,
    points_object: Float[Tensor, "N 3"],
    symmetries: Float[Tensor, "S 4 4"],
    K: Float[Tensor, "C 3 3"],
) -> Float[Tensor, "B"]:
    """MSPD: over the symmetric references the smallest of the largest projection distances, pixels."""
    errors = [
        _pixel_distances(T_camera_object, T_camera_object_reference @ S, points_object, K).amax(-1) for S in symmetries
    ]
    return torch.stack(errors).amin(0)


def rotation_error(
    T_camera_object: Float[Tensor, "B 4 4"],
    T_camera_object_reference: Float[Tensor, "B 4 4"],
    *,
    symmetries: Float[Tensor, "S 4 4"] | None = None,
) -> Float[Tensor, "B"]:
    """Angle between the rotations, radians; to the nearest symmetric reference where symmetries are given."""
    references = T_camera_object_reference[:, None]
    if symmetries is not None:
        references = references @ symmetries[None].to(references)
    R_between = T_camera_object[:, None, :3, :3] @ references[..., :3, :3].transpose(-1, -2)
    return rotation_angle(R_between).amin(-1)


def translation_error(
    T_camera_object: Float[Tensor, "B 4 4"],
    T_camera_object_reference: Float[Tensor, "B 4 4"],
    *,
    centre_object: Float[Tensor, "3"] | None = None,
) -> Float[Tensor, "B"]:
    """Distance between the object's origins (or between its centres, where one is given), metres."""
    centre = torch.zeros(3).to(T_camera_object) if centre_object is None else centre_object
    return _distances(T_camera_object, T_camera_object_reference, centre[None])[..., 0]


def visible_points(
    depth: Float[Tensor, "H W"],
    T_camera_object: Float[Tensor, "4 4"],
    camera: CameraIntrinsics,
    *,
    count: int = 2000,
) -> Float[Tensor, "M 3"]:
    """Points of the object's surface that are seen at a pose, in the object frame, metres.

    Args:
        depth: The object alone, drawn at the pose; 0 = nothing.
        T_camera_object: That pose.
        camera: That camera, B = 1.
        count: At most this many points, evenly picked in pixel order.
    """
    T = T_camera_object.double()
    uv = pixel_grid(*depth.shape, dtype=torch.float64)
    seen = depth.cpu() > 0
    points = backproject(depth.cpu().double()[seen][None], uv[seen][None], camera.K.cpu().double())
    points = transform(inverse(T.cpu())[None], points)[0]
    return points[torch.linspace(0, len(points) - 1, min(count, len(points))).long()]


def recall(errors: Float[Tensor, "B"], threshold: float) -> float:
    """Share of errors below a threshold; NaN is a miss, and so is everything of an empty batch."""
    return float((errors < threshold).double().mean()) if len(errors) else 0.0


def average_recall(errors: Float[Tensor, "B"], thresholds: Float[Tensor, "K"]) -> float:
    """Mean of the recalls at several thresholds."""
    return sum(recall(errors, float(t)) for t in thresholds) / max(1, len(thresholds))


def median(errors: Float[Tensor, "B"]) -> float:
    """The middle error, NaN standing for infinite; NaN for an empty batch."""
    if not len(errors):
        return float("nan")
    return float(torch.quantile(torch.nan_to_num(errors.double(), nan=1e30), 0.5, interpolation="lower"))


def _distances(T_a: Tensor, T_b: Tensor, points: Tensor) -> Tensor:
    return (transform(T_a, _expand(points, T_a)) - transform(T_b, _expand(points, T_b))).norm(dim=-1)


def _pixel_distances(T_a: Tensor, T_b: Tensor, points: Tensor, K: Tensor) -> Tensor:
    uv_a, uv_b = (project(transform(T, _expand(points, T)), K.expand(len(T), 3, 3)) for T in (T_a, T_b))
    return (uv_a - uv_b).norm(dim=-1)


def _expand(points: Tensor, T: Tensor) -> Tensor:
    return points.to(T)[None].expand(len(T), -1, -1)
