"""A run's config.yaml: the study, and what each arm is computed with."""

from pathlib import Path

import pytest
import yaml

from runner.config import ConfigError
from runner.report import untrusted_run

TWO = ("experiment=moe", "scale=smoke", "task=waves", "n_seeds=1")
SECTIONS = {"model", "attention", "ffn", "norm", "task", "training", "device", "match", "options"}


def test_sections_that_arms_share_stand_once(plan):
    made = plan(*TWO, "arm=[dense,moe_top2,moe_top2_copy]", "device=auto")
    config = yaml.safe_load(made.config_yaml)
    assert config["arms"]["moe_top2_copy"] == ["ffn=moe", "ffn.balance=aux", "seed_offset=1000"]
    shared = {*config} & {*SECTIONS, "seed_offset"}
    assert set(config["resolved"]) == {"dense", "moe_top2", "moe_top2_copy"}
    for arm in made.arms:
        own = config["resolved"][arm.name]
        assert not shared & {*own}
        assert shared | {*own} == {*SECTIONS, "seed_offset"}
        whole = config | own
        assert whole["ffn"]["kind"] == arm.config.parts.ffn.kind
        assert whole["ffn"]["d_ff"] == arm.config.parts.ffn.d_ff  # as it was solved
        assert whole["seed_offset"] == arm.config.seed_offset
        assert whole["device"]["name"] == arm.device.value != "auto"
        assert whole["training"]["steps"] == arm.config.training.steps
    assert shared == SECTIONS - {"ffn"}


def test_one_arm_has_all_at_the_root(plan):
    config = yaml.safe_load(plan(*TWO, "arm=dense").config_yaml)
    assert config["resolved"] == {"dense": {}}
    assert {*config} >= SECTIONS
    assert config["ffn"]["kind"] == "dense"


def test_a_report_is_read_from_it_and_from_those_of_older_runs(plan):
    text = plan(*TWO, "arm=dense", "scale=quick").config_yaml
    told = untrusted_run.read_outline(Path("run"), text)
    assert [claim.id for claim in told.claims] == ["M2.balance_loss_balances"]
    assert "loss" in told.figures
    tree = yaml.safe_load(text)
    for key in ("resolved", "claim", "figure"):
        del tree[key]
    older = yaml.safe_dump(tree, sort_keys=False)
    assert untrusted_run.read_outline(Path("run"), older) == told
    tree["claims"]["M2.balance_loss_balances"]["kind"] = "trend"
    with pytest.raises(ConfigError, match="kind trend was removed"):
        untrusted_run.read_outline(Path("run"), yaml.safe_dump(tree))
