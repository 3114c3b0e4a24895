"""The files of a checkpoint, and the part of it that a finished trial keeps. No torch."""

import contextlib
import os
from pathlib import Path

from runner.records import locks
from runner.records.files import list_names, read_json, remove, write_json
from runner.records.store import CHECKPOINTS, LOCK, PREVIOUS, Slot

WEIGHTS, STATE, DIGESTS = "weights.safetensors", "state.pt", "sha256.json"


def steps(folder: Path) -> list[int]:
    """Return the steps of the checkpoints below a folder, ascending."""
    numbers = [n.removeprefix("step-") for n in list_names(folder) if n.startswith("step-")]
    return sorted(int(n) for n in numbers if n.isascii() and n.isdigit() and str(int(n)) == n)


def keep_weights(folder: Path) -> None:
    """Delete all of the last checkpoint but its weights; nothing can resume from it any more.

    Call it after the result of the trial is written. The weights are readable at every moment, and
    `sha256.json` always has their digest.
    """
    for step in steps(folder)[-1:]:
        path = folder / f"step-{step}"
        digests = read_json(path / DIGESTS)
        if digests is not None and WEIGHTS in digests:
            write_json(path / DIGESTS, {WEIGHTS: digests[WEIGHTS]})
            remove(path / STATE)


def drop_leftover_state(slot: Slot) -> None:
    """Call `keep_weights` for a finished trial whose last checkpoint still has its state.

    Earlier versions kept the state, and a process may die before it deletes it. Nothing is changed
    where another process has the trial's lock, or where the store cannot be written.
    """
    folder = slot.folder / CHECKPOINTS
    if not any(os.path.lexists(folder / f"step-{step}" / STATE) for step in steps(folder)[-1:]):
        return
    trial_folder = slot.folder.parent if slot.folder.name == PREVIOUS else slot.folder
    with contextlib.suppress(OSError), locks.open_lock_file(trial_folder / LOCK) as descriptor:
        locks.lock(descriptor, exclusive=True, on_wait=raise_blocked)
        if slot.result() is not None:  # it may be computed again meanwhile
            keep_weights(folder)


def raise_blocked() -> None:
    """Raise BlockingIOError instead of a wait for a lock."""
    raise BlockingIOError
