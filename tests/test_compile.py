"""`training.compile=true` changes the speed of a training, and apart from that only rounding."""

import shutil
from collections.abc import Callable

import pandas as pd
import pytest

from runner.plan.plan import Plan
from runner.study import run as study
from tests.support.tiny import TINY

MakePlan = Callable[..., Plan]


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))),
    reason="torch.compile needs a C++ compiler, and there is none on this machine",
)
def test_a_compiled_training_equals_the_eager_one_within_rounding(plan: MakePlan) -> None:
    curves = {}
    for mode in ("false", "true"):
        one = (*TINY, "arm=dense", "n_seeds=1", "training.log_every=1", f"training.compile={mode}")
        (entry,) = study.run_trials(plan(*one))
        status = entry.slot.status()
        assert status["state"] == "done", status
        frame = pd.read_csv(entry.slot.folder / "metrics.csv")
        curves[mode] = frame.set_index(["step", "metric"]).value
    losses = [c[c.index.get_level_values("metric").str.endswith("/loss")] for c in curves.values()]
    # float32 keeps 24 bits; a few hundred sums and six steps on, losses agree to five digits.
    pd.testing.assert_series_equal(*losses, rtol=1e-5)
    assert len(losses[0]) == 6 + 3
