"""Checkpoints of a trial: weights as safetensors, the rest for `torch.load(weights_only=True)`.

A checkpoint is a folder `step-<k>` that appears whole, by rename, and holds the digests of its
files. It is damaged if a file is missing or is not what its digest says, or if the curves up to it
are gone. One that is damaged, or that is whole and cannot be loaded (of another version, or put
there by somebody), is said and passed over: the training resumes from the one before, or starts
anew. The two newest are kept while a trial runs.
"""

import copy
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from runner.files import is_folder, names, read_json, remove, write_json
from runner.tracking import METRICS_FILE, agrees, stamp

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
    remove(draft)  # what a kill has left
    draft.mkdir(parents=True)
    save_model(model, str(draft / WEIGHTS))
    state = {"step": step, "optimizer": optimizer.state_dict(), "rng": generators(), "loop": loop}
    torch.save(state, draft / STATE)
    for name in (WEIGHTS, STATE):
        with (draft / name).open("rb") as file:
            os.fsync(file.fileno())
    digests = {name: digest(draft / name) for name in (WEIGHTS, STATE)}
    write_json(draft / DIGESTS, {**digests, METRICS_FILE: stamp(curves_of(folder))})
    remove(final)
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
    note: Callable[[str], None] = lambda _: None,
    known: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> dict[str, Any] | None:
    """Restore the newest usable checkpoint into model, optimizer and random generators.

    Args:
        folder: where the checkpoints of the trial lie.
        model: what is changed, and left as it is where there is no usable checkpoint.
        optimizer: likewise.
        last: checkpoints of later steps are left alone.
        note: what tells the user of a checkpoint that is passed over.
        known: whether a `loop` has the form that its reader knows.

    Returns:
        Its `loop` with `step`, or None.
    """
    for step in reversed(steps(folder)):
        if last is not None and step > last:
            continue
        path = folder / f"step-{step}"
        if not whole(path):
            note(f"the checkpoint of step {step} is damaged and was passed over")
        elif (state := put(path, model, optimizer, known)) is None:
            note(f"the checkpoint of step {step} is none that this version reads; passed over")
        else:
            return state
    return None


def put(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    known: Callable[[dict[str, Any]], bool],
) -> dict[str, Any] | None:
    """Restore one checkpoint; None, and all as it was, where it cannot be loaded."""
    weights = copy.deepcopy(model.state_dict())
    moments, states = copy.deepcopy(optimizer.state_dict()), generators()
    try:
        state = torch.load(path / STATE, weights_only=True)
        loop = {**state["loop"], "step": state["step"]}
        if f"step-{state['step']}" != path.name or not known(state["loop"]):
            return None
        load_model(model, str(path / WEIGHTS))
        optimizer.load_state_dict(state["optimizer"])
        restore_generators(state["rng"])
    except Exception:  # whatever torch, pickle or safetensors say of a file that is not ours
        model.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        restore_generators(states)
        return None
    return loop


def whole(path: Path) -> bool:
    """Whether the files of a checkpoint, and the curves up to it, are those that were written."""
    digests = read_json(path / DIGESTS)
    if digests is None:
        return False
    curves = digests.get(METRICS_FILE, {})
    try:
        return (
            all(digest(path / name) == digests.get(name) for name in (WEIGHTS, STATE))
            and isinstance(curves, dict)
            and agrees(curves_of(path.parent), curves)
        )
    except OSError:
        return False


def curves_of(folder: Path) -> Path:
    """The curves of the trial whose checkpoints lie in a folder."""
    return folder.parent / METRICS_FILE


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
    numbers = [n.removeprefix("step-") for n in names(folder) if n.startswith("step-")]
    return sorted(int(n) for n in numbers if n.isascii() and n.isdigit() and str(int(n)) == n)


def clear(folder: Path, *, keep_last: bool = False) -> None:
    """Remove checkpoints and drafts.

    `keep_last` leaves the newest checkpoint, the result of a finished trial.
    """
    last = f"step-{steps(folder)[-1]}" if keep_last and steps(folder) else None
    for name in names(folder):
        if name != last or not is_folder(folder / name):
            remove(folder / name)
