"""The results that two computations of one trial must share bit for bit: all except times."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from runner.metric_names import MACHINE_UNITS
from runner.records.tensorboard import TABLE_GROUP

Bits = tuple[str, tuple[int, ...], bytes]
TABLE = f"{TABLE_GROUP}/"


def outcome(trial: Path) -> dict[str, Any]:
    """Return everything that a finished trial leaves in its folder, comparable with ==."""
    visible = [path for path in trial.rglob("[!.]*") if path.is_file()]
    names = {str(path.relative_to(trial)) for path in visible}
    return {
        "files": {name for name in names if "tfevents" not in name},
        "status": json.loads((trial / "status.json").read_text())["state"],
        "results": results(trial),
        "events": events(trial),
        "metrics": (trial / "metrics.csv").read_bytes(),
        "tables": tables(trial),
        "weights": weights(trial),
        "states": states(trial),
    }


def results(trial: Path) -> dict[str, float]:
    """Return the rows of a result that no clock or allocator measured."""
    rows = json.loads((trial / "result.json").read_text())["results"]
    return {row["metric"]: row["value"] for row in rows if row["unit"] not in MACHINE_UNITS}


def events(trial: Path) -> set[tuple[str, int, float | None]]:
    """Return the events as TensorBoard reads them; of values of clocks only tag and step."""
    log = EventAccumulator(str(trial), size_guidance={"scalars": 0})
    log.Reload()
    result_names = results(trial)
    return {
        (tag, event.step, None if of_a_clock else event.value)
        for tag in log.Tags()["scalars"]
        for of_a_clock in [tag.startswith(TABLE) and tag.removeprefix(TABLE) not in result_names]
        for event in log.Scalars(tag)
    }


def tables(trial: Path) -> dict[str, str]:
    """Return the tables without times and peaks."""
    texts = {path.name: path.read_text() for path in trial.glob("tables/*.csv")}
    return {
        name: text
        for name, text in texts.items()
        if not {"ms", "mib"} & set(text.partition("\n")[0].split(","))
    }


def weights(trial: Path) -> dict[str, Bits]:
    """Return the tensors of all checkpoints, by `step-<k>/<name>`."""
    files = trial.glob("checkpoint/step-*/weights.safetensors")
    return {
        f"{file.parent.name}/{name}": bits(tensor)
        for file in files
        for name, tensor in load_file(file).items()
    }


def states(trial: Path) -> dict[str, Any]:
    """Return optimizer, random generators and loop of all checkpoints by leaf, without times."""
    state_leaves: dict[str, Any] = {}
    for file in trial.glob("checkpoint/step-*/state.pt"):
        state = torch.load(file, weights_only=True)
        del state["loop"]["step_seconds"]
        state_leaves |= leaves(state, file.parent.name)
    return state_leaves


def leaves(tree: Any, name: str) -> dict[str, Any]:
    """Flatten mappings and lists; convert tensors to bits."""
    if isinstance(tree, dict | list | tuple):
        branches = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {
            k: v for key, branch in branches for k, v in leaves(branch, f"{name}/{key}").items()
        }
    return {name: bits(tree) if isinstance(tree, Tensor) else tree}


def bits(tensor: Tensor) -> Bits:
    """Return a tensor's bits, so that NaN equals itself, and -0 differs from 0."""
    return str(tensor.dtype), tuple(tensor.shape), tensor.numpy().tobytes()
