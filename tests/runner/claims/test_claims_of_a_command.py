"""A whole command whose question has an interaction and claims on curves; `redraw` agrees."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from runner.metric_names import STEP_ALONE

QUESTION = """\
# @package _global_
defaults: [moe, _self_]
code: moe
question: Does a mixture win by the clock, and does more data matter?
baseline: dense
arm: [dense, moe_top2, dense_more, moe_top2_more, dense_copy]
arms:
  dense_more: [ffn=dense, task.n_samples=60]
  moe_top2_more: [ffn=moe, ffn.balance=aux, task.n_samples=60]
  dense_copy: {copy_of: dense}
headline: [{metric: val/loss, direction: less, label: held-out loss}]
figure: []
n_seeds: 3
model: {d_model: 16, n_layers: 1}
training: {steps: 40, warmup_steps: 4, log_every: 10, eval_every: 5, checkpoint_every: 40}
task: {n_eval: 9, n_samples: 30, width: 8}
options: {n_permutations: 2}
timing: {passes: 1}
claims:
  clock:
    {kind: at_equal_seconds, metric: val/loss, arm: moe_top2, control: dense, direction: greater,
     n: 3, alpha: 0.3, family: a, source: s, statement: by the clock,
     aa: {arm: dense_copy, control: dense}}
  data:
    {kind: interaction, metric: val/loss, arm: moe_top2, control: dense, other_arm: moe_top2_more,
     other_control: dense_more, direction: less, n: 3, alpha: 0.3, family: b, source: s,
     statement: with the data, equal_cost: active_params}
  falls:
    {kind: curve_slope, metric: val/loss, arm: dense, direction: less, x: log_step, start: 0.1,
     n: 3, alpha: 0.3, family: c, source: s, statement: the loss falls}
"""


@pytest.mark.slow
def test_the_verdicts_of_a_command_are_those_of_its_records(tmp_path: Path, runner):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "clock.yaml").write_text(QUESTION)
    ran = runner("--config-dir=mine", "experiment=clock", "task=waves", timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "clock, step times: 9 trials timed, one at a time" in ran.stdout
    (run,) = (tmp_path / "outputs" / "clock" / "runs").iterdir()
    verdicts = json.loads((run / "verdicts.json").read_text())
    means = {each["id"]: each["interval"]["mean"] for each in verdicts}
    assert not [each for each in verdicts if " has no " in each["reason"]]

    # The same numbers from results.csv and records.zip.
    table = pd.read_csv(run / "results.csv").pivot_table("value", ["arm", "seed"], "metric")
    loss, seconds = table["val/loss"].unstack(), table[STEP_ALONE].dropna().unstack()
    assert set(seconds.index) == {"dense", "moe_top2", "dense_copy"}
    gain = loss.loc["moe_top2"] - loss.loc["dense"]
    other = loss.loc["moe_top2_more"] - loss.loc["dense_more"]
    assert means["data"] == pytest.approx((gain - other).mean())
    differs = "moe_top2_more differs from moe_top2 in task.n_samples (60 against 30)"
    assert differs in next(each["reason"] for each in verdicts if each["id"] == "data")
    curves = {}
    with zipfile.ZipFile(run / "records.zip") as archive:
        for arm in ("dense", "moe_top2"):
            for seed in range(3):
                data = io.BytesIO(archive.read(f"{arm}/seed-{seed}/metrics.csv"))
                rows = pd.read_csv(data)
                curves[arm, seed] = rows[rows.metric == "val/loss"].set_index("step").value
    slopes, differences = [], []
    for seed in range(3):
        late = curves["dense", seed].loc[4:]
        slopes.append(np.polyfit(np.log(late.index.to_numpy(float)), late.to_numpy(), 1)[0])
        time = 40 * min(seconds.loc["dense", seed], seconds.loc["moe_top2", seed])
        values = [
            np.interp(
                time / seconds.loc[arm, seed],
                curves[arm, seed].index.to_numpy(float),
                curves[arm, seed].to_numpy(),
            )
            for arm in ("moe_top2", "dense")
        ]
        differences.append(values[0] - values[1])
    assert means["falls"] == pytest.approx(np.mean(slopes))
    assert means["clock"] == pytest.approx(np.mean(differences))
    assert "moe_top2 minus dense at equal seconds of training" in (run / "report.html").read_text()

    # The trials' own records have no step time, and the report is the same without them.
    result = next((tmp_path / "outputs" / "clock" / "trials").glob("dense*/seed-0/result.json"))
    assert STEP_ALONE not in result.read_text()
    before = (run / "verdicts.json").read_bytes()
    (tmp_path / "outputs" / "clock" / "trials").rename(tmp_path / "away")
    drawn = runner("redraw", timeout=300)
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    assert (run / "verdicts.json").read_bytes() == before
