"""Where scenes get their objects from: given ones in changing looks; and sample streams that can be stopped."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from rnnpose_ros.config import build
from rnnpose_ros.data.synthetic.object_pools import GivenObjects
from rnnpose_ros.data.synthetic.randomization import ObjectRanges, SceneConfig
from rnnpose_ros.data.synthetic.scene import SceneGenerator
from rnnpose_ros.errors import InputError
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.rendering.warp_renderer import WarpRenderer
from rnnpose_ros.types import Mesh, ObjectModel, TrainingBatch

SMALL_POOLS = build(
    SceneConfig,
    {"objects.pool_size": 6, "objects.samples_per_object": 3, "look.cutouts": 4, "look.backgrounds": 5},
)


@pytest.fixture(scope="module")
def renderer() -> WarpRenderer:
    return WarpRenderer("cpu")


def tetrahedron(label: str, *, textured: bool) -> ObjectModel:
    """10 cm along each axis; with a texture, red."""
    vertices = 0.1 * torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    corners = vertices[faces]
    outward = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = torch.nn.functional.normalize(outward, dim=1)
    mesh = Mesh(vertices, faces, normals[:, None].expand(-1, 3, -1).contiguous())
    if textured:
        red = torch.tensor([200, 10, 10], dtype=torch.uint8).expand(8, 8, 3).contiguous()
        mesh = replace(mesh, corner_uvs=torch.full((4, 3, 2), 0.5), texture=red)
    return object_from_mesh(mesh, label=label)


def test_given_objects_come_equally_often_and_are_told_as_they_were_given(renderer: WarpRenderer) -> None:
    models = [tetrahedron("bare", textured=False), tetrahedron("red", textured=True)]
    pool = GivenObjects(renderer, models, ranges=ObjectRanges(), seed=(1, 1))
    drawn = [pool.draw() for _ in range(200)]
    counts = Counter(item.model.label for item in drawn)
    assert min(counts.values()) > 70
    assert {id(item.model) for item in drawn} == {id(model) for model in models}
    bare = {item.photographed.mip_chain[:3].numpy().tobytes() for item in drawn if item.model.label == "bare"}
    assert len(bare) > 4
    red = [item.photographed.mip_chain[:3].float() for item in drawn if item.model.label == "red"]
    assert all(color[0] > 2 * color[1] for color in red)


def test_a_pool_of_no_objects_is_refused(renderer: WarpRenderer) -> None:
    with pytest.raises(InputError, match="at least one object"):
        GivenObjects(renderer, [], ranges=ObjectRanges(), seed=(1,))


def equal(first: TrainingBatch, second: TrainingBatch) -> bool:
    return (
        torch.equal(first.photo, second.photo)
        and torch.equal(first.photo_depth, second.photo_depth)
        and torch.equal(first.camera.K, second.camera.K)
        and torch.equal(first.T_camera_object, second.T_camera_object)
        and torch.equal(first.T_camera_object_initial, second.T_camera_object_initial)
        and all(
            torch.equal(a.mesh.vertices, b.mesh.vertices) for a, b in zip(first.objects, second.objects, strict=True)
        )
    )


@pytest.mark.parametrize("given", [False, True])
def test_a_restored_stream_goes_on_bit_for_bit(renderer: WarpRenderer, given: bool, tmp_path) -> None:
    models = [tetrahedron("bare", textured=False), tetrahedron("red", textured=True)] if given else []
    first, second = (SceneGenerator(renderer, config=SMALL_POOLS, seed=7, models=models) for _ in range(2))
    for _ in range(6):
        first.batch(4, size=48, margin=1.3)
    torch.save(first.state(), tmp_path / "state.pt")
    expected = [first.batch(4, size=48, margin=1.3) for _ in range(4)]
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert all(equal(batch, second.batch(4, size=48, margin=1.3)) for batch in expected)
    assert not equal(expected[0], expected[1])
