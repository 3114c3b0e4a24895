"""The same commands on a GPU; run with `pytest -m gpu` where there is one."""

import pytest
import torch
from tests_tiny import TINY

from runner import registry, study


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_a_study_runs_on_cuda(plan):
    entries = study.run(plan(*TINY, "device=cuda"))
    assert all(entry.slot.status()["state"] in ("done", "diverged") for entry in entries)
    result = entries[0].slot.result()
    assert result is not None
    assert result["device"] == "cuda"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("experiment", registry.names())
def test_every_experiment_smokes_on_cuda(plan, experiment: str):
    entries = study.run(plan(f"experiment={experiment}", "scale=smoke", "device=cuda"))
    assert all(entry.slot.status()["state"] in ("done", "diverged") for entry in entries)
