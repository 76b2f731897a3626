"""The refiner node alone: connect it to a camera and to something that says roughly where the objects are."""

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import Action, LaunchContext, LaunchDescription

_SHARE = FindPackageShare("rnnpose_ros")

ARGUMENTS = (
    ("namespace", "", "Namespace of the node"),
    ("node_name", "rnnpose", "Name of the node; its outputs are below it"),
    ("params_file", PathJoinSubstitution([_SHARE, "config", "refiner.yaml"]), "Parameters of the node, YAML"),
    ("objects_file", "", "A mesh, an object.yaml or a folder of them; empty: as params_file says"),
    ("weights", "", "Weights, a .safetensors file; empty: as params_file says"),
    ("device", "", "auto, cpu, cuda or cuda:<number>; empty: as params_file says"),
    ("engine", "", "rnnpose, or fake, which answers without a network; empty: as params_file says"),
    ("image_topic", "image", "Topic of the pictures"),
    ("camera_info_topic", "camera_info", "Topic of their camera infos"),
    ("initial_topic", "initial_detections", "Topic of the initial poses, vision_msgs/Detection3DArray"),
    ("input_is_rectified", "", "auto, true (P of camera_info) or false (K and D); empty: as params_file says"),
    ("use_sim_time", "false", "Take the time from /clock"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
    ("use_rviz", "false", "Start rviz with the debug images and frames"),
    ("rviz_config", PathJoinSubstitution([_SHARE, "config", "rnnpose.rviz"]), "Configuration of rviz"),
    ("respawn", "false", "Start the node again when it ends by itself"),
)
_STRINGS = ("objects_file", "weights", "device", "engine", "input_is_rectified")


def _refiner(context: LaunchContext) -> list[Node]:
    """The node; an argument that was given stands above the parameter file, one left empty does not."""
    chosen = {name: LaunchConfiguration(name) for name, _, _ in ARGUMENTS}
    given = {name: chosen[name].perform(context) for name in _STRINGS}
    # Text stays text: a value such as true or 0 must not become a boolean or a number on its way.
    overrides = {name: ParameterValue(text, value_type=str) for name, text in given.items() if text}
    overrides["use_sim_time"] = ParameterValue(chosen["use_sim_time"], value_type=bool)
    node = Node(
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
    return [node]


def _rviz(context: LaunchContext) -> list[Action]:
    """rviz where it is installed: a launch that fails half-way leaves the node running."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        return [LogInfo(msg="rviz2 is not installed: going on without it")]
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", LaunchConfiguration("rviz_config")],
        parameters=[{"use_sim_time": ParameterValue(LaunchConfiguration("use_sim_time"), value_type=bool)}],
        output="screen",
    )
    return [rviz]


def generate_launch_description() -> LaunchDescription:
    """Arguments, node, rviz."""
    rviz = OpaqueFunction(function=_rviz, condition=IfCondition(LaunchConfiguration("use_rviz")))
    arguments = [DeclareLaunchArgument(name, default_value=value, description=text) for name, value, text in ARGUMENTS]
    return LaunchDescription([*arguments, OpaqueFunction(function=_refiner), rviz])
