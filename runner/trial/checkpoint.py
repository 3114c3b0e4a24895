"""Checkpoints of a trial: weights as safetensors, the rest for `torch.load(weights_only=True)`.

A checkpoint is a folder `step-<k>`. It is written under another name and then renamed, so it is
never incomplete. While a trial runs, its two newest checkpoints are kept.

- A checkpoint is damaged if a file is missing or does not match its SHA-256 digest. It is damaged,
  too, if the curves up to its step are incomplete.
- A checkpoint that is damaged, or that this version cannot load, is skipped with a note. The
  training resumes from the previous one, or starts again.
- Skipped checkpoints are renamed. They are deleted when the trial is done.
- A finished trial needs its trained weights only: `runner.records.checkpoint_files.keep_weights`
  deletes the rest of the last checkpoint, which is two thirds of it.
- If the machine runs out of memory or file handles, the trial fails and skips nothing. The next
  run loads the same checkpoint.
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

from runner.records.checkpoint_files import DIGESTS as DIGESTS
from runner.records.checkpoint_files import STATE as STATE
from runner.records.checkpoint_files import WEIGHTS as WEIGHTS
from runner.records.checkpoint_files import steps as steps
from runner.records.files import (
    is_folder,
    is_transient,
    list_names,
    read_bytes,
    read_json,
    remove,
    write_json,
)
from runner.records.seal import file_sha256
from runner.records.store import CURVES
from runner.records.tracking import curves_fingerprint, curves_match

N_KEPT = 2
SKIPPED_PREFIX = ".skipped-"


def save(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loop_state: dict[str, Any],
) -> None:
    """Write the checkpoint of `step` below `folder`, and delete the ones that it replaces.

    The newest `N_KEPT` checkpoints stay. Checkpoints of this and later steps are renamed, because
    `load_newest` has skipped them.

    Args:
        folder: the folder of the trial's checkpoints.
        step: the number of finished steps.
        model: its weights are saved.
        optimizer: its state is saved.
        loop_state: the state of the training loop, in plain numbers, strings and lists.
    """
    draft, final = folder / ".draft", folder / f"step-{step}"
    remove(draft)  # left by a killed process
    draft.mkdir(parents=True)
    save_model(model, str(draft / WEIGHTS))
    state = {
        "step": step,
        "optimizer": optimizer.state_dict(),
        "rng": generator_states(),
        "loop": loop_state,
    }
    torch.save(state, draft / STATE)
    shutil.copymode(draft / STATE, draft / WEIGHTS)  # safetensors lets only the owner read it
    for name in (WEIGHTS, STATE):
        with (draft / name).open("rb") as file:
            os.fsync(file.fileno())
    digests = {name: file_sha256(draft / name) for name in (WEIGHTS, STATE)}
    write_json(draft / DIGESTS, {**digests, CURVES: curves_fingerprint(curves_path(folder))})
    for other in steps(folder):
        if other >= step:
            skipped = folder / f"{SKIPPED_PREFIX}{other}"
            remove(skipped)
            (folder / f"step-{other}").rename(skipped)
    draft.rename(final)
    for other in steps(folder)[:-N_KEPT]:
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
        folder: the folder of the trial's checkpoints.
        model: receives the weights; unchanged if no checkpoint is usable.
        optimizer: receives its state; unchanged if no checkpoint is usable.
        last_step: checkpoints of later steps are not loaded.
        note: called with a sentence for each skipped checkpoint.
        is_valid: returns whether a `loop_state` has the keys and types that the caller reads.

    Returns:
        The `loop_state` with the number of finished steps as `step`, or None if no checkpoint is
        usable.

    Raises:
        MemoryError, torch.OutOfMemoryError, RuntimeError, OSError: the machine is out of memory or
            file handles. The checkpoint may be intact.
    """
    # Newest first: an older checkpoint repeats more steps.
    for step in reversed(steps(folder)):
        # A checkpoint of the second phase is a result: training never resumes from it.
        if last_step is not None and step > last_step:
            continue
        path = folder / f"step-{step}"
        # A trial that was finished and whose records were lost later.
        if WEIGHTS in (digests := read_json(path / DIGESTS) or {}) and STATE not in digests:
            note(f"the checkpoint of step {step} has no state to resume from and was skipped")
        # Check the digests before loading, so that a torn file is never loaded.
        elif not is_intact(path):
            note(f"the checkpoint of step {step} is damaged and was skipped")
        # The files are intact, but e.g. another version of torch or of the loop wrote them.
        elif (state := restore_checkpoint(path, model, optimizer, is_valid)) is None:
            note(f"the checkpoint of step {step} was skipped: this version cannot load it")
        else:
            return state
    return None


def restore_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    is_valid: Callable[[dict[str, Any]], bool],
) -> dict[str, Any] | None:
    """Restore one checkpoint; if it cannot be loaded, undo all changes and return None."""
    # The copy is in CPU memory, because a GPU may have no space for a second copy.
    weights, optimizer_state = copy_to_cpu(model.state_dict()), copy_to_cpu(optimizer.state_dict())
    rng_states = generator_states()
    try:
        state = torch.load(path / STATE, weights_only=True, map_location="cpu")
        loop = {**state["loop"], "step": state["step"]}
        if f"step-{state['step']}" != path.name or not is_valid(state["loop"]):
            return None
        load_model(model, str(path / WEIGHTS))
        optimizer.load_state_dict(state["optimizer"])
        set_generator_states(state["rng"])
    except (
        Exception
    ) as error:  # torch, pickle and safetensors raise many types for a file of other code
        if is_machine_failure(error):
            raise
        model.load_state_dict(weights)
        optimizer.load_state_dict(optimizer_state)
        set_generator_states(rng_states)
        return None
    return loop


def copy_to_cpu(value: Any) -> Any:
    """Return a deep copy of nested values, with all tensors in CPU memory."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: copy_to_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(copy_to_cpu, value))
    return copy.deepcopy(value)


def is_machine_failure(error: Exception) -> bool:
    """Return whether loading an intact checkpoint failed because the machine lacks e.g. memory.

    The files were read a moment ago, so an OSError is not caused by their content. Without enough
    memory torch raises a RuntimeError on a CPU; CUDA and MPS may do so, too.
    """
    if isinstance(error, MemoryError | OSError | torch.OutOfMemoryError):
        return True
    words = ("out of memory", "allocate memory", "CUDA error", "(os error ")
    return any(each in str(error) for each in words)


def is_intact(path: Path) -> bool:
    """Return whether the files of a checkpoint match their digests, and the curves up to it, too.

    Raises:
        OSError: the files cannot be read now; see `runner.records.files.is_transient`.
    """
    try:
        digests = json.loads(read_bytes(path / DIGESTS))
        return (
            isinstance(digests, dict)
            and all(file_sha256(path / name) == digests.get(name) for name in (WEIGHTS, STATE))
            and isinstance(curves := digests.get(CURVES, {}), dict)
            and curves_match(curves_path(path.parent), curves)
        )
    except OSError as error:
        if is_transient(error):
            raise
        return False
    except (ValueError, RecursionError):
        return False


def curves_path(folder: Path) -> Path:
    """Return the path of the curves of a trial, given its folder of checkpoints."""
    return folder.parent / CURVES


def generator_states() -> dict[str, Tensor]:
    """Return the states of torch's random generators, by device."""
    rng_states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        rng_states["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        rng_states["mps"] = torch.mps.get_rng_state()
    return rng_states


def set_generator_states(rng_states: dict[str, Tensor]) -> None:
    """Set the states of torch's random generators, by device."""
    setters = {"cuda": torch.cuda.set_rng_state, "mps": torch.mps.set_rng_state}
    for device, state in rng_states.items():
        setters.get(device, torch.set_rng_state)(state)


def clear(folder: Path, *, keep_last: bool = False) -> None:
    """Delete all checkpoints, skipped ones, and drafts.

    With `keep_last` the newest checkpoint stays. It is part of a finished trial's result.
    """
    last = f"step-{steps(folder)[-1]}" if keep_last and steps(folder) else None
    for name in list_names(folder):
        if name != last or not is_folder(folder / name):
            remove(folder / name)
