"""The refiner node alone: connect it to a camera and to something that says roughly where the objects are."""

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import LogInfo, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from launch_ros.substitutions import FindPackageShare

from launch import Action, LaunchContext, LaunchDescription
from rnnpose_ros.ros.launch_actions import declare, values

_SHARE = FindPackageShare("rnnpose_ros")
_BOOLEAN = ("", "true", "false")
INITIAL_TOPICS = {
    "detection3d": "initial_detections",
    "detection2d": "initial_detections_2d",
    "pose": "initial_pose",
    "pose_cov": "initial_pose_with_covariance",
    "pose_array": "initial_poses",
}

ARGUMENTS = (
    ("namespace", "", "Namespace of the node"),
    ("node_name", "rnnpose", "Name of the node; its outputs are below it"),
    ("params_file", PathJoinSubstitution([_SHARE, "config", "refiner.yaml"]), "Parameters of the node, YAML"),
    ("objects_file", "", "A mesh, an object.yaml or a folder of them; empty: as params_file says"),
    ("weights", "", "Weights, a .safetensors file; empty: as params_file says"),
    ("device", "", "auto, cpu, cuda or cuda:<number>; empty: as params_file says"),
    ("engine", "", "auto, eager, openvino, or fake, which needs no network; empty: as params_file says"),
    ("image_topic", "image", "Topic of the pictures"),
    ("camera_info_topic", "", "Topic of their camera infos; empty: camera_info beside image_topic"),
    ("image_transport", "", "raw, or compressed for <image_topic>/compressed; empty: as params_file says"),
    ("initial_topic", "initial_detections", "Topic of the initial poses"),
    ("initial_type", "detection3d", "Kind of messages on initial_topic", tuple(INITIAL_TOPICS)),
    ("input_is_rectified", "", "auto, true (P of camera_info) or false (K and D); empty: as params_file says"),
    ("frame_prefix", "", "Stands before the frames of objects; empty: as params_file says"),
    ("autostart", "", "Whether the node configures and activates itself; empty: as params_file says", _BOOLEAN),
    ("use_sim_time", "false", "Take the time from /clock"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
    ("use_rviz", "false", "Start rviz with the debug images and frames"),
    ("rviz_config", PathJoinSubstitution([_SHARE, "config", "rnnpose.rviz"]), "Configuration of rviz"),
    ("respawn", "false", "Start the node again when it ends by itself"),
)
# Arguments that are parameters of the node, and their names there.
_PARAMETERS = {
    name: name
    for name in ("objects_file", "weights", "device", "engine", "image_transport", "input_is_rectified", "autostart")
} | {"frame_prefix": "tf.frame_prefix"}


def _refiner(context: LaunchContext) -> list[Node]:
    """The node; an argument that was given stands above the parameter file, one left empty does not."""
    chosen = {name: LaunchConfiguration(name) for name, *_ in ARGUMENTS}
    given = [name for name, text in values(context, list(_PARAMETERS)).items() if text]
    # Text stays text: a value such as true or 0 must not become a boolean or a number on its way.
    overrides = {
        _PARAMETERS[name]: ParameterValue(chosen[name], value_type=bool if name == "autostart" else str)
        for name in given
    }
    overrides["use_sim_time"] = ParameterValue(chosen["use_sim_time"], value_type=bool)
    topics = values(context, ["image_topic", "camera_info_topic", "initial_type"])
    beside, slash, _ = topics["image_topic"].rpartition("/")
    node = Node(
        package="rnnpose_ros",
        executable="refiner_node",
        namespace=chosen["namespace"],
        name=chosen["node_name"],
        parameters=[ParameterFile(chosen["params_file"], allow_substs=True), overrides],
        remappings=[
            ("image", topics["image_topic"]),
            ("camera_info", topics["camera_info_topic"] or f"{beside}{slash}camera_info"),
            (INITIAL_TOPICS[topics["initial_type"]], chosen["initial_topic"]),
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
    return LaunchDescription([*declare(ARGUMENTS), OpaqueFunction(function=_refiner), rviz])
