"""Whatever lies in the store: it is named, computed again, and no later run breaks."""

import fcntl
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from runner.config import ConfigError
from runner.plan.data import check_outputs_writable
from runner.plan.plan import Plan
from runner.records import checkpoint_files, ledger, locks, seal
from runner.records.files import read_json, write_json
from runner.records.job import Stage
from runner.records.store import RECORDS, Slot
from runner.report import collection, repeated_looks, run_folder
from runner.study.entries import (
    Entry,
    list_trials,
    lock_store,
    make_job,
    prepare_trials,
    repair_slots,
)
from runner.trial import checkpoint, science
from runner.trial.compute import compute_stage
from runner.trial.training import TrialStopped
from tests.support import read_only
from tests.support.finished_study import (  # noqa: F401 (fixtures)
    finished_outputs,
    finished_plan,
    finished_study_folder,
    replan,
)
from tests.support.tiny import TINY

Again = Callable[..., Plan]
Harm = Callable[[Path], object]


def bytes_in(content: bytes) -> Harm:
    return lambda path: path.write_bytes(content)


def folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_text("x")


def circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def cut(path: Path) -> None:
    os.truncate(path, max(0, path.stat().st_size - 7))


DAMAGES: dict[str, Harm] = {
    "missing": Path.unlink,
    "empty": bytes_in(b""),
    "random bytes": bytes_in(bytes(range(256)) * 5),
    "a list": bytes_in(b'[{"metric": 1}]'),
    "text": bytes_in(b'"done"'),
    "null": bytes_in(b"null"),
    "another mapping": bytes_in(b'{"state": 3, "code": [], "results": {"a": "b"}, "config": 7}'),
    "deep": bytes_in(b'{"a":' * 5000),
    "digits": bytes_in(b'{"a": ' + b"9" * 5000 + b"}"),
    "cut": cut,
    "a folder": folder_there,
    "a circle": circle,
    "nowhere": lambda path: (path.unlink(), path.symlink_to("no/such/place")),
    "a pipe": pipe,
    "zeros": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
}
SEALED = ("status.json", "result.json", "metrics.csv")
FREE = ("seconds.json", "first.json", "log.txt", "lock")


def place(plan: Plan, arm: str = "dense") -> Slot:
    """Where a trial of the finished study lies."""
    (entry,) = [entry for entry in list_trials(plan) if entry.arm.name == arm]
    plan.notes.clear()
    return entry.slot


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Trials that are computed in this process take SIGTERM; it is given back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
    read_only.allow_writes()


def recompute(plan: Plan, entry: Entry) -> None:
    """Compute a trial as its process would."""
    compute_stage(make_job(plan, entry, Stage.run), lambda _: None)


def frame(plan: Plan) -> pd.DataFrame:
    """All final values of a plan's trials but times."""
    values = collection.final_values(collection.snapshot_trials(list_trials(plan)))
    return values[~values.metric.str.startswith("time/")].reset_index(drop=True)


@pytest.mark.some(12)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", SEALED)
def test_a_damaged_record_is_named_and_its_trial_alone_is_missing(
    replan: Again,  # noqa: F811
    name: str,
    damage: str,
):
    plan = replan()
    slot = place(plan)
    DAMAGES[damage](slot.folder / name)
    entries = prepare_trials(plan)
    assert [entry.reused for entry in entries] == [False, True]
    texts = (f"dense seed 0: {name}", f"dense seed 0 is computed again: {name}")
    assert any(text in note for text in texts for note in plan.notes)
    assert len(collection.snapshot_trials(entries)) == 2
    prepare_trials(replan())  # what was in the way is gone: nothing raises any more


@pytest.mark.some(10)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FREE)
def test_what_a_finished_trial_does_not_need_costs_nothing(replan: Again, name: str, damage: str):  # noqa: F811
    plan = replan()
    slot = place(plan)
    (slot.folder / name).touch()
    DAMAGES[damage](slot.folder / name)
    assert all(entry.reused for entry in prepare_trials(plan))
    assert plan.notes == []
    assert slot.first_finish_time() is not None


@pytest.mark.some(4)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_arm_json_is_named_and_written_anew(replan: Again, damage: str):  # noqa: F811
    plan = replan()
    path = place(plan).arm_folder / "arm.json"
    whole = read_json(path)
    DAMAGES[damage](path)
    assert all(entry.reused for entry in prepare_trials(plan))
    if damage != "missing":
        assert plan.notes == ["dense: arm.json was damaged and is written again"]
        assert read_json(path) == whole


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "harm",
    [
        lambda slot: (shutil.rmtree(slot.folder), slot.folder.write_text("a file")),
        lambda slot: (shutil.rmtree(slot.folder), slot.folder.symlink_to(slot.folder.name)),
        lambda slot: (shutil.rmtree(slot.arm_folder), slot.arm_folder.write_text("a file")),
        lambda slot: (shutil.rmtree(slot.arm_folder), slot.arm_folder.symlink_to("nowhere")),
        lambda slot: shutil.rmtree(slot.folder),
    ],
    ids=["file for a seed", "circle for a seed", "file for an arm", "link for an arm", "gone"],
)
def test_a_trial_whose_place_is_taken_is_computed_there(
    replan: Again,  # noqa: F811
    harm: Callable[[Slot], object],
):
    plan = replan()
    whole = frame(plan)
    plan.notes.clear()
    harm(place(plan))
    entries = prepare_trials(plan)
    assert [entry.reused for entry in entries] == [False, True]
    recompute(plan, entries[0])
    pd.testing.assert_frame_equal(frame(plan), whole, check_exact=True)


def everything_wrong(slot: Slot) -> None:
    """Put something of another type wherever a trial writes."""
    shutil.rmtree(slot.folder)
    slot.folder.mkdir()
    for name in (*RECORDS, "first.json", "lock", "log.txt", "previous"):
        path = slot.folder / name
        if name in ("tables", "checkpoint", "previous"):
            path.write_text("a file")
        else:
            path.mkdir()
    (slot.folder / "events.out.tfevents.1").mkdir()


def test_a_trial_is_computed_whatever_stands_in_its_way(replan: Again):  # noqa: F811
    plan = replan()
    whole = frame(plan)
    everything_wrong(place(plan))
    entries = prepare_trials(plan)
    assert any("checkpoint could not be used and was removed" in note for note in plan.notes)
    recompute(plan, entries[0])
    pd.testing.assert_frame_equal(frame(plan), whole, check_exact=True)


@pytest.mark.parametrize("which", ["folder", "arm_folder"])
def test_nothing_is_computed_through_a_link(replan: Again, tmp_path: Path, which: str):  # noqa: F811
    plan = replan()
    slot = place(plan)
    (slot.folder / "result.json").unlink()
    path = getattr(slot, which)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link"):
        prepare_trials(plan)


def test_no_arm_json_is_written_through_a_link_where_nothing_is_missing(
    replan: Again,  # noqa: F811
    tmp_path: Path,
):
    plan = replan()
    folder = place(plan).arm_folder
    (folder / "arm.json").write_text("{}")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link"):
        prepare_trials(plan)
    assert (tmp_path / "elsewhere" / "arm.json").read_text() == "{}"


def test_what_commands_have_left_that_were_killed_is_removed(replan: Again):  # noqa: F811
    plan = replan()
    (place(plan).folder / "result.json").unlink()
    left = place(plan).arm_folder.parent / ".probe-0"
    left.touch()
    prepare_trials(plan)
    assert not left.exists()


def test_a_command_that_waits_for_another_says_so(replan: Again, monkeypatch, capsys):  # noqa: F811
    plan = replan()
    path = place(plan).arm_folder.parent / ".lock"
    other = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(other, fcntl.LOCK_EX)
    monkeypatch.setattr("runner.study.store_use.WAIT_NOTICE_SECONDS", 0.1)
    threading.Timer(0.3, os.close, [other]).start()
    with lock_store(plan):
        assert capsys.readouterr().out == f"waiting: another command uses {path}\n"


def test_where_much_was_in_the_way_few_lines_say_so(replan: Again):  # noqa: F811
    plan = replan()
    slot = place(plan)
    (slot.folder / "result.json").unlink()
    for number in range(20):
        (slot.folder / f"link-{number}").symlink_to("nowhere")
    lines = repair_slots(list_trials(plan))
    assert len(lines) == 6
    assert lines[-1] == "... and 15 more of this kind"


def test_nothing_is_written_through_links_in_a_trial(replan: Again, tmp_path: Path):  # noqa: F811
    plan = replan()
    whole = frame(plan)
    slot = place(plan)
    (slot.folder / "result.json").unlink()
    for name in ("metrics.csv", "log.txt", "tables"):
        path = slot.folder / name
        kept = tmp_path / f"kept-{name}"
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        kept.mkdir() if name == "tables" else kept.write_text("as it was")
        path.symlink_to(kept)
    entries = prepare_trials(plan)
    recompute(plan, entries[0])
    pd.testing.assert_frame_equal(frame(plan), whole, check_exact=True)
    assert (tmp_path / "kept-metrics.csv").read_text() == "as it was"
    assert (tmp_path / "kept-log.txt").read_text() == "as it was"
    assert not list((tmp_path / "kept-tables").iterdir())


@pytest.mark.parametrize("name", ["moe", "moe/runs", "moe/trials", "corpora"])
def test_no_folder_of_outputs_is_a_link(tmp_path: Path, name: str):
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "outputs" / name
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link"):
        check_outputs_writable(tmp_path / "outputs", "moe")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert check_outputs_writable(tmp_path / "link", "moe")  # which the user typed


def test_a_finished_trial_keeps_its_weights_and_no_state_of_the_training(replan: Again):  # noqa: F811
    for arm in ("dense", "moe_top2"):
        (path,) = (place(replan(), arm).folder / "checkpoint").iterdir()
        names = {file.name for file in path.iterdir()}
        assert names == {checkpoint.WEIGHTS, checkpoint.DIGESTS}


def test_the_state_of_a_reused_trial_is_dropped_unless_its_lock_is_held(
    replan: Again,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    plan = replan()
    folder = place(plan).folder / "checkpoint" / "step-6"
    (folder / checkpoint.STATE).write_bytes(b"left by an earlier version")
    weights = seal.file_sha256(folder / checkpoint.WEIGHTS)
    write_json(folder / checkpoint.DIGESTS, {checkpoint.WEIGHTS: weights, checkpoint.STATE: "0"})
    unfinished = Slot(place(plan, "moe_top2").folder)
    other = unfinished.folder / "checkpoint" / "step-6" / checkpoint.STATE
    other.write_bytes(b"of a trial that may resume")
    (unfinished.folder / "result.json").unlink()
    with locks.open_lock_file(place(plan).folder / "lock") as held:
        locks.lock(held, exclusive=True, on_wait=pytest.fail)
        assert place(plan) in {entry.slot for entry in prepare_trials(plan) if entry.reused}
        assert (folder / checkpoint.STATE).exists()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint_files, "remove", no_space)
        prepare_trials(replan())
        assert (folder / checkpoint.STATE).exists()
    prepare_trials(replan())
    assert {file.name for file in folder.iterdir()} == {checkpoint.WEIGHTS, checkpoint.DIGESTS}
    assert read_json(folder / checkpoint.DIGESTS) == {checkpoint.WEIGHTS: weights}
    assert other.exists()


def no_space(*_: object) -> None:
    raise OSError("full")


def test_a_trial_whose_result_could_not_be_written_keeps_its_whole_checkpoint(
    replan: Again,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    slot = killed(replan(), monkeypatch)
    assert (slot.folder / "checkpoint" / "step-6" / checkpoint.STATE).is_file()


def stop_here(*_: object) -> None:
    raise TrialStopped("killed")


def killed(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Slot:
    """Compute a trial again that is killed at its end, after its last checkpoint."""
    slot = place(plan)
    (slot.folder / "result.json").unlink()
    (entry,) = [entry for entry in prepare_trials(plan) if not entry.reused]
    plan.notes.clear()
    with monkeypatch.context() as patch:
        patch.setattr(Slot, "write_result", stop_here)
        with pytest.raises(TrialStopped):
            recompute(plan, entry)
    assert slot.status()["state"] == "killed"
    return slot


def other_loop(slot: Slot) -> None:
    """A checkpoint with true digests that another version has written."""
    path = slot.folder / "checkpoint" / "step-6"
    state = torch.load(path / checkpoint.STATE, weights_only=True)
    torch.save({**state, "loop": {"losses": "none"}}, path / checkpoint.STATE)
    digests = read_json(path / checkpoint.DIGESTS)
    assert digests is not None
    write_json(
        path / checkpoint.DIGESTS,
        digests | {checkpoint.STATE: seal.file_sha256(path / checkpoint.STATE)},
    )


def longer(slot: Slot) -> None:
    """Random bytes behind the curves."""
    with (slot.folder / "metrics.csv").open("ab") as file:
        file.write(b"\xff,a\0,\n9,b,c\n")


RESUMED: dict[str, tuple[int, Callable[[Slot], object]]] = {
    "nothing": (6, lambda _: None),
    "loop": (0, other_loop),
    "digests": (0, lambda s: next(s.folder.rglob("sha256.json")).write_text("[]")),
    "weights": (0, lambda s: cut(next(s.folder.rglob("weights.safetensors")))),
    "curves cut": (0, lambda s: os.truncate(s.folder / "metrics.csv", 60)),
    "curves gone": (0, lambda s: (s.folder / "metrics.csv").unlink()),
    "curves longer": (6, longer),
    "seconds": (6, lambda s: (s.folder / "seconds.json").write_text('{"seconds": "many"}')),
    "seconds not finite": (6, lambda s: (s.folder / "seconds.json").write_text('{"seconds": NaN}')),
    "a step that is none": (6, lambda s: (s.folder / "checkpoint" / "step-\u00b2").mkdir()),
    "a step that is a file": (0, lambda s: (s.folder / "checkpoint" / "step-9").write_text("")),
    "status": (0, lambda s: (s.folder / "status.json").write_text('{"state": "odd"}')),
    "status fields": (
        0,
        lambda s: (s.folder / "status.json").write_text('{"state": "killed", "seconds": "x"}'),
    ),
}


@pytest.mark.some(4)
@pytest.mark.parametrize("kind", RESUMED)
def test_a_killed_trial_ends_with_the_same_values_whatever_was_damaged(
    replan: Again,  # noqa: F811
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
):
    plan = replan()
    whole, curves = frame(plan), (place(plan).folder / "metrics.csv").read_bytes()
    slot = killed(plan, monkeypatch)
    start, harm = RESUMED[kind]
    harm(slot)
    entries = prepare_trials(plan)
    recompute(plan, entries[0])
    pd.testing.assert_frame_equal(frame(plan), whole, check_exact=True)
    assert (slot.folder / "metrics.csv").read_bytes() == curves
    result = slot.result()
    assert result is not None
    assert result["from_step"] == start or kind == "a step that is a file"
    message = slot.status().get("message", "")
    assert "weights_only" not in message
    if kind in ("loop", "weights", "digests", "curves cut", "curves gone"):
        assert "the checkpoint of step 6 " in message


def test_results_of_other_code_stay_until_the_new_ones_are_there_and_after(
    replan: Again,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    whole = frame(replan())
    other = replan(code="other")
    entries = prepare_trials(other)
    assert not any(entry.reused for entry in entries)
    assert "2 finished trials were computed by other code: computed again" in other.notes[0]
    with monkeypatch.context() as patch:
        patch.setattr(science, "stage", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            recompute(other, entries[0])
    recompute(other, entries[1])
    # As after `git checkout .`: all that was there is there, the same values to the bit.
    back = replan()
    assert all(entry.reused for entry in prepare_trials(back))
    assert back.notes == []
    pd.testing.assert_frame_equal(frame(back), whole, check_exact=True)
    # The other code still has what it has computed, and `accept` takes what is finished.
    assert [entry.reused for entry in list_trials(replan(code="other"))] == [False, True]
    plan = replan()
    accepting = replan(code="third", study=replace(plan.study, reuse="accept"))
    assert all(entry.reused for entry in list_trials(accepting))
    # A damaged earlier result is none.
    (list_trials(replan())[0].slot.folder / "result.json").write_text("{}")
    assert [entry.reused for entry in list_trials(replan())] == [False, True]


def test_what_other_code_was_about_to_time_again_stays(replan: Again):  # noqa: F811
    plan = replan()
    slot = place(plan)
    result = slot.result()
    assert result is not None
    slot.write_result(result | {"passes": 1, "samples": {"step": [0.1]}})
    slot.write_status("done", code=plan.arms[0].code)
    assert slot.reopen_for_timing(plan.arms[0].code, 1)
    slot.write_status("running", code=plan.arms[0].code)  # and it was killed
    slot.clear()
    assert slot.find_usable(plan.arms[0].code) == slot.previous
    slot.write_first_stage(
        result | {"code": "other"}
    )  # a first stage of other code takes nothing's place
    slot.write_status("untimed", code="other")
    slot.clear()
    assert slot.find_usable(plan.arms[0].code) == slot.previous


@pytest.mark.some(4)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_ledger_is_named_and_written_on(tmp_path: Path, damage: str):
    path = tmp_path / "looks.jsonl"
    ledger.append(path, {"time": "now", "value": float("nan")})
    json.loads(path.read_text(), parse_constant=pytest.fail)
    DAMAGES[damage](path)
    assert isinstance(ledger.read_entries(path), list)
    fault = ledger.describe_damage(path)
    assert (fault == "") == (damage in ("missing", "empty", "another mapping", "nowhere"))
    assert not fault or fault.startswith("looks.jsonl ")
    reason = "" if damage in ("a pipe", "zeros") else ledger.append(path, {"time": "later"})
    assert (reason == "") or damage in ("a folder", "a circle", "nowhere")


def test_a_store_that_can_only_be_read_is_reported(
    run: Callable[..., None],
    finished_outputs: Path,  # noqa: F811
    tmp_path: Path,
):
    runs = finished_outputs / "moe" / "runs"
    command = (*TINY, "~figures", "arm=[dense,moe_top2]", "n_seeds=1")
    before = {path: path.read_bytes() for path in finished_outputs.rglob("*") if path.is_file()}
    read_only.forbid_writes(tmp_path, runs)
    run(*command)
    newest = max(runs.iterdir())
    assert (newest / "report.html").is_file()
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(ConfigError, match=r"2 of 4 trials are missing and cannot be written \(Rea"):
        run(*command[:-1], "n_seeds=2")
    line = repeated_looks.append_look(
        repeated_looks.ReportedComparison({"a": "1"}, ["a"], [0]),
        finished_outputs / "looks.jsonl",
        time="t",
        scale="quick",
    )
    assert line == "later runs will not count this look, looks.jsonl: Read-only file system"
    read_only.forbid_writes(tmp_path)
    with pytest.raises(ConfigError, match=r"outputs=.*nothing can be written there \(Read-only"):
        run(*command)


def test_a_new_run_stands_behind_those_that_are_there_whatever_the_clock_says(replan: Again):  # noqa: F811
    plan = replan()
    runs = plan.outputs / "moe" / "runs"
    older = ("2999-12-31_23-59-59-999999-7", "9999-12-31_23-59-59-999999-7", "zzz", "3000-1")
    for name in (*older, "2999-12-31_23-59-58_quick"):
        (runs / name).mkdir()
    new = run_folder.create_run_folder(plan)
    assert new.name == "3000-01-01_00-00-00_smoke"
    assert run_folder.create_run_folder(plan).name > new.name


def test_records_are_readable_by_others_as_the_umask_says(tmp_path: Path):
    before = os.umask(0o022)
    try:
        write_json(tmp_path / "study.json", {"a": float("inf")})
    finally:
        os.umask(before)
    assert (tmp_path / "study.json").stat().st_mode & 0o777 == 0o644
    assert json.loads((tmp_path / "study.json").read_text()) == {"a": None}
