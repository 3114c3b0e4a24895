"""Modules of other people's packages become arms with at most ten lines, at matched cost.

Packages that are absent are skipped; docs/testing.md has the command that installs them.
"""

import ast
import json
import math
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.environment import ROOT, child_environment

HERE = Path(__file__).parent
MOST_LINES = 10


class Stranger(NamedTuple):
    """A module of another package.

    Attributes:
        package: its package, with the version that was tested.
        plugin: the file with the user's code.
        option: the option that the file defines.
    """

    package: str
    plugin: str
    option: str


STRANGERS = [
    Stranger("x-transformers==2.31.10", "glu_of_x_transformers", "ffn=x_glu"),
    Stranger("x-transformers==2.31.10", "attention_of_x_transformers", "attention=x_attention"),
    Stranger("transformers==5.24.0", "mlp_of_llama", "ffn=llama"),
    Stranger("mambapy==1.2.0", "mixer_of_mambapy", "attention=mamba"),
    Stranger("torch==2.13.0", "attention_of_torch", "attention=torch_attention"),
]
REFUSED = Stranger("torch==2.13.0", "layer_of_torch", "attention=torch_layer")


def command(one: Stranger, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a smoke test of an arm with the module, next to a baseline."""
    shutil.copy(HERE / f"{one.plugin}.py", folder)
    environment = child_environment()
    paths = [environment["PYTHONPATH"], os.environ.get("PYTHONPATH", "")]
    arm = f'"{one.option}","match.by=params","match.to=dense"'
    return subprocess.run(
        [
            *(sys.executable, "-m", "runner", "experiment=moe", "arm=[dense,mine]", "task=waves"),
            *(f"plugins=[{one.plugin}]", f'+arms.mine=["ffn=dense",{arm}]'),
            *("scale=smoke", "n_seeds=1", *words),
        ],
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def values(folder: Path, arm: str) -> dict[str, float]:
    """Return the final values of an arm's first seed."""
    (path,) = folder.glob(f"outputs/moe/trials/{arm}/seed-0/result.json")
    return {row["metric"]: row["value"] for row in json.loads(path.read_text())["results"]}


def skip_if_absent(package: str) -> None:
    name, _, tested = package.partition("==")
    try:
        present = version(name)
    except PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    if present.partition("+")[0] != tested:
        print(f"{name} {present} is installed, and {tested} was tested")  # noqa: T201


@pytest.mark.parametrize("one", [*STRANGERS, REFUSED], ids=lambda one: one.plugin)
def test_the_users_code_is_short(one: Stranger):
    """Docstrings and empty lines do not count."""
    tree = ast.parse((HERE / f"{one.plugin}.py").read_text())
    docstrings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = (HERE / f"{one.plugin}.py").read_text().splitlines()
    code = [text for i, text in enumerate(lines, 1) if text.strip() and i not in docstrings]
    assert len(code) <= MOST_LINES


@pytest.mark.slow
@pytest.mark.parametrize("one", STRANGERS, ids=lambda one: f"{one.package}-{one.plugin}")
def test_a_strangers_module_is_matched_and_trained(one: Stranger, tmp_path: Path):
    skip_if_absent(one.package)
    done = command(one, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    mine, dense = values(tmp_path, "mine"), values(tmp_path, "dense")
    assert mine["cost/parameters"] == pytest.approx(dense["cost/parameters"], rel=0.01)
    assert math.isfinite(mine["val/loss"])
    assert mine["val/loss"] != dense["val/loss"]


@pytest.mark.slow
def test_a_module_that_looks_at_later_tokens_is_refused(tmp_path: Path):
    skip_if_absent(REFUSED.package)
    done = command(REFUSED, tmp_path, "plan=only")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("ablab:")]
    assert "attention=torch_layer: its output at position" in line
    assert "depends on later tokens" in line
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}  # of Python's import
    assert left == {"layer_of_torch.py"}


def test_the_guide_has_the_command_that_installs_the_packages():
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    for one in STRANGERS:
        assert one.package in page or one.package.startswith("torch=")
