"""Checkpoints: which are kept, which are passed over, and that none runs code."""

import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from runner import checkpoint
from runner.files import write_json


def model_of(step: int) -> tuple[nn.Linear, torch.optim.AdamW]:
    """A model whose weights are the step, and its optimizer behind one step of rate 0."""
    model = nn.Linear(2, 2)
    nn.init.constant_(model.weight, step)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        checkpoint.save(folder, step, *model_of(step), loop={"losses": [float(step)]})


def tear(folder: Path, step: int) -> None:
    path = folder / f"step-{step}" / checkpoint.WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])


def test_a_checkpoint_restores_weights_optimizer_generators_and_loop(tmp_path: Path):
    save(tmp_path, 3)
    drawn = torch.rand(4)
    model, optimizer = model_of(0)
    optimizer.state.clear()
    assert checkpoint.load(tmp_path, model, optimizer) == {"losses": [3.0], "step": 3}
    assert (model.weight == 3).all()
    assert [state["step"].item() for state in optimizer.state.values()] == [1, 1]
    assert torch.equal(torch.rand(4), drawn)


def test_the_two_newest_are_kept(tmp_path: Path):
    save(tmp_path, 5, 10, 15)
    assert checkpoint.steps(tmp_path) == [10, 15]


def test_damaged_ones_are_passed_over_and_crowd_out_nothing(tmp_path: Path):
    save(tmp_path, 5, 10)
    tear(tmp_path, 10)
    state = checkpoint.load(tmp_path, *model_of(0))
    assert state is not None
    assert state["step"] == 5
    tear(tmp_path, 5)
    assert checkpoint.load(tmp_path, *model_of(0)) is None
    save(tmp_path, 2)
    assert checkpoint.steps(tmp_path) == [2]


def test_none_that_is_damaged_changes_what_it_was_to_be_loaded_into(tmp_path: Path):
    save(tmp_path, 5)
    tear(tmp_path, 5)
    model, optimizer = model_of(0)
    assert checkpoint.load(tmp_path, model, optimizer) is None
    assert (model.weight == 0).all()


def test_those_beyond_the_last_are_left_alone(tmp_path: Path):
    save(tmp_path, 5, 8)
    state = checkpoint.load(tmp_path, *model_of(0), last=7)
    assert state is not None
    assert state["step"] == 5


def test_the_draft_of_a_killed_process_goes(tmp_path: Path):
    (tmp_path / ".draft" / "deep").mkdir(parents=True)
    save(tmp_path, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["step-5"]


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def as_plain_pickle(value: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(value, protocol=2))


@pytest.mark.parametrize("write", [as_plain_pickle, torch.save])
@pytest.mark.parametrize("signed", [True, False], ids=["own digest", "digest of ours"])
def test_a_checkpoint_that_would_run_code_is_passed_over(
    tmp_path: Path, write: Callable[[Any, Path], None], signed: bool
):
    save(tmp_path, 5)
    path, ran = tmp_path / "step-5", tmp_path / "ran"
    write({"step": 5, "loop": Hostile(ran)}, path / checkpoint.STATE)
    if signed:
        files = (checkpoint.WEIGHTS, checkpoint.STATE)
        write_json(
            path / checkpoint.DIGESTS, {name: checkpoint.digest(path / name) for name in files}
        )
    notes: list[str] = []
    model, optimizer = model_of(0)
    assert checkpoint.load(tmp_path, model, optimizer, note=notes.append) is None
    assert (model.weight == 0).all()
    why = "none that this version reads; passed over" if signed else "damaged and was passed over"
    assert notes == [f"the checkpoint of step 5 is {why}"]
    assert not ran.exists()
    with contextlib.suppress(RuntimeError):  # not in a format of torch's, which it sees too late
        torch.load(path / checkpoint.STATE, weights_only=False)
    assert ran.exists()  # the payload works where it is trusted
