"""Which steps make the environment on this machine, in which order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rnnpose_ros.bootstrap import message_packages
from rnnpose_ros.bootstrap.machine import check_disk
from rnnpose_ros.bootstrap.requirements import Requirements, package_name, pinned_version
from rnnpose_ros.bootstrap.sourced_ros import SourcedRos
from rnnpose_ros.bootstrap.steps import Step

STATE_DIR = ".rnnpose_setup"  # inside the environment: stamps, logs, the lock

DISK_GIB_CPU = 3
DISK_GIB_CUDA = 8
DOWNLOAD_GB_CUDA = 3

# What the ROS wheels and the libraries both need is installed with the wheels, so that the libraries can follow while
# the messages compile, and no package is written twice at once.
_SHARED_PACKAGES = {"numpy", "pyyaml", "setuptools"}

# They belong to another Python, or to the shell that started us, and would mislead pip and CMake.
_FOREIGN_VARIABLES = (
    "AMENT_PREFIX_PATH",
    "CMAKE_PREFIX_PATH",
    "COLCON_PREFIX_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
)


@dataclass(frozen=True)
class Plan:
    """Builds the steps for one machine.

    Attributes:
        root: the checkout.
        venv: the environment to make.
        python: the interpreter to make it from.
        ros: the sourced ROS 2, None where the wheels are used.
        cuda: whether torch comes with CUDA.
        environ: the shell's environment.
        headers: where Python's headers were unpacked to, None where the usual place has them.
    """

    root: Path
    venv: Path
    python: str
    ros: SourcedRos | None
    cuda: bool
    environ: dict[str, str]
    headers: Path | None = None

    @property
    def requirements(self) -> Requirements:
        """The pinned lists of setup.cfg."""
        return Requirements.read(self.root / "setup.cfg")

    def phases(self) -> list[list[Step]]:
        """Groups of steps; those of one group run side by side."""
        if self.ros is not None:
            return [[self._libraries()], [self._package()]]
        return [[self._ros_wheels()], [self._libraries(), self._messages()], [self._package()]]

    def install_startup_file(self) -> None:
        """Puts ``venv_startup`` where every Python of the environment runs it; only the wheels need it."""
        source = Path(__file__).with_name("venv_startup.py")
        for site_packages in (self.venv / "lib").glob("python3.*/site-packages"):
            shutil.copyfile(source, site_packages / "_rnnpose_ros_startup.py")
            (site_packages / "_rnnpose_ros_startup.pth").write_text("import _rnnpose_ros_startup\n")

    def _ros_wheels(self) -> Step:
        extras = self.requirements.extras
        shared = self.requirements.only(_SHARED_PACKAGES)
        return self._pip("ROS 2 wheels", *extras["ros"], *extras["messages"], *shared)

    def _messages(self) -> Step:
        command = [self._venv_python, "-m", "rnnpose_ros.bootstrap.message_packages"]
        command += ["--build-dir", str(self.venv / "build")]
        environ = {**self._clean_environ(), "PYTHONPATH": str(self.root)}
        if self.headers is not None:
            environ[message_packages.HEADERS_VARIABLE] = str(self.headers)
        inputs = (*message_packages.source_digest_inputs(), *self.requirements.extras["messages"])
        return Step("message packages", command, inputs=inputs, environ=environ)

    def _libraries(self) -> Step:
        """torch and everything else that has no ROS in it, in one go of pip."""
        numpy_major = self.ros.numpy_major if self.ros else 2
        pins = (*self.requirements.runtime_for(numpy_major), *self.requirements.extras["dev"])
        version = pinned_version(pins, "torch")
        others = [pin for pin in pins if package_name(pin) != "torch"]
        # Three equals signs: the release itself, not a build of it with a label such as +cpu.
        default_build = self._pip("torch and libraries", f"torch==={version}", *others)
        if self.cuda:
            return default_build

        def without_cpu_build(log: str) -> Sequence[str] | None:
            if "No matching distribution found for torch" not in log:
                return None
            print(
                f"setup: pip is offered no CPU build of torch {version}, so the default build comes, about "
                f"{DOWNLOAD_GB_CUDA} GB to download and {DISK_GIB_CUDA} GB on disk; to avoid that, set "
                "PIP_EXTRA_INDEX_URL to an index that has CPU builds",
                flush=True,
            )
            check_disk(self.root, DISK_GIB_CUDA)
            return default_build.command

        cpu_build = self._pip("torch and libraries", f"torch=={version}+cpu", *others)
        return replace(cpu_build, fallback=without_cpu_build)

    def _package(self) -> Step:
        command = self._pip_command("--no-deps", "--no-build-isolation", "--editable", str(self.root))
        inputs = tuple((self.root / name).read_text() for name in ("setup.cfg", "setup.py"))
        return Step(
            "rnnpose_ros itself", command, inputs, produces=self.venv / "bin" / "rnnpose", environ=self._clean_environ()
        )

    @property
    def _venv_python(self) -> str:
        return str(self.venv / "bin" / "python")

    def _pip(self, name: str, *arguments: str) -> Step:
        return Step(name, self._pip_command(*arguments), environ=self._clean_environ())

    def _pip_command(self, *arguments: str) -> list[str]:
        # Compiling what will never be imported takes longer than compiling the rest at its first import.
        options = ["--disable-pip-version-check", "--no-input", "--no-compile", "--progress-bar", "off"]
        return [self._venv_python, "-m", "pip", "install", *options, *arguments]

    def _clean_environ(self) -> dict[str, str]:
        if self.ros is not None:
            return dict(self.environ)
        return {name: value for name, value in self.environ.items() if name not in _FOREIGN_VARIABLES} | {
            "PATH": self.environ.get("PATH", os.defpath)
        }
