"""Checkpoints of a trial: weights as safetensors, the rest for `torch.load(weights_only=True)`.

A checkpoint is a folder `step-<k>` that appears whole, by rename, and holds the digests of its
files. It is damaged if a file is missing or is not what its digest says; a trial then resumes from
the one before. What is whole but cannot be read is no damage, and an error: nothing of ours writes
it. The two newest are kept while a trial runs.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from runner.store import read_json, write_json

KEEP = 2
WEIGHTS, STATE, DIGESTS = "weights.safetensors", "state.pt", "sha256.json"


def save(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loop: dict[str, Any],
) -> None:
    """Write the checkpoint of `step` below `folder`, and remove those that it makes needless.

    These are all but the one before: older ones, and later ones, which were passed over as damaged.
    `loop` holds plain numbers, strings and lists of the training loop.
    """
    draft, final = folder / ".draft", folder / f"step-{step}"
    shutil.rmtree(draft, ignore_errors=True)  # what a kill has left
    draft.mkdir(parents=True)
    save_model(model, str(draft / WEIGHTS))
    state = {"step": step, "optimizer": optimizer.state_dict(), "rng": generators(), "loop": loop}
    torch.save(state, draft / STATE)
    for name in (WEIGHTS, STATE):
        with (draft / name).open("rb") as file:
            os.fsync(file.fileno())
    write_json(draft / DIGESTS, {name: digest(draft / name) for name in (WEIGHTS, STATE)})
    shutil.rmtree(final, ignore_errors=True)
    draft.rename(final)
    there = steps(folder)
    for other in set(there) - set([k for k in there if k <= step][-KEEP:]):
        shutil.rmtree(folder / f"step-{other}", ignore_errors=True)


def load(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    last: int | None = None,
) -> dict[str, Any] | None:
    """Restore the newest undamaged checkpoint into model, optimizer and random generators.

    Its `loop` with `step`, or None. Checkpoints of steps beyond `last` are left alone.
    """
    for step in reversed(steps(folder)):
        path = folder / f"step-{step}"
        if (last is None or step <= last) and whole(path):
            state = torch.load(path / STATE, weights_only=True)
            load_model(model, str(path / WEIGHTS))
            optimizer.load_state_dict(state["optimizer"])
            restore_generators(state["rng"])
            return {**state["loop"], "step": state["step"]}
    return None


def whole(path: Path) -> bool:
    """Whether the files of a checkpoint are those that were written."""
    digests = read_json(path / DIGESTS)
    try:
        return digests is not None and all(
            digest(path / name) == digests.get(name) for name in (WEIGHTS, STATE)
        )
    except OSError:
        return False


def digest(path: Path) -> str:
    """The SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def generators() -> dict[str, Tensor]:
    """The states of torch's random generators, by device."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    return states


def restore_generators(states: dict[str, Tensor]) -> None:
    """Set the random generators to what they were."""
    put = {"cuda": torch.cuda.set_rng_state, "mps": torch.mps.set_rng_state}
    for device, state in states.items():
        put.get(device, torch.set_rng_state)(state)


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints below a folder, ascending."""
    names = [path.name.removeprefix("step-") for path in folder.glob("step-*")]
    return sorted(int(name) for name in names if name.isdigit())


def clear(folder: Path, *, keep_last: bool = False) -> None:
    """Remove checkpoints and drafts.

    `keep_last` leaves the newest checkpoint, the result of a finished trial.
    """
    last = f"step-{steps(folder)[-1]}" if keep_last and steps(folder) else None
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.is_dir() and path.name != last:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file():
            path.unlink()
