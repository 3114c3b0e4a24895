"""The trial store: where a trial lies, its state, and when it may be reused. No torch.

    <outputs>/<experiment>/trials/<arm>-<signature>/
      arm.json         the resolved arm that the signature covers
      seed-<k>/
        status.json    running | untimed | done | diverged | failed | killed; by atomic rename
        run.json       what the first of two stages found, and earlier passes of the second, while
                     a pass is to come
        seconds.json   what the trial has cost so far
        result.json    final values, the hash of the code, versions, machine, seconds
        metrics.csv    the curves; the event file beside it is made from them
        tables/        what is no scalar
        checkpoint/    while it runs to go on from, at the end the trained weights
        log.txt, lock

A trial is found by its signature, whatever name its arm has.
"""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FINISHED = ("done", "diverged")
UNTIMED = "untimed"
TIMED_AGAIN = "timed again"  # said of a trial that has had a further pass; its state is done
FIRST_STAGE = "run.json"


def signed(tree: dict[str, Any], data: str, machine: dict[str, Any] | None) -> str:
    """What identifies an arm, as text.

    Its resolved config, its data's fingerprint, and the machine where its trials are timed.
    """
    where = {} if machine is None else {"machine": machine}
    return json.dumps({"config": tree, "data": data, **where}, sort_keys=True)


def signature(text: str) -> str:
    """The short identity of an arm."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all: a temporary file, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(value, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a record; None where there is none or it is damaged."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record else None


@dataclass(frozen=True)
class Slot:
    """The place of one trial in the store."""

    folder: Path

    def status(self) -> dict[str, Any]:
        """The status record; `{"state": "pending"}` where there is none."""
        return read_json(self.folder / "status.json") or {"state": "pending"}

    def mark(self, state: str, **more: Any) -> None:
        """Write the status record."""
        write_json(self.folder / "status.json", {"state": state, **more})

    def record(self, result: dict[str, Any]) -> None:
        """Write the result; it counts once the status says so."""
        write_json(self.folder / "result.json", result)
        (self.folder / FIRST_STAGE).unlink(missing_ok=True)

    def leave(self, first: dict[str, Any]) -> None:
        """Write what the first stage of a timed trial leaves for the second."""
        write_json(self.folder / FIRST_STAGE, first)

    def reopen(self, code: str, passes: int) -> bool:
        """Let a finished trial that was timed in so many passes be timed once more.

        What was found so far then stands where the first stage left it, so that a kill costs only
        the new pass. Returns False where there is no such result.
        """
        result = self.result()
        if result is None or (result["code"], result.get("passes")) != (code, passes):
            return False
        self.leave(result)
        return True

    def untimed(self, code: str) -> dict[str, Any] | None:
        """What the first stage of a timed trial has left for the second, if the same code did."""
        first = read_json(self.folder / FIRST_STAGE)
        return first if first and first["code"] == code else None

    def result(self) -> dict[str, Any] | None:
        """The result of a finished trial, else None."""
        if self.status()["state"] not in FINISHED:
            return None
        return read_json(self.folder / "result.json")

    def finished(self, code: str) -> bool:
        """Whether the trial is finished, and this code has computed it."""
        result = self.result()
        return result is not None and result["code"] == code


class Store:
    """All trials of one experiment below an outputs folder; reads the list of arms once."""

    def __init__(self, outputs: Path, experiment: str) -> None:
        self.root = self.root_of(outputs, experiment)
        self._folders: dict[str, Path] = {}
        if self.root.is_dir():
            for entry in sorted(os.scandir(self.root), key=lambda entry: entry.name):
                self._folders[entry.name.rpartition("-")[2]] = Path(entry.path)

    @staticmethod
    def root_of(outputs: Path, experiment: str) -> Path:
        """The folder of an experiment's trials."""
        return outputs / experiment / "trials"

    def arm(self, name: str, mark: str) -> Path:
        """The folder of an arm: the one that has its signature, else a new one; nothing is made."""
        return self._folders.setdefault(mark, self.root / f"{name}-{mark}")

    def slot(self, name: str, mark: str, seed: int) -> Slot:
        """The place of one trial."""
        return Slot(self.arm(name, mark) / f"seed-{seed}")
