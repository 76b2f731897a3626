"""The published system's recorded run, and its weights."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rnnpose_ros.checkpoints.official_weights import load_published
from rnnpose_ros.networks.paper_network import PaperNetwork
from rnnpose_ros.objects.library import load_object
from rnnpose_ros.types import CameraIntrinsics, ImageFrame, ObjectModel


@dataclass(frozen=True, slots=True, eq=False)
class OfficialCase:
    """One refinement recorded from the published code, and our network with its weights."""

    arrays: dict[str, np.ndarray]
    network: PaperNetwork
    model: ObjectModel
    frame: ImageFrame
    T_initial: Tensor

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    @property
    def cycles(self) -> int:
        return len(self.arrays["intrinsics_crop"])

    @property
    def iterations(self) -> int:
        """Of one cycle."""
        return len(self.arrays["T_after"]) // self.cycles

    def cycle_poses(self) -> list[Tensor]:
        """The pose at which each recorded cycle starts."""
        poses = [self.T_initial]
        for cycle in range(1, self.cycles):
            poses.append(self.tensor("T_after")[cycle * self.iterations - 1, 0, 0].double() @ poses[-1])
        return poses


@pytest.fixture(scope="session")
def official(shared_dir: Path) -> OfficialCase:
    """The recorded case; RNNPOSE_OFFICIAL_CASE names another folder with the same files."""
    folder = Path(os.environ.get("RNNPOSE_OFFICIAL_CASE", shared_dir / "golden" / "official"))
    if not (folder / "case.npz").is_file():
        pytest.skip(f"no recorded run of the published code at {folder}")
    with np.load(folder / "case.npz") as file:
        arrays = {name: file[name] for name in file.files}
    network = PaperNetwork().eval()
    load_published(network, published_tensors(folder), source="weights.py")
    T = torch.eye(4, dtype=torch.float64)
    T[:3] = torch.from_numpy(arrays["RT_init"]).double()
    rgb = torch.from_numpy(arrays["raw_image"])
    camera = CameraIntrinsics(torch.from_numpy(arrays["raw_K"])[None].double(), height=rgb.shape[0], width=rgb.shape[1])
    model = load_object(folder / "mesh" / "textured.obj", label="object")
    return OfficialCase(arrays, network, model, ImageFrame(rgb=rgb, camera=camera), T)


def published_tensors(folder: Path) -> dict[str, Tensor]:
    """The weights that the recorded run used, under the published names."""
    spec = importlib.util.spec_from_file_location("official_weights_of_the_case", folder / "weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: torch.as_tensor(array) for name, array in module.state_dict().items()}
