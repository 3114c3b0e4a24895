"""One tiny finished study, computed once for all tests of a session; each takes a copy."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import composed
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from tests_environment import ROOT
from tests_tiny import TINY

from runner import study
from runner.plan import planning

FEW = ("balance", "usage_over_time", "selection", "cost_quality")  # two others show as much
ARMS = ("arm=[dense,moe_top2]", "n_seeds=1", *(f"~figures.{name}" for name in FEW))


FINISHED: dict[str, Path] = {}
"""Where it lies. Each file that imports a session's fixture has one of its own."""


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that holds `outputs` of a study of two arms and one seed."""
    if "folder" not in FINISHED:
        folder = tmp_path_factory.mktemp("finished")
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            study.run_and_report(*composed(folder, [*TINY, *ARMS]))
        FINISHED["folder"] = folder
    return FINISHED["folder"]


@pytest.fixture
def finished(finished_once: Path, tmp_path: Path) -> Path:
    """A copy of the finished study's `outputs`, where `plan` and `run` look for them."""
    shutil.copytree(finished_once / "outputs", tmp_path / "outputs", symlinks=True)
    return tmp_path / "outputs"


@pytest.fixture(scope="session")
def plan_once(finished_once: Path) -> planning.Plan:
    """The plan of that study."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return planning.plan(*composed(finished_once, [*TINY, *ARMS]))


@pytest.fixture
def again(plan_once: planning.Plan, finished: Path) -> Callable[..., planning.Plan]:
    """Plan the finished study again, in the copy of it; keywords replace fields of the plan."""

    def make(**changes: Any) -> planning.Plan:
        return replace(plan_once, **{"outputs": finished, "notes": [], **changes})

    return make


@pytest.fixture
def run_alone(finished_once: Path, tmp_path: Path) -> Path:
    """A copy of the finished study's run folder, without its trials."""
    (run,) = (finished_once / "outputs" / "moe" / "runs").iterdir()
    shutil.copytree(run, tmp_path / "sent" / "run")
    return tmp_path / "sent" / "run"
