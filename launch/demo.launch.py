"""A recorded sequence, a noisy detector and the refiner, for looking at in rviz; ends with the sequence."""

from launch.actions import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from rnnpose_ros.ros.launch_actions import declare, include_refiner, use_large_image_profile

ARGUMENTS = (
    ("data", "package://rnnpose_ros/models/sequences/tea_box", "Folder of the sequence; a path or package://"),
    ("objects_file", "package://rnnpose_ros/models/objects", "Mesh, object.yaml or folder with the sequence's object"),
    ("rate", "1.0", "Speed of playing; 1 is the sequence's own"),
    ("seed", "0", "Of the noise of the initial poses"),
    ("noise_scale", "1.0", "Factor on the noise of 15 degrees, 1 cm in x and y, 5 cm in z"),
    ("every", "1", "Send each so many-th recorded pose; 0: only the first"),
    ("engine", "auto", "auto, eager, openvino, or fake, which needs no network"),
    ("weights", "", "Weights, a .safetensors file; empty means the packaged small network"),
    ("device", "auto", "auto, cpu, cuda or cuda:<number>"),
    ("use_rviz", "true", "Start rviz with the debug images and frames"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
)
_FOR_THE_REFINER = ("objects_file", "engine", "weights", "device", "use_rviz", "log_level")


def generate_launch_description() -> LaunchDescription:
    """Arguments, player, source, refiner."""
    chosen = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    data = {"data": ParameterValue(chosen["data"], value_type=str)}
    player = Node(
        package="rnnpose_ros",
        executable="player_node",
        name="player",
        parameters=[data, {"rate": ParameterValue(chosen["rate"], value_type=float), "wait_camera_info": 2}],
        on_exit=Shutdown(reason="the sequence has ended"),
        output="screen",
    )
    noise = {
        "seed": ParameterValue(chosen["seed"], value_type=int),
        "noise_scale": ParameterValue(chosen["noise_scale"], value_type=float),
        "every": ParameterValue(chosen["every"], value_type=int),
    }
    source = Node(
        package="rnnpose_ros", executable="source_node", name="source", parameters=[data, noise], output="screen"
    )
    refiner = include_refiner(__file__, {name: chosen[name] for name in _FOR_THE_REFINER})
    return LaunchDescription([*declare(ARGUMENTS), *use_large_image_profile(), refiner, source, player])
