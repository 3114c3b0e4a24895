"""What the runner costs: start-up beside a bare Hydra app, planning, two workers, a rerun.

    python tests/benchmarks/runner.py [--rounds 9] [--json samples.json] [--quick]

Everything that is compared runs in the same rounds, in random order; printed are medians, ratios
and the goal. `--quick` leaves out the studies that train (about four minutes).
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BARE = """
import hydra

@hydra.main(config_path=CONF, config_name="config", version_base="1.3")
def main(config):
    pass

main()
"""
TRAINING = ("experiment=moe", "task=waves", "arm=[dense,moe_top2]", "n_seeds=4", "scale=smoke")
LONGER = ("training.steps=150", "training.eval_every=50")
N_STORED = 10_000


def seconds(arguments: list[str], folder: Path) -> float:
    """Wall time of a command."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    began = time.perf_counter()
    subprocess.run(arguments, cwd=folder, env=env, check=True, capture_output=True)
    return time.perf_counter() - began


def interleave(functions: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """One sample of each function a round, in random order."""
    samples: dict[str, list[float]] = {name: [] for name in functions}
    order = list(functions)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            samples[name].append(functions[name]())
    return samples


def start_up(rounds: int, folder: Path) -> dict[str, list[float]]:
    """Commands that plan nothing, beside a bare Hydra app over the same config folder."""
    app = folder / "bare.py"
    app.write_text(BARE.replace("CONF", repr(str(ROOT / "conf"))))
    runner = [sys.executable, "-m", "runner"]
    commands = {
        "bare Hydra app": [sys.executable, str(app), "hydra.output_subdir=null"],
        "python -m runner": runner,
        "--help": [*runner, "--help"],
        "--cfg job": [*runner, "experiment=moe", "--cfg", "job"],
    }
    timed = {name: (lambda c=command: seconds(c, folder)) for name, command in commands.items()}
    for warm in timed.values():
        warm()
    return interleave(timed, rounds)


def planning(folder: Path) -> float:
    """Seconds to find out that a study of 10,000 trials is finished."""
    script = f"""
import time
from pathlib import Path
from types import SimpleNamespace
from runner import study
from runner.store import Store
root = Path({str(folder)!r}) / "store"
arms = [SimpleNamespace(name=f"arm{{i}}", signature=f"{{i:016x}}") for i in range(10)]
store = Store(root, "moe")
for arm in arms:
    for seed in range({N_STORED // 10}):
        slot = store.slot(arm.name, arm.signature, seed)
        slot.folder.mkdir(parents=True)
        (slot.folder / "status.json").write_text('{{"state": "done"}}')
        (slot.folder / "result.json").write_text('{{"code": "c", "results": []}}')
plan = SimpleNamespace(
    outputs=root, experiment="moe", seeds=range({N_STORED // 10}), arms=arms, code="c", notes=[],
    study=SimpleNamespace(reuse="strict"),
)
began = time.perf_counter()
entries = study.survey(plan)
assert len(entries) == {N_STORED} and all(entry.reused for entry in entries)
print(time.perf_counter() - began)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout)


def studies(folder: Path) -> dict[str, Any]:
    """A study of eight training trials with one and with two workers, and run again."""
    runner = [sys.executable, "-m", "runner", *TRAINING, *LONGER]
    found: dict[str, Any] = {}
    for workers in (1, 2):
        outputs = folder / f"workers{workers}"
        command = [*runner, f"workers={workers}", f"outputs={outputs}"]
        found[f"workers={workers}"] = [seconds(command, folder)]
        found[f"again, workers={workers}"] = [seconds(command, folder) for _ in range(3)]
        results = [json.loads(path.read_text()) for path in outputs.rglob("result.json")]
        found[f"trial seconds, workers={workers}"] = [result["seconds"] for result in results]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = start_up(options.rounds, folder)
        bare = statistics.median(samples["bare Hydra app"])
        for what, values in samples.items():
            median = statistics.median(values)
            print(
                f"{what:<18} {median:6.2f} s   {median / bare:5.2f} x a bare Hydra app (goal 1.2)"
            )
        samples["planning"] = [planning(folder)]
        print(
            f"a store of {N_STORED:,} trials is planned in {samples['planning'][0]:.2f} s (goal 5)"
        )
        if not options.quick:
            found = studies(folder)
            samples |= found
            one, two = found["workers=1"][0], found["workers=2"][0]
            ratio = f"{one / two:.2f} x (goal 1.6)"
            print(f"eight trials: {one:.1f} s with 1 worker, {two:.1f} s with 2: {ratio}")
            again = statistics.median(found["again, workers=2"])
            print(f"run again, all reused: {again:.1f} s (goal 8)")
            busy = sum(found["trial seconds, workers=1"])
            print(f"outside of trials with 1 worker: {1 - busy / one:.1%} of {one:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(samples, indent=1))


if __name__ == "__main__":
    main()
