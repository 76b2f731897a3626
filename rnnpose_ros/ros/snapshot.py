"""One picture with all that belongs to it in a file, for reports of what went wrong."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import numpy as np

from rnnpose_ros import __version__
from rnnpose_ros.config import flatten
from rnnpose_ros.files import make_folder, write_whole
from rnnpose_ros.ros.parameters import NodeConfig
from rnnpose_ros.ros.pipeline import FrameAnswer
from rnnpose_ros.types import RefinementResult


def save_snapshot(answer: FrameAnswer, config: NodeConfig) -> Path:
    """Writes ``<stamp>.npz`` and returns its path.

    ``rgb`` H x W x 3 and ``K`` 3 x 3 are of the rectified picture; ``start_labels``, ``start_T`` S x 4 x 4 and
    ``start_sources`` went in; ``labels``, ``T``, ``scores``, ``statuses`` and ``covariances`` came out, the tracked
    objects first, ``ids`` empty for those that are lost; ``facts`` is JSON: stamp, frame, version, every parameter.

    Raises:
        OutputError: It cannot be written.
    """
    frame, outcome = answer.frame, answer.outcome
    results = [item.result for item in outcome.tracked] + [item.result for item in outcome.lost]
    facts = {
        "stamp_ns": frame.stamp_ns,
        "frame_id": frame.frame_id,
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "version": __version__,
        "parameters": flatten(config),
    }
    content = io.BytesIO()
    np.savez_compressed(
        content,
        rgb=frame.rgb.numpy(),
        K=frame.camera.K[0].double().numpy(),
        start_labels=np.array([start.label for start in answer.starts], dtype=str),
        start_sources=np.array([start.source for start in answer.starts], dtype=str),
        start_T=_stack([start.T_camera_object.double().numpy() for start in answer.starts], (4, 4)),
        ids=np.array([item.instance_id for item in outcome.tracked] + [""] * len(outcome.lost), dtype=str),
        labels=np.array([result.label for result in results], dtype=str),
        statuses=np.array([result.status.value for result in results], dtype=str),
        scores=np.array([result.score for result in results], dtype=float),
        T=_stack([result.T_camera_object.double().numpy() for result in results], (4, 4)),
        covariances=_stack([_covariance(result) for result in results], (6, 6)),
        facts=np.array(json.dumps(facts)),
    )
    folder = snapshot_folder(config)
    make_folder(folder)
    path = folder / f"{frame.stamp_ns}.npz"
    write_whole(path, content.getvalue())
    return path


def snapshot_folder(config: NodeConfig) -> Path:
    """Where snapshots go: the parameter, or ``rnnpose_snapshots`` below ROS's own folder."""
    if config.services.snapshot_folder:
        return Path(config.services.snapshot_folder).expanduser()
    home = os.environ.get("ROS_HOME") or "~/.ros"
    return Path(home).expanduser() / "rnnpose_snapshots"


def _stack(arrays: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(arrays) if arrays else np.zeros((0, *shape))


def _covariance(result: RefinementResult) -> np.ndarray:
    """NaN where it is unknown."""
    return np.full((6, 6), np.nan) if result.covariance is None else result.covariance.double().numpy()
