"""Where the checkout is, and the environment of a command that uses it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """The environment of a child process that finds this checkout and the tests' plug-ins."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "80"}
