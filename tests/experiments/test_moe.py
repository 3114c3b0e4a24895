"""The moe experiment: one trial in this process, and its claims about equality and bookkeeping."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from experiments.parts.body import body_cost
from experiments.parts.transformer import build_transformer
from runner.plan.report_spec import read_report_spec
from runner.report import collection, records_archive
from runner.study.entries import list_trials
from runner.trial.training import train
from tests.support.memory_trial import MemoryTrial

SMALL = ("experiment=moe", "scale=smoke", "training.steps=8", "task.n_eval=12", "n_seeds=1")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two folders of text with different letters, so that domains are distinguishable."""
    root = tmp_path_factory.mktemp("texts")
    for name, word in [("ones", "one eleven "), ("zeros", "000 00 ")]:
        (root / name).mkdir()
        for i in range(12):
            (root / name / f"{i}.txt").write_text("".join(f"{word}{j * i} " for j in range(400)))
    return root


@pytest.mark.slow
def test_a_study_from_the_users_text_to_the_report(plan, run, texts: Path, tmp_path: Path, capsys):
    command = (*SMALL, "task=text", f"task.path={texts}/**/*.txt", "task.length=32")
    run(*command)
    snapshots = collection.snapshot_trials(list_trials(plan(*command)))
    trials, results = collection.trial_table(snapshots), collection.final_values(snapshots)
    (archive,) = tmp_path.rglob("records.zip")
    history = records_archive.unpack_trials(
        archive.read_bytes(), zip(trials.arm, trials.seed, strict=True)
    ).history
    assert set(trials.status) == {"done"}

    moe = results[results.arm == "moe_top2"].set_index("metric").value
    loads = moe[[f"moe/load/layer0/expert{e}" for e in range(8)]]
    assert loads.sum() == pytest.approx(1)
    assert moe["moe/load_max_violation/layer0"] == pytest.approx(loads.max() * 8 - 1)
    for label in ("ones", "zeros"):
        shares = moe[[f"moe/selection/layer1/{label}/expert{e}" for e in range(8)]]
        assert shares.sum() == pytest.approx(1)
    assert 0 < moe["moe/nmi_domain_p"] <= 1
    above_chance = moe["moe/nmi_token_raw"] - moe["moe/nmi_token_null"]
    assert moe["moe/nmi_token"] == pytest.approx(above_chance)
    assert not any(m.startswith("moe/") for m in results[results.arm == "dense"].metric)

    curves = history[history.arm == "moe_top2"]
    assert list(curves[curves.metric == "moe/load/layer0/expert0"].step) == [0, 5, 8]
    last = curves[curves.step == 8].set_index("metric").value
    assert last["val/loss"] == moe["val/loss"]
    assert last["moe/load/layer1/expert3"] == moe["moe/load/layer1/expert3"]

    (run,) = (tmp_path / "outputs" / "moe" / "runs").iterdir()
    frame = pd.read_csv(run / "results.csv")
    assert list(frame.columns) == ["arm", "seed", "metric", "value", "unit"]
    page = (run / "report.html").read_text()
    assert "smoke" in page
    assert "ffn.d_ff=" in page
    assert {p.stem for p in (run / "figures").glob("*.png")} >= {"loss", "usage", "selection"}
    assert "report.html" in capsys.readouterr().out


def test_arms_of_a_seed_start_equal_where_they_have_the_same_parameter(plan):
    models = {
        arm.name: build_transformer(arm.config.parts, vocabulary=256, width=None, seed=3)
        for arm in plan("experiment=moe", "task=waves").arms
    }
    dense, mixture = (dict(models[n].named_parameters()) for n in ("dense", "moe_top2"))
    shared = [n for n in dense if n in mixture and dense[n].shape == mixture[n].shape]
    assert any("attention" in name for name in shared)
    assert any("embedding" in name for name in shared)
    assert all(torch.equal(dense[name], mixture[name]) for name in shared)
    balanced = dict(models["moe_no_balance"].named_parameters())
    assert all(torch.equal(p, balanced[name]) for name, p in mixture.items())


def test_active_parameters_are_those_of_the_dense_arm(plan):
    arms = {a.name: a.config.parts for a in plan("experiment=moe", "task=waves", "arm=null").arms}
    dense = body_cost(vars(arms["dense"])).active_parameters
    for name in ("moe_top2", "moe_top1", "moe_bias"):
        assert body_cost(vars(arms[name])).active_parameters == pytest.approx(dense, rel=0.01), name
        assert body_cost(vars(arms[name])).parameters > 2 * dense


@pytest.mark.some(1)
@pytest.mark.parametrize("scale", ["smoke", "quick", "full"])
def test_claims_name_arms_that_the_scale_computes(plan, scale: str):
    study_plan = plan("experiment=moe", "task=waves", f"scale={scale}")
    names = {arm.name for arm in study_plan.arms}
    for claim in read_report_spec(study_plan.study).claims:
        assert {claim.arm, claim.control} <= names
        assert claim.n <= study_plan.study.n_seeds


def test_the_selection_bias_moves_once_a_step_whatever_the_parts(plan, tmp_path: Path):
    changes = ("arm=moe_bias", "training.batch_size=8", "training.steps=3", "training.lr=1e-3")
    tiny = ("task=induction", "task.n_eval=12", "task.max_period=5", "task.length=12")
    (arm,) = plan(*SMALL, *tiny, *changes, "training.warmup_steps=0").arms
    ends = {}
    for accumulate in (1, 2, 4, 8):
        trial = MemoryTrial(arm.config, tmp_path / str(accumulate), accumulate=accumulate)
        task = arm.config.parts.task.build(seed=0, batch_size=8, cache=tmp_path)
        net = build_transformer(
            arm.config.parts, vocabulary=task.vocabulary, width=task.width, seed=0
        )
        train(trial, net, task)
        ends[accumulate] = [block.ffn.selection_steps for block in net.blocks]
    assert any(steps.abs().max() == 3 for steps in ends[1])
    for steps in ends.values():
        assert all(s.abs().max() <= 3 for s in steps)
        assert all(torch.equal(a, b) for a, b in zip(steps, ends[1], strict=True))
