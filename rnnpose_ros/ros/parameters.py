"""The node's configuration, and its way to and from ROS parameters and YAML.

The frozen dataclasses are the one source: they give every ROS parameter its default, description and
range. An unknown name is refused, which rclpy by itself would ignore without a word. A change at run
time builds and validates a whole new configuration; the worker takes it up with its next picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnpose_ros.acceleration.engines import ENGINES
from rnnpose_ros.config import Parameter, build, flatten, param, parameters
from rnnpose_ros.errors import ConfigError
from rnnpose_ros.refinement.pictures import COLORMAPS
from rnnpose_ros.refinement.refiner import RefinerConfig
from rnnpose_ros.rendering.backends import RENDERERS
from rnnpose_ros.ros.camera_info import RECTIFIED_CHOICES
from rnnpose_ros.ros.fake_engine import FakeEngineConfig
from rnnpose_ros.ros.initial_poses import InitialPoseInputConfig
from rnnpose_ros.tracking.tracking_config import TrackingConfig


@dataclass(frozen=True, slots=True)
class QosConfig:
    """How images are asked for."""

    image_reliability: str = param(
        "auto", doc="auto asks for what the publishers offer", choices=("auto", "reliable", "best_effort")
    )


@dataclass(frozen=True, slots=True)
class SyncConfig:
    """How images and camera infos find each other."""

    slop: float = param(0.0, doc="Largest difference of their stamps; 0 means equal", unit="s", bounds=(0.0, 0.5))
    queue: int = param(8, doc="Messages of each kind that wait for their partner", bounds=(1, 60))
    camera_info_mode: str = param(
        "synced", doc="latest takes the last camera_info whatever its stamp", choices=("synced", "latest")
    )


@dataclass(frozen=True, slots=True)
class PublishConfig:
    """What goes out."""

    tf: bool = param(True, doc="Publish transforms of tracked objects", dynamic=True)
    detections: bool = param(True, doc="Publish ~/detections for every picture", dynamic=True)
    poses: bool = param(True, doc="Publish ~/poses, in the order of ~/detections", dynamic=True)
    per_object_pose: bool = param(False, doc="Publish ~/pose/<class>_<n> for each tracked object", dynamic=True)
    markers: bool = param(True, doc="Publish ~/markers for rviz, while somebody listens", dynamic=True)
    marker_lifetime: float = param(
        1.0, doc="After which rviz takes a marker away by itself", unit="s", bounds=(0.01, 600.0), dynamic=True
    )


@dataclass(frozen=True, slots=True)
class TfConfig:
    """How the objects' frames are called, and how other frames are looked up."""

    frame_prefix: str = param("rnnpose/", doc="Stands before every child frame")
    frame_template: str = param("{class_id}_{instance}", doc="Child frame of an object")
    parent_frame: str = param(
        "", doc="Parent of the objects' frames, transformed at the image's stamp; empty: the image's own", dynamic=True
    )
    fixed_frame: str = param(
        "", doc="Frame in which objects stand still between a pose and its picture, such as odom; empty: none"
    )
    timeout: float = param(
        0.1, doc="Longest wait for a transform on its way", unit="s", bounds=(0.0, 2.0), dynamic=True
    )


@dataclass(frozen=True, slots=True)
class CovarianceConfig:
    """The covariance of published poses."""

    publish: bool = param(True, doc="Fill in covariances; zeros mean unknown", dynamic=True)
    scale: float = param(1.0, doc="Factor on covariances", bounds=(0.0, 1e6), dynamic=True)
    min_std_position: float = param(
        0.0005, doc="Least standard deviation along each axis", unit="m", bounds=(0.0, 10.0), dynamic=True
    )
    min_std_rotation: float = param(
        0.002, doc="Least standard deviation about each axis", unit="rad", bounds=(0.0, 10.0), dynamic=True
    )


@dataclass(frozen=True, slots=True)
class DebugConfig:
    """The debug images, which are made only while somebody listens."""

    max_rate: float = param(5.0, doc="Most debug images per second", unit="Hz", bounds=(0.01, 100.0), dynamic=True)
    colormap: str = param("turbo", doc="Of ~/debug/similarity_color", choices=tuple(COLORMAPS), dynamic=True)


@dataclass(frozen=True, slots=True)
class DiagnosticsConfig:
    """When /diagnostics warns."""

    expected_rate: float = param(
        0.0, doc="Warn where fewer pictures a second are answered; 0: never", unit="Hz", bounds=(0.0, 1e3), dynamic=True
    )
    latency_warn: float = param(
        0.3,
        doc="Warn where poses come out later after their image; 0: never",
        unit="s",
        bounds=(0.0, 60.0),
        dynamic=True,
    )
    latency_error: float = param(1.0, doc="The same as an error; 0: never", unit="s", bounds=(0.0, 60.0), dynamic=True)


@dataclass(frozen=True, slots=True)
class ServicesConfig:
    """What the node's own services do."""

    picture_timeout: float = param(
        5.0, doc="How long ~/refine_once waits for a picture", unit="s", bounds=(0.1, 600.0), dynamic=True
    )
    snapshot_folder: str = param(
        "", doc="Where ~/save_snapshot writes; empty: rnnpose_snapshots in ROS_HOME or ~/.ros", dynamic=True
    )


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything the refiner node can be told."""

    autostart: bool = param(True, doc="Configure and activate without being asked; false waits for lifecycle services")
    engine: str = param(
        "auto",
        doc="What computes the network; auto is openvino on a CPU where it is installed, else eager; fake is for tests",
        choices=(*ENGINES, "fake"),
    )
    threads: int = param(0, doc="Processor threads of a compiled network; 0: as many as torch has", bounds=(0, 256))
    device: str = param("auto", doc="auto, cpu, cuda or cuda:<number>; auto is CUDA where there is one")
    renderer: str = param(RENDERERS[0], doc="What draws the references; pytorch3d must be installed", choices=RENDERERS)
    precision: str = param(
        "auto",
        doc="Of the convolutions; auto is bfloat16 where the processor computes in it",
        choices=("auto", "float32", "bfloat16"),
    )
    weights: str = param(
        "", doc="Weights (.safetensors), a path or package://; empty: the objects' own, or the packaged small network"
    )
    objects_file: str = param(
        "",
        doc="A mesh, an object.yaml or a folder of them, a path or package://; ~/reload_objects reads it",
        dynamic=True,
    )
    object_ids: tuple[str, ...] = param(
        ("",), doc="Labels to serve; none named means all; a change waits for ~/reload_objects", dynamic=True
    )
    input_is_rectified: str = param(
        "auto",
        doc="true uses P of camera_info, false K and D; auto decides by topic name and D",
        choices=RECTIFIED_CHOICES,
    )
    image_transport: str = param(
        "raw", doc="compressed listens to <image>/compressed, JPEG or PNG", choices=("raw", "compressed")
    )
    max_latency: float = param(
        1.0,
        doc="A picture older than this when its turn comes is dropped; 0: none is",
        unit="s",
        bounds=(0.0, 10.0),
        dynamic=True,
    )
    initial_pose: InitialPoseInputConfig = InitialPoseInputConfig()
    refine: RefinerConfig = RefinerConfig()
    tracking: TrackingConfig = TrackingConfig()
    publish: PublishConfig = PublishConfig()
    tf: TfConfig = TfConfig()
    covariance: CovarianceConfig = CovarianceConfig()
    debug: DebugConfig = DebugConfig()
    qos: QosConfig = QosConfig()
    sync: SyncConfig = SyncConfig()
    services: ServicesConfig = ServicesConfig()
    diagnostics: DiagnosticsConfig = DiagnosticsConfig()
    fake: FakeEngineConfig = FakeEngineConfig()


def describe(parameter: Parameter) -> str:
    """One line: what it is, its unit, what it may be, and when it may change."""
    spec = parameter.spec
    parts = [spec.doc.rstrip(".")]
    if spec.choices is not None:
        parts.append("one of " + ", ".join(str(choice) for choice in spec.choices))
    if spec.bounds is not None:
        unit = f" {spec.unit}" if spec.unit else ""
        parts.append(f"{spec.bounds[0]:g} to {spec.bounds[1]:g}{unit}")
    parts.append("may change while running" if spec.dynamic else "fixed once configured")
    return "; ".join(parts)


def to_yaml(config_type: type = NodeConfig, *, header: str = "") -> str:
    """A commented parameter file with every default, for any node name."""
    lines = [f"# {line}" for line in header.splitlines()] + ["/**:", "  ros__parameters:"]
    group: tuple[str, ...] = ()
    for parameter in parameters(config_type):
        *path, leaf = parameter.name.split(".")
        shared = 0
        while shared < min(len(path), len(group)) and path[shared] == group[shared]:
            shared += 1
        lines += [f"{'  ' * (depth + 2)}{path[depth]}:" for depth in range(shared, len(path))]
        group = tuple(path)
        indent = "  " * (len(path) + 2)
        lines += [f"{indent}# {describe(parameter)}", f"{indent}{leaf}: {_yaml_value(parameter.default)}"]
    return "\n".join(lines) + "\n"


def to_table(config_type: type = NodeConfig) -> str:
    """The parameters as a Markdown table."""
    rows = ["| parameter | default | what |", "|---|---|---|"]
    for parameter in parameters(config_type):
        rows.append(f"| `{parameter.name}` | `{_yaml_value(parameter.default)}` | {describe(parameter)} |")
    return "\n".join(rows) + "\n"


class NodeParameters:
    """The configuration of a running node, kept in step with its ROS parameters.

    Args:
        node: An ``rclpy.node.Node`` on which nothing of the configuration is declared yet.
        config_type: What to declare.
        is_configured: Whether parameters that are not dynamic are fixed at the moment; None: always.

    Raises:
        ConfigError: Overrides name unknown parameters or have values outside their bounds; all at once.
    """

    def __init__(
        self, node: Any, config_type: type = NodeConfig, *, is_configured: Callable[[], bool] | None = None
    ) -> None:
        from rnnpose_ros.ros.qos import check_overrides

        self._type = config_type
        self._is_configured = is_configured or (lambda: True)
        self._known = {p.name: p for p in parameters(config_type)}
        overrides = {
            name: override.value
            for name, override in node._parameter_overrides.items()
            if not node.has_parameter(name) and not name.startswith(("qos_overrides.", "use_sim_time"))
        }
        self.current: Any = build(config_type, overrides)
        check_overrides({name: override.value for name, override in node._parameter_overrides.items()})
        for name, value in flatten(self.current).items():
            value = list(value) if isinstance(value, tuple) else value
            node.declare_parameter(name, value, _descriptor(self._known[name]), ignore_override=True)
        node.add_on_set_parameters_callback(self._on_change)

    def _on_change(self, changes: list[Any]) -> Any:
        from rcl_interfaces.msg import SetParametersResult

        values = {change.name: change.value for change in changes if change.name in self._known}
        if not values:
            return SetParametersResult(successful=True)
        fixed = [name for name in values if not self._known[name].spec.dynamic]
        if fixed and self._is_configured():
            reason = f"{', '.join(fixed)}: fixed while the node is configured"
            return SetParametersResult(successful=False, reason=reason)
        try:
            self.current = build(self._type, values, base=self.current)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def _descriptor(parameter: Parameter) -> Any:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    spec = parameter.spec
    # Not read_only: what is fixed once configured may change before, and the node says no by itself.
    descriptor = ParameterDescriptor(description=describe(parameter))
    if spec.bounds is not None:
        low, high = spec.bounds
        if parameter.type is int:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high))]
        elif parameter.type is float:
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    return descriptor


def _yaml_value(value: Any) -> str:
    # JSON's notation is YAML too, and quotes every string: a bare y or n would be read as a boolean.
    return json.dumps(list(value) if isinstance(value, tuple) else value)


FILE_HEADER = """Parameters of the refiner node with their defaults.
Made from the configuration by: python -m rnnpose_ros.ros.parameters --yaml"""


def main() -> None:
    """Print the parameter file, or the README's table."""
    parser = argparse.ArgumentParser(description="The refiner node's parameters.")
    form = parser.add_mutually_exclusive_group(required=True)
    form.add_argument("--yaml", action="store_true", help="print a parameter file with all defaults")
    form.add_argument("--table", action="store_true", help="print the table of the README")
    args = parser.parse_args()
    print(to_yaml(header=FILE_HEADER) if args.yaml else to_table(), end="")


if __name__ == "__main__":
    main()
