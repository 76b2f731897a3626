"""What is random in a synthetic scene, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

from rnnpose_ros.config import param
from rnnpose_ros.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ObjectRanges:
    """The pool of objects."""

    pool_size: int = param(200, doc="Objects kept ready.", bounds=(1.0, 100000.0))
    samples_per_object: int = param(12, doc="Samples after which one object is replaced.", bounds=(1.0, 1000000.0))
    diameter_m: tuple[float, ...] = param((0.05, 0.4), doc="Range of diameters.", unit="m", bounds=(0.005, 3.0))
    plain_share: float = param(0.2, doc="Share of objects without any texture.", bounds=(0.0, 1.0))
    metallic_share: float = param(
        0.2, doc="Share of objects that are metal, all over or where they are grey.", bounds=(0.0, 1.0)
    )
    faint_share: float = param(0.1, doc="Share of objects with little on them.", bounds=(0.0, 1.0))
    bare_model_share: float = param(
        0.05, doc="Share of objects whose model has no colours while the thing itself has.", bounds=(0.0, 1.0)
    )
    worn_model_share: float = param(
        0.3, doc="Share of objects whose model shows a duller, blurred copy of the thing.", bounds=(0.0, 1.0)
    )
    vertex_color_share: float = param(0.08, doc="Share of objects coloured at the vertices.", bounds=(0.0, 1.0))
    one_tile_share: float = param(
        0.2, doc="Share of textured objects with one picture on all sides.", bounds=(0.0, 1.0)
    )
    baked_light_share: float = param(0.2, doc="Share of textures with light baked in.", bounds=(0.0, 1.0))
    tile_px: int = param(256, doc="Side of a texture tile.", unit="px", bounds=(16.0, 4096.0))
    large_tile_px: int = param(512, doc="Side of a large texture tile.", unit="px", bounds=(16.0, 4096.0))
    large_tile_share: float = param(0.15, doc="Share of objects with large tiles.", bounds=(0.0, 1.0))
    offset_share: float = param(0.4, doc="Share of objects whose origin is not their centre.", bounds=(0.0, 1.0))
    turned_share: float = param(0.3, doc="Share of objects whose axes are not those of the solid.", bounds=(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class ViewRanges:
    """Cameras, true poses and start noise."""

    image_px: tuple[int, ...] = param(
        (640, 480), doc="Width and height of the photographs.", unit="px", bounds=(64.0, 8192.0)
    )
    focal_px: tuple[float, ...] = param((500.0, 1100.0), doc="Range of focal lengths.", unit="px", bounds=(1.0, 1e5))
    principal_jitter_px: float = param(15.0, doc="Spread of the principal point.", unit="px", bounds=(0.0, 1e4))
    distance_m: tuple[float, ...] = param((0.3, 1.3), doc="Range of depths.", unit="m", bounds=(0.05, 100.0))
    object_px: tuple[float, ...] = param(
        (60.0, 260.0), doc="Range of projected diameters, where depth allows.", unit="px", bounds=(4.0, 4096.0)
    )
    noise_factor: tuple[float, ...] = param(
        (0.8, 1.8), doc="Range of the start noise in units of N1.", bounds=(0.0, 10.0)
    )
    noise_diameter_m: float = param(
        0.2,
        doc="Diameter at which N1 is taken as it is; it shrinks and grows with others, unless this is 0.",
        unit="m",
        bounds=(0.0, 10.0),
    )
    small_noise_share: float = param(0.4, doc="Share of starts that are nearer.", bounds=(0.0, 1.0))
    small_noise_factor: tuple[float, ...] = param((0.05, 1.0), doc="How much nearer.", bounds=(0.0, 1.0))
    depth_ratio: tuple[float, ...] = param(
        (0.7, 1.5), doc="Range that a start's depth is held in, in units of the true one.", bounds=(0.1, 10.0)
    )
    spread: float = param(
        0.17,
        doc="Deviation of the objects' places from the middle, in units of the picture's sides.",
        bounds=(0.0, 1.0),
    )
    margin_jitter: float = param(0.1, doc="Relative spread of the crop margin.", bounds=(0.0, 0.5))


@dataclass(frozen=True, slots=True)
class LookRanges:
    """Light, surroundings and camera."""

    occluder_share: float = param(0.6, doc="Share of photographs with something before the object.", bounds=(0.0, 1.0))
    min_visible: float = param(0.25, doc="Least share of the object that occluders leave.", bounds=(0.0, 1.0))
    supersample_share: float = param(
        0.4, doc="Share rendered at twice the size, of photographs finer than their crop.", bounds=(0.0, 1.0)
    )
    sharp_shadow_share: float = param(
        0.15, doc="Share of photographs with the shadow of something outside them.", bounds=(0.0, 1.0)
    )
    motion_share: float = param(0.2, doc="Share of photographs blurred by motion.", bounds=(0.0, 1.0))
    noise_share: float = param(0.65, doc="Share of photographs with visible noise.", bounds=(0.0, 1.0))
    noise: tuple[float, ...] = param((0.004, 0.12), doc="Range of that noise, 1 is white.", bounds=(0.0001, 1.0))
    outlier_share: float = param(0.3, doc="Share of noise with single pixels far off.", bounds=(0.0, 1.0))
    grey_share: float = param(0.15, doc="Share of greyscale photographs.", bounds=(0.0, 1.0))
    pale_share: float = param(0.15, doc="Share of nearly grey photographs.", bounds=(0.0, 1.0))
    jpeg_share: float = param(0.5, doc="Share of compressed photographs.", bounds=(0.0, 1.0))
    jpeg_quality: tuple[int, ...] = param((35, 95), doc="Range of the quality.", bounds=(1.0, 100.0))
    cutouts: int = param(
        96,
        doc="Earlier renders kept as distractors and occluders; 0: none, where one object is given.",
        bounds=(0.0, 10000.0),
    )
    backgrounds: int = param(48, doc="Background pictures kept ready.", bounds=(1.0, 10000.0))
    draws_per_background: int = param(24, doc="Uses after which one background is replaced.", bounds=(1.0, 1000000.0))
    twin_share: float = param(0.08, doc="Share of photographs with a second such object behind.", bounds=(0.0, 1.0))


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """Everything that a :class:`rnnpose_ros.data.synthetic.scene.SceneGenerator` draws from."""

    objects: ObjectRanges = ObjectRanges()
    view: ViewRanges = ViewRanges()
    look: LookRanges = LookRanges()


@dataclass(frozen=True, slots=True)
class FullFrameConfig:
    """What is random in a full picture, and how much of it. With a camera given, its size and focal length hold."""

    objects: int = param(6, doc="Annotated objects in a picture, at most one of each mesh.", bounds=(1, 64))
    distractors: int = param(3, doc="Made-up objects beside and before them, not annotated.", bounds=(0, 64))
    depth_noise: float = param(
        0.0, doc="Factor on the noise of a depth camera; 0 writes the exact depth.", bounds=(0.0, 10.0)
    )
    image_px: tuple[int, ...] = param((640, 480), doc="Width and height.", unit="px", bounds=(64.0, 8192.0))
    focal_px: tuple[float, ...] = param(
        (500.0, 1100.0), doc="Range of focal lengths, one to a scene.", unit="px", bounds=(1.0, 1e5)
    )
    distance_m: tuple[float, ...] = param((0.3, 1.3), doc="Range of depths.", unit="m", bounds=(0.05, 100.0))
    object_px: tuple[float, ...] = param(
        (60.0, 260.0), doc="Range of projected diameters, where depth allows.", unit="px", bounds=(4.0, 4096.0)
    )
    spread: float = param(
        0.2, doc="Deviation of the objects' places from the middle, in picture sides.", bounds=(0.0, 1.0)
    )
    grey_share: float = param(0.15, doc="Share of greyscale pictures.", bounds=(0.0, 1.0))
    pale_share: float = param(0.15, doc="Share of nearly grey pictures.", bounds=(0.0, 1.0))
    jpeg_share: float = param(0.5, doc="Share that was compressed before it is written.", bounds=(0.0, 1.0))
    jpeg_quality: tuple[int, ...] = param((35, 95), doc="Range of the quality.", bounds=(1.0, 100.0))

    def __post_init__(self) -> None:
        """Refuses what is no range.

        Raises:
            ConfigError: Names the setting.
        """
        for name in ("focal_px", "distance_m", "object_px", "jpeg_quality"):
            values = getattr(self, name)
            if len(values) != 2 or values[0] > values[1]:
                raise ConfigError(f"{name}: expected the least and the largest value, got {values}")
        if len(self.image_px) != 2:
            raise ConfigError(f"image_px: expected width and height, got {self.image_px}")

    @property
    def look(self) -> LookRanges:
        """The ranges of the camera's look."""
        return LookRanges(
            grey_share=self.grey_share,
            pale_share=self.pale_share,
            jpeg_share=self.jpeg_share,
            jpeg_quality=self.jpeg_quality,
        )

    @property
    def view(self) -> ViewRanges:
        """The ranges of cameras and poses."""
        return ViewRanges(
            image_px=self.image_px,
            focal_px=self.focal_px,
            distance_m=self.distance_m,
            object_px=self.object_px,
            spread=self.spread,
        )
