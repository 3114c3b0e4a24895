"""The trial store: where a trial lies, its state, and when it may be reused. No torch.

    <outputs>/<experiment>/trials/<arm>-<signature>/
      arm.json         the resolved arm that the signature covers
      seed-<k>/
        status.json    running | untimed | done | diverged | failed | killed; by atomic rename;
                       of a finished trial sealed: digests of result.json, metrics.csv, tables/
        run.json       what the first of two stages found, and earlier passes of the second, while
                       a pass is to come; sealed
        seconds.json   what the trial has cost so far
        first.json     when the trial was first finished, whatever code computes it again later
        result.json    final values, the hash of the code, versions, machine, seconds
        metrics.csv    the curves; the event file beside it is made from them
        tables/        what is no scalar
        checkpoint/    while it runs to resume from, at the end the trained weights
        log.txt, lock

        previous/      the same records as other code has left them, if the trial was finished

A trial is found by its signature, whatever name its arm has. Every read of a record passes
`Slot.read_records`, `Slot.status` or another reader of this file, which check its form. A finished trial
that does not agree with its seal, or has another format, counts as missing. Event files and
checkpoints are not sealed: the former are made from metrics.csv, the latter hold digests of their
own.

Before a trial is computed again by other code, its records are linked into `previous/`: they are
whole at every moment, and a user who goes back to the code of before (`git checkout .`) gets them
back. `previous/` is a place like any (`Slot.previous`), and is used where it lies. There is one: it
is replaced when the next other code starts on a trial that is finished.
"""

import contextlib
import datetime
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.records import schemas, seal
from runner.records.files import (
    is_accessible,
    is_folder,
    link_or_copy,
    list_names,
    read_json,
    remove,
    write_json,
)

FINISHED = ("done", "diverged")
UNTIMED = "untimed"
STATUS, RESULT, CURVES, TABLES = "status.json", "result.json", "metrics.csv", "tables"
# Said of a trial that has had a further pass, or whose further pass has failed; its state is done.
TIMED_AGAIN, NOT_TIMED_AGAIN = "timed again", "not timed again"
FIRST_STAGE, FIRST_FINISH = "run.json", "first.json"
SECONDS, CHECKPOINTS, EARLIER = "seconds.json", "checkpoint", "previous"
LOG, LOCK, ARM = "log.txt", "lock", "arm.json"
RECORDS = (CURVES, TABLES, FIRST_STAGE, RESULT, SECONDS, CHECKPOINTS, STATUS)
"""What one code leaves of a trial; the status last, since it makes the rest count."""
FOLDERS = (TABLES, CHECKPOINTS, EARLIER)


def signature_text(tree: dict[str, Any], data: str, machine: dict[str, Any] | None) -> str:
    """What identifies an arm, as text.

    Its resolved config, its data's fingerprint, and the machine where its trials are timed.
    """
    where = {} if machine is None else {"machine": machine}
    return json.dumps({"config": tree, "data": data, **where}, sort_keys=True)


def signature(text: str) -> str:
    """The short identity of an arm."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TrialRecords:
    """What the folder of a trial holds, checked once.

    status   the status record; `{"state": "pending"}` where there is none
    result   the result of a finished trial that is intact, else None
    fault    what is wrong with its records, naming the file; "" if nothing is
    other    that its records have another format than today's, naming the file; "" if not
    """

    status: Mapping[str, Any]
    result: dict[str, Any] | None = None
    damage: str = ""
    format_mismatch: str = ""

    @property
    def unusable_reason(self) -> str:
        """Why the records must neither be used nor be resumed from; "" if they may be."""
        return self.damage or self.format_mismatch


@dataclass(frozen=True)
class Slot:
    """The place of one trial in the store."""

    folder: Path

    def status(self) -> dict[str, Any]:
        """The status record; `{"state": "pending"}` where there is none."""
        status = read_json(self.folder / STATUS)
        readable = status is not None and schemas.is_status(status)
        return status if status is not None and readable else {"state": "pending"}

    def write_status(self, state: str, **more: Any) -> None:
        """Write the status record; that of a finished trial seals the files that lie there."""
        record = {"state": state, **more}
        if state in FINISHED:
            record = seal.seal_record(record, STATUS, self.folder, self.sealed_files())
        write_json(self.folder / STATUS, record)

    def sealed_files(self) -> list[str]:
        """The files that the seal of a finished trial covers: result, curves, tables."""
        there = list_names(self.folder)
        return [
            *(name for name in (RESULT, CURVES) if name in there),
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
        if other := seal.format_mismatch(status, STATUS):
            return TrialRecords(status, format_mismatch=other)
        if fault := seal.first_change(status, STATUS, self.folder, self.sealed_files()):
            return TrialRecords(status, damage=fault)
        result = read_json(self.folder / RESULT)
        if result is None or not schemas.is_result(result):
            return TrialRecords(status, damage=f"{RESULT} is no result of a trial")
        return TrialRecords(status, schemas.nulls_to_nan(result))

    def _unfinished(self, status: Mapping[str, Any]) -> TrialRecords:
        """What is wrong where no finished trial lies, so that nothing there may be resumed from."""
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
        if other := seal.format_mismatch(first, FIRST_STAGE):
            return TrialRecords(status, format_mismatch=other)
        fault = seal.first_change(first, FIRST_STAGE, self.folder, ())
        if not fault and not schemas.is_first_stage(first):
            fault = f"{FIRST_STAGE} is no record of a trial"
        return TrialRecords(status, damage=fault)

    def write_result(self, result: dict[str, Any]) -> None:
        """Write the result; it counts once the status says so."""
        write_json(self.folder / RESULT, result)
        (self.folder / FIRST_STAGE).unlink(missing_ok=True)

    def write_first_stage(self, first: dict[str, Any]) -> None:
        """Write what the first stage of a timed trial leaves for the second."""
        record = seal.seal_record(first, FIRST_STAGE, self.folder, ())
        write_json(self.folder / FIRST_STAGE, record)

    def reopen_for_timing(self, code: str, passes: int) -> bool:
        """Let a finished trial that was timed in so many passes be timed once more.

        Its result and status are kept in `run.json`, so that a kill costs only the new pass and
        `restore_result` can put them back. Returns False where there is no such result.
        """
        reading = self.read_records()
        result = reading.result
        if result is None or (result["code"], result.get("passes")) != (code, passes):
            return False
        self.write_first_stage(result | {"status": dict(reading.status)})
        return True

    def restore_result(self, code: str) -> bool:
        """Put back the status of a result whose further timing pass has failed.

        Returns False where there is no such result, or where its files were changed since.
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
        """What the first stage of a timed trial has left for the second, if the same code did."""
        first = read_json(self.folder / FIRST_STAGE)
        if first is None or first.get("code") != code or self.read_records().unusable_reason:
            return None
        return schemas.nulls_to_nan(first)

    def result(self) -> dict[str, Any] | None:
        """The result of a finished trial that is intact, else None."""
        return self.read_records().result

    @property
    def arm_folder(self) -> Path:
        """The folder of the trial's arm."""
        return self.folder.parents[1 if self.folder.name == EARLIER else 0]

    @property
    def previous(self) -> "Slot":
        """The place of what other code has left of this trial."""
        return Slot(self.folder / EARLIER)

    def find_usable(self, code: str, *, any_code: bool = False) -> "Slot | None":
        """The place of an intact result of this code, here or in `previous`; None without one.

        With `any_code` the newest result counts, whatever code has computed it.
        """
        for slot in (self, self.previous):
            result = slot.result()
            if result is not None and (any_code or result["code"] == code):
                return slot
        return None

    def is_finished(self, code: str) -> bool:
        """Whether the trial is finished and intact, and this code has computed it."""
        result = self.result()
        return result is not None and result["code"] == code

    def clear(self) -> None:
        """Remove the records, so that nothing can resume from them; the first finish stays.

        A finished trial that is intact is kept in `previous`, also one that was to be timed again.
        """
        self.write_first_finish()
        first = read_json(self.folder / FIRST_STAGE)
        if first is not None:
            self.restore_result(str(first.get("code")))
        if self.result() is not None:
            self._keep_as_earlier()
        for name in reversed(RECORDS):
            remove(self.folder / name)

    def _keep_as_earlier(self) -> None:
        """Link the records into `previous`, which appears whole, by rename."""
        draft = self.folder / f".{EARLIER}"
        remove(draft)  # what a kill has left
        draft.mkdir()
        for name in RECORDS:
            source, target = self.folder / name, draft / name
            if is_folder(source):
                shutil.copytree(source, target, copy_function=link_or_copy)
            elif os.path.lexists(source):
                link_or_copy(source, target)
        remove(self.previous.folder)
        draft.rename(self.previous.folder)

    def misplaced(self) -> list[str]:
        """What lies in this folder where something of another type must lie, or nobody can read it.

        E.g. a folder called log.txt, a link that leads in a circle, a file without permissions.
        """
        if not os.path.lexists(self.folder):
            return []
        if not is_accessible(self.folder, folder=True):
            return ["."]
        wanted = {name: name in FOLDERS for name in (*RECORDS, FIRST_FINISH, EARLIER, LOG, LOCK)}
        found = [
            name
            for name in list_names(self.folder)
            if name in wanted and not is_accessible(self.folder / name, folder=wanted[name])
        ]
        # What is written through a link would land elsewhere.
        links = [path for path in self.folder.rglob("*") if path.is_symlink()]
        return sorted({*found, *(str(path.relative_to(self.folder)) for path in links)})

    def repair(self) -> list[str]:
        """Remove what is misplaced, and name it."""
        found = self.misplaced()
        for name in found:
            remove(self.folder / name)
        return found

    def first_finish_time(self) -> datetime.datetime | None:
        """When the trial was first finished, whatever code computed it; None if it never was.

        A trial without such a record, or with a damaged one, counts by the age of its files.
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
        """Write when the trial was first finished (`now`, if it never was before), once for all."""
        if not os.path.lexists(self.folder / FIRST_FINISH) and (
            time := self.first_finish_time() or now
        ):
            write_json(
                self.folder / FIRST_FINISH, {"finished": time.isoformat(timespec="microseconds")}
            )


def split_seed_offset(signed: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """What identifies an arm but for its `seed_offset`, and that offset."""
    config = {**signed["config"], "seed_offset": 0}
    return {**signed, "config": config}, int(signed["config"].get("seed_offset", 0))


def arm_of(folder: Path) -> dict[str, Any] | None:
    """What the signature of an arm's folder covers; None where it cannot be read."""
    record = read_json(folder / ARM)
    return record if record is not None and schemas.is_arm(record) else None


def arms(root: Path) -> Iterator[dict[str, Any]]:
    """What is known of all arms of a store."""
    for name in list_names(root):
        if (record := arm_of(root / name)) is not None:
            yield record


def parse_time(text: object) -> datetime.datetime | None:
    """A time as our records hold it; None where it is none."""
    try:
        time = datetime.datetime.fromisoformat(text) if isinstance(text, str) else None
        return time.astimezone() if time else None
    except (ValueError, OverflowError):
        return None


class Store:
    """All trials of one experiment below an outputs folder; reads the list of arms once."""

    def __init__(self, outputs: Path, experiment: str) -> None:
        self.root = self.trials_folder(outputs, experiment)
        folders = (self.root / name for name in list_names(self.root))
        self._folders = {path.name.rpartition("-")[2]: path for path in folders if is_folder(path)}

    @staticmethod
    def trials_folder(outputs: Path, experiment: str) -> Path:
        """The folder of an experiment's trials."""
        return outputs / experiment / "trials"

    def arm_folder(self, name: str, mark: str) -> Path:
        """The folder of an arm: the one that has its signature, else a new one; nothing is made."""
        return self._folders.setdefault(mark, self.root / f"{name}-{mark}")

    def slot(self, name: str, mark: str, seed: int) -> Slot:
        """The place of one trial."""
        return Slot(self.arm_folder(name, mark) / f"seed-{seed}")

    def slots_across_offsets(self, mark: str, signed: str | None = None) -> dict[int, list[Slot]]:
        """The seeds of an arm and their places; with `signature_text`, of its twins under offsets too.

        A twin differs in `seed_offset` alone: its seed k is the arm's seed k plus its own offset
        less the arm's.
        """
        found = {seed: [slot] for seed, slot in self.slots_by_seed(mark).items()}
        if signed is None:
            return found
        plain, offset = split_seed_offset(json.loads(signed))
        for other, folder in self._folders.items():
            record = None if other == mark else arm_of(folder)
            if record is None:
                continue
            twin, shift = split_seed_offset(record)
            if twin == plain:
                for seed, slot in self.slots_by_seed(other).items():
                    found.setdefault(seed + shift - offset, []).append(slot)
        return found

    def slots_by_seed(self, mark: str) -> dict[int, Slot]:
        """The seeds of an arm that have a folder, ascending, with their places."""
        folder = self._folders.get(mark)
        if folder is None:
            return {}
        numbers = [n.removeprefix("seed-") for n in list_names(folder) if n.startswith("seed-")]
        seeds = sorted(int(number) for number in numbers if number.isdecimal())
        return {seed: Slot(folder / f"seed-{seed}") for seed in seeds}
