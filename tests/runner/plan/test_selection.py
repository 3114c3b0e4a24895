"""`claim` and `figure` choose among what a study has, as `arm` does."""

import dataclasses
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from runner.config import ConfigError
from runner.plan import arguments, composition, selection
from runner.plan.overrides import parse_override
from tests.runner.plan.test_bad_input import planned_own

FFN = ("experiment=ffn", "scale=quick", "task=function", "arm=[relu,gelu]")
OWN = (
    "{statement: s, source: me, family: F, metric: val/loss, arm: gelu, control: relu, "
    "direction: less, n: 7}"
)


@pytest.mark.parametrize(
    ("typed", "ids"),
    [
        ((), ["F2.training_sparsifies_relu", "F3.unmatched_looks_better"]),
        (("claim=F2.wide_relu_is_sparser", "n_seeds=8"), ["F2.wide_relu_is_sparser"]),
        (("claim=[]",), []),
        (("~claims",), []),
        (("~claims", "+claims.mine=" + OWN), ["mine"]),
        (("claim=mine", "+claims.mine=" + OWN), ["mine"]),
        (
            ("+claims.mine=" + OWN,),
            ["F2.training_sparsifies_relu", "F3.unmatched_looks_better", "mine"],
        ),
    ],
)
def test_claims_are_chosen_by_a_preset_and_on_the_command_line(plan, typed, ids):
    assert list(plan(*FFN, *typed).study.claims) == ids


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (("figure=loss",), ["loss"]),
        (("figure=[zeros,loss]",), ["zeros", "loss"]),
        (("figure=loss", "figures.loss.title=T"), ["loss"]),
        (("~figures",), []),
        (("figure=[]",), []),
        (("figure=[]", "~figure"), None),
    ],
)
def test_figures_are_chosen_on_the_command_line(plan, typed, names):
    figures = plan(*FFN, *typed).study.figures
    assert list(figures) == names or (names is None and len(figures) == 9)


def test_a_figure_that_a_preset_chose_can_be_left_out(plan):
    small = ("experiment=translation", "scale=smoke")
    assert "samples" in plan(*small).study.figures
    assert "samples" not in plan(*small, "~figures.samples").study.figures


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("claim=F2.wide_relu", "claim=F2.wide_relu: there is no such claim; did you mean F2.wide"),
        ("figure=[loss,los]", "figure=los: there is no such figure; did you mean loss"),
        ("claim=3", "claim=3: name one claim or a list of them, or leave it out"),
        ("figure=[3]", r"figure=\[3\]: name one figure or a list of them"),
    ],
)
def test_an_unknown_choice_is_refused(plan, typed, said):
    with pytest.raises(ConfigError, match=said):
        plan(*FFN, typed)


def test_a_preset_changes_single_fields(plan):
    whole = plan(*FFN, "claim=F2.training_sparsifies_relu").study.claims
    (claim,) = whole.values()
    assert (claim["n"], claim["family"], claim["direction"]) == (7, "F2", "greater")


CLAIM = OWN.replace("gelu", "moe_top2").replace("relu", "dense").replace("n: 7", "n: 8")
FIGURE = "{kind: curve, metric: val/loss, title: t, caption: c, x_label: step, y_label: loss}"


def test_a_users_folder_has_claims_and_figures_of_its_own(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for key, text in (("claims", CLAIM), ("figures", FIGURE)):
        path = tmp_path / "mine" / key / "my.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(f"mine: {text}\n")
    inline = f"claims: {{also: {CLAIM}}}\nfigures: {{loss: {{title: mine}}}}\n"
    ending, made = planned_own(tmp_path, inline)
    assert ending.message == ""
    assert set(made.study.claims) == {"mine", "also"}
    assert {"mine", "loss", "balance"} <= {*made.study.figures}  # and those of experiment=moe
    assert made.study.figures["loss"]["title"] == "mine"
    ending, made = planned_own(tmp_path, inline, "claim=also", "figure=mine")
    assert (list(made.study.claims), list(made.study.figures)) == (["also"], ["mine"])


def test_a_run_records_what_was_chosen(plan):
    config = OmegaConf.create(plan(*FFN, "claim=[]", "figure=loss").config_yaml)
    assert (config.claim, config.figure, config.claims) == ([], "loss", {})
    assert list(config.figures) == ["loss"]


def test_arms_are_chosen_as_claims_and_figures_are(plan):
    quick = ("experiment=ffn", "scale=quick", "task=function", "claim=[]", "controls=[]")
    names = [arm.name for arm in plan(*quick).arms]
    more = plan(*quick, "+arms={x: ['ffn=relu','ffn.d_ff=8']}")
    assert [arm.name for arm in more.arms] == [*names, "x"]
    fewer = plan(*quick, "~arms.gelu")
    assert [arm.name for arm in fewer.arms] == [name for name in names if name != "gelu"]
    study = dataclasses.replace(fewer.study, arm="gelu")
    with pytest.raises(
        ConfigError, match=r"arm=gelu: the command line leaves out every arm \(~arms.gelu\); choose"
    ):
        composition.select_arm_names(study, [parse_override("~arms.gelu")])


LEARNS = "F1.swiglu_learns_better"


def test_one_field_of_a_claim_whose_id_has_dots_can_be_typed(plan):
    made = plan(
        *FFN, f"claim={LEARNS}", f"claims.{LEARNS}.n=9", f"claims.{LEARNS}.aa.arm=relu_copy"
    )
    claim = made.study.claims[LEARNS]
    assert (claim["n"], claim["kind"]) == (9, "difference")
    assert claim["aa"] == {"arm": "relu_copy", "control": "relu"}
    field = plan(*FFN, f"claim={LEARNS}", f"~claims.{LEARNS}.positive_control")
    assert field.study.claims[LEARNS]["positive_control"] is None


def test_a_claim_whose_id_has_dots_can_be_left_out(plan):
    one, other = "F2.training_sparsifies_relu", "F3.unmatched_looks_better"
    assert list(plan(*FFN, f"~claims.{one}").study.claims) == [other]
    assert list(plan(*FFN, f"claims={{{one}: null}}").study.claims) == [other]


def test_a_sweep_can_leave_all_claims_out():
    (mended,) = arguments.check_arguments(["~claims"])
    override = parse_override(mended)  # a sweep writes each value anew
    again = f"{override.get_key_element()}={override.get_value_element_as_str()}"
    for text in (mended, again):
        assert selection.deleted_group(text) == "claims"
        assert arguments.format_command([text]).endswith("'~claims'")


def test_what_names_with_dots_become_can_be_swept_and_typed_again():
    (mended,) = arguments.check_arguments([f"claims.{LEARNS}.n=8,9"])
    assert mended == f"++claims={{{LEARNS}:{{n:8}}}},{{{LEARNS}:{{n:9}}}}"
    (again,) = arguments.check_arguments([f"~claims.{LEARNS}"])
    assert arguments.format_command([again]).endswith(f"'++claims={{{LEARNS}:null}}'")
    assert arguments.check_arguments([f"++claims={{{LEARNS}:null}}"]) == [again]
    for typo in ("claims.F1.swiglu_learn_better.n=9", "~claims.F1.swiglu_learn_better"):
        with pytest.raises(ConfigError, match=r"no such claim; did you mean F1\.swiglu_learns_b"):
            arguments.check_arguments([typo])
    with pytest.raises(ConfigError, match="list the values of the sweep: a,b,c"):
        arguments.check_arguments([f"claims.{LEARNS}.n=range(8,10)"])


@pytest.mark.parametrize("typed", ["++claims._none_=true", "+figures={_none_: true}"])
def test_the_mark_of_no_claims_cannot_be_typed(typed: str):
    with pytest.raises(
        ConfigError, match=r"_none_ is not a name; ~(claims|figures) leaves out all"
    ):
        arguments.check_arguments([typed])
