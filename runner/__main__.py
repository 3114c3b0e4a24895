"""`python -m runner`: compose a config, validate it, hand it over.

Alone it lists the experiments. Exit codes: 0 all is done, 1 a trial failed or the report could not
be written, 2 bad input (one clear line, nothing is computed), 130 stopped by Ctrl-C or SIGTERM.
Tracebacks are shown with HYDRA_FULL_ERROR=1.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import ablab
from runner.study import interrupts
from runner.wording import output

CONF = Path(__file__).resolve().parent.parent / "conf"
Outcome = tuple[str, int]
"""How a study ended: the line that sums it up, or the point that failed, and its exit code."""
STOPPED, RESUME_HINT = "stopped", "; finished trials are kept, the same command resumes them"


def main() -> None:
    """The command."""
    output.protect_streams()
    interrupts.listen()
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of being printed by Hydra
    stopped = STOPPED + (RESUME_HINT if computes(sys.argv[1:]) else "")
    try:
        dispatch_command(full_error=full_error)
        interrupts.raise_if_interrupted()
    except KeyboardInterrupt:
        leave(stopped, 130)
    except Exception as error:
        if interrupts.ReceivedSignals.count:  # the error followed from a signal
            leave(stopped, 130)
        if full_error:
            raise
        from runner.plan.error_messages import explain

        leave(*explain(error, planning=True))


def run_main_process() -> None:
    """The command as a process of its own, whose exit code no late signal changes."""
    try:
        main()
    finally:
        interrupts.stop_listening()  # Python would end by a signal that comes while it shuts down


def computes(arguments: list[str]) -> bool:
    """Whether a command computes trials, as far as its words say."""
    return arguments[:1] != ["redraw"] and "plan=only" not in arguments


def listed_or_version(arguments: list[str]) -> bool:
    """Whether the command asks for the list of experiments or the version, which is then printed.

    `--config-dir` alone lists the user's own experiments too.
    """
    from runner.plan import listing

    alone, own = listing.parse_list_request(arguments)
    if alone:
        print(listing.list_experiments(own))  # noqa: T201
    elif "--version" in arguments:
        from runner.records.provenance import package_version

        print(f"ablab {package_version('ablab')}")  # noqa: T201
    else:
        return False
    return True


def dispatch_command(*, full_error: bool) -> None:
    """Do what the command line says."""
    if listed_or_version(sys.argv[1:]):
        return
    if sys.argv[1] == "redraw":
        from runner.report.redraw import redraw

        redraw(sys.argv[2:])
    else:
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

        hydra_loader.install_checked_loader()  # a launcher's process has not
        hydra_config = HydraConfig.get()
        sweep = hydra_config.mode is RunMode.MULTIRUN
        choices = hydra_config.runtime.choices
        elsewhere = sweep and choices["hydra/launcher"] != "basic"
        # What a job returns comes back from another process, if the sweeper is Hydra's own.
        returned = elsewhere and choices["hydra/sweeper"] == "basic"
        overrides: list[str] = []
        try:
            # As typed: each arm resolves `${key}` for itself.
            typed: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
            overrides += typed
            outcome = (run_and_report(config, overrides, "" if sweep else command), 0)
        except Exception as error:
            interrupts.raise_if_interrupted()
            if full_error or (elsewhere and not returned):
                raise
            message, code = explain(error)
            point = (
                f" ({output.truncate_middle(arguments.format_command(overrides), 120)})"
                if sweep
                else ""
            )
            say(format_message(message + point))
            outcome = (point, code)
        if returned:
            return outcome
        outcomes.append(outcome)
        return None

    try:
        with returns_kept(outcomes):
            job()
    finally:
        hydra_loader.remove_sweep_folder()
    done = [told for told, code in outcomes if code == 0]
    if len(outcomes) > 1:
        studies, n_failed = format_count(len(done), "study", "studies"), len(outcomes) - len(done)
        print("\n".join(["", f"{studies} done, {n_failed} failed:", *done]))  # noqa: T201
    interrupts.raise_if_interrupted()
    if code := max((code for _, code in outcomes), default=0):
        sys.exit(code)


@contextlib.contextmanager
def returns_kept(kept: list[Outcome]) -> Iterator[None]:
    """Add to a list what the jobs of a sweep return, which `hydra.main` throws away."""
    from hydra._internal.hydra import Hydra

    multirun = Hydra.multirun

    def keeping(*given: Any, **named: Any) -> Any:
        batches = multirun(*given, **named)
        returns = [run.return_value for batch in batches or () for run in batch]
        kept.extend(outcome for outcome in returns if outcome is not None)
        return batches

    Hydra.multirun = keeping  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.multirun = multirun  # type: ignore[method-assign]


def say(message: str) -> None:
    """Print a message for the user."""
    print("\n".join(f"ablab: {line}" for line in message.splitlines()), file=sys.stderr)  # noqa: T201


def leave(message: str, code: int) -> NoReturn:
    """Print a message for the user and exit."""
    if code == 130:
        interrupts.stop_listening()  # a further one would change the exit code
    say(message)
    sys.exit(code)


if __name__ == "__main__":
    ablab.check()
    run_main_process()
