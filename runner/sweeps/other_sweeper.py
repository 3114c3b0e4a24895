"""Sweeps whose points another sweeper of Hydra chooses, such as Optuna's. No torch."""

import dataclasses
from collections.abc import Sequence

from omegaconf import DictConfig

from runner.plan import hydra_loader
from runner.study import hydra_app
from runner.sweeps.outcomes import PointOutcome, describe_points
from runner.sweeps.points import SweepPoint
from runner.sweeps.task import StudyTask


def run_other_sweeper(checked: Sequence[str], *, full_error: bool) -> list[PointOutcome]:
    """Run a sweep of another sweeper; each job writes the report of its own study.

    Such a sweeper returns nothing from the process of a launcher. So a job there raises its error.
    """
    outcomes: list[PointOutcome] = []
    task = StudyTask(is_point=True, full_error=full_error)

    def keep_outcome(config: DictConfig) -> None:
        from hydra.core.hydra_config import HydraConfig

        is_here = HydraConfig.get().runtime.choices["hydra/launcher"] == "basic"
        outcome = dataclasses.replace(task, full_error=full_error or not is_here)(config)
        outcomes.append(PointOutcome(SweepPoint(), outcome))

    try:
        hydra_app.call_with_config(checked, keep_outcome)
    finally:
        hydra_loader.remove_sweep_folder()
    if len(outcomes) > 1:
        print(describe_points(outcomes, None))  # noqa: T201
    return outcomes
