"""A recording played live through the refiner, at the recording's own time; takes the refiner's arguments as well.

``rnnpose bag`` does the same without ROS, drops no picture, and writes a report.
"""

from launch.actions import ExecuteProcess, OpaqueFunction, Shutdown

from launch import Action, LaunchContext, LaunchDescription
from rnnpose_ros.ros.launch_actions import (
    declare,
    include_refiner,
    require_package,
    use_large_image_profile,
    values,
    when_subscribed,
)

ARGUMENTS = (
    ("bag", "", "The recording: a rosbag2 folder, or a .mcap or .db3 file"),
    ("rate", "1.0", "Speed of playing; 1 is the recording's own"),
    ("loop", "false", "Begin again at the end", ("true", "false")),
    ("start_offset", "0.0", "Seconds to leave out at the beginning"),
    ("wait", "120", "Longest time, in seconds, for the refiner to be ready; playing begins then"),
)


def _play(context: LaunchContext) -> list[Action]:
    """``ros2 bag play``, once the refiner listens."""
    chosen = values(context, [*(name for name, *_ in ARGUMENTS), "image_topic", "image_transport", "namespace"])
    if not chosen["bag"]:
        raise RuntimeError("bag:= is needed: the recording to play, a rosbag2 folder or a .mcap or .db3 file")
    require_package("ros2bag")
    command = ["ros2", "bag", "play", chosen["bag"], "--clock", "100", "--rate", chosen["rate"]]
    command += ["--start-offset", chosen["start_offset"], *(["--loop"] if chosen["loop"] == "true" else [])]
    player = ExecuteProcess(cmd=command, on_exit=Shutdown(reason="the recording has ended"), output="screen")
    topic = chosen["image_topic"]
    if not topic.startswith("/"):
        topic = "/".join(["", *filter(None, (chosen["namespace"].strip("/"), topic))])
    if chosen["image_transport"] == "compressed":
        topic += "/compressed"
    return [when_subscribed(topic, lambda: [player], limit_s=float(chosen["wait"]))]


def generate_launch_description() -> LaunchDescription:
    """Arguments, refiner, player."""
    refiner = include_refiner(__file__, {"use_sim_time": "true"})
    return LaunchDescription([*declare(ARGUMENTS), *use_large_image_profile(), refiner, OpaqueFunction(function=_play)])
