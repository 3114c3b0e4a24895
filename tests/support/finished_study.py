"""One tiny finished study, computed once for all tests of a session; each takes a copy."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from runner import invocation
from runner.plan import planning
from runner.plan.plan import Plan
from tests.support.composition import compose_config
from tests.support.environment import ROOT
from tests.support.tiny import TINY

FEW = ("balance", "usage_over_time", "selection", "cost_quality")  # two others show as much
ARMS = ("arm=[dense,moe_top2]", "n_seeds=1", *(f"~figures.{name}" for name in FEW))


FINISHED: dict[str, Path] = {}
"""The folder of the study, for the whole session: each importing file has its own fixture."""


@pytest.fixture(scope="session")
def finished_study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that holds `outputs` of a study of two arms and one seed."""
    if "folder" not in FINISHED:
        folder = tmp_path_factory.mktemp("finished")
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            invocation.run_and_report(*compose_config(folder, [*TINY, *ARMS]))
        FINISHED["folder"] = folder
    return FINISHED["folder"]


@pytest.fixture
def finished_outputs(finished_study_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished study's `outputs`, where `make_plan` and `run` read it."""
    shutil.copytree(finished_study_folder / "outputs", tmp_path / "outputs", symlinks=True)
    return tmp_path / "outputs"


@pytest.fixture(scope="session")
def finished_plan(finished_study_folder: Path) -> Plan:
    """Return the plan of that study."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return planning.make_plan(*compose_config(finished_study_folder, [*TINY, *ARMS]))


@pytest.fixture
def replan(finished_plan: Plan, finished_outputs: Path) -> Callable[..., Plan]:
    """Plan the finished study again, in its copy.

    `code` replaces the code hash of all arms, other keywords fields of the plan.
    """

    def make(code: str = "", **changes: Any) -> Plan:
        study_plan = replace(finished_plan, **{"outputs": finished_outputs, "notes": [], **changes})
        return with_code_hash(study_plan, code) if code else study_plan

    return make


@pytest.fixture
def copied_run_folder(finished_study_folder: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished study's run folder, without its trials."""
    (run,) = (finished_study_folder / "outputs" / "moe" / "runs").iterdir()
    shutil.copytree(run, tmp_path / "sent" / "run")
    return tmp_path / "sent" / "run"


def with_code_hash(plan: Plan, code: str) -> Plan:
    """Return the plan as other code would make it."""
    return replace(plan, arms=tuple(replace(arm, code=code) for arm in plan.arms))
