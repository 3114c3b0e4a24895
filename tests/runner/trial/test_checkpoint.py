"""Checkpoints: kept ones, skipped ones, and safe loading without running code."""

import contextlib
import errno
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_model
from torch import nn

from runner.records import checkpoint_files, seal
from runner.records.files import write_json
from runner.trial import checkpoint


def model_of(step: int) -> tuple[nn.Linear, torch.optim.AdamW]:
    """Return a model whose weights equal the step, and its optimizer after one step of rate 0."""
    model = nn.Linear(2, 2)
    nn.init.constant_(model.weight, step)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return model, optimizer


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        checkpoint.save(folder, step, *model_of(step), loop_state={"losses": [float(step)]})


def tear(folder: Path, step: int) -> None:
    path = folder / f"step-{step}" / checkpoint.WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])


def test_a_checkpoint_restores_weights_optimizer_generators_and_loop(tmp_path: Path):
    save(tmp_path, 3)
    drawn = torch.rand(4)
    model, optimizer = model_of(0)
    optimizer.state.clear()
    assert checkpoint.load_newest(tmp_path, model, optimizer) == {"losses": [3.0], "step": 3}
    assert (model.weight == 3).all()
    assert [state["step"].item() for state in optimizer.state.values()] == [1, 1]
    assert torch.equal(torch.rand(4), drawn)


def test_the_two_newest_are_kept(tmp_path: Path):
    save(tmp_path, 5, 10, 15)
    assert checkpoint.steps(tmp_path) == [10, 15]


def test_damaged_ones_are_skipped_and_crowd_out_nothing(tmp_path: Path):
    save(tmp_path, 5, 10)
    tear(tmp_path, 10)
    state = checkpoint.load_newest(tmp_path, *model_of(0))
    assert state is not None
    assert state["step"] == 5
    tear(tmp_path, 5)
    assert checkpoint.load_newest(tmp_path, *model_of(0)) is None
    save(tmp_path, 2)
    assert checkpoint.steps(tmp_path) == [2]


def test_none_that_is_damaged_changes_what_it_was_to_be_loaded_into(tmp_path: Path):
    save(tmp_path, 5)
    tear(tmp_path, 5)
    model, optimizer = model_of(0)
    assert checkpoint.load_newest(tmp_path, model, optimizer) is None
    assert (model.weight == 0).all()


def test_a_pipe_in_place_of_a_file_is_damage_and_not_waited_for(tmp_path: Path):
    save(tmp_path, 5)
    for name in (checkpoint.WEIGHTS, checkpoint.STATE, checkpoint.DIGESTS):
        path = tmp_path / "step-5" / name
        content = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        assert not checkpoint.is_intact(path.parent)
        path.unlink()
        path.write_bytes(content)
    assert checkpoint.is_intact(path.parent)


@pytest.mark.parametrize("size", [2**62, 10**400, 1e9, "1", -1])
def test_a_damaged_size_of_the_curves_is_damage(tmp_path: Path, size: object):
    (tmp_path / "metrics.csv").write_text("step,metric,value\n")
    folder = tmp_path / "checkpoint"
    save(folder, 5)
    path = folder / "step-5" / checkpoint.DIGESTS
    digests = json.loads(path.read_text())
    assert checkpoint.is_intact(path.parent)
    digests["metrics.csv"]["size"] = size
    path.write_text(json.dumps(digests))
    assert not checkpoint.is_intact(path.parent)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("torch.load", torch.OutOfMemoryError("CUDA out of memory")),
        ("runner.trial.checkpoint.load_model", MemoryError()),
        (
            "runner.trial.checkpoint.load_model",
            RuntimeError("can't allocate memory"),
        ),
        ("runner.trial.checkpoint.file_sha256", OSError(errno.EMFILE, "Too many open files")),
        ("runner.trial.checkpoint.curves_match", OSError(errno.EIO, "Input/output error")),
    ],
)
def test_a_machine_short_of_something_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
):
    def fail(*_: object, **__: object) -> None:
        raise error

    save(tmp_path, 5)
    with monkeypatch.context() as short:
        short.setattr(place, fail)
        with pytest.raises(type(error)):
            checkpoint.load_newest(tmp_path, *model_of(0))
    state = checkpoint.load_newest(tmp_path, *model_of(0))
    assert state is not None
    assert state["step"] == 5


def test_skipped_checkpoints_are_kept_aside_until_the_trial_is_done(tmp_path: Path):
    save(tmp_path, 5, 10)
    state = checkpoint.load_newest(
        tmp_path, *model_of(0), is_valid=lambda loop: loop["losses"] == [5.0]
    )
    assert state is not None
    save(tmp_path, 7)
    assert checkpoint.steps(tmp_path) == [5, 7]
    assert checkpoint.is_intact(tmp_path / ".skipped-10")
    checkpoint.clear(tmp_path, keep_last=True)
    assert [path.name for path in tmp_path.iterdir()] == ["step-7"]


def test_those_beyond_the_last_are_left_alone(tmp_path: Path):
    save(tmp_path, 5, 8)
    state = checkpoint.load_newest(tmp_path, *model_of(0), last_step=7)
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
def test_a_checkpoint_that_would_run_code_is_skipped(
    tmp_path: Path, write: Callable[[Any, Path], None], signed: bool
):
    save(tmp_path, 5)
    path, ran = tmp_path / "step-5", tmp_path / "ran"
    write({"step": 5, "loop": Hostile(ran)}, path / checkpoint.STATE)
    if signed:
        files = (checkpoint.WEIGHTS, checkpoint.STATE)
        write_json(
            path / checkpoint.DIGESTS, {name: seal.file_sha256(path / name) for name in files}
        )
    notes: list[str] = []
    model, optimizer = model_of(0)
    assert checkpoint.load_newest(tmp_path, model, optimizer, note=notes.append) is None
    assert (model.weight == 0).all()
    why = "was skipped: this version cannot load it" if signed else "is damaged and was skipped"
    assert notes == [f"the checkpoint of step 5 {why}"]
    assert not ran.exists()
    with contextlib.suppress(RuntimeError):  # not a format of torch, which detects this too late
        torch.load(path / checkpoint.STATE, weights_only=False)
    assert ran.exists()  # the payload works where it is trusted


def test_of_a_finished_trial_only_the_weights_stay(tmp_path: Path):
    save(tmp_path, 5, 10)
    checkpoint.clear(tmp_path, keep_last=True)
    checkpoint_files.keep_weights(tmp_path)
    path = tmp_path / "step-10"
    assert {file.name for file in path.iterdir()} == {checkpoint.WEIGHTS, checkpoint.DIGESTS}
    model, optimizer = model_of(0)
    load_model(model, str(path / checkpoint.WEIGHTS))
    assert (model.weight == 10).all()
    digests = json.loads((path / checkpoint.DIGESTS).read_text())
    assert digests == {checkpoint.WEIGHTS: seal.file_sha256(path / checkpoint.WEIGHTS)}
    notes: list[str] = []
    assert checkpoint.load_newest(tmp_path, model, optimizer, note=notes.append) is None
    assert notes == ["the checkpoint of step 10 has no state to resume from and was skipped"]
    checkpoint_files.keep_weights(tmp_path)
    checkpoint_files.keep_weights(tmp_path / "nothing")


@pytest.mark.parametrize("failing", ["write_json", "remove"])
def test_the_weights_are_whole_if_the_process_dies_while_it_deletes_the_rest(
    tmp_path: Path, failing: str, monkeypatch: pytest.MonkeyPatch
):
    def die(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    save(tmp_path, 10)
    path = tmp_path / "step-10"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, failing, die)
        with pytest.raises(OSError, match="full"):
            checkpoint_files.keep_weights(tmp_path)
    digests = json.loads((path / checkpoint.DIGESTS).read_text())
    assert digests[checkpoint.WEIGHTS] == seal.file_sha256(path / checkpoint.WEIGHTS)
    checkpoint_files.keep_weights(tmp_path)
    assert not (path / checkpoint.STATE).exists()


def test_others_may_read_all_files_that_the_umask_lets_them_read(tmp_path: Path):
    before = os.umask(0o022)
    try:
        save(tmp_path, 10)
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "step-10").iterdir()}
    assert modes == {0o644}
