"""Trial processes that do not run the user's script. No torch.

multiprocessing runs the script of the parent process in every child process. A script that calls
`runner.compare` without `if __name__ == "__main__"` would then start a study in each trial. No
trial needs the script: its code is in modules.
"""

import functools
import multiprocessing
from multiprocessing import spawn
from typing import Any

from runner.plan.helper_process import HELPER_NAME

PREFIX = "ablab-trial-"
"""The beginning of the names of trial processes. Other processes of the user keep the script."""


def leave_out_main_module() -> None:
    """Let multiprocessing start trial processes without the script, from now on."""
    if not hasattr(spawn.get_preparation_data, "leaves_out_main_module"):
        module: Any = spawn
        module.get_preparation_data = _without_main_module(spawn.get_preparation_data)


def is_trial_process() -> bool:
    """Return whether this is the process of a trial."""
    return multiprocessing.current_process().name.startswith(PREFIX)


def imports_code_of_a_study() -> bool:
    """Return whether this process only builds modules: in a trial, or for a plan."""
    name = multiprocessing.current_process().name
    return is_trial_process() or name == HELPER_NAME


def _without_main_module(prepare: Any) -> Any:
    @functools.wraps(prepare)
    def prepare_trial(name: str) -> dict[str, Any]:
        data: dict[str, Any] = prepare(name)
        if name.startswith(PREFIX):
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
        return data

    prepare_trial.leaves_out_main_module = True  # type: ignore[attr-defined]
    return prepare_trial
