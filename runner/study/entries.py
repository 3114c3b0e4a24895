"""List the trials of a plan, and prepare the store for those to compute. Imports no torch."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from filelock import FileLock

from runner.config import ConfigError, StudyError
from runner.plan.data import cache_folder
from runner.plan.plan import Plan, PlannedArm
from runner.plan.report_spec import read_report_spec
from runner.records import provenance
from runner.records.arm_folders import (
    ARM,
    SIGNATURE,
    claim_folder,
    read_signature,
    write_arm,
    write_signature,
)
from runner.records.checkpoint_files import drop_leftover_state
from runner.records.files import (
    is_accessible,
    is_folder,
    read_json,
    refuse_links,
    remove,
)
from runner.records.job import Job, Stage
from runner.records.store import LOG, Slot, Store, TrialRecords
from runner.study.store_use import acquire_with_notice
from runner.wording.names import format_count
from runner.wording.output import describe_error, first_lines, join_names, truncate_middle

N_DAMAGE_LINES = 9  # damaged trials that get a line each; the rest share one line
N_CLAIMS = 20  # times that the trials are listed while other commands take the arms' folders


@dataclass(frozen=True)
class Entry:
    """One trial of a plan.

    Attributes:
        arm: the planned arm.
        seed: the seed of the study, without the arm's `seed_offset`.
        slot: the folder of the trial in the store.
        reused: whether the result existed when the trials were listed.
        unwritten_status: the status of a failed trial that could not be written to the store,
            e.g. on a full disk.
    """

    arm: PlannedArm
    seed: int
    slot: Slot
    reused: bool
    unwritten_status: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The trial's name on the terminal."""
        return f"{self.arm.name} seed {self.seed}"

    def status(self) -> Mapping[str, Any]:
        """Return the status record of the trial, from memory if it could not be written."""
        return self.unwritten_status or self.slot.status()


def raise_if_any_failed(
    plan: Plan, entries: Sequence[Entry], unreported: str = "", failure: Exception | None = None
) -> None:
    """Raise StudyError if a trial has no result.

    A result counts if the arm's current code computed it. With `reuse=accept` a reused result of
    other code counts too.

    Args:
        plan: the plan of the trials.
        entries: its trials.
        unreported: why there is no report; "" if there is one.
        failure: the exception that ended the report; the StudyError is raised from it.
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
        first = failed[0]
        status = first.status()
        why = status.get("message") or f"its state is {status['state']}"
        log = first.slot.folder / LOG
        if unreported or not log.is_file():
            where = f"all trials are kept in {first.slot.folder.parents[1]}"
        else:
            where = f"its log is {log}"
        lines = [
            f"{len(failed)} of {len(entries)} trials failed, the first: "
            f"{first.arm.name} seed {first.seed}: {truncate_middle(why, 160)}",
            f"{where}; the same command computes only the missing trials",
            *([unreported] if unreported else []),
        ]
        error = StudyError("\n".join(lines))
        error.log = log if log.is_file() else None
        raise error from failure


def list_trials(plan: Plan) -> list[Entry]:
    """Return all trials of a plan, seed by seed, and note the stale and the damaged ones.

    - A result of other code is stale. It is computed again; `reuse=accept` keeps it.
    - If the slot also keeps an earlier result of this code (`Slot.previous`), that one is used.
    - A trial whose records were changed or have an earlier format is always computed again.

    Raises:
        ConfigError: a newer version has written a trial. To compute it again would delete it.
    """
    store = Store(plan.outputs, plan.experiment)
    accept = plan.study.reuse == "accept"
    entries: list[Entry] = []
    records_by_slot: dict[Slot, TrialRecords] = {}
    usable_by_slot: dict[Slot, Slot | None] = {}
    damages: list[tuple[str, str]] = []
    newer: list[str] = []
    stale = 0
    for seed in plan.seeds:
        for arm in plan.arms:
            slot = store.slot(arm.name, arm.signature, seed)
            if slot not in records_by_slot:  # arms of one signature share their trials
                records_by_slot[slot] = slot.read_records()
                result = records_by_slot[slot].result
                # Its own result is at hand: it is not read again.
                is_usable = result is not None and (accept or result["code"] == arm.code)
                usable_by_slot[slot] = (
                    slot if is_usable else slot.find_usable(arm.code, any_code=accept)
                )
                damage = records_by_slot[slot].unusable_reason
                if usable_by_slot[slot] is None and damage:
                    damages.append((f"{arm.name} seed {seed}", damage))
                    newer += [damages[-1][0]] if slot.is_newer() else []
            usable, result = usable_by_slot[slot], records_by_slot[slot].result
            changed = result is not None and result["code"] != arm.code
            stale += changed and usable in (None, slot)
            entries.append(Entry(arm, seed, usable or slot, usable is not None))
    if newer:
        raise ConfigError(
            f"{Store.trials_folder(plan.outputs, plan.experiment)}: a newer version of ablab has "
            f"written {join_names(newer)}; use that version, or another folder: outputs=<folder>"
        )
    if stale:
        action = (
            "kept, because of reuse=accept"
            if accept
            else "computed again (reuse=accept would keep them)"
        )
        trials = f"{format_count(stale, 'finished trial')} {'was' if stale == 1 else 'were'}"
        plan.notes.append(f"{trials} computed by other code: {action}")
    plan.notes.extend(damage_notes(damages))
    return entries


def damage_notes(damages: Sequence[tuple[str, str]]) -> list[str]:
    """Return a line for each of the first damaged trials, and one line for the rest.

    `damages` are pairs of a trial's name and the reason why its records cannot be used.
    """
    lines = [f"{trial} is computed again: {damage}" for trial, damage in damages[:N_DAMAGE_LINES]]
    if rest := [trial for trial, _ in damages[N_DAMAGE_LINES:]]:
        lines.append(
            f"{len(rest)} more trials were changed or have another format and are computed again: "
            f"{join_names(rest)}"
        )
    return lines


@contextlib.contextmanager
def lock_store(plan: Plan) -> Iterator[Store]:
    """Yield the store of a plan's experiment, locked against other commands.

    There is no lock where the store cannot be written, or where its disk has no locks. Then
    `claim_folder` still keeps two arms from sharing a folder.
    """
    root = Store.trials_folder(plan.outputs, plan.experiment)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError, NotImplementedError):
            root.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(root / ".lock") and not is_accessible(root / ".lock", folder=False):
                remove(root / ".lock")
            stack.enter_context(acquire_with_notice(FileLock(root / ".lock")))
        yield Store(plan.outputs, plan.experiment)


def prepare_trials(plan: Plan) -> list[Entry]:
    """Return all trials of a plan as `list_trials` does, and make the folders of missing ones.

    The store is locked meanwhile. So two commands that start together share an arm's folder, also
    if they name the arm differently: the second finds the folder by its signature. Without locks
    another command may take a folder's name first; then the trials are listed again.

    Raises:
        ConfigError: trials are missing, and the store cannot be written.
        StudyError: other commands take the names of all folders.
    """
    notes = list(plan.notes)
    with lock_store(plan) as store:
        for _ in range(N_CLAIMS):
            if claim_arm_folders(plan, store, entries := list_trials(plan)):
                for slot in {entry.slot for entry in entries if entry.reused}:
                    drop_leftover_state(slot)
                return entries
            plan.notes[:] = notes
    raise StudyError(f"{store.root}: other commands use the folders of these arms; try again")


def claim_arm_folders(plan: Plan, store: Store, entries: Sequence[Entry]) -> bool:
    """Repair the slots of a plan's trials, and make the arm folders of the missing ones.

    Returns:
        False if another arm has a folder now, which was free when the trials were listed.

    Raises:
        ConfigError: trials are missing, and the store cannot be written.
    """
    missing = [entry for entry in entries if not entry.reused]
    refuse_links({entry.slot.arm_folder for entry in entries})  # each gets an arm.json
    refuse_links(entry.slot.folder for entry in missing)
    try:
        if missing:
            store.root.mkdir(parents=True, exist_ok=True)
            for old_probe in store.root.glob(".probe-*"):  # left by a killed command
                remove(old_probe)
            probe = store.root / f".probe-{provenance.unique_suffix()}"
            probe.touch()
            probe.unlink()
        if not all(map(owns_folder, entries)):
            return False
        plan.notes.extend(repair_slots(entries))
        new_folders = {entry.slot.arm_folder: entry.arm.signature for entry in missing}
        return all(claim_folder(folder, known) for folder, known in new_folders.items())
    except OSError as error:
        if missing and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise ConfigError(
                f"outputs={truncate_middle(plan.outputs, 120)}: {len(missing)} of "
                f"{len(entries)} trials are missing and cannot be written "
                f"({error.strerror}); give another folder"
            ) from error
        if missing:  # e.g. a full disk, which may have space again when the trials run
            plan.notes.append(f"the store cannot be written now: {describe_error(error)}")
    return True


def owns_folder(entry: Entry) -> bool:
    """Whether the folder of a trial's arm is missing, that arm's, or free."""
    folder = entry.slot.arm_folder
    return not is_folder(folder) or read_signature(folder) in (None, entry.arm.signature)


def repair_slots(entries: Sequence[Entry]) -> list[str]:
    """Remove misplaced files from the slots to compute, and rewrite damaged arm.json files.

    Misplaced are a file in place of a folder, a folder in place of a file, and unreadable files.

    Returns:
        A line for each of the first changes, and one line that counts the rest.
    """
    notes = []
    for folder, entry in {e.slot.arm_folder: e for e in entries}.items():
        if os.path.lexists(folder) and not is_folder(folder):
            remove(folder)
            notes.append(f"{entry.arm.name}: {folder.name} was not a folder and was removed")
        if os.path.lexists(folder / SIGNATURE):
            write_signature(folder, entry.arm.signature)
        record, signature_tree = folder / ARM, json.loads(entry.arm.signature_text)
        if os.path.lexists(record) and read_json(record) != signature_tree:
            if not is_accessible(record, folder=False):
                remove(record)
            write_arm(folder, entry.arm.signature_text)
            notes.append(f"{entry.arm.name}: {ARM} was damaged and is written again")
    for slot, entry in {e.slot: e for e in entries if not e.reused}.items():
        trial = f"{entry.arm.name} seed {entry.seed}"
        removed = ["its folder" if name == "." else name for name in slot.repair()]
        notes += [f"{trial}: {path} could not be used and was removed" for path in removed]
    return first_lines(notes)


def make_job(plan: Plan, entry: Entry, stage: Stage) -> Job:
    """Return the job that computes a stage of a trial in a process of its own."""
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
        plugins=entry.arm.plugins,
        stage=stage,
        timeout_s=plan.study.timeout_s,
        scale=plan.study.scale,
        question=plan.experiment,
        command_pid=os.getpid(),
        table_metrics=tuple(read_report_spec(plan.study).metrics),
    )
