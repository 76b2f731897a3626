"""PyTorch3D's conventions in the one file that knows them, and what it says where it is absent."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from rnnpose_ros.errors import BackendUnavailableError, ConfigError
from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.rendering.backends import RENDERERS, make_renderer
from rnnpose_ros.rendering.pytorch3d_renderer import to_ndc


@pytest.mark.parametrize(("width", "height"), [(48, 32), (32, 48), (30, 30)])
def test_pixel_centres_are_where_pytorch3d_documents_them(width, height):
    # Its sides are cut into equal pixels whose centres lie at halves; the shorter side spans -1..1, +x left, +y up.
    camera = intrinsics(70.0, 80.0, 13.3, 17.1, width=width, height=height)
    half_x, half_y = width / min(width, height), height / min(width, height)
    for u, v in ((0, 0), (width - 1, 0), (0, height - 1), (5, 7)):
        z = 0.4 + 0.1 * u
        point = torch.tensor([[(u - 13.3) / 70.0 * z, (v - 17.1) / 80.0 * z, z]], dtype=torch.float64)
        x, y, depth = to_ndc(point, camera.K[0], height=height, width=width)[0].tolist()
        assert x == pytest.approx(half_x * (1 - (2 * u + 1) / width), abs=1e-12)
        assert y == pytest.approx(half_y * (1 - (2 * v + 1) / height), abs=1e-12)
        assert depth == pytest.approx(z)


def test_points_in_the_plane_of_the_camera_stay_finite():
    K = intrinsics(70.0, 80.0, 13.3, 17.1, width=48, height=32).K[0]
    points = torch.tensor([[0.1, -0.2, 0.0], [0.1, -0.2, -0.0]], dtype=torch.float64)
    assert bool(torch.isfinite(to_ndc(points, K, height=32, width=48).float()).all())


def test_asking_for_it_where_it_is_absent_says_how_to_build_it(without_pytorch3d):
    with pytest.raises(BackendUnavailableError, match=r"no Linux\s+wheel") as raised:
        make_renderer("pytorch3d")
    assert "pip install --no-build-isolation" in str(raised.value)
    assert "github.com/facebookresearch/pytorch3d" in str(raised.value)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="warp, pytorch3d, got 'opengl'"):
        make_renderer("opengl")


@pytest.mark.parametrize("name", RENDERERS)
def test_only_the_library_that_is_asked_for_is_imported(name, request):
    request.getfixturevalue(f"{name}_renderer")  # skips where it is absent
    script = (
        "import sys\n"
        "from rnnpose_ros.rendering.backends import make_renderer\n"
        "assert not {'warp', 'pytorch3d'} & set(sys.modules)\n"
        f"make_renderer({name!r})\n"
        "print(*sorted({'warp', 'pytorch3d'} & set(sys.modules)))\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == [name]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused_with_the_remedy(pytorch3d_renderer):
    with pytest.raises(BackendUnavailableError, match="--device cpu"):
        make_renderer("pytorch3d", "cuda")


def test_the_outline_through_pixel_centres_is_drawn_on_all_four_sides(pytorch3d_renderer, make_quad):
    # Here it cannot follow the top-left rule; see the module.
    camera = intrinsics(8.0, 8.0, 15.0, 12.0, width=32, height=24)
    T = torch.eye(4, dtype=torch.float64)[None]
    T[0, 2, 3] = 1.0
    drawn = pytorch3d_renderer.render([pytorch3d_renderer.upload(make_quad())], T, camera).face_ids[0] >= 0
    expected = torch.zeros(24, 32, dtype=torch.bool)
    expected[4:21, 7:24] = True
    assert torch.equal(drawn, expected)
