"""Several cameras: one refiner for each, in the camera's namespace.

Every other argument of refiner.launch.py is taken as well, and goes to all of them.
"""

from launch.actions import GroupAction, OpaqueFunction

from launch import Action, LaunchContext, LaunchDescription
from rnnpose_ros.ros.launch_actions import declare, include_refiner, use_large_image_profile, values

ARGUMENTS = (
    ("cameras", "cam_1,cam_2", "Namespaces of the cameras, with commas between; topics are relative to them"),
    ("image_topic", "image_raw", "Topic of the pictures in each namespace"),
    ("initial_topic", "initial_detections", "Topic of the initial poses in each namespace; /absolute: one for all"),
    ("objects_file", "", "A mesh, an object.yaml or a folder of them; empty: as params_file says"),
)


def _refiners(context: LaunchContext) -> list[Action]:
    """One for each camera, each with frames of its own: two parents for one frame would break the tree."""
    chosen = values(context, [name for name, *_ in ARGUMENTS])
    cameras = [name.strip().strip("/") for name in chosen.pop("cameras").strip("[]").split(",") if name.strip()]
    if not cameras or len(set(cameras)) < len(cameras):
        raise RuntimeError(f"cameras:= expected different namespaces with commas between, got {', '.join(cameras)!r}")
    return [
        GroupAction([include_refiner(__file__, {**chosen, "namespace": name, "frame_prefix": f"rnnpose/{name}/"})])
        for name in cameras
    ]


def generate_launch_description() -> LaunchDescription:
    """Arguments, refiners."""
    return LaunchDescription([*declare(ARGUMENTS), *use_large_image_profile(), OpaqueFunction(function=_refiners)])
