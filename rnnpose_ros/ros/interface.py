"""What the refiner node has on the graph, in words: the README's table, held to the real node by a test."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A topic or a service of the node."""

    kind: str
    """``in``, ``out`` or ``service``."""
    name: str
    """Relative, ``~/`` below the node, or absolute."""
    type: str
    text: str
    latched: bool = False
    """Heard by those who come later, too."""


INTERFACE = (
    Entry(
        "in",
        "image",
        "sensor_msgs/msg/Image",
        "rectified, or raw with plumb_bob, rational_polynomial or equidistant distortion; with `image_transport: "
        "compressed` it is `image/compressed`, sensor_msgs/msg/CompressedImage",
    ),
    Entry("in", "camera_info", "sensor_msgs/msg/CameraInfo", "of the same stamps; ROI and binning are heeded"),
    Entry("in", "initial_detections", "vision_msgs/msg/Detection3DArray", "rough poses, `results[0]` of each"),
    Entry("in", "initial_detections_2d", "vision_msgs/msg/Detection2DArray", "rough poses in `results[0].pose`"),
    Entry(
        "in",
        "initial_pose",
        "geometry_msgs/msg/PoseStamped",
        "rough pose of the only object, or of `initial_pose.default_class_id`",
    ),
    Entry("in", "initial_poses", "geometry_msgs/msg/PoseArray", "the same, several"),
    Entry(
        "in",
        "initial_pose_with_covariance",
        "geometry_msgs/msg/PoseWithCovarianceStamped",
        "the same; one that is too uncertain is not used",
    ),
    Entry(
        "in",
        "/tf",
        "tf2_msgs/msg/TFMessage",
        "relates frames; with `initial_pose.tf_frames` frames are rough poses too",
    ),
    Entry("in", "/tf_static", "tf2_msgs/msg/TFMessage", "the same, for frames that do not move", latched=True),
    Entry(
        "out",
        "/tf",
        "tf2_msgs/msg/TFMessage",
        "camera (or `tf.parent_frame`) to `rnnpose/<class>_<n>`, the mesh's own axes, with the image's stamp; one "
        "message a picture, never twice for one stamp, never for a lost object",
    ),
    Entry(
        "out",
        "~/detections",
        "vision_msgs/msg/Detection3DArray",
        "pose, class, id, score, covariance, box, under the image's header, for every picture; empty when nothing is "
        "tracked. The id stays with an object: the detector's own where it gave one, else `<class>_<n>`; frames and "
        "topics of objects are always called `<class>_<n>`, n counting the objects of a class from 0",
    ),
    Entry("out", "~/poses", "geometry_msgs/msg/PoseArray", "the same poses in the same order; while someone listens"),
    Entry(
        "out",
        "~/pose/<class>_<n>",
        "geometry_msgs/msg/PoseWithCovarianceStamped",
        "each object on its own; with `publish.per_object_pose`",
    ),
    Entry(
        "out",
        "~/markers",
        "visualization_msgs/msg/MarkerArray",
        "mesh and text for rviz, and DELETE for what is lost; while someone listens",
    ),
    Entry(
        "out",
        "~/vision_info",
        "vision_msgs/msg/VisionInfo",
        "where the object database is, and which version",
        latched=True,
    ),
    Entry(
        "out",
        "~/object_database",
        "std_msgs/msg/String",
        "YAML: mesh, scale, diameter and symmetries of every class",
        latched=True,
    ),
    Entry(
        "out",
        "~/debug/overlay",
        "sensor_msgs/msg/Image",
        "rgb8: outlines at the start (white), refined (green), lost (red). All debug images have the image's header "
        "and size, and are made only while someone listens",
    ),
    Entry("out", "~/debug/similarity", "sensor_msgs/msg/Image", "32FC1, 0..1: how alike render and photograph are"),
    Entry(
        "out", "~/debug/similarity_color", "sensor_msgs/msg/Image", "rgb8: the same in the colours of `debug.colormap`"
    ),
    Entry("out", "~/debug/render", "sensor_msgs/msg/Image", "rgb8: the objects alone, as drawn"),
    Entry(
        "out",
        "~/debug/flow",
        "sensor_msgs/msg/Image",
        "32FC2, pixels from the last reference to where it was found; NaN where there is no object",
    ),
    Entry(
        "out",
        "/diagnostics",
        "diagnostic_msgs/msg/DiagnosticArray",
        "once a second: input, engine, output, objects; rates, times, counts by reason, and why nothing comes out",
    ),
    Entry("service", "~/reset", "std_srvs/srv/Trigger", "forget every object"),
    Entry("service", "~/set_enabled", "std_srvs/srv/SetBool", "false: leave pictures alone until true"),
    Entry(
        "service", "~/refine_once", "std_srvs/srv/Trigger", "the objects of the next picture, also while not enabled"
    ),
    Entry(
        "service",
        "~/reload_objects",
        "std_srvs/srv/Trigger",
        "read `objects_file` and `object_ids` again; on an error the old ones stay",
    ),
    Entry(
        "service",
        "~/save_snapshot",
        "std_srvs/srv/Trigger",
        "the last picture, its camera, poses in and out, and all parameters as .npz, for reports",
    ),
)
"""Beside what every lifecycle node has."""


def to_table() -> str:
    """The interface as a Markdown table."""
    rows = ["| | name | type | |", "|---|---|---|---|"]
    for entry in INTERFACE:
        kind = f"{entry.kind}, latched" if entry.latched else entry.kind
        rows.append(f"| {kind} | `{entry.name}` | `{entry.type}` | {entry.text} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(to_table(), end="")
