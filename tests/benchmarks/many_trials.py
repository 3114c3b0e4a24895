"""The CPU time of a study whose trials all exist, against a plain script over the same files.

python -m tests.benchmarks.many_trials [--rounds 5] [--json FILE] [--quick]

Ten arms of 100 seeds; --quick: ten seeds. The store has two computed trials of each arm. The other
trials are copies of them under new seeds, with other values. CPU seconds of all processes of a
command are compared, since other programs change its duration. Twenty minutes; --quick: five.
"""

import csv
import json
import math
import os
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine import command
from side_by_side import SideBySide, arguments

from runner.records import tracking
from runner.records.store import CURVES, STATUS, Slot

ARMS = ("dense", "moe_top2", "moe_no_balance", "moe_top2_copy", "dense_total", "moe_top1")
MORE_ARMS = {
    "moe_bias": "",
    "e4": "ffn.n_experts=4",
    "e16": "ffn.n_experts=16",
    "top3": "ffn.top_k=3",
}
"""Arms that follow `ARMS`; those with an override are new."""
STUDY = [
    *("experiment=moe", "task=waves", "task.n_eval=48", "claim=null"),
    *("training.steps=20", "training.warmup_steps=2", "training.log_every=2"),
    *("training.eval_every=5", "training.checkpoint_every=10"),
    f"arm=[{','.join((*ARMS, *MORE_ARMS))}]",
    *(
        f'+arms.{name}=["ffn=moe","ffn.balance=aux","{override}"]'
        for name, override in MORE_ARMS.items()
        if override
    ),
]
N_COMPUTED = 2  # seeds of each arm that are computed
SCRIPT = """
import json, sys
from pathlib import Path
import pandas as pd
from matplotlib.figure import Figure

curves, finals = [], []
for path in sorted(Path(sys.argv[1]).glob("*/seed-*/metrics.csv")):
    arm, seed = path.parent.parent.name, path.parent.name
    curves.append(pd.read_csv(path).assign(arm=arm, seed=seed))
    rows = json.loads(path.with_name("result.json").read_text())["results"]
    finals.append(pd.DataFrame(rows).assign(arm=arm, seed=seed))
final = pd.concat(finals)
final.groupby(["arm", "metric"])["value"].agg(["mean", "std", "count"]).to_csv("means.csv")
curve = pd.concat(curves)
means = curve.groupby(["metric", "arm", "step"])["value"].mean()
for metric in ("val/loss", "moe/load_max_violation"):
    figure = Figure()
    axes = figure.subplots()
    for arm, of_arm in means[metric].groupby("arm"):
        axes.plot(of_arm.index.get_level_values("step"), of_arm, label=arm)
    axes.legend()
    figure.savefig(metric.replace("/", "_") + ".png")
"""
"""A script as a user writes it: means of all final values, and two figures of mean curves."""


def copy_trials(store: Path, n_seeds: int) -> None:
    """Copy the computed trials of each arm under new seeds, with the values of each multiplied."""
    draw = random.Random(0)
    for arm in sorted(path.parent for path in store.glob("*/arm.json")):
        for seed in range(N_COMPUTED, n_seeds):
            source, slot = Slot(arm / f"seed-{seed % N_COMPUTED}"), Slot(arm / f"seed-{seed}")
            shutil.copytree(source.folder, slot.folder)
            (slot.folder / STATUS).unlink()
            factor = math.exp(draw.gauss(0, 0.1))
            result = json.loads((source.folder / "result.json").read_text())
            for row in result["results"]:
                row["value"] = row["value"] if row["value"] is None else row["value"] * factor
            slot.write_result(result)
            with (slot.folder / CURVES).open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(tracking.HEADER)
                writer.writerows(
                    (step, metric, repr(value * factor))
                    for step, metric, value in tracking.read_curves(source.folder)
                )
            status = source.status()
            slot.write_status("done", seconds=status["seconds"], code=status["code"], message="")


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU seconds of the processes that a call starts and waits for."""
    before = os.times()
    run()
    after = os.times()
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def main() -> None:
    """Measure and print."""
    bench = SideBySide(arguments(__doc__, rounds=5))
    n_seeds = 10 if bench.options.quick else 100
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = folder / "moe" / "trials"
        runner = [sys.executable, "-m", "runner"]
        study = [*runner, *STUDY, f"outputs={folder}"]
        command([*study, f"n_seeds={N_COMPUTED}"], folder)
        copy_trials(store, n_seeds)
        study.append(f"n_seeds={n_seeds}")
        assert "all reused" in command(study, folder)
        newest = max((folder / "moe" / "runs").iterdir())
        contenders = {
            "script of pandas and matplotlib": [sys.executable, "-c", SCRIPT, str(store)],
            "plan=only": [*study, "plan=only"],
            "again: plan and report": study,
            "redraw: report, all pictures drawn": [*runner, "redraw", str(newest)],
        }
        samples: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(bench.rounds):  # interleaved, so that a slow moment affects all of them
            for name, words in contenders.items():
                samples[name].append(cpu_seconds(partial(command, words, folder)))
    medians = {name: statistics.median(values) for name, values in samples.items()}
    script = medians["script of pandas and matplotlib"]
    rows = [
        {
            "": name,
            "median CPU s": f"{median:.2f}",
            "min CPU s": f"{min(samples[name]):.2f}",
            "it / script": f"{median / script:.3g}",
        }
        for name, median in medians.items()
    ]
    bench.table(f"{10 * n_seeds:,} trials, all reused", rows)
    bench.write(cpu_seconds=samples)


if __name__ == "__main__":
    main()
