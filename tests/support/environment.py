"""The folder of the checkout, and the environment of a command that uses it."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FULL_ERROR = "HYDRA_FULL_ERROR"  # which `main` sets in the process of a test that calls it


def child_environment() -> dict[str, str]:
    """Return a child process's environment, which finds this checkout and the tests' plug-ins."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    inherited = {name: value for name, value in os.environ.items() if name != FULL_ERROR}
    return {**inherited, "PYTHONPATH": path, "COLUMNS": "80"}
