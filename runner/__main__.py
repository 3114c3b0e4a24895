"""The command `python -m runner`: compose a config, check it, and run the study.

Without arguments it lists the experiments. HYDRA_FULL_ERROR=1 shows tracebacks. Exit codes:

- 0: the study is done.
- 1: a trial failed, or the report could not be written.
- 2: bad input; one line says what is wrong, and no trial is computed.
- 130: stopped by Ctrl-C or SIGTERM.
"""

import gc
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NoReturn

import ablab
from runner.study import interrupts
from runner.wording import output

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from runner.sweeps.task import JobOutcome

GARBAGE_THRESHOLD = 50_000  # new objects after which Python searches for garbage; its own is 700
VERBS = {
    "redraw": ("runner.commands.redraw:redraw", "write the newest report again"),
    "parts": ("runner.commands.parts:print_parts", "list the options of every group"),
    "new": ("runner.commands.new:write_new", "write a part of your own, with its test"),
    "schema": ("runner.commands.schema:print_schema", "print the JSON schema of YAML, for editors"),
    "store": (
        "runner.commands.store:manage_store",
        "list outputs; delete what no run needs",
    ),
    "board": ("runner.commands.board:write_board", "write all claims with their verdicts"),
}
"""Verb -> the function that it calls with the other arguments, and its meaning in the list."""
STOPPED, RESUME_HINT = "stopped", "; finished trials are kept, the same command resumes them"


def main() -> None:
    """Run the command, and print one clear message for any error."""
    output.protect_streams()
    interrupts.listen()
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises errors instead of printing them
    stopped = STOPPED + (RESUME_HINT if computes(sys.argv[1:]) else "")
    try:
        dispatch_command(full_error=full_error)
        interrupts.raise_if_interrupted()
    except KeyboardInterrupt:
        print_and_exit(stopped, 130)
    except Exception as error:
        if interrupts.ReceivedSignals.count:  # a signal caused the error
            print_and_exit(stopped, 130)
        if full_error:
            raise
        from runner.plan.error_messages import explain

        print_and_exit(*explain(error, planning=True))
    except SystemExit as error:  # of this command, unless a user's code has called sys.exit
        from runner.plan.user_code import describe_user_error

        if full_error or not (message := describe_user_error(error)):
            raise
        print_and_exit(message, 2)


def run_main_process() -> None:
    """Run the command as a process, whose exit code a late signal cannot change."""
    gc.disable()  # until `end_start_up`
    try:
        main()
    finally:
        interrupts.stop_listening()  # otherwise a signal during shutdown would kill Python


def end_start_up() -> None:
    """Let Python search for garbage, but not among the objects of the start, which live to the end.

    Planning makes many more that live to the end, so that Python searches rarely.
    """
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    gc.enable()


def computes(arguments: list[str]) -> bool:
    """Return whether a command computes trials, judged by its arguments."""
    return "plan=only" not in arguments and not (arguments and arguments[0] in VERBS)


def print_list_or_version(arguments: list[str]) -> bool:
    """Print the list of experiments or the version if requested; return whether it was.

    `--config-dir` and `plugins=[...]` without other arguments add the user's own experiments.
    """
    from runner.plan import listing

    request = listing.parse_list_request(arguments)
    if request is not None:
        print(listing.list_experiments(*request))  # noqa: T201
        print(f"\n{list_verbs()}")  # noqa: T201
    elif "--version" in arguments:
        from runner.records.provenance import package_version

        print(f"ablab {package_version('ablab')}")  # noqa: T201
    else:
        return False
    return True


def list_verbs() -> str:
    """Return a line for each verb: how to type it, and its meaning."""
    lines = [f"  {f'python -m runner {verb}':<24} {said}" for verb, (_, said) in VERBS.items()]
    return "\n".join(["Other commands (each has --help):", *lines])


def check_words(arguments: Sequence[str]) -> None:
    """Raise ConfigError for a verb behind other arguments, or for a mistyped verb.

    A first word may also be an experiment or a key; a later check says what it lacks.
    """
    from runner import registry
    from runner.config import STUDY_KEYS, ConfigError
    from runner.plan.user_arguments import FOLDER_FLAGS
    from runner.wording.names import name_hint

    for before, verb in pairwise(arguments):
        if verb in VERBS and before not in FOLDER_FLAGS:
            raise ConfigError(f"{verb} is a command of its own; type python -m runner {verb}")
    word = arguments[0]
    known = (*registry.experiment_names(), *registry.group_names(), *STUDY_KEYS)
    if word.isidentifier() and word not in known:
        short = output.truncate_middle(word, 80)
        raise ConfigError(f"{short}: there is no such command; {name_hint(word, VERBS)}")


def dispatch_command(*, full_error: bool) -> None:
    """Print the list or the version, call a verb, or run a study."""
    if print_list_or_version(sys.argv[1:]):
        return
    if sys.argv[1] in VERBS:
        end_start_up()
        module, _, function = VERBS[sys.argv[1]][0].partition(":")
        getattr(importlib.import_module(module), function)(sys.argv[2:])
        return
    check_words(sys.argv[1:])
    compose_and_run(full_error=full_error)


def compose_and_run(*, full_error: bool) -> None:
    """Check the arguments, let Hydra compose, and run a study or a sweep."""
    from runner.plan import arguments, hydra_loader
    from runner.study import hydra_app

    hydra_loader.install_checked_loader()
    command = shlex.join(["python", "-m", "runner", *sys.argv[1:]])

    def run_study(config: "DictConfig") -> "JobOutcome":
        from runner.sweeps.task import StudyTask

        end_start_up()
        return StudyTask(command=command, full_error=full_error)(config)

    sys.argv[1:] = checked = arguments.check_arguments(sys.argv[1:])
    if arguments.is_sweep(checked):
        from runner.sweeps.command import run_sweep

        end_start_up()
        code = run_sweep(checked, command, full_error=full_error)
    else:
        outcome = hydra_app.call_with_config(checked, run_study)
        code = outcome.exit_code if outcome is not None else 0
    interrupts.raise_if_interrupted()
    if code:
        sys.exit(code)


def print_and_exit(message: str, code: int) -> NoReturn:
    """Print a message to stderr and exit."""
    if code == 130:
        interrupts.stop_listening()  # another signal would change the exit code
    output.say(message)
    sys.exit(code)


if __name__ == "__main__":
    ablab.check()
    run_main_process()
