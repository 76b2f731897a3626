"""Pictures of results in full-image coordinates, on fields and shapes that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from rnnpose_ros.geometry.camera import intrinsics, pixel_grid
from rnnpose_ros.objects.library import object_from_mesh
from rnnpose_ros.refinement.features import FeatureCache
from rnnpose_ros.refinement.pictures import COLORMAPS, colorize, flow_map, render_picture, similarity_map
from rnnpose_ros.rendering.reference_renderer import ReferenceRenderer
from rnnpose_ros.types import (
    CorrespondenceField,
    ImageFrame,
    IterationTrace,
    Mesh,
    ObjectModel,
    RefinementResult,
    RefinementStatus,
)

CAMERA = intrinsics(60.0, 60.0, 31.5, 23.5, width=64, height=48)
FRAME = ImageFrame(rgb=torch.full((48, 64, 3), 128, dtype=torch.uint8), camera=CAMERA)


def cube(label: str, rgb: tuple[int, int, int]) -> ObjectModel:
    shape = trimesh.creation.box((0.1, 0.1, 0.1))
    vertices = torch.tensor(np.asarray(shape.vertices), dtype=torch.float32)
    faces = torch.tensor(np.asarray(shape.faces), dtype=torch.int64)
    normals = torch.tensor(np.repeat(np.asarray(shape.face_normals)[:, None], 3, 1), dtype=torch.float32)
    colors = torch.tensor([rgb], dtype=torch.uint8).expand(len(vertices), 3).contiguous()
    mesh = Mesh(vertices=vertices, faces=faces, corner_normals=normals, vertex_colors=colors)
    return object_from_mesh(mesh, label=label)


def result(
    label: str, z: float, *, x: float = 0.0, trace: tuple[IterationTrace, ...] | None = None
) -> RefinementResult:
    T = torch.eye(4, dtype=torch.float64)
    T[0, 3], T[2, 3] = x, z
    return RefinementResult(label, T, RefinementStatus.CONVERGED, 0.9, 0.5, trace=trace)


def step(*, zoom: float, corner: tuple[float, float], flow_crop_px: tuple[float, float]) -> IterationTrace:
    """A crop of 32 pixels, cells 8 apart, all but the last row of them on the object."""
    cells = pixel_grid(32, 32, stride=8)
    similarity = torch.full((4, 4), 0.5)
    similarity[3] = 0.0
    target = torch.where(similarity[..., None] > 0, cells + torch.tensor(flow_crop_px), torch.tensor(float("nan")))
    affine = torch.tensor([[zoom, 0.0, -zoom * corner[0]], [0.0, zoom, -zoom * corner[1]]], dtype=torch.float64)
    return IterationTrace(
        cycle=0,
        iteration=0,
        T_camera_object=torch.eye(4, dtype=torch.float64),
        camera=CAMERA,
        affine_crop_image=affine,
        induced_uv=cells,
        field=CorrespondenceField(target_uv=target[None], confidence=similarity[None]),
        similarity=similarity,
        cell_uv=cells,
        rectified_uv=cells,
        depth=torch.ones(32, 32),
        photo=torch.zeros(3, 32, 32),
        render=torch.zeros(3, 32, 32),
    )


def test_the_flow_lies_in_image_pixels_at_the_place_of_its_crop() -> None:
    trace = (step(zoom=2.0, corner=(20.0, 10.0), flow_crop_px=(6.0, -4.0)),)
    flow = flow_map(FRAME, [result("cube", 0.5, trace=trace)])
    assert flow.shape == (48, 64, 2)
    assert np.allclose(flow[12, 24], (3.0, -2.0)), "half of what it is in the crop of twice the size"
    assert np.isnan(flow[5, 24]).all(), "above the crop"
    assert np.isnan(flow[24, 24]).all(), "the last row of cells does not show the object"
    known = ~np.isnan(flow[..., 0])
    rows, columns = np.nonzero(known)
    assert abs(rows.mean() - 14.0) < 1.1
    assert abs(columns.mean() - 26.0) < 1.1


def test_flow_and_similarity_lie_on_the_same_pixels() -> None:
    results = [result("cube", 0.5, trace=(step(zoom=2.0, corner=(20.0, 10.0), flow_crop_px=(6.0, -4.0)),))]
    known = ~np.isnan(flow_map(FRAME, results)[..., 0])
    assert (similarity_map(FRAME, results)[known] > 0).all()


def test_results_without_a_trace_have_no_flow() -> None:
    assert np.isnan(flow_map(FRAME, [result("cube", 0.5)])).all()


def test_of_two_objects_in_line_the_nearer_is_drawn_whatever_their_order() -> None:
    objects = {"red": cube("red", (255, 0, 0)), "blue": cube("blue", (0, 0, 255))}
    features = FeatureCache(ReferenceRenderer())
    near_and_far = [result("red", 0.5), result("blue", 1.0)]
    for results in (near_and_far, near_and_far[::-1]):
        picture = render_picture(FRAME, results, objects, features)
        red, _, blue = (int(value) for value in picture[23, 31])
        assert red > 100
        assert blue == 0
        assert not picture[2, 2].any(), "nothing beside them"


def test_the_drawn_object_lies_where_its_projection_does() -> None:
    picture = render_picture(FRAME, [result("red", 0.55, x=0.11)], {"red": cube("red", (255, 0, 0))}, _features())
    columns = np.nonzero(picture.any(axis=(0, 2)))[0]
    front_left = 31.5 + 60.0 * (0.11 - 0.05) / 0.6  # the far edge of the left side is seen from the camera
    front_right = 31.5 + 60.0 * (0.11 + 0.05) / 0.5
    assert abs(columns.min() - front_left) <= 1.0
    assert abs(columns.max() - front_right) <= 1.0


def _features() -> FeatureCache:
    return FeatureCache(ReferenceRenderer())


@pytest.mark.parametrize("colormap", COLORMAPS)
def test_maps_are_told_apart_by_colour_and_nothing_is_black(colormap: str) -> None:
    values = np.array([[0.0, 0.01, 0.5, 1.0, 7.0]], np.float32)
    picture = colorize(values, colormap=colormap)
    assert (picture[0, 0] == 0).all()
    assert len(np.unique(picture[0, 1:4], axis=0)) == 3
    assert (picture[0, 3] == picture[0, 4]).all(), "more than 1 is drawn as 1"
