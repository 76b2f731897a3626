"""Makes the virtual environment, from the first look at the machine to the last step."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rnnpose_ros.bootstrap.interpreter import NEWEST, OLDEST, find_python
from rnnpose_ros.bootstrap.machine import check_compiler, check_disk, check_wheels_fit, has_ensurepip, has_headers
from rnnpose_ros.bootstrap.plan import DISK_GIB_CPU, DISK_GIB_CUDA, STATE_DIR, Plan
from rnnpose_ros.bootstrap.problems import MachineError
from rnnpose_ros.bootstrap.sourced_ros import find_sourced_ros
from rnnpose_ros.bootstrap.steps import Step, StepRunner


def make_environment(root: str, environ: dict[str, str], arguments: list[str]) -> bool:
    """Brings ``root/.venv`` up to date; returns whether there was anything to do.

    ``arguments`` may hold ``--cuda`` or ``--cpu``; without either the environment keeps the torch it has, and a new
    one gets the CPU build.

    Raises:
        MachineError: the machine lacks something.
        SetupError: a step failed.
    """
    checkout = Path(root)
    venv = checkout / ".venv"
    with _only_one(checkout):
        ros = find_sourced_ros(environ, own_prefix=venv)
        python = ros.python if ros else _python(environ)
        cuda = _wants_cuda(arguments, venv / STATE_DIR / "cuda")
        plan = Plan(root=checkout, venv=venv, python=python, ros=ros, cuda=cuda, environ=environ)
        runner = StepRunner(venv / STATE_DIR)
        base = _base_step(plan)
        if runner.is_done(base) and all(runner.is_done(step) for phase in plan.phases() for step in phase):
            return False
        _check_machine(plan)
        print(f"setup: {'ROS 2 ' + ros.distro if ros else 'ROS 2 as wheels'}, torch for {'CUDA' if cuda else 'CPU'}")
        _run(plan, base, runner)
        (venv / STATE_DIR / "cuda").write_text("1" if cuda else "0")
        return True


def _run(plan: Plan, base: Step, runner: StepRunner) -> None:
    if not runner.is_done(base):
        shutil.rmtree(plan.venv, ignore_errors=True)
        runner.run([base])
    if plan.ros is None:
        plan.install_startup_file()
    for phase in plan.phases():
        runner.run(phase)


def _base_step(plan: Plan) -> Step:
    """The bare environment; another Python, another ROS or another place of the checkout means a new one."""
    command = [plan.python, "-m", "venv", str(plan.venv)]
    if plan.ros is not None:
        command.insert(3, "--system-site-packages")
    inputs = (os.path.realpath(plan.python), plan.ros.distro if plan.ros else "wheels")
    return Step("virtual environment", command, inputs, produces=plan.venv / "bin" / "python", environ=plan.environ)


def _check_machine(plan: Plan) -> None:
    """Raises MachineError for the first thing that is missing."""
    check_disk(plan.root, DISK_GIB_CUDA if plan.cuda else DISK_GIB_CPU)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not has_ensurepip(plan.python, plan.environ):
        raise MachineError(f"{plan.python} cannot make virtual environments: `sudo apt install python{version}-venv`")
    if plan.ros is not None:
        return
    check_wheels_fit()
    check_compiler(plan.environ)
    if not has_headers(plan.python, plan.environ):
        raise MachineError(f"{plan.python} has no headers (Python.h): `sudo apt install python{version}-dev`")


def _python(environ: dict[str, str]) -> str:
    """The running Python, without asking around, where it fits and no other is wanted."""
    inside_environment = sys.prefix != sys.base_prefix
    if not inside_environment and "RNNPOSE_PYTHON" not in environ and OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    return find_python(environ)


def _wants_cuda(arguments: list[str], remembered: Path) -> bool:
    if "--cuda" in arguments:
        return True
    return "--cpu" not in arguments and remembered.is_file() and remembered.read_text() == "1"


@contextmanager
def _only_one(checkout: Path) -> Iterator[None]:
    """Holds off a second set-up of the same checkout until the first has ended."""
    with (checkout / "setup.cfg").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: another set-up of this checkout is running, waiting for it", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
