"""What the Warp renderer alone promises."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from rnnpose_ros.errors import BackendUnavailableError
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.rendering.warp_renderer import WarpRenderer


def test_pixel_centres_on_shared_edges_belong_to_exactly_one_face(warp_renderer, make_mesh):
    # Every vertex of the grid lies on a pixel centre, and every diagonal runs through pixel centres.
    rows, columns = torch.meshgrid(torch.arange(0, 17, 4.0), torch.arange(0, 17, 4.0), indexing="ij")
    vertices = torch.stack([columns / 32, rows / 32, torch.ones_like(rows)], -1).reshape(-1, 3)
    a = (torch.arange(4)[:, None] * 5 + torch.arange(4)).reshape(-1)
    faces = torch.cat([torch.stack([a, a + 1, a + 6], -1), torch.stack([a, a + 6, a + 5], -1)])
    camera = intrinsics(32.0, 32.0, 2.0, 3.0, width=24, height=24)
    hits = torch.zeros(24, 24)
    for face in faces:
        alone = warp_renderer.upload(make_mesh(vertices, face[None]))
        hits += warp_renderer.render([alone], torch.eye(4)[None], camera).face_ids[0] >= 0
    expected = torch.zeros(24, 24)
    expected[3:19, 2:18] = 1  # top and left borders drawn, bottom and right ones not
    assert torch.equal(hits, expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused_with_the_remedy():
    with pytest.raises(BackendUnavailableError, match="--device cpu"):
        WarpRenderer("cuda")


def test_constructing_says_nothing_and_importing_starts_nothing():
    script = (
        "import warp, rnnpose_ros.rendering.warp_renderer as module\n"
        "assert warp._src.context.runtime is None\n"
        "module.WarpRenderer()\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_sees_what_the_cpu_sees(warp_renderer, random_mesh, random_poses, camera):
    mesh = random_mesh(3, textured=True)
    cuda = WarpRenderer("cuda")
    T = random_poses(3, 2)
    expected = warp_renderer.render([warp_renderer.upload(mesh)], T, camera, attributes=[mesh.vertices])
    seen = cuda.render([cuda.upload(mesh)], T, camera, attributes=[mesh.vertices])
    assert torch.equal(seen.face_ids.cpu(), expected.face_ids)
    torch.testing.assert_close(seen.depth.cpu(), expected.depth, atol=1e-6, rtol=0)
    torch.testing.assert_close(seen.attributes.cpu(), expected.attributes, atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.color.cpu(), expected.color, atol=1e-4, rtol=0)
