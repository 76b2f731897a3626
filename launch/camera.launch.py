"""A camera's driver, rectification where it is asked for, and the refiner; takes the refiner's arguments as well."""

from launch.actions import OpaqueFunction
from launch_ros.actions import Node

from launch import Action, LaunchContext, LaunchDescription
from rnnpose_ros.ros.launch_actions import (
    declare,
    include_refiner,
    require_package,
    set_unless_given,
    use_large_image_profile,
    values,
)

ARGUMENTS = (
    ("camera", "realsense2_camera", "Driver of the camera", ("realsense2_camera", "usb_cam", "v4l2_camera")),
    ("camera_name", "camera", "Name of the driver's node, start of its topics and of its frames"),
    ("video_device", "/dev/video0", "Of usb_cam and v4l2_camera"),
    ("serial_no", "", "Of realsense2_camera, where there is more than one"),
    ("width", "640", "Of the pictures, in pixels"),
    ("height", "480", "Of the pictures, in pixels"),
    ("rate", "30", "Pictures a second"),
    ("camera_info_url", "", "Calibration of usb_cam and v4l2_camera: file:///.../camera.yaml of camera_calibration"),
    ("driver_params", "", "Further parameters of the driver, YAML"),
    ("rectify", "false", "Rectify by image_proc; the refiner takes distorted pictures as well", ("true", "false")),
)


def _realsense(chosen: dict[str, str]) -> tuple[Node, str]:
    profile = f"{chosen['width']}x{chosen['height']}x{chosen['rate']}"
    parameters = {
        "camera_name": chosen["camera_name"],
        "rgb_camera.color_profile": profile,
        # What drivers before 4.55 call it.
        "rgb_camera.profile": profile.replace("x", ","),
        "enable_color": True,
        "enable_depth": False,
        "enable_infra1": False,
        "enable_infra2": False,
    }
    if chosen["serial_no"]:
        # A number as it stands; the driver wants text, with an underscore before it.
        parameters["serial_no"] = f"_{chosen['serial_no'].lstrip('_')}"
    return _driver("realsense2_camera_node", chosen, parameters), f"/{chosen['camera_name']}/color/image_raw"


def _usb_cam(chosen: dict[str, str]) -> tuple[Node, str]:
    parameters = {
        "video_device": chosen["video_device"],
        "image_width": int(chosen["width"]),
        "image_height": int(chosen["height"]),
        "framerate": float(chosen["rate"]),
        "pixel_format": "yuyv2rgb",
        "camera_name": chosen["camera_name"],
        "frame_id": f"{chosen['camera_name']}_optical_frame",
        "camera_info_url": chosen["camera_info_url"],
    }
    return _driver("usb_cam_node_exe", chosen, parameters), f"/{chosen['camera_name']}/image_raw"


def _v4l2(chosen: dict[str, str]) -> tuple[Node, str]:
    parameters = {
        "video_device": chosen["video_device"],
        "image_size": [int(chosen["width"]), int(chosen["height"])],
        "time_per_frame": [1, round(float(chosen["rate"]))],
        "camera_frame_id": f"{chosen['camera_name']}_optical_frame",
        "camera_info_url": chosen["camera_info_url"],
    }
    return _driver("v4l2_camera_node", chosen, parameters), f"/{chosen['camera_name']}/image_raw"


def _driver(executable: str, chosen: dict[str, str], parameters: dict[str, object]) -> Node:
    # The RealSense driver puts its topics below its own name, the others below their namespace.
    is_realsense = chosen["camera"] == "realsense2_camera"
    further = [chosen["driver_params"]] if chosen["driver_params"] else []
    return Node(
        package=chosen["camera"],
        executable=executable,
        name=chosen["camera_name"] if is_realsense else "driver",
        namespace="" if is_realsense else chosen["camera_name"],
        parameters=[parameters, *further],
        output="screen",
    )


DRIVERS = {"realsense2_camera": _realsense, "usb_cam": _usb_cam, "v4l2_camera": _v4l2}


def _camera(context: LaunchContext) -> list[Action]:
    """Driver and rectification; the refiner's arguments follow from them unless they are given."""
    chosen = values(context, [name for name, *_ in ARGUMENTS])
    require_package(chosen["camera"])
    driver, image = DRIVERS[chosen["camera"]](chosen)
    if chosen["rectify"] == "false":
        return [*set_unless_given(context, {"image_topic": image}), driver]
    require_package("image_proc")
    folder = image.rpartition("/")[0]
    rectified = f"{folder}/image_rect"
    rectifier = Node(
        package="image_proc",
        executable="rectify_node",
        name="rectify",
        namespace=folder,
        remappings=[("image", image), ("camera_info", f"{folder}/camera_info"), ("image_rect", rectified)],
        output="screen",
    )
    return [*set_unless_given(context, {"image_topic": rectified, "input_is_rectified": "true"}), driver, rectifier]


def generate_launch_description() -> LaunchDescription:
    """Arguments, driver, rectification, refiner."""
    camera = OpaqueFunction(function=_camera)
    return LaunchDescription([*declare(ARGUMENTS), *use_large_image_profile(), camera, include_refiner(__file__)])
