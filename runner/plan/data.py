"""Preparation of the data of a plan's arms, and a check of the outputs folder. No torch."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner import registry
from runner.config import ArmConfig, ConfigError, Evaluation
from runner.plan.user_code import explain_error
from runner.records import provenance
from runner.records.files import refuse_links
from runner.wording.output import truncate_middle

PREVIEW_CACHE: dict[tuple[str, ...], Any] = {}
"""Prepared data of `plan=only`, by task, outputs folder and evaluation.

Building a corpus takes seconds, and `plan=only` does not write it.
"""


@dataclass
class PreparedData:
    """The data of a plan's arms, prepared once for each task.

    Attributes:
        outputs: the folder below which prepared data are written; never searched for user texts.
        evaluation: the data that trials are evaluated on.
        text_hashes: hashes of the contents of the user's texts read so far, by path.
        keep: whether to write the prepared data for the trials.
        notes: a summary of each text that was read.
    """

    outputs: Path
    evaluation: Evaluation
    text_hashes: dict[str, str]
    keep: bool = True
    notes: list[str] = field(default_factory=list)
    _fingerprints: dict[str, str] = field(default_factory=dict)

    def prepare(self, arm: ArmConfig) -> str:
        """Prepare an arm's data on disk and return their fingerprint; "" for an arm without a task.

        Raises:
            ConfigError: the task has bad values, or a text has changed during this command.
        """
        task = getattr(arm.parts, "task", None)
        if task is None:
            return ""
        if (key := repr(task)) not in self._fingerprints:
            try:
                prepared = self._prepare_task(task)
            except (ValueError, RuntimeError) as error:  # `~nobody/text` has no home folder
                raise ConfigError(explain_error(error)) from error
            if (
                prepared.text_path
                and self.text_hashes.setdefault(prepared.text_path, prepared.content_hash)
                != prepared.content_hash
            ):
                raise ConfigError(
                    f"task.path={prepared.text_path!r}: the text has changed since this command "
                    f"began; run the command again without changing the text"
                )
            if prepared.summary and prepared.summary not in self.notes:
                self.notes.append(prepared.summary)
            self._fingerprints[key] = prepared.fingerprint
        return self._fingerprints[key]

    def _prepare_task(self, task: Any) -> Any:
        """Prepare the data of a task; with `keep=False`, reuse those of this process.

        Data from a text of the user are never reused, since the text may change.
        """
        folder = cache_folder(self.outputs)
        key = (repr(task), str(folder.absolute()), self.evaluation.value)
        if self.keep or key not in PREVIEW_CACHE:
            prepared = registry.prepare(task, folder, self.evaluation, keep=self.keep)
            if self.keep or prepared.text_path:  # a text may change
                return prepared
            PREVIEW_CACHE[key] = prepared
        return PREVIEW_CACHE[key]


def is_kernel_folder(folder: Path) -> bool:
    """Return whether a folder is in /proc or /sys, where `os.access` misleads root."""
    real_path = os.path.realpath(folder)
    return any(f"{real_path}/".startswith(root) for root in ("/proc/", "/sys/"))


def cache_folder(outputs: Path) -> Path:
    """Return the folder of prepared data."""
    return outputs / "corpora"


def check_outputs_writable(outputs: Path, experiment: str, *, probe: bool = True) -> Path:
    """Return the outputs folder if a report can be written to it.

    With `probe` the check writes and removes an empty file; otherwise it only reads permissions.
    The check asks for a new run folder, since finished trials are only read.

    Raises:
        ConfigError: the folder is not writable, or a file or link is in its place.
    """
    experiment_folder = outputs / experiment
    parent = outputs.absolute() / experiment / "runs"
    try:
        refuse_links(
            [
                experiment_folder,
                experiment_folder / "trials",
                experiment_folder / "runs",
                cache_folder(outputs),
            ]
        )
        while not parent.exists():
            parent = parent.parent
        for subfolder in ("", "trials", "runs"):
            folder = outputs / experiment / subfolder
            if os.path.lexists(folder) and not os.path.isdir(folder):  # noqa: PTH112 (a circle)
                raise NotADirectoryError(f"{folder} is not a folder")
        if not parent.is_dir():
            raise NotADirectoryError(f"{parent} is a file")
        if probe:
            file = parent / f".ablab-{provenance.unique_suffix()}"
            file.touch()
            file.unlink()
        elif not os.access(parent, os.W_OK | os.X_OK) or is_kernel_folder(parent):
            raise PermissionError(f"{parent} does not allow new files")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"outputs={truncate_middle(outputs, 120)}: nothing can be written there ({reason}); "
            "choose another folder"
        ) from error
    return outputs
