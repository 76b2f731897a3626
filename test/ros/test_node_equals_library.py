"""What comes out of the node is what the library says of the same picture and start pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rnnpose_ros.geometry.camera import intrinsics
from rnnpose_ros.geometry.rotations import rotation_angle
from rnnpose_ros.types import ImageFrame, PoseHypothesis

from .conftest import Graph, image_message, poses_message

T0 = 1_700_000_000_123_456_789
WIDTH, HEIGHT, FOCAL = 320, 240, 300.0


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged network where there is one, else one with random weights: the equality holds for both."""
    from rnnpose_ros.checkpoints.checkpoint import CheckpointInfo, default_weights, describe, save_checkpoint
    from rnnpose_ros.errors import CheckpointError
    from rnnpose_ros.networks.rnnpose_network import NetworkConfig, RnnposeNetwork

    try:
        return default_weights()
    except CheckpointError:
        torch.manual_seed(0)
        network = RnnposeNetwork(NetworkConfig())
        path = tmp_path_factory.mktemp("weights") / "random.safetensors"
        save_checkpoint(path, network, CheckpointInfo(network=describe(network)))
        return path


def _messages(rgb: np.ndarray) -> tuple[Any, Any]:
    from sensor_msgs.msg import CameraInfo, Image

    from rnnpose_ros.ros.images import fill_message

    image = fill_message(Image(header=image_message(T0).header), rgb, encoding="rgb8")
    info = CameraInfo(header=image.header, width=WIDTH, height=HEIGHT, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [FOCAL, 0.0, WIDTH / 2, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 1.0]
    info.p = [FOCAL, 0.0, WIDTH / 2, 0.0, 0.0, FOCAL, HEIGHT / 2, 0.0, 0.0, 0.0, 1.0, 0.0]
    return image, info


def test_the_pose_on_tf_equals_the_librarys_to_a_tenth_of_a_millimetre(
    graph: Graph, cube_mesh: Path, weights: Path
) -> None:
    from rnnpose_ros.checkpoints.checkpoint import load_network
    from rnnpose_ros.objects.library import load_object
    from rnnpose_ros.refinement.refiner import Refiner, RefinerConfig
    from rnnpose_ros.refinement.status import Calibration
    from rnnpose_ros.rendering.warp_renderer import WarpRenderer
    from rnnpose_ros.ros.messages import matrix_from_pose, matrix_from_transform

    rgb = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    start = poses_message(T0)
    T_start = matrix_from_pose(start.detections[0].results[0].pose.pose)
    config = RefinerConfig(cycles=2, iterations=2, min_score=0.0)
    network, info = load_network(weights)
    refiner = Refiner(network, WarpRenderer("cpu"), config, calibration=Calibration.from_mapping(info.calibration))
    camera = intrinsics(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, width=WIDTH, height=HEIGHT)
    frame = ImageFrame(rgb=torch.from_numpy(rgb), camera=camera)
    expected = refiner.refine(frame, [PoseHypothesis("cube", T_start)], {"cube": load_object(cube_mesh)})[0]
    assert expected.is_usable
    assert not torch.equal(expected.T_camera_object, T_start), "the network moves the pose"

    graph.start_refiner(
        cube_mesh, engine="eager", device="cpu", weights=str(weights), refine__cycles=2, refine__iterations=2,
        refine__min_score=0.0, tracking__lost_score=0.0, tracking__recover_score=0.0, tracking__max_uncertainty=0.0,
        tracking__max_translation=0.0, tracking__max_rotation=0.0, tracking__rivals=0,
    )  # fmt: skip
    graph.deliver(start)
    image, info_message = _messages(rgb)
    graph.infos.publish(info_message)
    graph.images.publish(image)
    graph.wait_for(lambda: graph.transforms_at(T0), "the transform", timeout_s=60.0)
    T = matrix_from_transform(graph.transforms_at(T0)[0])
    assert float((T - expected.T_camera_object)[:3, 3].norm()) < 1e-4
    assert float(torch.rad2deg(rotation_angle(T[:3, :3].T @ expected.T_camera_object[:3, :3]))) < 0.05
