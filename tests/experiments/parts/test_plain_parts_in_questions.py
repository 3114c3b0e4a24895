"""Every experiment with plain parts: it computes, leaves out what it cannot read, and says so."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import ROOT

PLUGIN = "plain_plugin"
SOURCE = ROOT / "tests" / "support" / f"{PLUGIN}.py"
SMALL = ("scale=smoke", f"plugins=[{PLUGIN}]", "n_seeds=1", "match.by=none")
TRAINING = ("model.d_model=16", "model.n_layers=2", "training.steps=6", "training.eval_every=3")
SEQUENCES = (*TRAINING, "task=waves", "task.width=8", "task.n_eval=9")
FFN = '+arms.mine=["ffn=my_ffn"]'
GATE = '+arms.gate=["ffn=my_gate"]'
ATTENTION = '+arms.attention=["attention=my_attention"]'
NORM = '+arms.norm=["norm=my_norm"]'
ARMS = (FFN, GATE, ATTENTION, NORM)


@pytest.fixture
def study(runner: Any, tmp_path: Path) -> Any:
    """Compute an experiment; return the values and messages of its trials, and its report."""
    shutil.copy(SOURCE, tmp_path / f"{PLUGIN}.py")

    def compute(experiment: str, *words: str) -> tuple[dict[str, Any], dict[str, str], str]:
        done = runner(f"experiment={experiment}", *SMALL, *words, timeout=300)
        assert done.returncode == 0, done.stderr
        values, messages = {}, {}
        for path in tmp_path.glob(f"outputs/{experiment}/trials/*/seed-0/result.json"):
            rows = json.loads(path.read_text())["results"]
            arm = path.parts[-3]
            values[arm] = {row["metric"]: row["value"] for row in rows}
            messages[arm] = json.loads((path.parent / "status.json").read_text())["message"]
        (report,) = tmp_path.glob(f"outputs/{experiment}/runs/*/report.html")
        return values, messages, report.read_text()

    return compute


@pytest.fixture
def refusal(runner: Any, tmp_path: Path) -> Any:
    """Return the line with which a plan refuses an experiment."""
    shutil.copy(SOURCE, tmp_path / f"{PLUGIN}.py")

    def plan(experiment: str, *words: str) -> str:
        done = runner(f"experiment={experiment}", *SMALL, *words, "plan=only")
        assert done.returncode == 2, done.stdout
        line = done.stderr.splitlines()[-1]
        assert len(line) <= 300
        assert not list(tmp_path.glob("outputs/*/trials/*"))
        return str(line)

    return plan


@pytest.mark.slow
def test_ffn(study):
    values, messages, report = study(
        "ffn", *SEQUENCES, *ARMS, "arm=[gelu,mine,gate,attention,norm]", "baseline=gelu"
    )
    for arm in ("gelu", "mine", "attention", "norm"):
        assert 0 <= values[arm]["ffn/small_share"] <= 1, arm
        assert values[arm]["ffn/output_rms"] > 0
    assert "ffn/zero_share" not in values["gate"]
    assert values["gate"]["ffn/output_rms"] > 0
    known = "small values by input, the curve of the activation"
    assert messages["mine"] == f"ffn=my_ffn: left out: {known}"
    assert (
        "shares of zero and small values (no linear layer returns the output)" in messages["gate"]
    )
    assert messages["norm"] == ""
    assert "shares of zero and small values (no linear layer" in report


@pytest.mark.slow
def test_moe(study):
    arms = (*ARMS, '+arms.routed=["ffn=my_mixture"]')
    values, _, _ = study(
        "moe", *SEQUENCES, *arms, "arm=[dense,mine,attention,norm,routed]", "baseline=dense"
    )
    for arm in ("dense", "mine"):
        assert not any(name.startswith("moe/") for name in values[arm]), arm
    for arm in ("attention", "norm"):  # with the mixture of the experiment
        assert values[arm]["moe/router_entropy"] > 0, arm
    assert 0 <= values["routed"]["moe/load/layer1/expert2"] <= 1
    assert values["routed"]["moe/router_entropy"] > 0


@pytest.mark.slow
def test_norm_stability(study):
    values, messages, report = study(
        "norm_stability",
        *(*SEQUENCES, *ARMS),
        *("arm=[pre,mine,gate,attention,norm]", "baseline=pre", "options.depths=[1,2]"),
    )
    for arm in ("pre", "mine", "attention", "norm"):
        assert values[arm]["norm/grad_last/depth2"] > 0, arm
        assert "norm/grad_slope" in values[arm]
    assert "norm/grad_last/depth2" not in values["gate"]
    assert "norm/grad_slope" not in values["gate"]
    assert values["gate"]["norm/grad/depth2/layer1"] > 0
    said = "left out: gradient of the last matrix (no linear layer returns the output)"
    assert said in messages["gate"]
    assert said in report
    assert messages["mine"] == ""


@pytest.mark.slow
def test_gqa_vs_mha(study):
    values, messages, report = study(
        "gqa_vs_mha",
        *(*TRAINING, *ARMS, "task.n_eval=9", "options.d_model=32"),
        *("arm=[mha,mine,attention,norm]", "baseline=mha", "options.lengths=[8,16]"),
        "options.prefill_lengths=[8,16]",
    )
    own = {name for name in values["attention"] if name.startswith("gqa/")}
    assert own == {
        *("gqa/attention_parameters", "gqa/loss_converted"),
        *("gqa/prefill_time/length8", "gqa/prefill_time/length16"),
    }
    assert values["attention"]["gqa/attention_parameters"] == 2 * (4 * 16 * 16 + 4 * 16)
    assert values["attention"]["val/loss"] > 0
    for arm in ("mha", "mine", "norm"):
        assert own < {name for name in values[arm] if name.startswith("gqa/")}, arm
    said = "no known KV heads; left out: cache, decoding, generation, savings"
    assert said in messages["attention"]
    assert said in report


@pytest.mark.slow
def test_translation(study):
    values, messages, _ = study(
        *("translation", *TRAINING, "training.warmup_steps=0", FFN, NORM),
        *("arm=[base,mine,norm]", "baseline=base"),
    )
    for arm in ("base", "mine", "norm"):
        assert 0 <= values[arm]["translation/exact_match"] <= 1, arm
    assert messages["mine"] == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        ("translation", "attention=my_attention cannot attend to a source"),
        (
            "head_analysis",
            "attention=my_attention is a plain part, whose heads experiment=head_ana",
        ),
        ("flash_attention", "attention=my_attention is a plain part without a kernel of ablab"),
    ],
)
def test_attention_that_a_question_cannot_read_is_refused(refusal, experiment: str, said: str):
    assert said in refusal(experiment, ATTENTION)


@pytest.mark.slow
def test_kv_heads_that_are_unknown_cannot_be_converted(refusal):
    arm = '+arms.converted=["attention=my_attention","options.convert=mean"]'
    said = "attention=my_attention has no KV heads that ablab knows, so options.convert=mean cannot"
    assert said in refusal("gqa_vs_mha", arm)


@pytest.mark.slow
def test_head_analysis(study):
    values, _, _ = study(
        "head_analysis",
        *(*TRAINING, FFN, NORM, "task.n_eval=9", "baseline=trained", "arm=[trained,mine,norm]"),
    )
    assert all(found["heads/entropy"] > 0 for found in values.values())
