"""Makes the virtual environment, from the first look at the machine to the last step."""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from rnnpose_ros.bootstrap import debian_packages
from rnnpose_ros.bootstrap.interpreter import NEWEST, OLDEST, base_of, find_python, version_of
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
        if _base_fits(plan) and all(runner.is_done(step) for phase in plan.phases() for step in phase):
            return False
        source = f"the sourced ROS 2 {ros.distro}" if ros else "ROS 2 as wheels"
        print(f"setup: {source}, torch for {'CUDA' if cuda else 'CPU'}", flush=True)
        _check_machine(plan)
        _run(plan, runner)
        (venv / STATE_DIR / "cuda").write_text("1" if cuda else "0")
        return True


def _run(plan: Plan, runner: StepRunner) -> None:
    if not _base_fits(plan):
        if plan.venv.exists():
            print("setup: .venv was made for another place, Python or ROS 2, or was never finished; it is made anew")
            shutil.rmtree(plan.venv)
        runner.run(_base_steps(plan))
        (plan.venv / STATE_DIR / "base").write_text(_base_text(plan))
    if plan.ros is None:
        plan.install_startup_file()
        plan = replace(plan, headers=_headers(plan))
    for phase in plan.phases():
        runner.run(phase)


def _base_text(plan: Plan) -> str:
    return f"{plan.venv}\n{plan.ros.distro if plan.ros else 'wheels'}\n"


def _base_fits(plan: Plan) -> bool:
    """Whether the environment is there, at this place, for this ROS 2, and of the Python that was asked for, if any.

    Which python3 comes first on the PATH does not matter once an environment is there.
    """
    base = plan.venv / STATE_DIR / "base"
    if not base.is_file() or base.read_text() != _base_text(plan) or not (plan.venv / "bin" / "python").exists():
        return False
    wanted = plan.environ.get("RNNPOSE_PYTHON")
    return not wanted or version_of(wanted) == version_of(str(plan.venv / "bin" / "python"))


def _base_steps(plan: Plan) -> list[Step]:
    """The bare environment, with Debian's own wheel of pip where its Python cannot put pip in."""
    command = [plan.python, "-m", "venv", *(["--system-site-packages"] if plan.ros else []), str(plan.venv)]
    if has_ensurepip(plan.python, plan.environ):
        return [Step("virtual environment", command, environ=plan.environ)]
    wheel = debian_packages.unpack_pip(plan.root / ".venv" / STATE_DIR / "debian")
    if wheel is None:
        version = "{}.{}".format(*version_of(plan.python))
        raise MachineError(f"{plan.python} cannot make virtual environments: `sudo apt install python{version}-venv`")
    python = plan.venv / "bin" / "python"
    script = '"$0" -m venv --without-pip "${@:3}" && PYTHONPATH="$2" "$1" -m pip install --no-index "$2"'
    bash = ["bash", "-c", script, plan.python, str(python), str(wheel), *command[3:]]
    return [Step("virtual environment", bash, environ=plan.environ)]


def _headers(plan: Plan) -> Path | None:
    """The folder of Python's headers, None where they are in their usual place."""
    if has_headers(plan.python, plan.environ):
        return None
    version = "{}.{}".format(*version_of(plan.python))
    folder = debian_packages.unpack_headers(version, plan.venv / STATE_DIR / "debian")
    if folder is None:
        raise MachineError(f"{plan.python} has no headers (Python.h): `sudo apt install python{version}-dev`")
    return folder


def _check_machine(plan: Plan) -> None:
    """Raises MachineError for the first thing that is missing."""
    check_disk(plan.root, DISK_GIB_CUDA if plan.cuda else DISK_GIB_CPU)
    if plan.ros is None:
        check_wheels_fit()
        check_compiler(plan.environ)


def _python(environ: dict[str, str]) -> str:
    """The running Python, without asking around, where it fits and no other is wanted."""
    if "RNNPOSE_PYTHON" not in environ and OLDEST <= sys.version_info[:2] <= NEWEST:
        return base_of(sys.executable) if sys.prefix != sys.base_prefix else sys.executable
    return base_of(find_python(environ))


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
