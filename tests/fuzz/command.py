"""`python -m runner` within this process, as far as the plan, and checks of its messages."""

import functools
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import open_dict

from runner.plan import arguments, code_hash, hydra_loader, option_folders, planning
from runner.plan.error_messages import PREFIX, explain
from runner.wording.output import MAX_CHARACTERS, MAX_ERRORS, MAX_LINES

RAW = re.compile(
    r"Traceback|full_key|object_type|unhashable|NoneType|not in struct|search path"
    r"|[a-z]Error\b|<class|has no attribute|DictConfig|ListConfig|not iterable|indices must be"
    r"|invalid literal|positional argument|recursion|AnyNode|<object|omegaconf|hydra\.errors",
)
SECONDS = 5.0  # of this process's CPU time, so that a busy machine is not a fault
HASH = functools.cache(code_hash.hash_modules)  # of code that does not change meanwhile


@dataclass(frozen=True)
class CommandResult:
    """A command's result: its stage (checked, composed, planned), message, exit code, seconds."""

    stage: str
    message: str
    code: int
    seconds: float


def run_in_process(
    words: Sequence[str], *, action: Callable[..., object] | None = planning.make_plan
) -> CommandResult:
    """Check and compose a command, and plan its study (or do with it what `action` does).

    With None it is only composed.
    """
    stages = ["given"]

    def steps() -> None:
        sys.argv[1:] = list(words)
        hydra_loader.install_checked_loader()
        mended = [text for text in arguments.check_arguments(words) if not text.startswith("-")]
        stages.append("checked")
        path = create_config_search_path(str(option_folders.CONF))
        for folder in option_folders.UserOptions.folders:
            if folder not in option_folders.UserOptions.plugin_folders:
                path.prepend("command-line", f"file://{folder.absolute()}", "schema")
        hydra = Hydra.create_main_hydra2(task_name="fuzz", config_search_path=path)
        config = hydra.compose_config("config", mended, run_mode=RunMode.RUN, from_shell=True)
        with open_dict(config):
            del config["hydra"]
        stages.append("composed")
        if action is None:
            return
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(code_hash, "hash_modules", HASH)
            action(config, mended)
        stages.append("planned")

    ending = run_guarded(steps)
    return replace(ending, stage=stages[-1])


def run_guarded(steps: Callable[[], object]) -> CommandResult:
    """Call a function as the command does: an error becomes a message and an exit code."""
    start, typed = time.process_time(), sys.argv[1:]
    GlobalHydra.instance().clear()
    try:
        steps()
        message, code = "", 0
    except Exception as error:
        message, code = explain(error, planning=True)
    finally:
        GlobalHydra.instance().clear()
        sys.argv[1:] = typed
        option_folders.UserOptions.reset()
    return CommandResult("done", message, code, time.process_time() - start)


def find_faults(ending: CommandResult, inputs: Sequence[str] = ()) -> list[str]:
    """Return the faults of a command's result."""
    faults = []
    if ending.seconds > SECONDS:
        faults.append(f"it took {ending.seconds:.1f} s")
    if ending.code == 0:
        return faults
    if ending.code != 2:
        faults.append(f"exit code {ending.code}")
    return faults + find_message_faults(ending.message, inputs)


def find_message_faults(message: str, inputs: Sequence[str] = ()) -> list[str]:
    """Return the faults of a message; raw words from `inputs` are allowed."""
    faults = []
    lines = message.splitlines()
    if not message.strip(" .:\n"):
        faults.append("the message is empty")
    if len(lines) > MAX_LINES * MAX_ERRORS + 1:
        faults.append(f"{len(lines)} lines")
    if len(message) + len(PREFIX) * len(lines) > MAX_CHARACTERS * (MAX_ERRORS + 1):
        faults.append(f"{len(message)} letters")
    if any(len(line) > MAX_CHARACTERS for line in lines):
        faults.append("a line is too long")
    raw = RAW.search(message)
    if raw and not any(raw[0].lower() in text.lower() for text in inputs):
        faults.append(f"raw words: {raw[0]}")
    return faults


def files_below(folder: Path) -> set[Path]:
    """Return all files below a folder."""
    return {path for path in folder.rglob("*") if path.is_file()}
