"""The data of a plan's arms, and the folder that everything is written to. No torch."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner import registry
from runner.config import ArmConfig, ConfigError, Evaluation
from runner.records import provenance
from runner.records.files import refuse_links
from runner.wording.output import truncate_middle

PREPARED: dict[tuple[str, ...], Any] = {}
"""Data of `plan=only` by task: to build a corpus takes seconds."""


@dataclass
class PreparedData:
    """The data of a plan's arms, read once for all that have the same task.

    Attributes:
        outputs: below it they are kept, and nothing is read as text.
        evaluation: what trials are judged by.
        texts: the user's texts so far: where each is, and a hash of what was read there.
        keep: whether what is built is written, for the trials to find.
        lines: what was read, a line for each text.
    """

    outputs: Path
    evaluation: Evaluation
    text_hashes: dict[str, str]
    keep: bool = True
    notes: list[str] = field(default_factory=list)
    _fingerprints: dict[str, str] = field(default_factory=dict)

    def prepare(self, arm: ArmConfig) -> str:
        """The fingerprint of an arm's data, which are made ready on disk.

        Raises:
            ConfigError: bad input of the user, or a text that changes while it is planned with.
        """
        task = getattr(arm.parts, "task", None)
        if task is None:
            return ""
        if (key := repr(task)) not in self._fingerprints:
            try:
                ready = self._ready(task)
            except (ValueError, RuntimeError) as error:  # `~nobody/text` has no home folder
                raise ConfigError(str(error)) from error
            if (
                ready.text_path
                and self.text_hashes.setdefault(ready.text_path, ready.content_hash)
                != ready.content_hash
            ):
                raise ConfigError(
                    f"task.path={ready.text_path!r}: the text has changed since this command began; "
                    f"run it again when the text is left alone"
                )
            if ready.summary and ready.summary not in self.notes:
                self.notes.append(ready.summary)
            self._fingerprints[key] = ready.fingerprint
        return self._fingerprints[key]

    def _ready(self, task: Any) -> Any:
        """Make a task ready, once in a process where nothing is kept and no text is the user's."""
        folder = cache_folder(self.outputs)
        key = (repr(task), str(folder.absolute()), self.evaluation.value)
        if self.keep or key not in PREPARED:
            ready = registry.prepare(task, folder, self.evaluation, keep=self.keep)
            if self.keep or ready.text_path:  # a text may change
                return ready
            PREPARED[key] = ready
        return PREPARED[key]


def of_kernel(folder: Path) -> bool:
    """Whether a folder is one of those in which Linux shows itself; root seems to have a right."""
    real = os.path.realpath(folder)
    return any(f"{real}/".startswith(place) for place in ("/proc/", "/sys/"))


def cache_folder(outputs: Path) -> Path:
    """Where prepared data lie."""
    return outputs / "corpora"


def check_outputs_writable(outputs: Path, experiment: str, *, probe: bool = True) -> Path:
    """The outputs folder, if a report can be written there; nothing is left behind.

    A report needs its own folder alone: trials that are there already are only read. Without
    `probe`, which writes and removes an empty file, permissions are looked at alone.

    Raises:
        ConfigError: it cannot.
    """
    own = outputs / experiment
    there = outputs.absolute() / experiment / "runs"
    try:
        refuse_links([own, own / "trials", own / "runs", cache_folder(outputs)])
        while not there.exists():
            there = there.parent
        for needed in ("", "trials", "runs"):
            folder = outputs / experiment / needed
            if os.path.lexists(folder) and not os.path.isdir(folder):  # noqa: PTH112 (a circle)
                raise NotADirectoryError(f"{folder} is no folder")
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is a file")
        if probe:
            file = there / f".ablab-{provenance.unique_suffix()}"
            file.touch()
            file.unlink()
        elif not os.access(there, os.W_OK | os.X_OK) or of_kernel(there):
            raise PermissionError(f"{there} takes no new files")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"outputs={truncate_middle(outputs, 120)}: nothing can be written there ({reason}); give "
            "another folder"
        ) from error
    return outputs
