"""`claim` and `figure` choose among what a study has, as `arm` does."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from runner.config import ConfigError
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
