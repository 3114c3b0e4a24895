"""The trials of a plan: which are there already, and room for those that are missing. No torch."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from filelock import AcquireReturnProxy, BaseFileLock, FileLock, Timeout

from runner.config import ConfigError, StudyError
from runner.plan.data import cache_folder
from runner.plan.plan import Plan, PlannedArm
from runner.records import provenance
from runner.records.files import (
    is_accessible,
    is_folder,
    read_json,
    refuse_links,
    remove,
    write_json,
)
from runner.records.job import Job, Stage
from runner.records.store import ARM, LOG, Slot, Store, TrialRecords
from runner.wording.output import describe_error, first_lines, join_names, truncate_middle

LINES = 9  # trials that have a line of their own where their records were changed
WAIT_NOTICE_SECONDS = 1  # seconds until a line tells that another command is waited for


@dataclass(frozen=True)
class Entry:
    """One trial of a plan: its arm, seed and place, and whether its result was there already.

    `unwritten_status` is the status of a trial that failed where it could not be written, e.g. on a full disk.
    """

    arm: PlannedArm
    seed: int
    slot: Slot
    reused: bool
    unwritten_status: Mapping[str, Any] | None = field(default=None, compare=False)

    def status(self) -> Mapping[str, Any]:
        """The status of the trial."""
        return self.unwritten_status or self.slot.status()


def raise_if_any_failed(
    plan: Plan, entries: Sequence[Entry], unreported: str = "", failure: Exception | None = None
) -> None:
    """Raise StudyError for trials that have no result of their arm's code.

    With `reuse=accept` one that is reused may be of other code; `list_trials` notes it. `unreported`
    says why there is no report, or is ""; `failure` is that of the report.
    """
    accept = plan.study.reuse == "accept"
    failed = [
        entry
        for entry in entries
        if not (
            entry.slot.result()
            if accept and entry.reused
            else entry.slot.is_finished(entry.arm.code)
        )
    ]
    if failed:
        one = failed[0]
        status = one.status()
        why = status.get("message") or f"its state is {status['state']}"
        log = one.slot.folder / LOG
        if unreported or not log.is_file():
            where = f"all trials are kept in {one.slot.folder.parents[1]}"
        else:
            where = f"its log is {log}"
        lines = [
            f"{len(failed)} of {len(entries)} trials failed, the first: "
            f"{one.arm.name} seed {one.seed}: {truncate_middle(why, 160)}",
            f"{where}; the same command computes only what is missing",
            *([unreported] if unreported else []),
        ]
        raise StudyError("\n".join(lines)) from failure


def list_trials(plan: Plan) -> list[Entry]:
    """All trials of a plan, seed by seed, and which of them are there already.

    A result of other code is stale: it is computed again, or kept with `reuse=accept`; where this
    code's own result lies beside it (`Slot.previous`), that is used. One whose records were changed
    or have another format is computed again in any case. All are noted.
    """
    store = Store(plan.outputs, plan.experiment)
    accept = plan.study.reuse == "accept"
    entries: list[Entry] = []
    readings: dict[Slot, TrialRecords] = {}
    places: dict[Slot, Slot | None] = {}
    faults: list[tuple[str, str]] = []
    stale = 0
    for seed in plan.seeds:
        for arm in plan.arms:
            slot = store.slot(arm.name, arm.signature, seed)
            if slot not in readings:  # arms of one signature share their trials
                readings[slot] = slot.read_records()
                places[slot] = slot.find_usable(arm.code, any_code=accept)
                if places[slot] is None and (fault := readings[slot].unusable_reason):
                    faults.append((f"{arm.name} seed {seed}", fault))
            place, result = places[slot], readings[slot].result
            changed = result is not None and result["code"] != arm.code
            stale += changed and place in (None, slot)
            entries.append(Entry(arm, seed, place or slot, place is not None))
    if stale:
        what = (
            "kept, as reuse=accept says"
            if accept
            else "computed again (keep them with reuse=accept)"
        )
        plan.notes.append(f"{stale} finished trials were computed by other code: {what}")
    plan.notes.extend(damage_notes(faults))
    return entries


def damage_notes(faults: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each trial whose records cannot be used; beyond `LINES` one line counts them."""
    lines = [f"{trial}: {fault}: computed again" for trial, fault in faults[:LINES]]
    if rest := [trial for trial, _ in faults[LINES:]]:
        lines.append(
            f"{len(rest)} more were changed or have another format, and are computed again: "
            f"{join_names(rest)}"
        )
    return lines


@contextlib.contextmanager
def lock_store(plan: Plan) -> Iterator[Store]:
    """The store of a plan's experiment, which no other command enters meanwhile.

    Where nothing can be written there is no lock, and nothing to protect by one.
    """
    root = Store.trials_folder(plan.outputs, plan.experiment)
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, NotImplementedError):
            root.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(root / ".lock") and not is_accessible(root / ".lock", folder=False):
                remove(root / ".lock")
            held.enter_context(waited_for(FileLock(root / ".lock")))
        yield Store(plan.outputs, plan.experiment)


def waited_for(lock: BaseFileLock) -> AcquireReturnProxy:
    """A lock once it is held; after `WAIT_NOTICE_SECONDS` a line tells what is waited for."""
    try:
        return lock.acquire(timeout=WAIT_NOTICE_SECONDS)
    except Timeout:
        print(f"waits: another command uses {lock.lock_file}", flush=True)  # noqa: T201
    return lock.acquire()


def prepare_trials(plan: Plan) -> list[Entry]:
    """As `list_trials`; the folders of arms that are to be computed are made.

    One command at a time does so: two that start together and call an arm by different names find
    each other's folder by its signature.

    Raises:
        ConfigError: trials are missing, and nothing can be written where they belong.
    """
    with lock_store(plan) as store:
        entries = list_trials(plan)
        missing = [entry for entry in entries if not entry.reused]
        refuse_links({entry.slot.arm_folder for entry in entries})  # each gets an arm.json
        refuse_links(entry.slot.folder for entry in missing)
        try:
            if missing:
                store.root.mkdir(parents=True, exist_ok=True)
                for left in store.root.glob(".probe-*"):  # by a command that was killed
                    remove(left)
                probe = store.root / f".probe-{provenance.unique_suffix()}"
                probe.touch()
                probe.unlink()
            plan.notes.extend(repair_slots(entries))
            for folder in {entry.slot.folder.parent for entry in missing}:
                folder.mkdir(exist_ok=True)
        except OSError as error:
            if missing and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise ConfigError(
                    f"outputs={truncate_middle(plan.outputs, 120)}: {len(missing)} of {len(entries)} "
                    f"trials are missing and cannot be written ({error.strerror}); give another "
                    "folder"
                ) from error
            if missing:  # a full disk, say, which may have room again when they run
                plan.notes.append(f"nothing can be written there: {describe_error(error)}")
    return entries


def repair_slots(entries: Sequence[Entry]) -> list[str]:
    """Make room where trials are to be computed, and write damaged arm.json anew.

    Returns lines on the first of these changes, and one that counts the rest.

    Room is taken by a file where a folder must be, a folder where a file must be, and by what
    nobody can read.
    """
    notes = []
    for folder, entry in {e.slot.arm_folder: e for e in entries}.items():
        if os.path.lexists(folder) and not is_folder(folder):
            remove(folder)
            notes.append(f"{entry.arm.name}: {folder.name} was no folder and was removed")
        record, signed = folder / ARM, json.loads(entry.arm.signature_text)
        if os.path.lexists(record) and read_json(record) != signed:
            if not is_accessible(record, folder=False):
                remove(record)
            write_json(record, signed)
            notes.append(f"{entry.arm.name}: {ARM} was damaged and is written anew")
    for slot, entry in {e.slot: e for e in entries if not e.reused}.items():
        trial = f"{entry.arm.name} seed {entry.seed}"
        places = ["its folder" if name == "." else name for name in slot.repair()]
        notes += [f"{trial}: {place} could not be used and was removed" for place in places]
    return first_lines(notes)


def make_job(plan: Plan, entry: Entry, stage: Stage) -> Job:
    """What a process needs to compute a stage of a trial."""
    return Job(
        arm=entry.arm.name,
        seed=entry.seed,
        config=entry.arm.config,
        device=entry.arm.device,
        slot=entry.slot,
        signature_text=entry.arm.signature_text,
        cache=cache_folder(plan.outputs),
        code=entry.arm.code,
        data=entry.arm.data,
        plugins=tuple(plan.study.plugins),
        stage=stage,
        timeout_s=plan.study.timeout_s,
    )
