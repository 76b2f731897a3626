"""Pictures of a result in full-image coordinates: outlines, similarity, the objects as drawn, and the last flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rnnpose_ros.refinement.features import FeatureCache
from rnnpose_ros.rendering.shading import head_light
from rnnpose_ros.types import ImageFrame, ObjectModel, PoseHypothesis, RefinementResult

INITIAL_RGB = (255, 255, 255)
REFINED_RGB = (80, 255, 60)
DOUBTFUL_RGB = (255, 70, 50)
COLORMAPS = {
    "turbo": cv2.COLORMAP_TURBO,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "inferno": cv2.COLORMAP_INFERNO,
    "cividis": cv2.COLORMAP_CIVIDIS,
}
"""Of maps of 0..1, by name; with cividis, red and green need not be told apart."""


def overlay(
    frame: ImageFrame,
    results: Sequence[RefinementResult],
    objects: Mapping[str, ObjectModel],
    features: FeatureCache,
    *,
    initial: Sequence[PoseHypothesis] = (),
) -> NDArray[np.uint8]:
    """The image with the outline of every object at its pose.

    White: initial poses. Green: refined poses that can be used. Red: results marked as doubtful or failed.

    Args:
        frame: The picture that was refined.
        results: What came out.
        objects: Of every label.
        features: Whose renderer draws the silhouettes.
        initial: Poses that went in; drawn beneath.

    Returns:
        RGB, H x W x 3.
    """
    canvas = frame.rgb.cpu().numpy().copy()
    for hypothesis in initial:
        silhouette = _silhouette(frame, objects[hypothesis.label], hypothesis.T_camera_object, features)
        _draw_outline(canvas, silhouette, INITIAL_RGB, thickness=1)
    for result in results:
        silhouette = _silhouette(frame, objects[result.label], result.T_camera_object, features)
        _draw_outline(canvas, silhouette, REFINED_RGB if result.is_usable else DOUBTFUL_RGB, thickness=2)
        _write_label(canvas, silhouette, f"{result.label} {result.score:.2f}")
    return canvas


def similarity_map(frame: ImageFrame, results: Sequence[RefinementResult]) -> NDArray[np.float32]:
    """Similarity of render and photograph at every pixel of the objects, 0..1; 0 elsewhere.

    Args:
        frame: The picture that was refined.
        results: Must carry their traces; those without add nothing.

    Returns:
        H x W in image coordinates. Where objects overlap, the higher value.
    """
    height, width = frame.rgb.shape[:2]
    image = np.zeros((height, width), np.float32)
    for result in results:
        if not result.trace:
            continue
        last = result.trace[-1]
        cells = last.similarity.float().cpu().numpy()
        affine = last.affine_crop_image.double().cpu().numpy()
        spacing = float(last.cell_uv[0, 1, 0] - last.cell_uv[0, 0, 0])
        warped = cv2.warpAffine(cells, affine / spacing, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        image = np.maximum(image, warped)
    return image


def render_picture(
    frame: ImageFrame,
    results: Sequence[RefinementResult],
    objects: Mapping[str, ObjectModel],
    features: FeatureCache,
) -> NDArray[np.uint8]:
    """The objects alone, lit as the references are; the nearest is seen.

    Args:
        frame: The picture that was refined.
        results: Drawn at their poses.
        objects: Of every label.
        features: Whose renderer draws.

    Returns:
        RGB, H x W x 3 in image coordinates; black where there is no object.
    """
    height, width = frame.rgb.shape[:2]
    canvas = torch.zeros(height, width, 3)
    nearest = torch.full((height, width), torch.inf)
    for result in results:
        mesh = features.get(objects[result.label]).mesh
        drawn = features.renderer.render([mesh], result.T_camera_object[None], frame.camera)
        lit = head_light(drawn, frame.camera)
        depth = lit.depth[0].cpu()
        seen = (depth > 0) & (depth < nearest)
        canvas[seen] = lit.color[0].permute(1, 2, 0).cpu()[seen]
        nearest[seen] = depth[seen]
    return (255.0 * canvas).round().to(torch.uint8).numpy()


def flow_map(frame: ImageFrame, results: Sequence[RefinementResult]) -> NDArray[np.float32]:
    """How far each pixel of the last reference is from where the network found it in the photograph.

    Args:
        frame: The picture that was refined.
        results: Must carry their traces; those without add nothing.

    Returns:
        H x W x 2, image pixels (u, v), at the reference's own pixels; NaN where there is no object.
    """
    height, width = frame.rgb.shape[:2]
    image = np.full((height, width, 2), np.nan, np.float32)
    for result in results:
        if not result.trace:
            continue
        last = result.trace[-1]
        affine = last.affine_crop_image.double().cpu().numpy()
        moved = (last.field.target_uv[0] - last.cell_uv).double().cpu().numpy() @ np.linalg.inv(affine[:, :2]).T
        moved[last.similarity.cpu().numpy() <= 0] = np.nan
        spacing = float(last.cell_uv[0, 1, 0] - last.cell_uv[0, 0, 0])
        # The nearest cell: between an object's cells and those beside it there is nothing to interpolate.
        warped = cv2.warpAffine(
            moved.astype(np.float32),
            affine / spacing,
            (width, height),
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
            borderValue=(np.nan, np.nan),
        )
        known = ~np.isnan(warped[..., 0])
        image[known] = warped[known]
    return image


def colorize(values: NDArray[np.float32], *, colormap: str = "turbo") -> NDArray[np.uint8]:
    """A map of 0..1 as RGB in one of :data:`COLORMAPS`; exact zeros stay black."""
    bgr = cv2.applyColorMap((np.clip(values, 0, 1) * 255).astype(np.uint8), COLORMAPS[colormap])
    rgb = np.ascontiguousarray(bgr[..., ::-1], dtype=np.uint8)
    rgb[values <= 0] = 0
    return rgb


def _silhouette(frame: ImageFrame, model: ObjectModel, T: torch.Tensor, features: FeatureCache) -> NDArray[np.uint8]:
    mesh = features.get(model).mesh
    buffers = features.renderer.render([mesh], T[None], frame.camera)
    return (buffers.depth[0] > 0).to(torch.uint8).cpu().numpy()


def _draw_outline(
    canvas: NDArray[np.uint8], silhouette: NDArray[np.uint8], rgb: tuple[int, int, int], *, thickness: int
) -> None:
    contours, _ = cv2.findContours(silhouette, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, contours, -1, (0, 0, 0), thickness + 1, cv2.LINE_AA)
    cv2.drawContours(canvas, contours, -1, rgb, thickness, cv2.LINE_AA)


def _write_label(canvas: NDArray[np.uint8], silhouette: NDArray[np.uint8], text: str) -> None:
    rows, columns = np.nonzero(silhouette)
    if len(rows) == 0:
        return
    at = (int(columns.min()), max(12, int(rows.min()) - 6))
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
