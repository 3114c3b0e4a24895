"""Every experiment under learning rates that destroy its model: it diverges, and does not fail.

Its records have the metrics that `experiments.metrics` declares, and no value looks good.
"""

import csv
import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.metrics import METRICS
from runner import registry
from runner.metric_names import DivergedValue, find_metric, value_if_diverged
from runner.records.store import Slot
from runner.trial.metrics import ENGINE_METRICS
from tests.support.memory_trial import MemoryTrial
from tests.support.units import check_units

TOKENS = ["task=induction", "task.n_eval=12", "task.max_period=5", "task.length=12"]
COPYING = [*TOKENS, "arm=trained", "options.n_orders=2"]
TRAINED = [name for name in registry.experiment_names() if name != "flash_attention"]
TINY = {
    "ffn": ["task=function", "task.width=8", "task.n_samples=24", "task.n_eval=12"],
    "gqa_vs_mha": ["task=waves", "task.width=8", "task.n_samples=24", "task.n_eval=12"],
    "head_analysis": ["task=patterns", "task.width=8", "task.n_eval=12", "arm=trained"],
    "moe": TOKENS,
    "compare": [*TOKENS, "arm=shallow", "baseline=shallow", "controls=[]"],
    "norm_stability": ["task=waves", "task.width=8", "task.n_samples=24", "task.n_eval=12"],
    "flash_attention": ["arm=[naive,tiled]"],
    "translation": ["task=numbers", "task.n_train=40", "task.n_eval=10", "task.digits=3"],
}
MORE = {
    "gqa_vs_mha": [
        *("options.lengths=[8,16]", "options.prefill_lengths=[16]", "options.d_model=32"),
        "options.rounds=0",
    ],
    "flash_attention": ["options.lengths=[16]", "options.length=16", "options.warmup=1"],
    "moe": ["options.n_permutations=3", "arm=[dense,moe_top2]"],
    "norm_stability": ["options.depths=[1,2]", "options.init_batches=1"],
    "translation": ["options.n_probe=4", "arm=[base]"],
}


def command(experiment: str, *more: str) -> list[str]:
    """Plan a tiny study of an experiment."""
    return [
        *(f"experiment={experiment}", "scale=smoke", "n_seeds=1", "match.by=none"),
        *("training.steps=6", "training.warmup_steps=0", "training.batch_size=4"),
        *("training.eval_every=2", "training.checkpoint_every=3", "training.log_every=1"),
        *("model.d_model=32", "model.n_layers=2"),
        *(more or TINY[experiment]),
        *MORE.get(experiment, []),
    ]


def wrecked(arm: Any, folder: Path, dtype: str = "float32", **training: object) -> MemoryTrial:
    """Compute a trial of an arm without clipping of gradients."""
    trial = MemoryTrial(arm.config, folder / "corpora", clip=None, **training)
    trial.checkpoints, trial.dtype = folder / "checkpoint", getattr(torch, dtype)
    import_module(f"experiments.{arm.config.experiment}").run(trial)
    return trial


def arms(plan, experiment: str) -> list[Any]:
    """Plan the arms of a tiny study; `copying` is head_analysis on sequences that repeat."""
    if experiment == "copying":
        return plan(*command("head_analysis", *COPYING)).arms
    return plan(*command(experiment)).arms


@pytest.mark.some(5)
# After the first step the model is broken. An evaluation (every 1) or the second step detects it.
@pytest.mark.parametrize(
    ("lr", "every", "dtype"),
    [
        (1e38, 1, "float32"),
        (1e4, 1, "float32"),
        pytest.param(1e38, 2, "float32", marks=pytest.mark.slow),
        pytest.param(1e38, 1, "bfloat16", marks=pytest.mark.slow),
        pytest.param(1e200, 1, "float64", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("experiment", [*TRAINED, "copying"])
def test_a_destroyed_model_diverges_and_does_not_fail(
    plan, tmp_path, experiment: str, lr: float, every: int, dtype: str
):
    if dtype != "float32" and experiment not in ("moe", "copying", "translation"):
        pytest.skip("continuous inputs are of float32")
    for arm in arms(plan, experiment):
        trial = wrecked(arm, tmp_path / arm.name, dtype, lr=lr, eval_every=every)
        assert trial.diverged, arm.name
        for name, value in trial.reported_values.items():
            assert math.isnan(value) == (registry.metric(name).diverged is DivergedValue.nothing), (
                name
            )


@pytest.mark.slow
def test_what_is_recorded_is_what_is_declared(plan, tmp_path):
    """Every metric has a declaration and its unit, and every declaration has a metric."""
    recorded: set[str] = set()
    for experiment in [*registry.experiment_names(), "copying"]:
        for arm in arms(plan, experiment):
            # At its own rate it does not diverge.
            trial = wrecked(arm, tmp_path / experiment / arm.name)
            if registry.has_timing_stage(arm.config.experiment):
                trial.config.options.rounds = 1
                import_module(f"experiments.{arm.config.experiment}").timing(trial)
            recorded |= {name for _, name in trial.rows} | set(trial.values)
            check_units((name, unit) for name, (_, unit) in trial.results.items())
    known = {**METRICS, **ENGINE_METRICS}
    assert not {name for name in recorded if find_metric(name, known) is None}
    assert not {
        key for key in METRICS if not any(find_metric(name, {key: known[key]}) for name in recorded)
    }


@pytest.mark.slow
def test_the_record_of_a_diverged_trial(run, tmp_path: Path):
    study = [*command("moe"), "training.lr=1e38", "training.clip=null", "~figures"]
    run(*study)
    folders = sorted((tmp_path / "outputs" / "moe" / "trials").glob("*/seed-0"))
    assert len(folders) == 2
    for folder in folders:
        assert json.loads((folder / "status.json").read_text())["state"] == "diverged"
        text = (folder / "result.json").read_text()
        rows = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
        results = {row["metric"]: row for row in rows["results"]}
        with (folder / "metrics.csv").open() as file:
            first = next(row for row in csv.DictReader(file) if row["metric"] == "val/loss")
        assert results["val/loss"]["value"] == float(first["value"])
        assert results["train/spike_score"]["value"] == 1.0
        clipped = {name for name, row in results.items() if row.get("clipped")}
        assert clipped == {"val/loss", "train/spike_score"}
        assert "clipped" not in results["cost/parameters"]
        inside = [row["value"] for name, row in results.items() if name.startswith("moe/")]
        assert set(inside) <= {None}
        read = {row["metric"]: row["value"] for row in Slot(folder).result()["results"]}
        assert all(math.isnan(v) for name, v in read.items() if name.startswith("moe/"))
    assert any("moe_top2" in folder.parent.name for folder in folders)


def test_a_loss_that_is_lost_after_training_is_divergence():
    """The loss of a converted model is not that of the evaluations."""
    metric = registry.metric("gqa/loss_converted")
    assert metric.diverged is DivergedValue.start
    assert value_if_diverged("gqa/loss_converted", math.nan, metric, {"val/loss": 2.0}) == (
        2.0,
        True,
    )
    assert registry.metric("norm/loss_last").curve == "val/loss"
