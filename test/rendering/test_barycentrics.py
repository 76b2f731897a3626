"""The closed form that every backend must equal, and its gradients."""

from __future__ import annotations

import torch

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.rendering.renderer import barycentrics

CAMERA = intrinsics(4.0, 5.0, 1.5, 1.0, width=4, height=3)
CORNERS = torch.tensor(
    [[[[-1.0, -1.0, 0.9], [1.2, -0.9, 1.1], [0.1, 1.3, 1.4]], [[-0.8, 0.7, 2.0], [0.9, 0.6, 1.7], [0.0, -1.0, 2.2]]]],
    dtype=torch.float64,
)
FACE_IDS = torch.tensor([[[0, 0, 1, -1], [1, 0, -1, 1], [-1, 0, 0, 1]]])


def test_gradients_with_respect_to_the_corners_are_right():
    corners = CORNERS.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: barycentrics(FACE_IDS, p, CAMERA), (corners,))


def test_weights_sum_to_one_and_lead_back_to_the_pixel():
    b, z = barycentrics(FACE_IDS, CORNERS, CAMERA)
    seen = FACE_IDS >= 0
    torch.testing.assert_close(b.sum(-1), seen.double())
    points = (b[..., None] * CORNERS[0][FACE_IDS.clamp_min(0)]).sum(-2)[seen]
    _, v, u = seen.nonzero(as_tuple=True)
    torch.testing.assert_close(4.0 * points[:, 0] / points[:, 2] + 1.5, u.double())
    torch.testing.assert_close(5.0 * points[:, 1] / points[:, 2] + 1.0, v.double())
    torch.testing.assert_close(points[:, 2], z[seen])


def test_uncovered_pixels_are_zero_and_send_no_gradient():
    corners = CORNERS.clone().requires_grad_()
    b, z = barycentrics(torch.full_like(FACE_IDS, -1), corners, CAMERA)
    (b.sum() + z.sum()).backward()
    assert not bool(b.any())
    assert not bool(z.any())
    assert torch.equal(corners.grad, torch.zeros_like(CORNERS))


def test_a_face_seen_edge_on_gives_zero_and_finite_gradients():
    corners = torch.tensor([[[[0.0, -1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 2.0]]]], dtype=torch.float64)
    camera = intrinsics(4.0, 4.0, 1.0, 1.0, width=3, height=3)
    corners.requires_grad_()
    b, z = barycentrics(torch.zeros(1, 3, 3, dtype=torch.long), corners, camera)
    z.sum().backward()
    assert bool(torch.isfinite(b).all())
    assert bool(torch.isfinite(corners.grad).all())
