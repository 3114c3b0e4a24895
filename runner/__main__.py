"""The command `python -m runner`: compose a config, check it, and run the study.

Without arguments it lists the experiments. HYDRA_FULL_ERROR=1 shows tracebacks. Exit codes:

- 0: the study is done.
- 1: a trial failed, or the report could not be written.
- 2: bad input; one line says what is wrong, and no trial is computed.
- 130: stopped by Ctrl-C or SIGTERM.
"""

import contextlib
import gc
import importlib
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import ablab
from runner.study import interrupts
from runner.wording import output

CONF = Path(__file__).resolve().parent.parent / "conf"
GARBAGE_THRESHOLD = 50_000  # new objects after which Python searches for garbage; its own is 700
Outcome = tuple[str, int, tuple[str, ...]]
"""A study's summary line, or the sweep point that failed; the exit code; the study's overrides."""
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


def run_main_process() -> None:
    """Run the command as a process, whose exit code a late signal cannot change."""
    # Planning makes many objects that live to the end. Searching them for garbage takes time.
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        main()
    finally:
        interrupts.stop_listening()  # otherwise a signal during shutdown would kill Python


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


def check_verb(word: str) -> None:
    """Raise ConfigError for a word that is neither a verb, nor an experiment, nor a key."""
    from runner import registry
    from runner.config import STUDY_KEYS, ConfigError
    from runner.wording.names import name_hint

    known = (*registry.experiment_names(), *registry.group_names(), *STUDY_KEYS)
    if word.isidentifier() and word not in known:
        short = output.truncate_middle(word, 80)
        raise ConfigError(f"{short}: there is no such command; {name_hint(word, VERBS)}")


def dispatch_command(*, full_error: bool) -> None:
    """Print the list or the version, call a verb, or run a study."""
    if print_list_or_version(sys.argv[1:]):
        return
    if sys.argv[1] in VERBS:
        module, _, function = VERBS[sys.argv[1]][0].partition(":")
        getattr(importlib.import_module(module), function)(sys.argv[2:])
        return
    check_verb(sys.argv[1])
    compose_and_run(full_error=full_error)


def compose_and_run(*, full_error: bool) -> None:
    """Check the arguments, let Hydra compose, and run the study of each point of a sweep."""
    import hydra
    from omegaconf import DictConfig, OmegaConf

    from runner.plan import arguments, hydra_loader
    from runner.plan.error_messages import explain, format_message
    from runner.wording.names import format_count

    hydra_loader.install_checked_loader()
    outcomes: list[Outcome] = []
    command = shlex.join(["python", "-m", "runner", *sys.argv[1:]])
    sys.argv[1:] = arguments.check_arguments(sys.argv[1:])

    @hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
    def job(config: DictConfig) -> Outcome | None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from runner.invocation import run_and_report

        hydra_loader.install_checked_loader()  # not installed in the process of a launcher
        hydra_config = HydraConfig.get()
        sweep = hydra_config.mode is RunMode.MULTIRUN
        choices = hydra_config.runtime.choices
        in_other_process = sweep and choices["hydra/launcher"] != "basic"
        # Hydra's own sweeper brings the return value of a job back from another process.
        is_returned = in_other_process and choices["hydra/sweeper"] == "basic"
        overrides: list[str] = []
        try:
            # Do not resolve `${key}`: each arm resolves it with its own values.
            typed: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
            overrides += typed
            summary = run_and_report(config, overrides, "" if sweep else command)
            outcome = (summary, 0, tuple(overrides))
        except Exception as error:
            interrupts.raise_if_interrupted()
            if full_error or (in_other_process and not is_returned):
                raise
            message, code = explain(error)
            point = (
                f" ({output.truncate_middle(arguments.format_command(overrides), 120)})"
                if sweep
                else ""
            )
            say(format_message(message + point))
            outcome = (point, code, tuple(overrides))
        if is_returned:
            return outcome
        outcomes.append(outcome)
        return None

    try:
        with collect_sweep_results(outcomes):
            job()
    finally:
        hydra_loader.remove_sweep_folder()
    if len(outcomes) > 1:
        done = summarise_sweep(outcomes)
        studies, n_failed = format_count(len(done), "study", "studies"), len(outcomes) - len(done)
        print("\n".join(["", f"{studies} done, {n_failed} failed:", *done]))  # noqa: T201
    interrupts.raise_if_interrupted()
    if code := max((code for _, code, _ in outcomes), default=0):
        sys.exit(code)


def summarise_sweep(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a line for each study of a sweep that is done, with the overrides that only it has.

    For example `ffn.n_experts=4: 4 trials, 0 reused: outputs/...`. Without such overrides the line
    has the experiment's name.
    """
    common = set.intersection(*(set(overrides) for _, _, overrides in outcomes))
    lines = []
    for summary, code, overrides in outcomes:
        own = " ".join(text.removeprefix("++") for text in overrides if text not in common)
        if code == 0:
            experiment, _, rest = summary.partition(": ")
            lines.append(f"{own or experiment}: {rest}")
    return lines


@contextlib.contextmanager
def collect_sweep_results(outcomes: list[Outcome]) -> Iterator[None]:
    """Append to a list the return values of a sweep's jobs, which `hydra.main` discards."""
    from hydra._internal.hydra import Hydra

    multirun = Hydra.multirun

    def collecting_multirun(*args: Any, **kwargs: Any) -> Any:
        batches = multirun(*args, **kwargs)
        returns = [run.return_value for batch in batches or () for run in batch]
        outcomes.extend(outcome for outcome in returns if outcome is not None)
        return batches

    Hydra.multirun = collecting_multirun  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.multirun = multirun  # type: ignore[method-assign]


def say(message: str) -> None:
    """Print a message to stderr, each line with the prefix `ablab:`."""
    print("\n".join(f"ablab: {line}" for line in message.splitlines()), file=sys.stderr)  # noqa: T201


def print_and_exit(message: str, code: int) -> NoReturn:
    """Print a message to stderr and exit."""
    if code == 130:
        interrupts.stop_listening()  # another signal would change the exit code
    say(message)
    sys.exit(code)


if __name__ == "__main__":
    ablab.check()
    run_main_process()
