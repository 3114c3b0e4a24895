"""The experiment ffn: equal arms, tables, and a whole small trial."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hydra import compose

from experiments import ffn
from experiments.parts.activation import Activation
from runner import registry
from runner.plan.plan import Plan
from runner.study import tuning
from tests.support.memory_trial import MemoryTrial

CONF = Path(__file__).resolve().parents[2] / "conf"
TINY = (
    *("experiment=ffn", "task=function", "task.length=6", "task.width=4", "task.n_eval=8"),
    *("task.n_samples=40", "model.d_model=16", "model.n_layers=2", "ffn.d_ff=48"),
)
MakePlan = Callable[..., Plan]


def computed(plan: MakePlan, folder: Path) -> dict[str, MemoryTrial]:
    few = {"steps": 4, "warmup_steps": 1, "eval_every": 2, "log_every": 2}
    trials = {arm.name: MemoryTrial(arm.config, folder / arm.name, **few) for arm in plan.arms}
    for trial in trials.values():
        ffn.run(trial)
    return trials


def option_of(name: str) -> dict[str, Any]:
    """Return the keys of an option's file, after those of the options that it extends."""
    written = yaml.safe_load((CONF / "ffn" / f"{name}.yaml").read_text())
    parents = [parent for parent in written.pop("defaults", []) if parent != "_self_"]
    extended: dict[str, Any] = {}
    for parent in parents:
        extended |= option_of(parent)
    return extended | written


def test_every_ffn_option_of_a_kind_has_the_same_keys() -> None:
    options = [option_of(path.stem) for path in (CONF / "ffn").glob("*.yaml")]
    dense = [option for option in options if option["kind"] == "dense"]
    assert len(dense) >= 9
    assert {tuple(option) for option in dense} == {tuple(dense[0])}
    assert {(option["bias"], option["dropout"]) for option in dense} == {(False, 0.0)}
    assert {(option["gated"], option["d_ff"]) for option in dense} == {(False, 256), (True, 171)}


@pytest.mark.slow
def test_arms_cost_the_same_but_the_unmatched_control(plan: MakePlan) -> None:
    study = plan(*TINY, "model.d_model=32", "scale=long", "ffn.bias=true", "ffn.dropout=0.1")
    arms = {arm.name: arm.config.parts for arm in study.arms}
    assert {"relu", "gelu", "silu", "relu2", "glu", "reglu", "geglu", "swiglu", "bilinear"} <= {
        *arms
    }
    cost = {name: registry.costs(vars(parts))["params"] for name, parts in arms.items()}
    for name in set(arms) - {"swiglu_unmatched", "relu_narrow"}:
        # 2 * 48 = 3 * 32. At 2/3 of the width a gated network has d_ff more biases, 64 for 48.
        extra = 2 * 16 if arms[name].ffn.gated else 0
        assert cost[name] == cost["relu"] + extra
    free, relu = arms["swiglu_unmatched"].ffn, arms["relu"].ffn
    assert free.d_ff == relu.d_ff
    assert (free.activation, free.gated) == (Activation.silu, True)
    # One matrix more: 3 instead of 2, and its bias.
    extra = 2 * (32 * relu.d_ff + relu.bias * relu.d_ff)
    assert cost["swiglu_unmatched"] - cost["relu"] == extra
    assert cost["relu_narrow"] < cost["relu"] or relu.d_ff <= arms["relu_narrow"].ffn.d_ff
    assert {(parts.ffn.bias, parts.ffn.dropout) for parts in arms.values()} == {(True, 0.1)}


@pytest.mark.some(1)
@pytest.mark.parametrize("scale", ["quick", "full", "long"])
def test_the_narrow_control_has_a_quarter_of_the_width(plan: MakePlan, scale: str) -> None:
    study = plan("experiment=ffn", f"scale={scale}", "task=function", "task.width=4")
    arms = {arm.name: arm.config.parts.ffn for arm in study.arms}
    assert 4 * arms["relu_narrow"].d_ff == arms["relu"].d_ff
    assert arms["relu_narrow"].activation is Activation.relu


@pytest.mark.slow
def test_arms_of_the_full_scale_can_be_tuned(plan: MakePlan, tmp_path: Path) -> None:
    typed = ["experiment=ffn", "scale=full", "tune=lr", "arm=[relu,swiglu,relu_narrow]"]
    typed += ["task=function", "task.width=4", f"outputs={tmp_path}"]
    study = plan(*typed)
    gridded = tuning.grid_plan(study, compose("config", overrides=typed), typed)
    rates = study.study.tune.grid
    assert len(gridded.arms) == 3 * len(rates)
    d_ff = {arm.name: arm.config.parts.ffn.d_ff for arm in study.arms}
    for arm in gridded.arms:
        name, rate = tuning.split_variant_name(arm.name, study, study.study.tune)
        assert (arm.config.training.lr, arm.config.parts.ffn.d_ff) == (rate, d_ff[name])
    assert not set(gridded.seeds) & set(study.seeds)


@pytest.mark.parametrize("activation", list(Activation))
def test_derivative_table_is_the_slope_of_the_value_table(activation: Activation) -> None:
    rows = ffn.function_rows(activation)
    by_kind = {
        kind: torch.tensor([[row["x"], row["value"]] for row in rows if row["kind"] == kind])
        for kind in ("value", "derivative")
    }
    x, value = by_kind["value"].double().T
    derivative = by_kind["derivative"][:, 1].double()
    assert (float(x[0]), float(x[-1]), len(x)) == (-3, 3, ffn.POINTS)
    # Central differences of step 0.05 err by h^2 / 6 times the third derivative, except at kinks.
    slope = (value[2:] - value[:-2]) / (x[2:] - x[:-2])
    smooth = x[1:-1].abs() > 0.06
    torch.testing.assert_close(slope[smooth], derivative[1:-1][smooth], atol=1e-3, rtol=0)
    assert {row["name"] for row in rows} == {activation.value}


def test_values_at_the_end_at_the_start_and_their_change() -> None:
    start = {"val/loss": 2.0, "ffn/zero_share": 0.5, "ffn/zero_share/layer0": 0.25}
    end = {"val/loss": 1.0, "ffn/zero_share": 0.75, "ffn/zero_share/layer0": 1.0}
    assert ffn.add_start_and_change(start, end) == {
        "ffn/zero_share": 0.75,
        "ffn/zero_share_init": 0.5,
        "ffn/zero_share_change": 0.25,
        "ffn/zero_share/layer0": 1.0,
        "ffn/zero_share_init/layer0": 0.25,
        "ffn/zero_share_change/layer0": 0.75,
    }


def test_an_arm_without_a_network_has_no_hidden_values(plan: MakePlan, tmp_path: Path) -> None:
    study_plan = plan(*TINY, "arm=none", '+arms.none=["ffn=none","match.by=none"]')
    trial = computed(study_plan, tmp_path)["none"]
    assert trial.values["ffn/output_rms"] == 0
    assert not any("_share" in name for name in trial.results)
    assert "functions" not in trial.tables


def test_a_small_trial_of_each_arm(plan: MakePlan, tmp_path: Path) -> None:
    mixture = '+arms.moe=["ffn=moe","ffn.activation=relu","match.by=none"]'
    trials = computed(plan(*TINY, "arm=[relu,swiglu,moe]", mixture), tmp_path)
    for name, trial in trials.items():
        assert trial.diverged is None
        assert sorted(trial.curves) == [0, 2, 4]
        for metric in ("ffn/zero_share", "ffn/small_share", "ffn/output_rms"):
            # The curve begins and ends with the recorded values.
            assert trial.curves[0][metric] == trial.results[f"{metric}_init"][0]
            assert trial.curves[4][metric] == trial.results[metric][0]
            layers = [trial.results[f"{metric}/layer{index}"][0] for index in range(2)]
            assert sum(layers) / 2 == pytest.approx(trial.results[metric][0])
        zeros = trial.results["ffn/zero_share_init"][0]
        # Half of the pre-activations of a normalised input are negative.
        assert zeros == (0 if name == "swiglu" else pytest.approx(0.5, abs=0.05))
        assert trial.results["ffn/small_share"][0] >= trial.results["ffn/zero_share"][0]
        assert trial.results["val/loss"][1] == "mse"
        assert {row["kind"] for row in trial.tables["functions"]} == {"value", "derivative"}
        assert {row["kind"] for row in trial.tables["sparsity"]} == {"density", "small_share"}
