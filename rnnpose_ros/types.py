"""The nouns that travel between modules.

All are frozen; a change is a new object (``dataclasses.replace``). Conventions: ``T_a_b`` takes
points of frame b into frame a. The camera frame is ROS optical (x right, y down, z forward). Pixels
are ``uv`` with integers at pixel centres. Metres, radians, seconds, unless a suffix says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class CameraIntrinsics:
    """Pinhole cameras of one image size, without distortion."""

    K: Float[Tensor, "B 3 3"]
    """fx 0 cx / 0 fy cy / 0 0 1, in pixels; integer pixel centres."""
    height: int
    width: int

    def one(self, row: int) -> CameraIntrinsics:
        """The camera at this place of the batch, alone (B = 1)."""
        return CameraIntrinsics(K=self.K[row : row + 1], height=self.height, width=self.width)


@dataclass(frozen=True, slots=True, eq=False)
class ImageFrame:
    """One rectified picture and the camera that took it."""

    rgb: UInt8[Tensor, "H W 3"]
    camera: CameraIntrinsics
    """One camera (B = 1), of the picture's size."""
    depth: Float[Tensor, "H W"] | None = None
    """Metres; 0 = no measurement."""
    stamp_ns: int = 0
    frame_id: str = ""
    """Name of the camera's optical frame."""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A triangle mesh in metres, in the object's own frame, as the file orders it."""

    vertices: Float[Tensor, "V 3"]
    faces: Int[Tensor, "F 3"]
    corner_normals: Float[Tensor, "F 3 3"]
    """Unit normals of each face's three corners: smooth across soft edges, split at creases."""
    vertex_colors: UInt8[Tensor, "V 3"] | None = None
    corner_uvs: Float[Tensor, "F 3 2"] | None = None
    """Texture coordinates of each corner, v upwards (OBJ, OpenGL); repeat outside 0..1."""
    texture: UInt8[Tensor, "Ht Wt 3"] | None = None
    """First row is the top of the picture, v = 1."""


@dataclass(frozen=True, slots=True, eq=False)
class PointPyramid:
    """An object's points at ever coarser levels and who neighbours whom; unit: the longest side of its box.

    In each table, the number of points of the level that is looked up stands for "no neighbour".
    """

    points: tuple[Float[Tensor, "_ 3"], ...]
    """Level 0 is the mesh's vertices in their order, about their mean."""
    neighbours: tuple[Int[Tensor, "_ _"], ...]
    """Of each level in itself, the nearest first."""
    pools: tuple[Int[Tensor, "_ _"], ...]
    """Of each level's points in the finer level before."""
    upsamples: tuple[Int[Tensor, "_ _"], ...]
    """Of each level's points in the coarser level after."""
    limits: tuple[int, ...]
    """Most neighbours at each level."""


@dataclass(frozen=True, slots=True, eq=False)
class ObjectModel:
    """What is known about an object before it is seen."""

    label: str
    mesh: Mesh
    diameter: float
    """Largest distance between two vertices, metres."""
    symmetries: Float[Tensor, "S 4 4"]
    """Transforms of the object frame that leave it looking the same; the identity is first."""
    centre: Float[Tensor, "3"]
    """Centre of the vertices' bounding box in the object frame, metres: refinement turns about it."""
    pyramid: PointPyramid | None = None
    """What a network with 3D encoders needs; None where it was not computed yet."""
    mesh_path: str = ""
    """Where the mesh was read from; empty when made in memory."""
    mesh_scale: float = 1.0
    """Factor from the file's units to metres."""
    symmetry_axes: Float[Tensor, "A 2 3"] | None = None
    """Direction (unit) and a point (metres) of axes of full turns, which ``symmetries`` samples; None without."""
    T_detector_mesh: Float[Tensor, "4 4"] | None = None
    """The mesh's frame in the one that detectors mean by this object, float64; None where they are the same."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseHypothesis:
    """Where somebody says an object is."""

    label: str
    T_camera_object: Float[Tensor, "4 4"]
    """float64."""
    score: float = 1.0
    source: str = ""
    """Who says so: a detector's name, "track", "file"."""
    instance_id: str = ""
    """The detector's own name of this instance, empty when it has none."""
    covariance: Float[Tensor, "6 6"] | None = None
    """Order x y z rotX rotY rotZ, fixed axes of the camera frame, m and rad."""
    box_xyxy: Float[Tensor, "4"] | None = None
    """Pixels."""
    measures: tuple[float, ...] | None = None
    """Of the result that it repeats, where the object may be followed without the network; None: it may not."""
    correction: Float[Tensor, "4 4"] | None = None
    """From where render and photograph alone would have the object to where the network has it, in the object's frame,
    float64: following without the network goes on from the former. None: it is not known."""


@dataclass(frozen=True, slots=True, eq=False)
class RenderBuffers:
    """What a renderer saw; every map is 0 where there is no object."""

    depth: Float[Tensor, "B H W"]
    """Metres along z at the pixel centre; 0 = nothing."""
    color: Float[Tensor, "B 3 H W"]
    """0..1. Unlit surface colour from a renderer; lit after ``rendering.shading``."""
    attributes: Float[Tensor, "B C H W"]
    """Unit normals in the camera frame (first three channels), then what the caller asked for."""
    face_ids: Int[Tensor, "B H W"]
    """Index into the item's own faces; -1 = nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class CorrespondenceField:
    """Where every cell of the render is found in the picture, and how sure that is."""

    target_uv: Float[Tensor, "B H W 2"]
    """Crop pixels."""
    confidence: Float[Tensor, "B H W"]
    """0..1; 0 where there is no object."""


class RefinementStatus(Enum):
    """How a refinement ended. Only CONVERGED and NOT_CONVERGED poses come from a full solution."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not_converged"
    OUT_OF_VIEW = "out_of_view"
    TOO_FEW_CORRESPONDENCES = "too_few_correspondences"
    SINGULAR = "singular"
    LOW_SCORE = "low_score"
    DIVERGED = "diverged"
    """Farther from the start than a refinement goes; the tracker says so."""
    UNCERTAIN = "uncertain"
    """Its own covariance speaks against it; the tracker says so."""
    AMBIGUOUS = "ambiguous"
    """Turned otherwise, the object would look as much like the picture; tracking says so."""


@dataclass(frozen=True, slots=True, eq=False)
class IterationTrace:
    """What one iteration of one refinement saw, for pictures and losses."""

    cycle: int
    iteration: int
    T_camera_object: Float[Tensor, "4 4"]
    """After this iteration."""
    camera: CameraIntrinsics
    """The crop's camera, B = 1."""
    affine_crop_image: Float[Tensor, "2 3"]
    """Takes pixels of the full image to pixels of the crop."""
    induced_uv: Float[Tensor, "h w 2"]
    """Where the pose before this iteration puts each cell, crop pixels."""
    field: CorrespondenceField
    """What the network answered at the cells, B = 1."""
    similarity: Float[Tensor, "h w"]
    """exp(-|1 - d_M . d_I| / sigma) at the cells, 0 where there is no object."""
    cell_uv: Float[Tensor, "h w 2"]
    """Crop pixel of each cell in the render."""
    rectified_uv: Float[Tensor, "h w 2"]
    """Where the pose after this iteration puts each cell, crop pixels: the field after rectification."""
    depth: Float[Tensor, "S S"]
    """Of the render at the crop's pixels, metres; 0 = no object."""
    photo: Float[Tensor, "3 S S"]
    """The crop of the picture as the network saw it, 0..1."""
    render: Float[Tensor, "3 S S"]
    """The lit reference of this cycle that the photo is compared with, 0..1; 0 where there is no object."""


@dataclass(frozen=True, slots=True, eq=False)
class RefinementResult:
    """Where the refiner says an object is, and whether to believe it."""

    label: str
    T_camera_object: Float[Tensor, "4 4"]
    """float64. The initial pose where nothing could be solved."""
    status: RefinementStatus
    score: float
    """0..1."""
    residual_px: float
    """Weighted RMS of the last iteration's correspondences, image pixels; NaN where there were none."""
    covariance: Float[Tensor, "6 6"] | None = None
    """Order x y z rotX rotY rotZ, fixed axes of the camera frame, m and rad; None when unknown."""
    measures: tuple[float, ...] | None = None
    """What the score is computed from, see ``refinement.status.SCORE_MEASURES``; None where nothing was solved."""
    trace: tuple[IterationTrace, ...] | None = None
    by_network: bool = True
    """False where render and photograph alone were aligned."""
    dissent: Float[Tensor, "6 6"] | None = None
    """The part of the covariance that says how far second opinions lie apart; None where none were asked for."""

    @property
    def is_usable(self) -> bool:
        """True where the pose comes from a full solution (CONVERGED or NOT_CONVERGED)."""
        return self.status in (RefinementStatus.CONVERGED, RefinementStatus.NOT_CONVERGED)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingBatch:
    """Rendered photographs with everything known about them, at the crop camera of a wrong pose."""

    photo: UInt8[Tensor, "B 3 S S"]
    photo_depth: Float[Tensor, "B S S"]
    """Depth of the target object's *visible* surface in the photo, metres; 0 = background or occluded."""
    camera: CameraIntrinsics
    """The crops' cameras, S x S."""
    T_camera_object: Float[Tensor, "B 4 4"]
    """The truth: of all symmetric truths the nearest to the initial pose."""
    T_camera_object_initial: Float[Tensor, "B 4 4"]
    objects: tuple[ObjectModel, ...]
    """B of them, repeated where a batch holds one object twice."""
    valid: Bool[Tensor, "B"]
    """False for a sample that must not count (the object is not visible at all)."""
