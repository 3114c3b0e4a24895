"""The runner's costs: start-up against a bare Hydra app, planning, two workers, a rerun.

python -m tests.benchmarks.engine [--rounds 9] [--json FILE] [--quick]

Ten minutes; --quick leaves out the studies that train, and plans a smaller store: half a minute.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from side_by_side import ROOT, SideBySide, arguments

from runner.trial.measure import mean_seconds

BARE = """
import hydra

@hydra.main(config_path=CONF, config_name="config", version_base="1.3")
def main(config):
    pass

main()
"""
PLUGIN = """
from dataclasses import dataclass

from experiments.parts import part


@part("ffn", "my_gelu")
@dataclass
class MyGelu:
    d_ff: int = 256

    def build(self, d_model):
        from torch import nn

        up, down = nn.Linear(d_model, self.d_ff), nn.Linear(self.d_ff, d_model)
        return nn.Sequential(up, nn.GELU(), down)
"""
TRAINING = ("experiment=moe", "task=waves", "arm=[dense,moe_top2]", "n_seeds=4", "scale=smoke")
LONGER = ("training.steps=150", "training.eval_every=50")
N_STORED = 10_000


def command(words: list[str], folder: Path) -> str:
    """Run a command to its end and return its output.

    Python keeps the compiled modules of ablab, as pip does for those of Hydra.
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True, text=True)
    return done.stdout


def start_up(folder: Path) -> dict[str, dict[str, Callable[[], str]]]:
    """Time commands that plan nothing, against a bare Hydra app over the same config folder.

    Help has its own comparison: Hydra renders it for most of a second, in any app. With a plug-in
    both compose the experiment that the plug-in's part is for.
    """
    app = folder / "bare.py"
    app.write_text(BARE.replace("CONF", repr(str(ROOT / "conf"))))
    (folder / "my_ffn.py").write_text(PLUGIN)
    runner = [sys.executable, "-m", "runner"]
    bare = [sys.executable, str(app)]
    groups = {
        "start-up (goal 1.2)": {
            "bare Hydra app": [*bare, "experiment=moe", "--cfg", "job"],
            "python -m runner": runner,
            "--cfg job": [*runner, "experiment=moe", "--cfg", "job"],
        },
        "help (goal 1.2)": {
            "bare Hydra app": [*bare, "--help"],
            "--help": [*runner, "--help"],
            "--help with a plug-in": [*runner, "plugins=[my_ffn]", "--help"],
        },
        "start-up with a plug-in (goal 1.2)": {
            "bare Hydra app": [*bare, "experiment=ffn", "--cfg", "job"],
            "plugins=[my_ffn]": [*runner, "experiment=ffn", "plugins=[my_ffn]", "--cfg", "job"],
        },
    }
    return {
        title: {name: partial(command, words, folder) for name, words in commands.items()}
        for title, commands in groups.items()
    }


def planning(folder: Path, n_stored: int) -> float:
    """Return the seconds to plan a finished study of `n_stored` trials."""
    script = f"""
from pathlib import Path
from types import SimpleNamespace
from runner.trial import measure
from runner.records import seal
from runner.study.entries import list_trials
from runner.study import run as study
from runner.records.arm_folders import write_signature
from runner.records.store import Store
root = Path({str(folder)!r}) / "store"
arms = [SimpleNamespace(name=f"arm{{i}}", signature=f"{{i:016x}}", code="c") for i in range(10)]
store = Store(root, "moe")
for arm in arms:
    for seed in range({n_stored // 10}):
        slot = store.slot(arm.name, arm.signature, seed)
        slot.folder.mkdir(parents=True)
        slot.write_result({{"code": "c", "results": []}})
        (slot.folder / "metrics.csv").write_text("step,metric,value\\n" + "1,val/loss,0.5\\n" * 500)
        slot.write_status("done")
    write_signature(slot.arm_folder, arm.signature)
plan = SimpleNamespace(
    outputs=root, experiment="moe", seeds=range({n_stored // 10}), arms=arms, code="c", notes=[],
    study=SimpleNamespace(reuse="strict"),
)
def survey():
    seal._digest.cache_clear()  # what was written in this process is not yet known to the next
    entries = list_trials(plan)
    assert len(entries) == {n_stored} and all(entry.reused for entry in entries)

print(measure.mean_seconds(survey, 1))
"""
    return float(command([sys.executable, "-c", script], folder))


def studies(folder: Path) -> dict[str, Any]:
    """Time a study of eight training trials with one and two workers, and run it again."""
    runner = [sys.executable, "-m", "runner", *TRAINING, *LONGER]
    seconds: dict[str, Any] = {}
    for workers in (1, 2):
        outputs = folder / f"workers{workers}"
        words = [*runner, f"workers={workers}", f"outputs={outputs}"]
        once = partial(command, words, folder)
        seconds[f"workers={workers}"] = mean_seconds(once, 1)
        seconds[f"again, workers={workers}"] = [mean_seconds(once, 1) for _ in range(3)]
        results = [json.loads(path.read_text()) for path in outputs.rglob("result.json")]
        seconds[f"trial seconds, workers={workers}"] = [result["seconds"] for result in results]
    return seconds


def reruns(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Time `experiment=moe` at the default scale with all trials reused, and parts of it.

    - again: the same command again. It reports from stored trials and takes over all pictures.
    - redraw: the report alone, with all pictures drawn.
    - plan=only: the plan alone.
    """
    runner, outputs = [sys.executable, "-m", "runner"], f"outputs={folder / 'moe'}"
    again = [*runner, "experiment=moe", outputs]
    command(again, folder)
    newest = max((folder / "moe" / "moe" / "runs").iterdir())
    commands = {
        "again": again,
        "redraw": [*runner, "redraw", str(newest)],
        "plan=only": [*again, "plan=only"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):  # interleaved, so that a slow moment affects all of them
        for name, words in commands.items():
            seconds[name].append(mean_seconds(partial(command, words, folder), 1))
    return seconds


def main() -> None:
    """Measure and print."""
    bench = SideBySide(arguments(__doc__, rounds=9))
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, commands in start_up(folder).items():
            bench.compare(title, commands, "it / bare Hydra app", warmup=1)
        n_stored = N_STORED // 10 if bench.options.quick else N_STORED
        results["planning"] = planning(folder, n_stored)
        goal = f"(goal {5 * n_stored / N_STORED:g})"
        bench.say(f"a store of {n_stored:,} trials: planned in {results['planning']:.2f} s {goal}")
        if not bench.options.quick:
            results |= studies(folder)
            one, two = results["workers=1"], results["workers=2"]
            ratio = f"{one / two:.2f} x (goal 1.6)"
            bench.say(f"eight trials: {one:.1f} s with 1 worker, {two:.1f} s with 2: {ratio}")
            again = statistics.median(results["again, workers=2"])
            bench.say(f"run again, all reused: {again:.1f} s (goal 3)")
            busy = sum(results["trial seconds, workers=1"])
            bench.say(f"outside of trials with 1 worker: {1 - busy / one:.1%} of {one:.0f} s")
            results["moe at quick, all reused"] = again_moe = reruns(folder, bench.options.rounds)
            for name, samples in again_moe.items():
                goal = " (goal 3)" if name == "again" else ""
                middle, least = statistics.median(samples), min(samples)
                bench.say(f"moe at quick, {name}: {middle:.2f} s, at least {least:.2f}{goal}")
    bench.write(studies=results)


if __name__ == "__main__":
    main()
