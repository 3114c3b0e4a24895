"""Show that a change of the code changes no number: record outcomes of trials, then compare.

    python -m tests.same_bits record before.json     # about two minutes on two cores
    python -m tests.same_bits compare before.json    # after it; exit code 1 if a bit differs

Computes every experiment at smoke, and a short training of every option of every part and task.
Values of clocks and allocators are left out. See `outcomes` for the compared values.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.support.environment import ROOT, child_environment
from tests.support.outcomes import outcome

SHORT = {
    "domains": "task.train_bytes=30000 task.n_eval=6 task.length=16",
    "text": "task.n_eval=6 task.length=16 task.path=text.txt",
    "tokens": "task.n_eval=6 task.length=16 task.vocabulary=90 task.path=tokens.bin",
    "waves": "task.width=8 task.n_samples=12 task.n_eval=6",
    "function": "task.width=8 task.n_samples=12 task.n_eval=6 task.length=10",
    "patterns": "task.width=8 task.n_eval=6",
    "induction": "task.n_eval=6 task.max_period=5 task.length=12",
    "numbers": "task.n_train=40 task.n_eval=10 task.digits=3",
}
OF_PAIRS = ("numbers", "pairs15")
SIZES = (
    "model.d_model=32",
    "training.steps=4",
    "training.warmup_steps=1",
    "training.batch_size=4",
    "training.eval_every=2",
)


def commands() -> Iterator[list[str]]:
    """Yield the arguments of each command: all experiments at smoke, then all options."""
    yield ["-m", "experiment=glob(*)", "scale=smoke"]
    arms = {
        f"{group}_{name}": [f"{group}={name}"]
        for group, name in options("ffn", "attention", "norm")
    }
    arms |= {f"task_{name}": task_arm(name) for _, name in options("task") if name not in OF_PAIRS}
    yield ["experiment=ffn", *SIZES, *added(arms)]
    yield [
        "experiment=translation",
        *SIZES,
        *added({f"task_{name}": task_arm(name) for name in OF_PAIRS}),
    ]


def options(*groups: str) -> Iterator[tuple[str, str]]:
    """Yield each option of some config groups as (group, name)."""
    for group in groups:
        for path in sorted((ROOT / "conf" / group).glob("*.yaml")):
            yield group, path.stem


def task_arm(name: str) -> list[str]:
    """Return the overrides of an arm that learns a task, in small."""
    return [f"task={name}", *SHORT.get(name, "").split()]


def added(arms: dict[str, list[str]]) -> list[str]:
    """Return overrides that add arms and compute no others."""
    lists = [
        f"+arms.{name}=" + json.dumps([*overrides, "match.by=none"])
        for name, overrides in arms.items()
    ]
    names = list(arms)
    settings = [f"arm=[{','.join(names)}]", f"baseline={names[0]}", "scale=smoke", "n_seeds=1"]
    return [*lists, *settings]


def digests(folder: Path) -> dict[str, str]:
    """Return a hash of each outcome of the trials below a folder: `experiment/arm/seed/what`."""
    digest_of = {}
    for trial in sorted(folder.glob("*/trials/*/seed-*")):
        arm = re.sub(r"-[0-9a-f]{6,16}$", "", trial.parent.name)  # the signature may change
        name = f"{trial.parts[-4]}/{arm}/{trial.name}"
        for what, value in outcome(trial).items():
            ordered = repr(
                sorted(value.items())
                if isinstance(value, dict)
                else sorted(value, key=repr)
                if isinstance(value, set)
                else value
            )
            digest_of[f"{name}/{what}"] = hashlib.sha256(ordered.encode()).hexdigest()[:16]
    return digest_of


def computed() -> dict[str, str]:
    """Compute everything in temporary folders and return its digests."""
    digest_of = {}
    for arguments in commands():
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            text = "".join(f"{i} squared is {i * i}\n" for i in range(600))
            (folder / "text.txt").write_text(text)
            ids = np.random.default_rng(0).integers(90, size=4000)
            ids.astype(np.uint16).tofile(folder / "tokens.bin")
            subprocess.run(
                [sys.executable, "-m", "runner", *arguments, "outputs=outputs"],
                cwd=folder,
                env=child_environment(),
                check=True,
                stdout=subprocess.DEVNULL,
            )
            label = "smoke" if "-m" in arguments else "options"
            digest_of |= {
                f"{label}/{key}": value for key, value in digests(folder / "outputs").items()
            }
    return digest_of


def main() -> None:
    """Record digests in a file, or compare with those of a file."""
    action, file = sys.argv[1], Path(sys.argv[2])
    now = computed()
    if action == "record":
        file.write_text(json.dumps(now, indent=0))
        print(f"{len(now)} outcomes recorded in {file}")
        return
    before = json.loads(file.read_text())
    differ = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    print("\n".join(differ))
    print(f"{len(before)} outcomes before, {len(now)} now, {len(differ)} differ")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
