"""`import runner` is light: it imports `compare` and all packages when they are used."""

import json
import subprocess
import sys

from tests.support.environment import child_environment

HEAVY = ("torch", "pandas", "numpy", "hydra", "omegaconf", "matplotlib", "rich", "scipy")


def imported_by(statement: str) -> set[str]:
    """Return the top-level packages in `sys.modules` after a statement in a new process."""
    script = f"import json, sys\n{statement}\nprint(json.dumps(list(sys.modules)))"
    text = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=child_environment(),
    ).stdout
    return {name.partition(".")[0] for name in json.loads(text.splitlines()[-1])}


def test_import_runner_imports_no_heavy_package():
    assert imported_by("import runner; dir(runner)").isdisjoint({*HEAVY, "experiments"})


def test_compare_itself_imports_no_torch():
    assert "torch" not in imported_by("import runner; runner.compare, runner.ConfigError")


def test_an_unknown_name_is_an_attribute_error():
    script = "try:\n    runner.compair\nexcept AttributeError as error:\n    print(error)"
    assert imported_by(f"import runner\n{script}")
