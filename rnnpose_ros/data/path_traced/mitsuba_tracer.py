"""Mitsuba 3, the one place that knows it: our scene and camera in, radiance and geometry out.

The variant is ``scalar_rgb``: it needs no LLVM on the machine, compiles nothing, and the same seed gives the same
picture everywhere. Mitsuba's world is our camera frame. Its pixel (0, 0) spans 0..1, ours has its centre at 0; its
perspective camera has square pixels, so where fy is not fx the world's y axis is stretched by fy / fx instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from rnnpose_ros.data.path_traced.scene import Body, Coat, Finish, Geometry, Lamp, Scene
from rnnpose_ros.errors import BackendUnavailableError, InputError
from rnnpose_ros.types import CameraIntrinsics, Mesh

VARIANT = "scalar_rgb"
_MAX_BOUNCES = 4
_GREY = 0.7
_NEAR_M, _FAR_M = 0.01, 100.0


class PathTracer:
    """One scene, loaded once and looked at as often as needed."""

    def __init__(self, scene: Scene, camera: CameraIntrinsics) -> None:
        """Loads the scene.

        Args:
            scene: What there is.
            camera: That will look, or one of the same ratio of fy to fx. B = 1, without skew.

        Raises:
            BackendUnavailableError: Mitsuba is not installed.
            InputError: The camera has skew.
        """
        self._mi = _mitsuba()
        stretch = _stretch(camera)
        contents = {f"body_{i}_{j}": shape for i, b in enumerate(scene.bodies) for j, shape in self._shapes(b, stretch)}
        contents |= {f"lamp_{i}": self._lamp(lamp, stretch) for i, lamp in enumerate(scene.lamps)}
        contents["environment"] = self._environment(scene)
        self._scene = self._mi.load_dict({"type": "scene", **contents}, parallel=False, optimize=False)

    def radiance(
        self, camera: CameraIntrinsics, *, samples: int, seed: int, window: tuple[int, int, int, int] | None = None
    ) -> Float[np.ndarray, "h w 3"]:
        """Linear RGB light that reaches each pixel.

        Args:
            camera: Which looks.
            samples: Paths a pixel, at least.
            seed: Of the paths.
            window: u0 v0 u1 v1 of the part to render (ends excluded); everything when None.
        """
        integrator = {"type": "path", "max_depth": _MAX_BOUNCES}
        sampler = {"type": "multijitter", "sample_count": samples}
        return self._rendered(camera, integrator, sampler, seed=seed, window=window)

    def geometry(self, camera: CameraIntrinsics) -> Geometry:
        """Depth and body at every pixel's centre, by the same rays that carry the light."""
        integrator = {"type": "aov", "aovs": "point:position,index:shape_index"}
        sampler = {"type": "stratified", "sample_count": 1, "jitter": False}
        channels = self._rendered(camera, integrator, sampler, seed=0)
        names = [shape.id().split("_") for shape in self._scene.shapes()]
        # A shape's index counts from 1; lamps are no bodies.
        body_of_shape = np.array([-1, *(int(name[1]) if name[0] == "body" else -1 for name in names)])
        body = body_of_shape[channels[..., -1].round().astype(np.int64)]
        return Geometry(np.where(body >= 0, channels[..., -2], 0).astype(np.float32), body)

    def _rendered(
        self,
        camera: CameraIntrinsics,
        integrator: dict[str, Any],
        sampler: dict[str, Any],
        *,
        seed: int,
        window: tuple[int, int, int, int] | None = None,
    ) -> np.ndarray:
        mi = self._mi
        sensor = mi.load_dict(self._sensor(camera, window) | {"sampler": sampler})
        rendered = mi.render(self._scene, sensor=sensor, integrator=mi.load_dict(integrator), seed=seed)
        return np.asarray(rendered, np.float32)

    def _sensor(self, camera: CameraIntrinsics, window: tuple[int, int, int, int] | None) -> dict[str, Any]:
        K, width, height = camera.K[0].double().numpy(), camera.width, camera.height
        u0, v0, u1, v1 = window or (0, 0, width, height)
        film = {
            "type": "hdrfilm",
            "width": width,
            "height": height,
            "crop_offset_x": u0,
            "crop_offset_y": v0,
            "crop_width": u1 - u0,
            "crop_height": v1 - v0,
            "rfilter": {"type": "box"},
            "pixel_format": "rgb",
            "component_format": "float32",
        }
        return {
            "type": "perspective",
            "fov_axis": "x",
            "fov": float(2 * np.degrees(np.arctan(0.5 * width / K[0, 0]))),
            "principal_point_offset_x": float(0.5 - (K[0, 2] + 0.5) / width),
            "principal_point_offset_y": float(0.5 - (K[1, 2] + 0.5) / height),
            "near_clip": _NEAR_M,
            "far_clip": _FAR_M,
            "to_world": self._mi.ScalarTransform4f().look_at(origin=[0, 0, 0], target=[0, 0, 1], up=[0, -1, 0]),
            "film": film,
        }

    def _shapes(self, body: Body, stretch: float) -> list[tuple[int, Any]]:
        """One Mitsuba mesh for each coat of a body, placed in the camera frame."""
        thing = body.thing
        parts = np.zeros(len(thing.mesh.faces), int) if thing.part_of_face is None else thing.part_of_face
        shapes = []
        for part, coat in enumerate(thing.coats):
            chosen = parts == part
            if chosen.any():
                shapes.append((part, self._shape(body, chosen, stretch, coat)))
        return shapes

    def _shape(self, body: Body, chosen: np.ndarray, stretch: float, coat: Coat) -> Any:
        mesh, mi = body.thing.mesh, self._mi
        properties = mi.Properties()
        color = self._color(mesh, chosen)
        properties["bsdf"] = mi.load_dict({"type": "twosided", "inside": _surface(coat, color)})
        count = int(chosen.sum())
        shape = mi.Mesh("body", 3 * count, count, properties, True, True)
        T = body.T_camera_object.double().numpy()
        corners = mesh.vertices.double().numpy()[mesh.faces.numpy()[chosen]].reshape(-1, 3)
        normals = mesh.corner_normals.double().numpy()[chosen].reshape(-1, 3) @ T[:3, :3].T
        points = corners @ T[:3, :3].T + T[:3, 3]
        points[:, 1] *= stretch
        normals[:, 1] /= stretch
        uvs = np.zeros((3 * count, 2))
        if mesh.corner_uvs is not None:  # Mitsuba counts a picture's rows downwards
            uvs = mesh.corner_uvs.numpy()[chosen].reshape(-1, 2) * (1, -1) + (0, 1)
        if mesh.vertex_colors is not None and mesh.texture is None:
            colors = mesh.vertex_colors.numpy()[mesh.faces.numpy()[chosen]].reshape(-1, 3)
            shape.add_attribute("vertex_color", 3, _linear(colors).astype(np.float32).ravel())
        parameters = mi.traverse(shape)
        parameters["vertex_positions"] = points.astype(np.float32).ravel()
        parameters["vertex_normals"] = normals.astype(np.float32).ravel()
        parameters["vertex_texcoords"] = uvs.astype(np.float32).ravel()
        parameters["faces"] = np.arange(3 * count, dtype=np.uint32)
        parameters.update()
        return shape

    def _color(self, mesh: Mesh, chosen: np.ndarray) -> dict[str, Any]:
        """The colour of some of a mesh's faces, as Mitsuba's texture."""
        if mesh.texture is not None and mesh.corner_uvs is not None:
            return {"type": "bitmap", "bitmap": self._mi.Bitmap(mesh.texture.contiguous().numpy()), "raw": False}
        if mesh.vertex_colors is None:
            return _plain(np.full(3, 255 * _GREY))
        colors = mesh.vertex_colors.numpy()[mesh.faces.numpy()[chosen]].reshape(-1, 3)
        if (colors == colors[0]).all():
            return _plain(colors[0])
        return {"type": "mesh_attribute", "name": "vertex_color"}

    def _lamp(self, lamp: Lamp, stretch: float) -> dict[str, Any]:
        centre, facing = (np.array(p) * (1, stretch, 1) for p in (lamp.centre, lamp.facing))
        up = np.eye(3)[np.abs(facing - centre).argmin()]
        place = self._mi.ScalarTransform4f().look_at(origin=centre.tolist(), target=facing.tolist(), up=up.tolist())
        return {
            "type": "rectangle",
            "to_world": place.scale(0.5 * lamp.side_m),
            "emitter": {"type": "area", "radiance": {"type": "rgb", "value": list(lamp.radiance)}},
        }

    def _environment(self, scene: Scene) -> dict[str, Any]:
        """The surroundings, whose up is Mitsuba's y."""
        up = np.array(scene.up_camera)
        side = np.cross(up, np.eye(3)[np.abs(up).argmin()])
        side /= np.linalg.norm(side)
        c, s = np.cos(scene.environment_turn), np.sin(scene.environment_turn)
        ahead = np.cross(side, up)
        place = np.eye(4)
        place[:3, :3] = np.stack([c * side + s * ahead, up, c * ahead - s * side], 1)
        return {
            "type": "envmap",
            "bitmap": self._mi.Bitmap(np.ascontiguousarray(scene.environment, np.float32)),
            "to_world": self._mi.ScalarTransform4f(place),
        }


def _surface(coat: Coat, color: dict[str, Any]) -> dict[str, Any]:
    """The reflectance model of a coat over a colour."""
    rough, finish = coat.roughness, coat.finish
    if finish is Finish.PLASTIC and color["type"] == "mesh_attribute":
        finish = Finish.LACQUER  # Mitsuba's plastic wants the mean of its colour, which that texture cannot say
    if finish is Finish.MATT:
        return {"type": "diffuse", "reflectance": color}
    if finish is Finish.PLASTIC:
        return {"type": "roughplastic", "diffuse_reflectance": color, "alpha": rough, "nonlinear": True}
    if finish is Finish.METAL:
        return {"type": "roughconductor", "material": "none", "specular_reflectance": color, "alpha": rough}
    if finish in _METALS:
        return {"type": "roughconductor", "material": _METALS[finish], "alpha": rough}
    extra = {"clearcoat": 0.8, "clearcoat_gloss": 0.9} if finish is Finish.LACQUER else {"sheen": 0.3}
    return {"type": "principled", "base_color": color, "roughness": rough, "specular": 0.5, **extra}


def renderer_version() -> str:
    """Name, version and variant, for a dataset's manifest.

    Raises:
        BackendUnavailableError: Mitsuba is not installed.
    """
    return f"mitsuba {_mitsuba().__version__} {VARIANT}"


def _mitsuba() -> Any:
    try:
        import mitsuba
    except ImportError as error:
        raise BackendUnavailableError(
            f"path-traced pictures need Mitsuba ({error}); install the extra for them: pip install "
            "'rnnpose_ros[pathtracer]' (`make benchmark-data` does it); 210 MB, x86-64 only"
        ) from None
    mitsuba.set_variant(VARIANT)
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


_METALS = {Finish.STEEL: "Cr", Finish.ALUMINIUM: "Al"}


def _plain(srgb: np.ndarray) -> dict[str, Any]:
    return {"type": "rgb", "value": _linear(srgb).tolist()}


def _stretch(camera: CameraIntrinsics) -> float:
    K = camera.K
    if len(K) != 1 or float(K[0, 0, 1]) != 0.0:
        raise InputError(f"expected one camera without skew, got K = {K.tolist()}")
    return float(K[0, 1, 1] / K[0, 0, 0])


def _linear(srgb: np.ndarray) -> np.ndarray:
    """Linear 0..1 of sRGB 0..255."""
    share = np.asarray(srgb, np.float64) / 255.0
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
