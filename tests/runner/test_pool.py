"""Processes of trials: what their ends are told from, and how they are ended."""

from pathlib import Path
from typing import Any

import pytest
from tests_tiny import TINY

from runner import pool, study
from runner.job import Job, Stage


def test_an_error_of_who_listens_is_no_end_of_a_process(plan):
    made = plan(*TINY, "arm=dense", "n_seeds=1")
    (entry,) = study.enter(made)
    heard = []

    def on_event(job: Job, event: dict[str, Any]) -> None:  # noqa: ARG001
        heard.append(event)
        if "loss" in event:
            raise BrokenPipeError("whoever reads our output has gone")

    with pytest.raises(BrokenPipeError, match="has gone"):
        pool.run_jobs([study.job(made, entry, Stage.run)], 1, on_event)
    assert "ended" not in [event.get("state") for event in heard]
