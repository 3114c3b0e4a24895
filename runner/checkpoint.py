"""Checkpoints of a trial: weights as safetensors, the rest for `torch.load(weights_only=True)`.

A checkpoint is a folder `step-<k>` that appears whole, by rename. The two newest are kept while a
trial runs, so that a damaged newest one falls back to the one before.
"""

import contextlib
import copy
import os
import pickle
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import nn

KEEP = 2


def save(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loop: dict[str, Any],
) -> None:
    """Write the checkpoint of `step` below `folder`.

    `loop` holds plain numbers, strings and lists of the training loop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=folder, prefix=".draft-"))
    save_model(model, str(draft / "weights.safetensors"))
    state = {
        "step": step,
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "loop": loop,
    }
    if torch.cuda.is_initialized():
        state["cuda_rng"] = torch.cuda.get_rng_state()
    torch.save(state, draft / "state.pt")
    for name in ("weights.safetensors", "state.pt"):
        with (draft / name).open("rb") as file:
            os.fsync(file.fileno())
    final = folder / f"step-{step}"
    shutil.rmtree(final, ignore_errors=True)
    draft.rename(final)
    for old in steps(folder)[:-KEEP]:
        shutil.rmtree(folder / f"step-{old}", ignore_errors=True)


def load(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    last: int | None = None,
) -> dict[str, Any] | None:
    """Restore the newest undamaged checkpoint into model, optimizer and RNG.

    Its `loop` with `step`, or None. Checkpoints of steps beyond `last` are left alone.
    """
    start = copy.deepcopy(model.state_dict())
    for step in reversed(steps(folder)):
        if last is not None and step > last:
            continue
        path = folder / f"step-{step}"
        with contextlib.suppress(
            OSError,
            RuntimeError,
            KeyError,
            ValueError,
            SafetensorError,
            pickle.UnpicklingError,
            EOFError,
        ):
            state = torch.load(path / "state.pt", weights_only=True)
            load_model(model, str(path / "weights.safetensors"))
            optimizer.load_state_dict(state["optimizer"])
            torch.set_rng_state(state["rng"])
            if "cuda_rng" in state:
                torch.cuda.set_rng_state(state["cuda_rng"])
            return {**state["loop"], "step": state["step"]}
    model.load_state_dict(start)  # a damaged checkpoint may have been loaded in part
    return None


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
