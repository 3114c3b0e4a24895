"""Six arms that win by an unequal comparison, in one study: each is reported at every place."""

import json
from pathlib import Path

import pandas as pd
import pytest

SETTINGS = (
    *("experiment=ffn", "scale=quick", "task=function", "task.width=8", "task.n_samples=64"),
    *("task.n_eval=32", "task.length=16", "model.d_model=16", "model.n_layers=1", "ffn.d_ff=64"),
    *("training.steps=8", "training.warmup_steps=2", "training.eval_every=4"),
    *("training.batch_size=8", "n_seeds=6", "~claims", "~figures"),
)
LIES = {
    "wide": ("ffn.d_ff=96", "more parameters", "unmatched: wide has"),
    "free": ("ffn.d_ff=96,match.by=none", "match.by (none against params)", "unmatched: free has"),
    "loose": ("ffn.d_ff=96,match.tolerance=0.9", "match.tolerance (0.9 against 0.01)", "unmatched"),
    "long": ("training.steps=16", "training.steps (16 against 8)", "unfair"),
    "easy": ("task.sin_weight=0.7", "task.sin_weight (0.7 against 1)", "unfair"),
    "few": ("task.n_eval=8", "task.n_eval (8 against 32)", "unfair"),
}


def claim(arm: str) -> str:
    """Return a claim that the arm is better at equal cost."""
    return (
        f"{arm}: {{statement: s, kind: difference, metric: val/loss, arm: {arm}, control: relu, "
        f"direction: less, equal_cost: params, n: 6, family: {arm}, source: me, published: none, "
        "aa: {arm: relu_copy, control: relu}}"
    )


@pytest.mark.slow
def test_six_planted_lies_are_told_and_their_claims_are_invalid(run, capsys, tmp_path: Path):
    arms = [
        f"+arms.{arm}={json.dumps(['ffn=relu', *lie.split(',')])}"
        for arm, (lie, _, _) in LIES.items()
    ]
    claims = ", ".join(claim(arm) for arm in LIES)
    run(*SETTINGS, f"arm=[relu,relu_copy,{','.join(LIES)}]", *arms, f"+claims={{{claims}}}")
    screen = " ".join(capsys.readouterr().out.split())
    (folder,) = (tmp_path / "outputs" / "ffn" / "runs").iterdir()
    answer = json.loads((folder / "answer.json").read_text())
    verdicts = {row["id"]: row for row in json.loads((folder / "verdicts.json").read_text())}
    page = (folder / "report.html").read_text()
    rows = pd.read_csv(folder / "comparison.csv")
    words = rows[rows.metric == "val/loss"].set_index("arm").words
    headlines = {h["arm"]: h for h in answer["headlines"] if h["metric"] == "val/loss"}
    assert set(headlines) == set(LIES)
    for arm, (_, said, reason) in LIES.items():
        assert verdicts[arm]["verdict"] == "invalid"
        assert reason in verdicts[arm]["reason"], arm
        for place in (words[arm], headlines[arm]["words"], answer["sentence"], screen, page):
            assert said in place, arm
        unequal = said.partition(" (")[0]
        assert headlines[arm]["unequal"] == ([] if arm == "wide" else [unequal])
    assert "Verdicts on 6 claims of your own: 6 invalid." in screen
    assert "Two copies of relu differ by" in screen
    assert "relu_copy (" not in answer["sentence"]
