"""The same commands on an accelerator; run with `pytest -m gpu` where there is one."""

import pytest
import torch

from runner import registry
from runner.study import run as study
from tests.support.tiny import TINY

THERE = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}


@pytest.fixture(params=list(THERE))
def accelerator(request: pytest.FixtureRequest) -> str:
    if not THERE[request.param]:
        pytest.skip(f"there is no {request.param} device here")
    return str(request.param)


@pytest.mark.gpu
def test_a_study_runs_on_an_accelerator(plan, accelerator: str):
    entries = study.run_trials(plan(*TINY, f"device={accelerator}"))
    assert all(entry.slot.status()["state"] in ("done", "diverged") for entry in entries)
    result = entries[0].slot.result()
    assert result is not None
    assert result["device"] == accelerator


@pytest.mark.gpu
@pytest.mark.parametrize("experiment", registry.experiment_names())
def test_every_experiment_smokes_on_an_accelerator(plan, accelerator: str, experiment: str):
    entries = study.run_trials(
        plan(f"experiment={experiment}", "scale=smoke", f"device={accelerator}")
    )
    assert all(entry.slot.status()["state"] in ("done", "diverged") for entry in entries)
