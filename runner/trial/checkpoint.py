"""Checkpoints of a trial: weights as safetensors, the rest for `torch.load(weights_only=True)`.

A checkpoint is a folder `step-<k>` that appears whole, by rename, and holds the digests of its
files. It is damaged if a file is missing or is not what its digest says, or if the curves up to it
are gone. A checkpoint that is damaged, or that this version cannot load, is skipped with a note:
the training resumes from the one before, or starts anew. Skipped checkpoints are renamed, and stay
until the trial is done. Where the machine is short of memory or file handles the trial fails
instead, and loads the same checkpoint next time. The two newest are kept while a trial runs.
"""

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from runner.records.files import is_folder, is_transient, list_names, read_bytes, remove, write_json
from runner.records.seal import file_sha256
from runner.records.store import CURVES
from runner.records.tracking import curves_fingerprint, curves_match

KEEP = 2
SKIPPED = ".skipped-"
WEIGHTS, STATE, DIGESTS = "weights.safetensors", "state.pt", "sha256.json"


def save(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loop_state: dict[str, Any],
) -> None:
    """Write the checkpoint of `step` below `folder`, and remove those that it makes needless.

    These are the older ones except the one before. Those of later steps, which `load_newest` has skipped,
    are renamed: this version, or this machine, could not read them.
    `loop_state` holds plain numbers, strings and lists of the training loop.
    """
    draft, final = folder / ".draft", folder / f"step-{step}"
    remove(draft)  # what a kill has left
    draft.mkdir(parents=True)
    save_model(model, str(draft / WEIGHTS))
    state = {
        "step": step,
        "optimizer": optimizer.state_dict(),
        "rng": generators(),
        "loop": loop_state,
    }
    torch.save(state, draft / STATE)
    for name in (WEIGHTS, STATE):
        with (draft / name).open("rb") as file:
            os.fsync(file.fileno())
    digests = {name: file_sha256(draft / name) for name in (WEIGHTS, STATE)}
    write_json(draft / DIGESTS, {**digests, CURVES: curves_fingerprint(curves_of(folder))})
    for other in steps(folder):
        if other >= step:
            skipped = folder / f"{SKIPPED}{other}"
            remove(skipped)
            (folder / f"step-{other}").rename(skipped)
    draft.rename(final)
    for other in steps(folder)[:-KEEP]:
        shutil.rmtree(folder / f"step-{other}", ignore_errors=True)


def load_newest(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    last_step: int | None = None,
    note: Callable[[str], None] = lambda _: None,
    is_valid: Callable[[dict[str, Any]], bool] = lambda _: True,
) -> dict[str, Any] | None:
    """Restore the newest usable checkpoint into model, optimizer and random generators.

    Args:
        folder: where the checkpoints of the trial lie.
        model: gets the weights; it stays as it is where there is no usable checkpoint.
        optimizer: gets its state, likewise.
        last_step: checkpoints of later steps are not loaded.
        note: tells the user of a checkpoint that is skipped.
        is_valid: returns whether a `loop_state` has the form that the caller reads.

    Returns:
        Its `loop_state` with `step`, or None.

    Raises:
        MemoryError, torch.OutOfMemoryError, RuntimeError, OSError: the machine is short of
            something, which says nothing of the checkpoint.
    """
    for step in reversed(steps(folder)):
        if last_step is not None and step > last_step:
            continue
        path = folder / f"step-{step}"
        if not is_intact(path):
            note(f"the checkpoint of step {step} is damaged and was skipped")
        elif (state := restore_checkpoint(path, model, optimizer, is_valid)) is None:
            note(f"the checkpoint of step {step} was skipped: this version cannot load it")
        else:
            return state
    return None


def restore_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    known: Callable[[dict[str, Any]], bool],
) -> dict[str, Any] | None:
    """Restore one checkpoint; where it cannot be loaded return None, with all as it was."""
    # In the memory of the CPU: a GPU may have no room for a second copy.
    weights, moments = on_cpu(model.state_dict()), on_cpu(optimizer.state_dict())
    states = generators()
    try:
        state = torch.load(path / STATE, weights_only=True, map_location="cpu")
        loop = {**state["loop"], "step": state["step"]}
        if f"step-{state['step']}" != path.name or not known(state["loop"]):
            return None
        load_model(model, str(path / WEIGHTS))
        optimizer.load_state_dict(state["optimizer"])
        restore_generators(state["rng"])
    except Exception as error:  # whatever torch, pickle or safetensors say of a file not ours
        if is_of_the_machine(error):
            raise
        model.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        restore_generators(states)
        return None
    return loop


def on_cpu(value: Any) -> Any:
    """A copy of nested values whose tensors lie in the memory of the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: on_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(on_cpu, value))
    return copy.deepcopy(value)


def is_of_the_machine(error: Exception) -> bool:
    """Whether loading a whole checkpoint failed for want of memory or file handles, say.

    Its files were read a moment ago, so that no OSError is of theirs. On a CPU torch raises a
    RuntimeError for want of memory, and CUDA and MPS may do so.
    """
    if isinstance(error, MemoryError | OSError | torch.OutOfMemoryError):
        return True
    words = ("out of memory", "allocate memory", "CUDA error", "(os error ")
    return any(each in str(error) for each in words)


def is_intact(path: Path) -> bool:
    """Whether the files of a checkpoint, and the curves up to it, are those that were written.

    Raises OSError where that cannot be told now; see `runner.records.files.is_transient`.
    """
    try:
        digests = json.loads(read_bytes(path / DIGESTS))
        return (
            isinstance(digests, dict)
            and all(file_sha256(path / name) == digests.get(name) for name in (WEIGHTS, STATE))
            and isinstance(curves := digests.get(CURVES, {}), dict)
            and curves_match(curves_of(path.parent), curves)
        )
    except OSError as error:
        if is_transient(error):
            raise
        return False
    except (ValueError, RecursionError):
        return False


def curves_of(folder: Path) -> Path:
    """The curves of the trial whose checkpoints lie in a folder."""
    return folder.parent / CURVES


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
    setters = {"cuda": torch.cuda.set_rng_state, "mps": torch.mps.set_rng_state}
    for device, state in states.items():
        setters.get(device, torch.set_rng_state)(state)


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints below a folder, ascending."""
    numbers = [n.removeprefix("step-") for n in list_names(folder) if n.startswith("step-")]
    return sorted(int(n) for n in numbers if n.isascii() and n.isdigit() and str(int(n)) == n)


def clear(folder: Path, *, keep_last: bool = False) -> None:
    """Remove checkpoints, skipped ones too, and drafts.

    `keep_last` leaves the newest checkpoint, the result of a finished trial.
    """
    last = f"step-{steps(folder)[-1]}" if keep_last and steps(folder) else None
    for name in list_names(folder):
        if name != last or not is_folder(folder / name):
            remove(folder / name)
