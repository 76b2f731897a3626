"""Our errors and recalls against the BOP toolkit's, on inputs made by formula.

The figures below were computed once with the toolkit's own functions (``pose_error.add, adi, proj, mssd, mspd, re, te,
vsd``, ``misc.get_symmetry_transformations`` with ``max_sym_disc_step`` 0.01, ``pose_matching.match_poses_scene`` and
``score.calc_localization_scores``, commit cea62d6 of its public repository) from the cases that this file makes, with
lengths in millimetres and a renderer that hands out the cases' depth; they are written down in metres, pixels, degrees.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnpose_ros.data.bop.models import continuous_steps
from rnnpose_ros.evaluation.bop_recall import DISTANCE_THRESHOLDS, Pairs, recall, wanted_instances
from rnnpose_ros.evaluation.metrics import (
    add,
    add_s,
    mspd,
    mssd,
    projection_error,
    rotation_error,
    translation_error,
)
from rnnpose_ros.evaluation.vsd import DepthViews, distances, vsd
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.se3 import exp_so3, from_rotation_translation
from rnnpose_ros.objects.symmetry import symmetries_from_bop
from rnnpose_ros.types import CameraIntrinsics

pytestmark = pytest.mark.golden

CAMERA = intrinsics(571.25, 573.5, 318.75, 241.25, width=640, height=480)
SMALL_CAMERA = intrinsics(41.0, 42.0, 19.25, 14.75, width=40, height=30)
DIAMETER = 0.23
DELTA = 0.015
SYMMETRIC_INFO = {
    # A half turn about z with a shift along z, and full turns about an axis beside the origin; millimetres.
    "symmetries_discrete": [[-1.0, 0, 0, 0, 0, -1.0, 0, 0, 0, 0, 1.0, 3.5, 0, 0, 0, 1]],
    "symmetries_continuous": [{"axis": [0, 0.6, 0.8], "offset": [5.0, -2.0, 1.0]}],
}
DISCRETE_INFO = {"symmetries_discrete": [[0, 1.0, 0, 4, -1.0, 0, 0, 4, 0, 0, 1, 0, 0, 0, 0, 1]]}


def points() -> Tensor:
    """60 3, metres."""
    i = torch.arange(60, dtype=torch.float64)
    return 0.1 * torch.stack([torch.sin(1.1 * i), torch.cos(0.7 * i), torch.sin(0.3 * i + 1.0)], -1)


def poses(count: int, wave: float, size: float) -> Tensor:
    """Poses about one place: the rotation vectors and shifts are sines."""
    k = torch.arange(count, dtype=torch.float64)[:, None]
    j = torch.arange(3, dtype=torch.float64)[None]
    omega = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64) + size * torch.sin(wave * k + 1.7 * j)
    t = torch.tensor([0.02, -0.05, 0.9], dtype=torch.float64) + 0.1 * size * torch.cos(wave * k + 0.9 * j)
    return from_rotation_translation(exp_so3(omega), t)


def estimates_and_references() -> tuple[Tensor, Tensor]:
    """Six of each; the last three estimates are near a symmetric reference of DISCRETE_INFO."""
    quarter_turn = torch.tensor(DISCRETE_INFO["symmetries_discrete"], dtype=torch.float64).reshape(4, 4)
    quarter_turn[:3, 3] *= 0.001
    estimates = poses(6, 1.3, 0.4)
    estimates[3:] = estimates[3:] @ quarter_turn
    return estimates, poses(6, 0.8, 0.1)


def depth_case(index: int) -> tuple[Tensor, Tensor, Tensor, CameraIntrinsics]:
    """Depth of an estimate, a reference and a measurement: leaning discs, an occluder and holes. 30 x 40."""
    v, u = torch.meshgrid(torch.arange(30, dtype=torch.float64), torch.arange(40, dtype=torch.float64), indexing="ij")

    def disc(cu: float, cv: float, radius: float, z: float) -> Tensor:
        inside = (u - cu) ** 2 + (v - cv) ** 2 < radius**2
        return torch.where(inside, z + 0.0021 * u - 0.0013 * v, torch.zeros_like(u))

    reference = disc(18.0, 14.0, 9.0, 0.8)
    estimate = disc(18.0 + 1.9 * index, 14.0 - 0.7 * index, 8.5, 0.8 + 0.017 * index)
    measured = torch.where(reference > 0, reference + 0.003 * torch.sin(u + 2.0 * v), torch.full_like(u, 1.4))
    measured = torch.where((u > 22.5) & (v < 16.0), torch.full_like(u, 0.55), measured)
    measured = torch.where((5 * u + 3 * v) % 7 == 0, torch.zeros_like(u), measured)
    return estimate, reference, measured, SMALL_CAMERA


def match_case(index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (E), visible shares (G) and errors (E G) of one object in one picture."""
    e_count, g_count = 1 + index % 4, 1 + (index // 2) % 3
    e, g = np.arange(e_count)[:, None], np.arange(g_count)[None]
    errors = np.abs(np.sin(0.9 * index + 1.9 * e + 2.3 * g)) * 0.6
    scores = np.abs(np.cos(1.7 * index + 0.6 * np.arange(e_count)))
    shares = np.abs(np.sin(0.4 * index + 1.1 * np.arange(g_count)))
    return scores, shares, errors


GOLDEN_ERRORS = {
    "add": [0.043486103, 0.054933242, 0.052838114, 0.113694597, 0.130302463, 0.1656139],
    "add_s": [0.033159905, 0.036153703, 0.033806779, 0.042029566, 0.044526294, 0.041516636],
    "projection": [23.462576892, 26.456336067, 29.593073776, 66.703503078, 79.409341969, 100.711376368],
    "rotation_deg": [17.398239889, 25.036697055, 20.774113614, 65.799912588, 79.120107838, 111.080430333],
    "translation": [0.035975238, 0.038662766, 0.045043204, 0.048927454, 0.064212787, 0.058088589],
    "mssd discrete": [0.076782845, 0.097555799, 0.095363766, 0.117457732, 0.131247674, 0.132960889],
    "mspd discrete": [42.009921054, 49.887429598, 52.563951368, 57.120728214, 72.487521545, 72.627490737],
    "mssd continuous": [0.076731085, 0.075709582, 0.089533292, 0.122123977, 0.136271967, 0.156605913],
    "mspd continuous": [41.953031682, 35.111852661, 49.70198335, 65.038332971, 90.555296967, 86.006469827],
}
GOLDEN_VSD = [
    [
        0.089686099,
        0.089686099,
        0.089686099,
        0.089686099,
        0.089686099,
        0.089686099,
        0.089686099,
        0.089686099,
        0.089686099,
        0.089686099,
    ],
    [
        1.0,
        0.252136752,
        0.252136752,
        0.252136752,
        0.252136752,
        0.252136752,
        0.252136752,
        0.252136752,
        0.252136752,
        0.252136752,
    ],
    [1.0, 1.0, 0.51417004, 0.429149798, 0.429149798, 0.429149798, 0.429149798, 0.429149798, 0.429149798, 0.429149798],
    [1.0, 1.0, 1.0, 1.0, 0.578125, 0.578125, 0.578125, 0.578125, 0.578125, 0.578125],
    [1.0, 1.0, 1.0, 1.0, 1.0, 0.757692308, 0.707692308, 0.707692308, 0.707692308, 0.707692308],
]
GOLDEN_RECALLS = [
    0.060606061,
    0.166666667,
    0.242424242,
    0.393939394,
    0.46969697,
    0.5,
    0.560606061,
    0.666666667,
    0.727272727,
    0.803030303,
]


def errors_of(name: str) -> Tensor:
    """One of the measures of the six pairs."""
    T, T_reference = estimates_and_references()
    K, p = CAMERA.K, points()
    measure, _, info_name = name.partition(" ")
    if measure in ("mssd", "mspd"):
        info = {"discrete": DISCRETE_INFO, "continuous": SYMMETRIC_INFO}[info_name]
        symmetries = symmetries_from_bop(info, steps=continuous_steps(0.01))
        if measure == "mssd":
            return mssd(T, T_reference, points_object=p, symmetries=symmetries)
        return mspd(T, T_reference, points_object=p, symmetries=symmetries, K=K)
    return {
        "add": lambda: add(T, T_reference, points_object=p),
        "add_s": lambda: add_s(T, T_reference, points_object=p),
        "projection": lambda: projection_error(T, T_reference, points_object=p, K=K),
        "rotation_deg": lambda: torch.rad2deg(rotation_error(T, T_reference)),
        "translation": lambda: translation_error(T, T_reference),
    }[measure]()


@pytest.mark.parametrize("name", GOLDEN_ERRORS)
def test_errors_equal_the_toolkits_to_a_millionth(name: str) -> None:
    assert errors_of(name).tolist() == pytest.approx(GOLDEN_ERRORS[name], abs=1e-6, rel=0)


@pytest.mark.parametrize("index", range(5))
def test_vsd_equals_the_toolkits_for_every_tau(index: int) -> None:
    estimate, reference, measured, camera = depth_case(index)
    views = DepthViews(distances(measured, camera), DELTA)
    errors = vsd(distances(estimate, camera), distances(reference, camera), views, diameter=DIAMETER)
    assert errors.tolist() == pytest.approx(GOLDEN_VSD[index], abs=1e-6, rel=0)


def test_recalls_of_matched_estimates_equal_the_toolkits() -> None:
    many = []
    for index in range(40):
        scores, shares, errors = match_case(index)
        best = np.argsort(-scores, kind="stable")[:2]
        many.append(Pairs(scores[best], wanted_instances(shares, 2), errors[best][..., None]))
    recalls = [recall(many, (threshold,)) for threshold in DISTANCE_THRESHOLDS]
    assert recalls == pytest.approx(GOLDEN_RECALLS, abs=1e-6, rel=0)


def test_thresholds_are_the_very_numbers_of_the_toolkit() -> None:
    assert list(DISTANCE_THRESHOLDS) == list(np.arange(0.05, 0.51, 0.05))
    assert continuous_steps(0.01) == 315
