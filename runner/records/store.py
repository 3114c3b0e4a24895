"""The trial store: the folder of each trial, its state, and the rule for reuse. No torch.

    <outputs>/<experiment>/trials/<arm>/
      arm.json         the resolved arm that the signature covers
      signature        the signature, which is found without arm.json
      seed-<k>/
        status.json    running | untimed | done | diverged | failed | killed; by atomic rename;
                       of a finished trial sealed: digests of result.json, metrics.csv, tables/
        run.json       before a timing pass: results of the first stage and earlier passes; sealed
        seconds.json   the seconds that the trial has cost so far
        first.json     the time when the trial was first finished, by any code
        result.json    final values, the hash of the code, versions, machine, seconds
        metrics.csv    the curves, from which the TensorBoard event file is made
        tables/        results that are not scalars
        checkpoint/    while the trial runs, the state to resume from; later only the weights
        log.txt, lock

        previous/      the same records from other code, if it had finished the trial

A trial is found by the signature of its arm; the arm's name may change. `arm_folders.py` names the
folder. Every record is read by `Slot.read_records`, `Slot.status` or another reader of this file,
which check its schema. A finished trial counts as missing if its records do not match their seal,
or have another format.
Event files and checkpoints are not sealed: event files are made from metrics.csv, and checkpoints
hold their own digests.

Before other code computes a trial again, the trial's records are linked into `previous/`. They are
complete at every moment. A user who returns to the earlier code (`git checkout .`) gets them back.
`previous/` is a slot like any other (`Slot.previous`), and is used in place. Each trial has at most
one. It is replaced when other code starts again on a finished trial.
"""

import contextlib
import datetime
import functools
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.records import schemas, seal
from runner.records.arm_folders import ARM as ARM
from runner.records.arm_folders import ArmFolders, read_arm_record, split_seed_offset
from runner.records.arm_folders import signature as signature
from runner.records.arm_folders import signature_text as signature_text
from runner.records.files import (
    is_accessible,
    is_folder,
    link_or_copy,
    list_names,
    parse_json,
    read_bytes,
    read_json,
    remove,
    write_json,
)

FINISHED = ("done", "diverged")
UNTIMED = "untimed"
STATUS, RESULT, CURVES, TABLES = "status.json", "result.json", "metrics.csv", "tables"
# Printed for a done trial after another timing pass, which succeeded or failed.
TIMED_AGAIN, NOT_TIMED_AGAIN = "timed again", "not timed again"
FIRST_STAGE, FIRST_FINISH = "run.json", "first.json"
SECONDS, CHECKPOINTS, PREVIOUS = "seconds.json", "checkpoint", "previous"
LOG, LOCK = "log.txt", "lock"
RECORDS = (CURVES, TABLES, FIRST_STAGE, RESULT, SECONDS, CHECKPOINTS, STATUS)
"""The records of a trial by one code. The status is last, since it makes the others valid."""
FOLDERS = (TABLES, CHECKPOINTS, PREVIOUS)


@functools.lru_cache(maxsize=2**12)
def _parse_result(content: bytes) -> dict[str, Any] | None:
    """Return the result in a file, with NaN for null; None if it has not the schema of a result.

    A command reads each result when it lists the trials, for the report, and at its end. Equal
    files share one result, which callers do not change.
    """
    result = parse_json(content)
    if result is None or not schemas.is_result(result):
        return None
    return schemas.nulls_to_nan(result)


@dataclass(frozen=True)
class TrialRecords:
    """The records in the folder of a trial, checked once.

    Attributes:
        status: the status record; `{"state": "pending"}` where it is missing.
        result: the result of an intact finished trial, else None.
        damage: a message that names the damaged file, or "".
        format_mismatch: a message that names a record of another format, or "".
    """

    status: Mapping[str, Any]
    result: dict[str, Any] | None = None
    damage: str = ""
    format_mismatch: str = ""

    @property
    def unusable_reason(self) -> str:
        """The reason why the records cannot be used or resumed from, or ""."""
        return self.damage or self.format_mismatch


@dataclass(frozen=True)
class Slot:
    """The folder of one trial in the store."""

    folder: Path

    def status(self) -> dict[str, Any]:
        """Return the status record; `{"state": "pending"}` where it is missing or damaged."""
        status = read_json(self.folder / STATUS)
        readable = status is not None and schemas.is_status(status)
        return status if status is not None and readable else {"state": "pending"}

    def is_newer(self) -> bool:
        """Whether a newer version of ablab has written the status."""
        number = (read_json(self.folder / STATUS) or {}).get("format")
        return isinstance(number, int) and number > seal.FORMAT

    def write_status(self, state: str, **more: Any) -> None:
        """Write the status record; the record of a finished trial seals the trial's files."""
        record = {"state": state, **more}
        if state in FINISHED:
            record = seal.seal_record(record, STATUS, self.folder, self.sealed_files())
        write_json(self.folder / STATUS, record)

    def sealed_files(self) -> list[str]:
        """Return the files that the seal of a finished trial covers: result, curves, tables."""
        names = list_names(self.folder)
        return [
            *(name for name in (RESULT, CURVES) if name in names),
            *(
                f"{TABLES}/{name}"
                for name in list_names(self.folder / TABLES)
                if name.endswith(".csv")
            ),
        ]

    def read_records(self) -> TrialRecords:
        """Read and check the records."""
        status = self.status()
        if status["state"] not in FINISHED:
            return self._unfinished(status)
        if mismatch := seal.format_mismatch(status, STATUS):
            return TrialRecords(status, format_mismatch=mismatch)
        if damage := seal.first_change(status, STATUS, self.folder, self.sealed_files()):
            return TrialRecords(status, damage=damage)
        with contextlib.suppress(OSError):
            if result := _parse_result(read_bytes(self.folder / RESULT)):
                return TrialRecords(status, result)
        return TrialRecords(status, damage=f"{RESULT} is not a result of a trial")

    def _unfinished(self, status: Mapping[str, Any]) -> TrialRecords:
        """Check the records of an unfinished trial; damaged ones cannot be resumed from."""
        if status["state"] == "pending":
            if os.path.lexists(self.folder / STATUS):
                return TrialRecords(status, damage=f"{STATUS} cannot be read")
            if os.path.lexists(self.folder / RESULT):
                return TrialRecords(status, damage=f"{STATUS} is missing")
        if not os.path.lexists(self.folder / FIRST_STAGE):
            return TrialRecords(status)
        first = read_json(self.folder / FIRST_STAGE)
        if first is None:
            return TrialRecords(status, damage=f"{FIRST_STAGE} cannot be read")
        if mismatch := seal.format_mismatch(first, FIRST_STAGE):
            return TrialRecords(status, format_mismatch=mismatch)
        damage = seal.first_change(first, FIRST_STAGE, self.folder, ())
        if not damage and not schemas.is_first_stage(first):
            damage = f"{FIRST_STAGE} is not a record of a trial"
        return TrialRecords(status, damage=damage)

    def write_result(self, result: dict[str, Any]) -> None:
        """Write the result, which becomes valid with the status that is written next."""
        write_json(self.folder / RESULT, result)
        (self.folder / FIRST_STAGE).unlink(missing_ok=True)

    def write_first_stage(self, first: dict[str, Any]) -> None:
        """Write the results of a timed trial's first stage for the timing stage."""
        record = seal.seal_record(first, FIRST_STAGE, self.folder, ())
        write_json(self.folder / FIRST_STAGE, record)

    def reopen_for_timing(self, code: str, passes: int) -> bool:
        """Prepare another timing pass of a finished trial that had `passes` of them.

        Its result and status are copied into `run.json`. So a kill costs only the new pass, and
        `restore_result` can put them back. Returns False if this code has no result with as many
        passes.
        """
        reading = self.read_records()
        result = reading.result
        if result is None or (result["code"], result.get("passes")) != (code, passes):
            return False
        self.write_first_stage(result | {"status": dict(reading.status)})
        return True

    def restore_result(self, code: str) -> bool:
        """Restore the status of a finished trial after another timing pass has failed.

        Returns False if this code has no such trial, or if the trial's files were changed since.
        """
        first = self.read_first_stage(code)
        status = first.get("status") if first else None
        if not isinstance(status, dict) or seal.first_change(
            status, STATUS, self.folder, self.sealed_files()
        ):
            return False
        write_json(self.folder / STATUS, status)
        (self.folder / FIRST_STAGE).unlink(missing_ok=True)
        return True

    def read_first_stage(self, code: str) -> dict[str, Any] | None:
        """Return the results of a timed trial's first stage; None if other code computed it."""
        first = read_json(self.folder / FIRST_STAGE)
        if first is None or first.get("code") != code or self.read_records().unusable_reason:
            return None
        return schemas.nulls_to_nan(first)

    def result(self) -> dict[str, Any] | None:
        """Return the result of an intact finished trial, else None."""
        return self.read_records().result

    @property
    def arm_folder(self) -> Path:
        """The folder of the trial's arm."""
        return self.folder.parents[1 if self.folder.name == PREVIOUS else 0]

    @property
    def previous(self) -> "Slot":
        """The slot of this trial's records from other code."""
        return Slot(self.folder / PREVIOUS)

    def find_usable(self, code: str, *, any_code: bool = False) -> "Slot | None":
        """Return the slot with an intact result of this code, this one or `previous`, or None.

        With `any_code` the newest result counts, and any code may have computed it.
        """
        for slot in (self, self.previous):
            result = slot.result()
            if result is not None and (any_code or result["code"] == code):
                return slot
        return None

    def is_finished(self, code: str) -> bool:
        """Whether this code has finished the trial, and its records are intact."""
        result = self.result()
        return result is not None and result["code"] == code

    def clear(self) -> None:
        """Remove the records except `first.json`, so that nothing can resume from them.

        An intact finished trial is moved to `previous`, also if it was waiting for a timing pass.
        """
        self.write_first_finish()
        first = read_json(self.folder / FIRST_STAGE)
        if first is not None:
            self.restore_result(str(first.get("code")))
        if self.result() is not None:
            self._link_to_previous()
        for name in reversed(RECORDS):
            remove(self.folder / name)

    def _link_to_previous(self) -> None:
        """Link the records into `previous`, which is complete at every moment, by a rename."""
        draft = self.folder / f".{PREVIOUS}"
        remove(draft)  # the rest of a killed process
        draft.mkdir()
        for name in RECORDS:
            source, target = self.folder / name, draft / name
            if is_folder(source):
                shutil.copytree(source, target, copy_function=link_or_copy)
            elif os.path.lexists(source):
                link_or_copy(source, target)
        remove(self.previous.folder)
        draft.rename(self.previous.folder)

    def find_misplaced(self) -> list[str]:
        """Return the names of entries that have the wrong type or cannot be read, and of links.

        Examples are a folder called log.txt, a circular link, or a file without permissions.
        """
        if not os.path.lexists(self.folder):
            return []
        if not is_accessible(self.folder, folder=True):
            return ["."]
        must_be_folder = {
            name: name in FOLDERS for name in (*RECORDS, FIRST_FINISH, PREVIOUS, LOG, LOCK)
        }
        misplaced = [
            name
            for name in list_names(self.folder)
            if name in must_be_folder
            and not is_accessible(self.folder / name, folder=must_be_folder[name])
        ]
        # Files written through a link would be stored in another place.
        links = [path for path in self.folder.rglob("*") if path.is_symlink()]
        return sorted({*misplaced, *(str(path.relative_to(self.folder)) for path in links)})

    def repair(self) -> list[str]:
        """Remove misplaced entries, and return their names."""
        names = self.find_misplaced()
        for name in names:
            remove(self.folder / name)
        return names

    def first_finish_time(self) -> datetime.datetime | None:
        """Return the time when the trial was first finished, by any code; None if it never was.

        If `first.json` is missing or damaged, the times of its file and of the result's count.
        """
        record = read_json(self.folder / FIRST_FINISH)
        if record is not None and (time := parse_time(record.get("finished"))):
            return time
        times = []
        for name in (FIRST_FINISH, RESULT):
            with contextlib.suppress(OSError, ValueError, OverflowError):
                age = (self.folder / name).stat().st_mtime
                times.append(datetime.datetime.fromtimestamp(age).astimezone())
        return min(times, default=None)

    def write_first_finish(self, now: datetime.datetime | None = None) -> None:
        """Write the time when the trial was first finished, or `now`; keep an earlier record."""
        if not os.path.lexists(self.folder / FIRST_FINISH) and (
            time := self.first_finish_time() or now
        ):
            write_json(
                self.folder / FIRST_FINISH, {"finished": time.isoformat(timespec="microseconds")}
            )


def parse_time(text: object) -> datetime.datetime | None:
    """Return the time that a record holds as text; None for any other value."""
    try:
        time = datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
        return time.astimezone() if time else None
    except (ValueError, OverflowError):
        return None


class Store:
    """All trials of one experiment in an outputs folder; it reads the list of arms once."""

    def __init__(self, outputs: Path, experiment: str) -> None:
        self.root = self.trials_folder(outputs, experiment)
        self.arms = ArmFolders(self.root)
        self._arms_without_offset: dict[str, tuple[dict[str, Any], int]] | None = None

    @staticmethod
    def trials_folder(outputs: Path, experiment: str) -> Path:
        """Return the folder of an experiment's trials."""
        return outputs / experiment / "trials"

    def arm_folder(self, name: str, arm_signature: str) -> Path:
        """Return the folder that has an arm's signature, else the path for a new one."""
        return self.arms.get_or_choose(name, arm_signature)

    def slot(self, name: str, arm_signature: str, seed: int) -> Slot:
        """Return the slot of one trial."""
        return Slot(self.arm_folder(name, arm_signature) / f"seed-{seed}")

    def slots_across_offsets(
        self, arm_signature: str, signature_text: str | None = None
    ) -> dict[int, list[Slot]]:
        """Return the slots of an arm by seed, and those of its twins if `signature_text` is given.

        A twin has the same config except for `seed_offset`. Its seed k counts as the arm's seed
        k + (the twin's offset) - (the arm's offset).
        """
        slots = {seed: [slot] for seed, slot in self.slots_by_seed(arm_signature).items()}
        if signature_text is None:
            return slots
        plain, offset = split_seed_offset(json.loads(signature_text))
        for other, (twin, shift) in self._split_arms().items():
            if other != arm_signature and twin == plain:
                for seed, slot in self.slots_by_seed(other).items():
                    slots.setdefault(seed + shift - offset, []).append(slot)
        return slots

    def _split_arms(self) -> dict[str, tuple[dict[str, Any], int]]:
        """Return the arms with a readable `arm.json`, by signature; see `split_seed_offset`."""
        if self._arms_without_offset is None:
            self._arms_without_offset = {
                arm_signature: split_seed_offset(record)
                for arm_signature, folder in self.arms.items()
                if (record := read_arm_record(folder)) is not None
            }
        return self._arms_without_offset

    def slots_by_seed(self, arm_signature: str) -> dict[int, Slot]:
        """Return the slots of an arm by seed, ascending, for the seeds that have a folder."""
        folder = self.arms.get(arm_signature)
        if folder is None:
            return {}
        numbers = [n.removeprefix("seed-") for n in list_names(folder) if n.startswith("seed-")]
        seeds = sorted(int(number) for number in numbers if number.isdecimal())
        return {seed: Slot(folder / f"seed-{seed}") for seed in seeds}
