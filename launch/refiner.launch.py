"""The refiner node alone: connect it to a camera and to something that says roughly where the objects are."""

from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription

_SHARE = FindPackageShare("rnnpose_ros")

ARGUMENTS = (
    ("namespace", "", "Namespace of the node"),
    ("node_name", "rnnpose", "Name of the node; its outputs are below it"),
    ("params_file", PathJoinSubstitution([_SHARE, "config", "refiner.yaml"]), "Parameters of the node, YAML"),
    ("objects_file", "", "A mesh, an object.yaml or a folder of them; a path or package://"),
    ("weights", "", "Weights, a .safetensors file; empty means the packaged small network"),
    ("device", "auto", "auto, cpu, cuda or cuda:<number>"),
    ("engine", "rnnpose", "rnnpose, or fake, which answers without a network"),
    ("image_topic", "image", "Topic of the pictures"),
    ("camera_info_topic", "camera_info", "Topic of their camera infos"),
    ("initial_topic", "initial_detections", "Topic of the initial poses, vision_msgs/Detection3DArray"),
    ("input_is_rectified", "auto", "auto, true (P of camera_info holds) or false (K and D hold)"),
    ("use_sim_time", "false", "Take the time from /clock"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
    ("use_rviz", "false", "Start rviz with the debug images and frames"),
    ("rviz_config", PathJoinSubstitution([_SHARE, "config", "rnnpose.rviz"]), "Configuration of rviz"),
    ("respawn", "false", "Start the node again when it ends by itself"),
)
_STRINGS = ("objects_file", "weights", "device", "engine", "input_is_rectified")


def generate_launch_description() -> LaunchDescription:
    """Arguments, node, rviz."""
    chosen = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    # Text stays text: a value such as true or 0 must not become a boolean or a number on its way.
    overrides = {name: ParameterValue(chosen[name], value_type=str) for name in _STRINGS}
    overrides["use_sim_time"] = ParameterValue(chosen["use_sim_time"], value_type=bool)
    refiner = Node(
        package="rnnpose_ros",
        executable="refiner_node",
        namespace=chosen["namespace"],
        name=chosen["node_name"],
        parameters=[ParameterFile(chosen["params_file"], allow_substs=True), overrides],
        remappings=[
            ("image", chosen["image_topic"]),
            ("camera_info", chosen["camera_info_topic"]),
            ("initial_detections", chosen["initial_topic"]),
        ],
        arguments=["--ros-args", "--log-level", chosen["log_level"]],
        respawn=chosen["respawn"],
        output="screen",
    )
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", chosen["rviz_config"]],
        parameters=[{"use_sim_time": overrides["use_sim_time"]}],
        condition=IfCondition(chosen["use_rviz"]),
        output="screen",
    )
    arguments = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*arguments, refiner, rviz])
