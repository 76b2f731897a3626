"""Which camera sees an object where, and from which wrong pose the refiner starts."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from rnnpose_ros.data.synthetic.randomization import ViewRanges
from rnnpose_ros.data.synthetic.solids import random_rotation
from rnnpose_ros.geometry.perturbation import N1, perturb
from rnnpose_ros.geometry.se3 import transform
from rnnpose_ros.types import CameraIntrinsics, ObjectModel


def random_cameras(count: int, ranges: ViewRanges, *, rng: np.random.Generator) -> CameraIntrinsics:
    """The full photographs' cameras."""
    width, height = ranges.image_px
    K = np.tile(np.eye(3), (count, 1, 1))
    K[:, 0, 0] = rng.uniform(ranges.focal_px[0], ranges.focal_px[1], count)
    K[:, 1, 1] = K[:, 0, 0] * (1 + rng.normal(0, 0.003, count))
    K[:, 0, 2] = (width - 1) / 2 + rng.normal(0, ranges.principal_jitter_px, count)
    K[:, 1, 2] = (height - 1) / 2 + rng.normal(0, ranges.principal_jitter_px, count)
    return CameraIntrinsics(K=torch.from_numpy(K), height=height, width=width)


def random_poses(
    objects: tuple[ObjectModel, ...], camera: CameraIntrinsics, ranges: ViewRanges, *, rng: np.random.Generator
) -> Float[Tensor, "B 4 4"]:
    """True poses: any rotation, the centre somewhere in the picture, as large as asked where depth allows."""
    T = np.tile(np.eye(4), (len(objects), 1, 1))
    for i, model in enumerate(objects):
        K = camera.K[i].numpy()
        low, high = ranges.object_px
        wanted_px = math.exp(rng.uniform(math.log(low), math.log(high)))
        z = float(np.clip(K[0, 0] * model.diameter / wanted_px, ranges.distance_m[0], ranges.distance_m[1]))
        place = np.clip(rng.normal(0.5, ranges.spread, 2), 0.08, 0.92)
        u, v = place * (camera.width, camera.height)
        centre_camera = z * np.array([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], 1.0])
        T[i, :3, :3] = random_rotation(rng)
        T[i, :3, 3] = centre_camera - T[i, :3, :3] @ model.centre.double().numpy()
    return torch.from_numpy(T)


def start_poses(
    T_camera_object: Float[Tensor, "B 4 4"],
    objects: tuple[ObjectModel, ...],
    ranges: ViewRanges,
    *,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Float[Tensor, "B 4 4"]:
    """Wrong poses: N1's noise, where asked in proportion to the object, a share of them nearer."""
    count = len(objects)
    relative = np.array([model.diameter for model in objects]) / max(ranges.noise_diameter_m, 1e-9)
    low, high = ranges.noise_factor
    factor = np.clip(relative, 0.5, 2.0) if ranges.noise_diameter_m else np.ones(count)
    factor = factor * rng.uniform(low, high, count)
    nearer = rng.random(count) < ranges.small_noise_share
    low, high = ranges.small_noise_factor
    factor = np.where(nearer, factor * rng.uniform(low, high, count), factor)
    centres = torch.stack([model.centre for model in objects]).double()
    T_start = perturb(
        T_camera_object, noise=N1, scale=torch.from_numpy(factor), generator=generator, centre_object=centres
    )
    return _held_in_depth(T_start, T_camera_object, centres, ranges.depth_ratio)


def _held_in_depth(
    T_start: Float[Tensor, "B 4 4"],
    T_camera_object: Float[Tensor, "B 4 4"],
    centres: Float[Tensor, "B 3"],
    ratio: tuple[float, ...],
) -> Float[Tensor, "B 4 4"]:
    """Starts moved along z so that no centre is absurdly near or far against its true depth."""
    z_start, z_true = (transform(T, centres[:, None])[:, 0, 2] for T in (T_start, T_camera_object))
    held = torch.minimum(torch.maximum(z_start, ratio[0] * z_true), ratio[1] * z_true)
    T_held = T_start.clone()
    T_held[:, 2, 3] += held - z_start
    return T_held


def nearest_symmetric_pose(
    T_camera_object: Float[Tensor, "4 4"],
    T_camera_object_initial: Float[Tensor, "4 4"],
    symmetries: Float[Tensor, "S 4 4"],
    points_object: Float[Tensor, "N 3"],
) -> Float[Tensor, "4 4"]:
    """Of all poses that look the same, the one whose points lie nearest to where the start puts them."""
    if len(symmetries) == 1:
        return T_camera_object
    candidates = T_camera_object @ symmetries.to(T_camera_object)
    points = points_object.to(T_camera_object)
    moved = transform(candidates, points.expand(len(candidates), -1, -1))
    distance = (moved - transform(T_camera_object_initial, points)).norm(dim=-1).mean(1)
    return candidates[distance.argmin()]
