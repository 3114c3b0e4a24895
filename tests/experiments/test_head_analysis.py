"""The experiment head_analysis: its plans, small trials, and its metrics."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from experiments import head_analysis
from experiments.parts.transformer import build_transformer
from experiments.probes.heads.probe import HeadProbe
from experiments.probes.heads.pruning import ORDERS
from experiments.probes.heads.summaries import describe_attention, describe_label_difference
from runner import registry
from runner.figures import canvas
from runner.figures.data import CannotDrawError
from runner.metric_names import DivergedValue
from runner.plan.plan import Plan, PlannedArm
from runner.plan.report_spec import read_report_spec
from runner.trial.training import train
from tests.support.memory_records import records_from_trials
from tests.support.memory_trial import MemoryTrial

MakePlan = Callable[..., Plan]
SMALL = ("experiment=head_analysis", "scale=smoke", "model.d_model=16", "task.n_eval=12")
COPYING = ("two_layers", "one_layer", "two_layers_copy", "three_layers", "three_layers_copy")
SCORES = (
    *("entropy", "entropy_share", "distance", "distance_share"),
    *("diagonal", "previous", "earlier_offset"),
)


def trial_of(arm: PlannedArm, folder: Path) -> MemoryTrial:
    return MemoryTrial(arm.config, folder / arm.name, steps=4, warmup_steps=1, eval_every=2)


def ran(arm: PlannedArm, folder: Path) -> MemoryTrial:
    trial = trial_of(arm, folder)
    head_analysis.run(trial)
    return trial


def test_the_untrained_arm_is_step_0_of_the_trained_one(plan: MakePlan, tmp_path: Path) -> None:
    trained, untrained = (ran(arm, tmp_path) for arm in plan(*SMALL).arms)
    assert sorted(untrained.curves) == [0]
    assert sorted(step for step, v in trained.curves.items() if "val/loss" in v) == [0, 2, 4]
    assert untrained.curves[0] == trained.curves[0]
    for score in SCORES:
        before = untrained.results[f"heads/{score}"]
        assert trained.results[f"heads/{score}_initial"] == before
        assert untrained.results[f"heads/{score}_initial"] == before
        assert trained.results[f"heads/{score}"][0] == trained.curves[4][f"heads/{score}"]
    assert trained.results["heads/entropy"] != untrained.results["heads/entropy"]
    assert untrained.results["val/loss"][0] == trained.curves[0]["val/loss"]
    only_trained = set(trained.results) - set(untrained.results)
    assert only_trained == {"time/step", "time/throughput", "train/spike_score"}


def test_every_score_has_its_references_and_unit(plan: MakePlan, tmp_path: Path) -> None:
    [arm] = plan(*SMALL, "arm=trained").arms
    results = ran(arm, tmp_path).results
    n = range(2, 21)  # valid keys of the queries that count
    assert results["heads/entropy_share_uniform"][0] == pytest.approx(1)
    assert results["heads/distance_uniform"] == (
        pytest.approx(sum((k - 1) / 2 for k in n) / 19),
        "positions",
    )
    assert results["heads/diagonal_uniform"][0] == pytest.approx(sum(1 / k for k in n) / 19)
    for score in SCORES:
        unit = {"entropy": "nats", "distance": "positions"}.get(score, "1")
        names = [f"heads/{score}{end}" for end in ("", "_initial", "_uniform", "_spread")]
        names += [f"heads/{score}/layer1/{head}" for head in ("head0", "head3", "uniform")]
        for name in names:
            assert results[name][1] == unit, name
    for label in ("local", "long_range", "periodic"):
        assert results[f"heads/distance/layer0/head2/{label}"][1] == "positions"
    assert results["heads/distance_contrast"][0] > 0


def test_planted_is_the_best_head_where_attention_is_needed(plan: MakePlan, tmp_path: Path) -> None:
    [arm] = plan(*SMALL, "arm=trained").arms
    results = ran(arm, tmp_path).values
    assert "heads/planted/local" not in results  # under predict=next the query itself carries it
    for end in ("", "_initial", "_uniform"):
        parts = [results[f"heads/planted{end}/{label}"] for label in ("long_range", "periodic")]
        assert results[f"heads/planted{end}"] == pytest.approx(sum(parts) / 2)
    assert 0 < results["heads/planted/periodic"] < 1


def test_tables(plan: MakePlan, tmp_path: Path) -> None:
    [arm] = plan(*SMALL, "arm=trained").arms
    tables = ran(arm, tmp_path).tables
    assert sorted(tables) == ["attention", "heads"]
    assert [(row["layer"], row["head"]) for row in tables["heads"]] == [
        (layer, head) for layer in range(2) for head in range(4)
    ]
    rows = tables["attention"]
    assert list(rows[0]) == ["label", "head", "query", "key", "weight"]
    n_pairs = 20 * 21 // 2
    expected = [
        (label, f"layer{layer}/head{head}")
        for label in ("local", "long_range", "periodic")
        for layer in range(2)
        for head in range(4)
        for _ in range(n_pairs)
    ]
    assert [(row["label"], row["head"]) for row in rows] == expected
    assert sum(row["weight"] for row in rows) == pytest.approx(3 * 2 * 4 * 20, rel=1e-5)
    each = len(rows) // 3
    local, periodic = ([row["weight"] for row in rows[at : at + each]] for at in (0, 2 * each))
    assert local != periodic


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_probes_change_nothing_in_training(plan: MakePlan, tmp_path: Path, dropout: float) -> None:
    [arm] = plan(*SMALL, "arm=trained", f"attention.dropout={dropout}").arms
    parts = arm.config.parts
    losses = []
    for name, probes in (("with", True), ("without", False)):
        trial = trial_of(arm, tmp_path / name)
        task = parts.task.build(seed=0, batch_size=8, cache=tmp_path)
        model = build_transformer(parts, vocabulary=None, width=task.width, seed=0)
        torch.manual_seed(0)
        probe_factories = (
            [lambda m=model, t=task: HeadProbe(m, t.labels, t.lags, block=8)] if probes else []
        )
        train(trial, model, task, probes=probe_factories)
        losses.append(
            {step: [v.get("train/loss"), v.get("val/loss")] for step, v in trial.curves.items()}
        )
    assert losses[0] == losses[1]


@pytest.mark.some(1)
@pytest.mark.parametrize(
    "overrides",
    [
        ("attention=gqa",),
        ("attention=mqa", "attention.position=sinusoidal"),
        ("norm=post", "ffn=moe"),
        ("task=waves", "task.width=8"),
        ("task.predict=reconstruct", "options.block=3"),
    ],
    ids=" ".join,
)
def test_other_parts_fit(plan: MakePlan, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    [arm] = plan(*SMALL, "arm=trained", *overrides).arms
    trial = ran(arm, tmp_path)
    planted = "task=waves" not in overrides
    assert ("heads/planted/periodic" in trial.results) is planted
    # This task does not use these keys; their mean would be compared with that of other tasks.
    needed = planted and "task.predict=reconstruct" not in overrides
    assert ("heads/planted" in trial.results) is needed
    assert "heads/planted/local" not in trial.results
    assert all(trial.results[f"heads/{score}_uniform"][0] >= 0 for score in SCORES)


def test_the_exercise_is_an_arm(plan: MakePlan) -> None:
    [arm] = plan("experiment=head_analysis", "arm=exercise").arms
    config, attention = arm.config, arm.config.parts.attention
    assert (config.parts.model.d_model, attention.n_heads, attention.n_kv_heads) == (512, 8, 8)
    assert (attention.dropout, attention.bias) == (0.1, False)
    training = config.training
    assert (training.steps, training.batch_size, training.lr) == (100, 32, 1e-3)
    assert (training.weight_decay, training.beta1, training.beta2) == (0, 0.9, 0.999)
    assert (training.clip, training.warmup_steps, training.schedule) == (None, 0, "constant")
    task = config.parts.task
    assert (task.length, task.width, task.predict) == (20, 512, "reconstruct")
    assert (task.local, task.long_range, task.periodic, task.period) == (0.5, 1.0, 0.3, 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "skipped"),
    [
        # The command of the textbook settings: no figure is missing.
        (("arm=exercise", "task.n_eval=6"), set()),
        (("arm=[trained,untrained]", "task.n_eval=6", "model.d_model=16"), set()),
        # Nothing is planted, so figures of planted signals cannot be drawn.
        (("arm=trained", "task=waves", "task.width=8", "task.n_eval=6"), {"planted"}),
    ],
    ids=lambda value: " ".join(sorted(value)),
)
def test_figures_are_drawn(
    plan: MakePlan, tmp_path: Path, overrides: tuple[str, ...], skipped: set[str]
) -> None:
    study_plan = plan("experiment=head_analysis", *overrides)
    trials = {arm.name: ran(arm, tmp_path) for arm in study_plan.arms}
    figures = read_report_spec(study_plan.study).figures
    assert {"attention", "profiles", "heads", "distance_over_training"} <= set(figures)
    records = records_from_trials(trials)
    missing = set()
    for name, figure in figures.items():
        try:
            with canvas.style():
                figure.draw(records)
        except CannotDrawError:
            missing.add(name)
    assert missing == skipped


def test_a_diverged_trial_ends_with_its_records(plan: MakePlan, tmp_path: Path) -> None:
    [arm] = plan(*SMALL, "arm=trained", "training.lr=1e30", "training.clip=null").arms
    trial = ran(arm, tmp_path)
    assert trial.diverged
    for name in ("heads/entropy", "heads/distance_spread", "heads/planted"):
        assert math.isnan(trial.values[name]), name
    assert not math.isnan(trial.values["heads/entropy_initial"])
    assert {row["looks"] for row in trial.tables["heads"]} == {
        "unknown: its weights are not finite"
    }


@pytest.mark.some(1)
@pytest.mark.parametrize("scale", ["smoke", "quick", "full"])
@pytest.mark.parametrize("task", ["patterns", "waves"])
def test_every_scale_makes_a_plan(plan: MakePlan, scale: str, task: str) -> None:
    study_plan = plan("experiment=head_analysis", f"scale={scale}", f"task={task}")
    kinds = {arm.name: arm.config.parts.task.kind for arm in study_plan.arms}
    # Arms about reconstructing patterns, or about repetition, keep their task.
    fixed = dict.fromkeys(("reconstruct", "exercise"), "patterns") | dict.fromkeys(
        COPYING, "induction"
    )
    assert kinds == {name: fixed.get(name, task) for name in kinds}
    names = {arm.name for arm in study_plan.arms}
    assert {"untrained", "trained"} <= names
    assert bool(names & set(COPYING)) is (scale == "full")
    assert len({arm.signature for arm in study_plan.arms}) == len(names)
    for claim in study_plan.study.claims.values():
        asked = {claim["arm"], claim.get("control", claim["arm"]), *claim["aa"].values()}
        assert asked <= names


def test_one_layer_has_as_many_parameters_as_two(plan: MakePlan) -> None:
    study_plan = plan("experiment=head_analysis", "scale=full", "arm=[two_layers,one_layer]")
    two, one = (registry.costs(vars(arm.config.parts))["params"] for arm in study_plan.arms)
    # Four matrices a layer, and a norm of 2 d_model before each layer and after the last.
    assert two == 2 * 4 * 96**2 + 3 * 2 * 96
    assert one == 4 * 136**2 + 2 * 2 * 136
    assert abs(one / two - 1) < 0.01


def shorter(arm: PlannedArm, length: int = 24) -> PlannedArm:
    """Return the arm on short sequences; arms that copy set their length themselves."""
    parts = SimpleNamespace(**vars(arm.config.parts))
    parts.task = replace(parts.task, length=length, max_period=8)
    return replace(arm, config=replace(arm.config, parts=parts))


def copying(
    plan: MakePlan, folder: Path, *more: str, name: str = "two_layers", length: int = 24
) -> MemoryTrial:
    command = ("experiment=head_analysis", "scale=smoke", f"arm={name}", f"baseline={name}")
    [arm] = plan(*command, "task.n_eval=48", "options.n_orders=2", *more).arms
    return ran(shorter(arm, length), folder)


@pytest.mark.slow
def test_what_repeats_is_scored_and_heads_are_taken_away(plan: MakePlan, tmp_path: Path) -> None:
    trial = copying(plan, tmp_path)
    results = trial.results
    for name in ("heads/copy_accuracy", "heads/icl_score", "heads/induction", "heads/duplicate"):
        unit = "nats" if name == "heads/icl_score" else "1"
        value, result_unit = results[name]
        assert (value, result_unit) == (trial.curves[4][name], unit)
        # The weights before training, of which step 0 is the evaluation.
        assert results[f"{name}_initial"] == (trial.curves[0][name], unit)
    each = [
        results[f"heads/induction/layer{layer}/head{h}"][0] for layer in (0, 1) for h in range(4)
    ]
    assert results["heads/induction"][0] == max(each)
    for name in ("induction", "duplicate"):
        assert 0 < results[f"heads/{name}_uniform"][0] < 0.5
    drops = ("induction", "random", "any_layer", "all_induction")
    assert {f"heads/ablation/{name}" for name in drops} <= set(results)
    shares = {name for name in results if name.startswith("heads/prunable/")}
    assert shares == {f"heads/prunable/{name}" for name in ORDERS}
    assert {name for name in results if name.startswith("heads/pruning_area/")} == {
        f"heads/pruning_area/{name}" for name in ORDERS
    }
    assert all(results[name][0] * 16 % 1 == 0 for name in shares)  # 8 heads, a mean of 2 orders
    rows = trial.tables["pruning"]
    assert [row["removed"] for row in rows if row["order"] == "taylor"] == [n / 8 for n in range(9)]
    assert len({row["accuracy"] for row in rows if row["removed"] in (0, 1)}) <= 2  # shared ends


@pytest.mark.slow
def test_no_heads_are_removed_where_none_are_asked_for(plan: MakePlan, tmp_path: Path) -> None:
    trial = copying(plan, tmp_path, "options.n_orders=0")
    assert "heads/copy_accuracy" in trial.results
    assert not any("prunable" in name or "ablation" in name for name in trial.results)
    assert "pruning" not in trial.tables


def test_a_diverged_copier_ends_with_its_records(plan: MakePlan, tmp_path: Path) -> None:
    trial = copying(plan, tmp_path, "training.lr=1e30", "training.clip=null")
    assert trial.diverged
    assert math.isnan(trial.values["heads/induction"])
    assert "pruning" not in trial.tables


@pytest.mark.slow
@pytest.mark.parametrize("name", ["two_layers", "one_layer", "three_layers"])
def test_what_full_asks_of_a_copier_is_recorded_though_it_diverged(
    plan: MakePlan, tmp_path: Path, name: str
) -> None:
    claims = read_report_spec(plan("experiment=head_analysis", "scale=full").study).claims
    asked = {metric for claim in claims if name in claim.compared_arms for metric in claim.metrics}
    controls = [claim.positive_control for claim in claims if claim.positive_control]
    asked |= {known.metric for known in controls if name in (known.arm, known.control)}
    assert len(asked) > 1
    for end in ((), ("training.lr=1e30", "training.clip=null")):
        trial = copying(plan, tmp_path / str(len(end)), *end, name=name)
        assert asked <= set(trial.values)
        for metric in asked:
            lost = (
                bool(trial.diverged) and registry.metric(metric).diverged is DivergedValue.nothing
            )
            assert math.isfinite(trial.reported_values[metric]) is not lost
    assert trial.diverged
    assert {v for n, v in trial.reported_values.items() if "/prun" in n} == {0.0}
    assert all(math.isnan(v) for n, v in trial.reported_values.items() if "/ablation/" in n)


@pytest.mark.slow
def test_a_length_for_patterns_leaves_what_repeats_as_it_is(plan: MakePlan) -> None:
    study_plan = plan("experiment=head_analysis", "scale=full", "task.length=40")
    lengths = {arm.name: arm.config.parts.task.length for arm in study_plan.arms}
    assert lengths == {arm: 64 if arm in COPYING else 40 for arm in lengths}


@pytest.mark.slow
def test_weights_for_a_figure_are_those_of_the_first_positions(
    plan: MakePlan, tmp_path: Path
) -> None:
    trial = copying(plan, tmp_path, length=40)
    for column in ("query", "key"):
        assert max(row[column] for row in trial.tables["attention"]) == 31


@pytest.mark.slow
def test_figures_of_what_repeats_are_drawn(plan: MakePlan, tmp_path: Path) -> None:
    small = ("task.n_eval=24", "options.n_orders=1")
    chosen = "arm=[trained,untrained,two_layers,one_layer,three_layers]"
    study_plan = plan("experiment=head_analysis", "scale=full", chosen, *small)
    trials = {
        arm.name: ran(shorter(arm), tmp_path) for arm in study_plan.arms if arm.name in COPYING
    }
    records, figures = records_from_trials(trials), read_report_spec(study_plan.study).figures
    drawn = {}
    for key in ("copying", "induction", "in_context", "induction_over_training", "ablation"):
        with canvas.style():
            drawn[key] = figures[key].draw(records)
    axes = drawn["ablation"].panels[0].axes
    choices = [label.get_text() for label in axes.get_xticklabels()]
    assert {"induction", "random", "entropy_matched", "any_layer", "all_induction"} <= {*choices}
    with canvas.style():
        axes = figures["pruning"].draw(records).panels[0].axes
    ends = [line.get_xdata()[-1] for line in axes.get_lines() if len(line.get_xdata()) == 25]
    assert ends == [1.0] * 4  # an order each, to the last of 24 heads


EVEN = {"entropy_share": 1.0, "diagonal": 0.13, "previous": 0.13, "offset_periodic": 0.09}
EVEN |= {"induction": 0.04, "duplicate": 0.04}


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (
            {"offset_periodic": 0.8, "entropy_share": 0.2},
            "mostly at offset_periodic: weight 0.80 (uniform attention: 0.09)",
        ),
        (
            {"previous": 0.4, "entropy_share": 0.6},
            "partly at previous: weight 0.40 (uniform attention: 0.13)",
        ),
        (
            {"induction": 0.9, "previous": 0.2, "entropy_share": 0.2},
            "mostly at the next symbol after an earlier occurrence (induction): weight 0.90 "
            "(uniform attention: 0.04)",
        ),
        (
            {"duplicate": 0.3, "induction": 0.1, "entropy_share": 0.6},
            "partly at an earlier occurrence of the symbol (duplicate): weight 0.30 "
            "(uniform attention: 0.04)",
        ),
        (  # no sequence that is scored for copying
            {"induction": math.nan, "previous": 0.6, "entropy_share": 0.2},
            "mostly at previous: weight 0.60 (uniform attention: 0.13)",
        ),
        ({"entropy_share": 0.95}, "broadly: entropy is 0.95 of its maximum"),
        (
            {"diagonal": 0.2, "entropy_share": 0.7},
            "at no single place, most at diagonal: weight 0.20 (uniform attention: 0.13)",
        ),
    ],
)
def test_words_for_where_a_head_looks(own: dict[str, float], words: str) -> None:
    assert describe_attention(EVEN | own, EVEN) == words


def test_words_for_how_labels_differ() -> None:
    words = "4.3 positions back on b, 1.0 on a"
    assert describe_label_difference({"a": 1.0, "b": 4.26, "c": 2.0}) == words
    assert describe_label_difference({"a": 1.0}) == "one label only"
