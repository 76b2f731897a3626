"""A folder of held-out pictures of one object, made one after the other and kept."""

from __future__ import annotations

import json
import logging
import zlib
from pathlib import Path

import cv2
import numpy as np
import torch

from rnnpose_ros.data.held_out.painters import HeldOutView, Painter
from rnnpose_ros.files import make_folder, write_json, write_whole
from rnnpose_ros.types import CameraIntrinsics, ImageFrame, ObjectModel

_LOGGER = logging.getLogger(__name__)


class HeldOutViews:
    """Pictures by number. The seed and the number alone decide what is on one.

    Args:
        model: The object.
        folder: Where pictures are kept.
        painter: Makes them.
        seed: Of cameras, poses and pictures.
    """

    def __init__(self, model: ObjectModel, folder: Path, *, painter: Painter, seed: int) -> None:
        self.model = model
        self.folder = folder
        self.painter = painter
        self.seed = seed

    def has(self, number: int) -> bool:
        """Whether a picture is made already, whole."""
        return self._kept(number) is not None

    def get(self, number: int) -> HeldOutView:
        """A picture, made now where it is not there.

        Raises:
            OutputError: It cannot be kept.
        """
        kept = self._kept(number)
        return kept if kept is not None else self._make(number)

    def _make(self, number: int) -> HeldOutView:
        view = self.painter.view(self.model, seed=1000 * self.seed + number)
        make_folder(self.folder)
        picture = cv2.imencode(".png", cv2.cvtColor(view.frame.rgb.numpy(), cv2.COLOR_RGB2BGR))[1].tobytes()
        write_whole(self._picture(number), picture)
        facts = {
            "painter": self.painter.name,
            "crc32": zlib.crc32(picture),
            "K": view.frame.camera.K[0].tolist(),
            "T_camera_object": view.T_camera_object.tolist(),
            "visible_share": view.visible_share,
        }
        write_json(self._facts(number), facts)
        return view

    def _kept(self, number: int) -> HeldOutView | None:
        """None where it was never finished, or by another painter, or is damaged (said)."""
        path = self._picture(number)
        try:
            facts = json.loads(self._facts(number).read_text(encoding="utf-8"))
            picture = path.read_bytes()
            intact = zlib.crc32(picture) == facts["crc32"]
            painter, share = facts["painter"], float(facts["visible_share"])
            K, T = (torch.tensor(facts[name], dtype=torch.float64) for name in ("K", "T_camera_object"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOGGER.warning("picture %s is damaged (%s) and is made again", path, error)
            return None
        if not intact or painter != self.painter.name:
            _LOGGER.warning("picture %s is %s and is made again", path, "by another renderer" if intact else "damaged")
            return None
        bgr = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None
        rgb = torch.from_numpy(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
        camera = CameraIntrinsics(K=K[None], height=rgb.shape[0], width=rgb.shape[1])
        return HeldOutView(ImageFrame(rgb=rgb, camera=camera), T, share)

    def _picture(self, number: int) -> Path:
        return self.folder / f"{number:03d}.png"

    def _facts(self, number: int) -> Path:
        return self.folder / f"{number:03d}.json"
