"""A made-up MoE study: 4 arms x 8 seeds, 2 layers x 8 experts x 3 kinds of data, 10 steps."""

from typing import Any

import numpy as np
import pandas as pd

from runner import registry
from runner.claims.claim import Claim
from runner.claims.headline import Headline
from runner.claims.kinds import Difference
from runner.figures.kinds import read_figure
from runner.report.study_record import StudyRecord
from tests.support.sample_figures import FIGURES

ARMS = {
    "dense": ["ffn=dense"],
    "moe_top2": ["ffn=moe", "ffn.top_k=2"],
    "moe_no_balance": ["ffn=moe", "ffn.top_k=2", "ffn.balance=none"],
    "moe_top2_copy": ["ffn=moe", "ffn.top_k=2", "seed_offset=1000"],
}
GAIN = {"dense": 0.0, "moe_top2": -0.03, "moe_no_balance": 0.006, "moe_top2_copy": -0.03}
LABELS = ("code", "english", "日本語")
STEPS = range(30, 301, 30)
SEEDS = 8


def make_results() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    luck = draw.normal(0, 0.02, SEEDS)
    rows: list[tuple[str, int, str, float, str]] = []
    for arm in ARMS:
        for seed in range(SEEDS):
            loss = 2.05 + luck[seed] + GAIN[arm] + draw.normal(0, 0.008)
            size = 150_000.0 if arm == "dense" else 800_000.0
            rows.append((arm, seed, "val/loss", loss, "nats/byte"))
            rows.append((arm, seed, "cost/parameters", size, "parameters"))
            rows.append((arm, seed, "cost/flops_per_token", 3.1e5, "FLOPs/token"))
            rows.append((arm, seed, "time/step", 12 + 30 * (arm != "dense") + draw.gamma(2), "ms"))
            if arm == "dense":
                continue
            spread = 0.6 if arm == "moe_no_balance" else 0.15
            rows.append((arm, seed, "moe/load_max_violation", spread + draw.gamma(4) / 20, "1"))
            for layer in range(2):
                for expert, share in enumerate(_shares(draw, spread)):
                    rows.append((arm, seed, f"moe/load/layer{layer}/expert{expert}", share, "1"))
                for label in LABELS:
                    for expert, share in enumerate(_shares(draw, spread * 2)):
                        name = f"moe/selection/layer{layer}/{label}/expert{expert}"
                        rows.append((arm, seed, name, share, "1"))
    return pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])


def make_history() -> pd.DataFrame:
    draw = np.random.default_rng(1)
    rows: list[tuple[str, int, int, str, float]] = []
    for arm in ARMS:
        for seed in range(SEEDS):
            for step in STEPS:
                loss = 2 + GAIN[arm] + 3.5 * float(np.exp(-step / 60)) + draw.normal(0, 0.02)
                rows.append((arm, seed, step, "val/loss", loss))
                for layer in range(2 if arm != "dense" else 0):
                    spread = (0.8 if arm == "moe_no_balance" else 0.2) * step / 300
                    for expert, share in enumerate(_shares(draw, spread)):
                        metric = f"moe/load/layer{layer}/expert{expert}"
                        rows.append((arm, seed, step, metric, share))
    return pd.DataFrame(rows, columns=["arm", "seed", "step", "metric", "value"])


def _shares(draw: np.random.Generator, spread: float) -> list[float]:
    raw = np.exp(spread * (draw.normal(size=8) * 0.4 + np.linspace(-1, 1, 8)))
    return [float(value) for value in raw / raw.sum()]


def make_trials() -> pd.DataFrame:
    rows = [
        {
            "arm": arm,
            "seed": seed,
            "status": "done",
            "seconds": 14.2,
            "reused": False,
            "folder": f"outputs/moe/trials/{arm}-0123abcd/seed-{seed}",
            "message": "",
        }
        for arm in ARMS
        for seed in range(SEEDS)
    ]
    rows[-1] |= {"status": "diverged", "message": "loss is nan at step 212"}
    return pd.DataFrame(rows)


def make_claims() -> list[Claim]:
    shared: dict[str, Any] = {"n": 8, "family": "moe"}
    return [
        Difference(
            id="M1",
            statement="Experts reach a lower loss than a dense layer of the same active size.",
            metric="val/loss",
            arm="moe_top2",
            control="dense",
            direction="less",
            source="Shazeer et al. 2017, arXiv:1701.06538",
            published="perplexity 34.1 against 45.0",
            **shared,
        ),
        Difference(
            id="M2",
            statement="Without a balance loss the load is less even.",
            metric="moe/load_max_violation",
            arm="moe_no_balance",
            control="moe_top2",
            direction="greater",
            source="Fedus et al. 2021, arXiv:2101.03961",
            **shared,
        ),
        Difference(
            id="M3",
            statement="The balance loss costs quality.",
            metric="val/loss",
            arm="moe_top2",
            control="moe_no_balance",
            direction="greater",
            source="Wang et al. 2024, arXiv:2408.15664",
            published="+0.02 nats",
            **shared,
        ),
        Difference(
            id="M4",
            statement="Two copies of one arm differ.",
            metric="val/loss",
            arm="moe_top2_copy",
            control="moe_top2",
            direction="greater",
            source="none: it should stay inconclusive",
            **shared,
        ),
    ]


def make_study(**changes: Any) -> StudyRecord:
    """Return the study; keywords replace its fields."""
    figures = {name: read_figure(name, keys) for name, keys in FIGURES.items()}
    fields: dict[str, Any] = {
        "experiment": "moe",
        "question": "Do eight experts beat one feed-forward layer of the same active size?",
        "scale": "quick",
        "command": "python -m runner experiment=moe",
        "arms": ARMS,
        "baseline": "dense",
        "headline": [
            Headline("val/loss", "less", "validation loss"),
        ],
        "results": make_results(),
        "history": make_history(),
        "trials": make_trials(),
        "config_yaml": "experiment: moe\nmodel:\n  d_model: 64\n",
        "environment": {"python": "3.11.7", "torch": "2.13.0", "cpu": "2 cores"},
        "claims": make_claims(),
        "figures": figures,
        "notes": ["ffn.n_experts=8 was skipped for the arm dense, which has no such key"],
        "not_tested": ["Models above 1 M parameters.", "More than 300 steps."],
        "hparams": {
            arm: {
                "ffn.kind": "dense" if arm == "dense" else "moe",
                "ffn.balance": "none" if arm == "moe_no_balance" else "aux",
                "model.d_model": 64,
                "lr": 1e-3,
                "seed_offset": 1000 if arm == "moe_top2_copy" else 0,
            }
            for arm in ARMS
        },
    }
    fields |= changes
    declared = {metric: registry.metric(metric) for metric in fields["results"]["metric"].unique()}
    return StudyRecord(**({"metric_declarations": declared} | fields))
