"""A trial that runs out of GPU memory says how to use less."""

import os
from dataclasses import replace

import pytest

from runner.config import DeviceName
from runner.records.job import Job, Stage
from runner.study import outcomes
from runner.study.entries import make_job, prepare_trials
from tests.support.tiny import TINY

FULL = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."


@pytest.fixture
def job(plan) -> Job:
    study_plan = plan(*TINY, "arm=dense", "n_seeds=1")
    (entry,) = prepare_trials(study_plan)
    return make_job(study_plan, entry, Stage.run)


@pytest.mark.parametrize("by_itself", [True, False])
def test_out_of_memory_is_labelled_whoever_writes_the_status(job: Job, by_itself: bool):
    job = replace(job, device=DeviceName.cuda)
    job.slot.folder.mkdir(parents=True)
    pid = os.getpid()
    if by_itself:
        job.slot.write_status("failed", pid=pid, code=job.code, message=FULL, traceback="here")
    status = outcomes.finalize_status(job, 1, pid, error=FULL)
    assert status["state"] == "failed"
    for words in ("out of GPU memory", "device.trials_per_gpu", "training.batch_size", FULL):
        assert words in status["message"]
    assert job.slot.status()["message"] == status["message"]
    assert ("traceback" in job.slot.status()) == by_itself


def test_other_failures_and_those_of_the_cpu_are_not_labelled(job: Job):
    assert outcomes.memory_hint(job, FULL) == ""
    assert outcomes.memory_hint(replace(job, device=DeviceName.cuda), "ValueError: 3") == ""
