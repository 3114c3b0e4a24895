"""Small stores of outputs, with records that no trial computed, and random ones."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

from runner.records.store import Slot

ROWS = [{"metric": "val/loss", "value": 2.0, "unit": "nats"}]
FINISHED = ("done", "diverged")
STATES = (*FINISHED, "failed", "killed", "running", "untimed")
WEIGHT_BYTES = 9000


def make_trial(
    outputs: Path,
    arm: str,
    seed: int,
    *,
    state: str = "done",
    loss: float = 2.0,
    age: float = 0.0,
    experiment: str = "moe",
) -> Slot:
    """Make the folder of a trial as a run leaves it; `age` is that of its status in seconds."""
    folder = outputs / experiment / "trials" / arm
    slot = Slot(folder / f"seed-{seed}")
    slot.folder.mkdir(parents=True)
    (folder / "signature").write_text(f"{abs(hash(arm)) % 16**16:016x}\n")
    (folder / "arm.json").write_text(json.dumps({"config": {"experiment": experiment}}))
    for name in ("log.txt", "lock", "events.out.tfevents.1.host.2.0"):
        (slot.folder / name).touch()
    (slot.folder / "metrics.csv").write_text("step,metric,value\n1,val/loss,3.0\n")
    checkpoint = slot.folder / "checkpoint" / "step-300"
    checkpoint.mkdir(parents=True)
    (checkpoint / "weights.safetensors").write_bytes(bytes(WEIGHT_BYTES))
    (checkpoint / "sha256.json").write_text(json.dumps({"weights.safetensors": "x"}))
    if state in FINISHED:
        slot.write_result({"code": "c", "results": [{**ROWS[0], "value": loss}]})
        slot.write_first_finish()
    slot.write_status(state, code="c")
    slot.write_first_finish()
    moment = time.time() - age
    os.utime(slot.folder / "status.json", (moment, moment))
    return slot


def make_run(
    outputs: Path,
    name: str,
    trials: Sequence[tuple[str, int]],
    *,
    experiment: str = "moe",
    question: str = "Is it better?",
    sentence: str = "Yes: it is better. The rest follows.",
    verdicts: Sequence[str] = (),
    **more: Any,
) -> Path:
    """Make a run folder that refers to trials; `more` are other keys of its study.json."""
    folder = outputs / experiment / "runs" / name
    folder.mkdir(parents=True)
    rows = [
        {"arm": arm, "seed": seed, "folder": f"../../trials/{arm}/seed-{seed}"}
        for arm, seed in trials
    ]
    files: Mapping[str, Any] = {
        "study.json": {"experiment": experiment, "trials": rows, **more},
        "answer.json": {"sentence": sentence},
        "verdicts.json": [{"id": str(i), "verdict": each} for i, each in enumerate(verdicts)],
    }
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content))
    (folder / "config.yaml").write_text(
        f"experiment: {experiment}\nquestion: {json.dumps(question)}\nn_seeds: 8\nscale: quick\n"
    )
    (folder / "report.html").write_text("<p>a report</p>")
    return folder


def make_random_store(outputs: Path, random: Random) -> set[tuple[str, int]]:
    """Make a store of random trials and runs; return the trials that its runs refer to."""
    trials = [(arm, seed) for arm in ("a", "b", "c") for seed in range(random.randrange(4))]
    for arm, seed in trials:
        make_trial(outputs, arm, seed, state=random.choice(STATES), loss=random.random())
    referenced: set[tuple[str, int]] = set()
    for number in range(random.randrange(3)):
        chosen = [trial for trial in trials if random.random() < 0.4]
        if chosen:
            make_run(outputs, f"2026-11-26_04-51-0{number}_quick", chosen)
            referenced |= {*chosen}
    return referenced


def trials_below(outputs: Path, experiment: str = "moe") -> set[tuple[str, int]]:
    """Return the trials of a store that still have a status."""
    return {
        (path.parents[1].name, int(path.parent.name.removeprefix("seed-")))
        for path in (outputs / experiment / "trials").glob("[!.]*/seed-*/status.json")
    }
