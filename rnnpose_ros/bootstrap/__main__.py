"""Makes ``.venv``: `python3 -m rnnpose_ros.bootstrap`, or `make setup`.

Every step is done once and skipped from then on, until what it depends on changes; an interrupted set-up goes on where
it stopped. Exit code 2 says that the machine lacks something, 1 that a step failed.
"""

import os
import sys
import time

from rnnpose_ros.bootstrap.interpreter import OLDEST, find_python
from rnnpose_ros.bootstrap.problems import SetupError


def main() -> int:
    """Runs the set-up in the Python that is running, if that is new enough, else in one that is."""
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    began_s = time.time()
    try:
        if not sys.version_info[:2] >= OLDEST:
            python = find_python(dict(os.environ))
            os.execv(python, [python, "-m", "rnnpose_ros.bootstrap", *sys.argv[1:]])
        from rnnpose_ros.bootstrap.environment import make_environment

        if make_environment(root, dict(os.environ), sys.argv[1:]):
            print(f"setup: ready in {time.time() - began_s:.0f} s; the command line is .venv/bin/rnnpose")
    except SetupError as problem:
        print(f"setup: {problem}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("setup: stopped; `make setup` goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
