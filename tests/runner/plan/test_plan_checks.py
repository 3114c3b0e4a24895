"""What a plan refuses or says before anything is trained, so that an answer can be believed."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from runner import registry
from runner.claims.fairness import Fairness
from runner.claims.kinds import read_claim
from runner.config import ConfigError, Tune
from runner.plan import seed_checks
from runner.plan.checks import check_claims
from runner.plan.planning import effective_baseline

FFN = ("experiment=ffn", "task=function", "task.width=8", "task.n_samples=64", "task.length=16")
FEW = "arm=[relu,gelu,relu_copy]"  # each arm is composed by Hydra, which takes its time
TUNE = {
    "key": "training.lr",
    "grid": [1.0, 2.0, 3.0],
    "n_seeds": 1,
    "metric": "val/loss",
    "direction": "less",
}
THREE = "arm=[relu,relu_copy,x]"


def near(offset: int) -> tuple[str, str]:
    """Overrides of a study with one more copy of relu."""
    added = f'+arms.near=["ffn=relu","seed_offset={offset}"]'
    return added, "arm=[relu,relu_copy,near]"


def own(**keys: str) -> str:
    """The override that adds a claim."""
    written = {
        "statement": "s",
        "kind": "difference",
        "metric": "val/loss",
        "arm": "gelu",
        "control": "relu",
        "direction": "less",
        "n": "8",
        "family": "X",
        "source": "me",
    } | keys
    return f"+claims.X={{{','.join(f'{key}: {value}' for key, value in written.items())}}}"


@pytest.mark.slow
def test_an_a_a_copy_whose_seeds_overlap_is_refused_with_an_offset_that_works(plan, tmp_path: Path):
    for offset in (1, 7):
        with pytest.raises(
            ConfigError, match=r"relu and near are an A/A pair, but their seeds overlap"
        ) as e:
            plan(*FFN, "n_seeds=8", *near(offset))
        assert "give near an offset of 2000" in str(e.value)  # relu_copy is at 1000
    with pytest.raises(
        ConfigError, match="relu_copy and near are an A/A pair, but their seeds overlap"
    ):
        plan(*FFN, "n_seeds=8", *near(1003))
    assert not (tmp_path / "outputs" / "ffn").exists()
    plan(*FFN, "n_seeds=8", *near(8))


@pytest.mark.parametrize(
    ("offset", "said"),
    [("-1", "seed -1 is below 0"), ("1.5", "must be a whole number"), ("true", "whole number")],
)
def test_an_offset_that_makes_no_seeds_is_refused(plan, offset: str, said: str):
    with pytest.raises(ConfigError, match=said):
        plan(*FFN, THREE, f'+arms.x=["ffn=gelu","seed_offset={offset}"]')


def test_a_free_offset_keeps_clear_of_tuning_and_is_found_at_once(plan):
    tuned = ("tune=lr", "tune.first_seed=1", '+arms.x=["ffn=gelu","seed_offset=-5"]')
    with pytest.raises(ConfigError, match=r"below 0; seed_offset=0 is free"):
        plan(*FFN, THREE, *tuned)  # seed 1 is reported too, whatever the offset of x
    made = plan(*FFN, "arm=[relu,relu_copy]", "n_seeds=1")
    arms = {arm.name: arm.config for arm in made.arms}
    for first_seed, free in ((1000, 2000), (0, 1000), (5000, 1000)):
        tune = Tune(**(TUNE | {"first_seed": first_seed}))
        found = seed_checks.free_offset(["relu_copy"], arms, replace(made.study, tune=tune))
        assert found == free


@pytest.mark.some(1)
@pytest.mark.parametrize("pair", ["{arm: gelu, control: relu}", "{arm: same, control: relu}"])
def test_an_a_a_pair_that_is_no_copy_is_refused(plan, pair: str):
    same = '+arms.same=["ffn=relu"]'  # the arm itself under another name proves nothing either
    with pytest.raises(ConfigError, match=r"claims\.X\.aa: \w+ is not a copy of relu.*{copy_of: r"):
        plan(*FFN, same, "arm=[relu,gelu,same]", own(aa=pair))
    plan(*FFN, FEW, own(aa="{arm: relu_copy, control: relu}"))


def test_what_needs_no_data_is_refused_before_they_are_read(plan, monkeypatch, tmp_path: Path):
    def prepare(*_: object, **__: object) -> None:
        raise AssertionError("the data were read")

    monkeypatch.setattr(registry, "prepare", prepare)
    for refused in ("n_seeds=1001", own(n="4")):
        with pytest.raises(ConfigError, match=r"overlap|cannot reach"):
            plan(*FFN, FEW, refused)
    assert not (tmp_path / "outputs").exists()


def test_a_claim_that_its_seeds_cannot_decide_is_refused_with_the_least_number(plan):
    with pytest.raises(ConfigError, match=r"claims\.X: 4 seeds .* cannot reach p < 0.05.*n: 6"):
        plan(*FFN, FEW, "n_seeds=4", own(n="4"))
    with pytest.raises(ConfigError, match="use n: 6"):
        plan(*FFN, FEW, own(n="5", family="F2"))  # beside a claim of the preset in one family
    plan(*FFN, FEW, own(n="6"))
    plan(*FFN, FEW, "scale=smoke", own(n="4"))  # a smoke run decides nothing anyhow


TIMED = (
    {"metric": "time/step"},
    {"metric": "time/throughput"},
    {"kind": "at_equal_seconds"},
    {"kind": "equivalence", "metric": "time/step", "delta": "1"},
    {"metric": "time/step_alone"},
)


def test_a_claim_about_time_without_an_a_a_pair_is_refused(plan):
    for keys in TIMED:
        written = yaml.safe_load(own(**keys).partition("=")[2])
        if keys.get("kind") == "equivalence":
            del written["direction"]
        with pytest.raises(ConfigError, match=r"claims\.X: a claim about time .*copy_of: \w+}', a"):
            check_claims([read_claim("X", written)])
        pair = {"aa": {"arm": "relu_copy", "control": "relu"}}
        check_claims([read_claim("X", written | pair)])
    with pytest.raises(ConfigError, match=r"claims\.X: a claim about time or memory needs an A/A"):
        plan(*FFN, FEW, own(metric="time/step"))
    plan(*FFN, FEW, own(metric="time/step", aa="{arm: relu_copy, control: relu}"))
    plan(*FFN, FEW, "scale=smoke", own(metric="time/step"))


def notes(plan, *overrides: str) -> str:
    few = () if any(text.startswith("arm=") for text in overrides) else (FEW,)
    return "\n".join(plan(*FFN, *few, *overrides).notes)


def test_too_few_seeds_are_told_before_the_run(plan):
    said = notes(plan, "n_seeds=3")
    assert "with 3 of 7 seeds these claims will be invalid: F2.training_sparsifies_relu, F3" in said
    assert "set n_seeds=7 to decide them" in said
    assert "with 3 seeds no arm can be called better or worse" in said
    assert "regardless of the results; set n_seeds=6 or more" in said
    assert "with 1 seed no arm" in notes(plan, "n_seeds=1")
    assert "seeds no arm" not in notes(plan, "n_seeds=6")
    assert "no arm can" not in notes(plan, "n_seeds=3", "arm=[relu,relu_copy,relu_narrow]")
    assert "no arm can" not in notes(plan, "n_seeds=1", "scale=smoke")


@pytest.mark.slow
def test_a_typed_width_that_matching_replaces_is_told_with_the_widths_and_the_cure(plan):
    said = notes(plan, "ffn.d_ff=48", "arm=[relu,gelu,swiglu]")
    assert said == (
        "ffn.d_ff=48 applies only to relu, gelu; to match costs, swiglu uses 32; "
        "match.by=none keeps it in every arm"
    )
    assert "applies only to" not in notes(plan, "ffn.d_ff=48", "match.by=none")
    # An arm without the width is no matter.
    bare = '+arms.none=["ffn=none","match.by=none"]'
    said = notes(plan, "ffn.d_ff=48", bare, "arm=[relu,swiglu,none]")
    assert "ffn.d_ff=48 applies only to relu;" in said
    # Of a key that is typed twice the last one counts, and an arm that sets it keeps its own.
    said = notes(plan, "ffn.d_ff=64", "ffn.d_ff=72", "arm=[relu,swiglu,relu_narrow]")
    assert "ffn.d_ff=64" not in said
    assert "ffn.d_ff=72 applies only to relu; to match costs, swiglu uses 48" in said
    assert (
        "ffn.d_ff=72 does not apply to arms that set it themselves: relu_narrow (ffn.d_ff=48)"
        in said
    )


def test_values_are_told_as_they_are_typed(plan):
    said = notes(plan, "training.clip=null", '+arms.x=["ffn=relu","training.clip=2"]', THREE)
    assert "training.clip=null does not apply to arms that set it themselves: x" in said
    said = notes(plan, "training.lr=1e-3", '+arms.x=["training.lr=0.001"]', THREE)
    assert "does not apply" not in said


def test_controls_are_arms_and_not_the_baseline(plan):
    with pytest.raises(ConfigError, match="controls: there is no arm rel; did you mean relu"):
        plan(*FFN, FEW, "controls=[rel]")
    with pytest.raises(ConfigError, match="controls: relu is the baseline"):
        plan(*FFN, FEW, "controls=[relu]")
    assert plan(*FFN, FEW, "controls=[gelu]").study.controls == ["gelu"]


def test_a_metric_is_one_headline(plan):
    entry = "{metric: val/loss, direction: less, label: loss}"
    with pytest.raises(ConfigError, match="headline names val/loss 2 times; name it once"):
        plan(*FFN, FEW, f"headline=[{entry}, {entry}]")


@pytest.mark.some(2)
@pytest.mark.parametrize("key", ["figures", "claims", "headline", "controls", "arm", "not_tested"])
def test_a_deleted_key_has_its_default(plan, key: str):
    few = () if key == "arm" else (FEW,)
    assert not getattr(plan(*FFN, *few, f"~{key}").study, key)


def test_a_section_cannot_be_deleted(plan):
    with pytest.raises(ConfigError, match=r"~training: training cannot be left out; set its keys"):
        plan(*FFN, "~training")


def test_a_name_that_reads_as_a_number_needs_quotes(plan):
    added = '+arms.nan=["ffn=gelu"]'
    for typed in ("arm=nan", "arm=[nan]", "arm=1"):
        with pytest.raises(
            ConfigError,
            match=r"name one arm or a list of arms.*quote a name that reads as a number",
        ):
            plan(*FFN, added, typed)
    assert [arm.name for arm in plan(*FFN, added, 'arm="nan"').arms] == ["nan"]


@pytest.mark.slow
def test_an_arm_stands_in_for_a_baseline_that_is_not_computed(plan):
    made = plan(*FFN, "arm=[relu_copy,relu_narrow,gelu,silu]")
    assert effective_baseline(made.arms, made.study) == "gelu"
    said = "\n".join(made.notes)
    assert "baseline relu is not computed; gelu takes its place" in said
    assert "not compared with gelu, since their seeds differ (seed_offset): relu_copy" in said
    copy = plan(*FFN, "baseline=relu_copy", "arm=[relu,gelu,relu_copy]")
    assert "since their seeds differ (seed_offset): relu, gelu" in "\n".join(copy.notes)
    assert "their seeds differ" not in notes(plan)


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("typed", "unequal"),
    [
        ("ffn.dropout=0.1", {}),
        ("ffn.d_ff=96", {}),
        ("options.eps=0.1", {}),  # a measure of another metric
        ("training.steps=299", {"training.steps": ("299", "300")}),
        ("training.clip=null", {"training.clip": ("null", "1")}),
        ("model.n_layers=1", {"model.n_layers": ("1", "2")}),
        ("model.init=plain", {"model.init": ("plain", "scaled")}),
        ("device.dtype=float64", {"device.dtype": ("float64", "float32")}),
        ("task.n_eval=8", None),
        ("task.sin_weight=0.7", {"task.sin_weight": ("0.7", "1")}),
        ("task=waves", {"task.kind": ("waves", "function")}),
        ("match.to=gelu", {"match.to": ("gelu", "relu")}),
        ("match.by=none", {"match.by": ("none", "params")}),
        ("match.tolerance=0.5", {"match.tolerance": ("0.5", "0.01")}),
        ("match.solve=model.d_model", {"match.solve": ("model.d_model", "ffn.d_ff")}),
    ],
)
def test_whatever_arms_differ_in_beside_their_parts_is_known(plan, typed: str, unequal):
    made = plan(*FFN, THREE, f'+arms.x=["ffn=relu","{typed}"]')
    fair = Fairness({a.name: a.conditions for a in made.arms}, registry.affected_metrics("ffn"))
    found = fair.unequal_settings("val/loss", "x", "relu")
    assert found == unequal if unequal is not None else list(found) == ["task.n_eval"]
    assert not fair.unequal_settings("val/loss", "relu_copy", "relu")
    if typed == "options.eps=0.1":
        assert list(fair.unequal_settings("ffn/small_share/layer0", "x", "relu")) == ["options.eps"]


def test_a_tolerance_that_is_typed_is_not_the_presets(plan):
    assert plan(*FFN, FEW, "match.tolerance=0.5").preset_tolerance == 0.01
    assert plan(*FFN, FEW).preset_tolerance == 0.01


@pytest.mark.parametrize("key", ["training.steps", "task.n_eval", "device.threads", "ffn.gated"])
def test_what_is_no_width_is_not_solved(plan, key: str):
    with pytest.raises(ConfigError, match=f"match.solve={key} is not a width of arm"):
        plan(*FFN, FEW, f"match.solve={key}")


def test_a_headline_whose_baseline_is_no_arm_is_refused_with_near_names(plan):
    def headline(baseline: str) -> str:
        return f"headline=[{{metric: val/loss, direction: less, label: l, baseline: {baseline}}}]"

    with pytest.raises(ConfigError, match=r"baseline=reluu: there is no such arm; .*relu"):
        plan(*FFN, FEW, headline("reluu"))
    with pytest.raises(ConfigError, match="its baseline relu_narrow is a control"):
        plan(*FFN, FEW, headline("relu_narrow"))


def test_an_offset_for_all_arms_is_told_as_what_it_is(plan):
    claim = own(arm="gelu", control="relu")[:-1] + ",aa: {arm: relu_copy, control: relu}}"
    by_hand = 'arms.relu_copy=["ffn=relu","seed_offset=1000"]'
    with pytest.raises(ConfigError, match="both have seed_offset=1000 and share all seeds"):
        plan(*FFN, FEW, "seed_offset=1000", by_hand, claim)
    plan(*FFN, FEW, "seed_offset=1000", claim)  # a copy is moved from the offset of all arms


def test_typed_settings_are_kept_with_the_plan(plan):
    made = plan(*FFN, FEW, "training.steps=40", "n_seeds=2", "workers=1")
    assert "training.steps=40" in made.typed_settings
    assert not {"n_seeds=2", "workers=1"} & {*made.typed_settings}
