"""`python -m runner`: compose a config, validate it, hand it over.

Alone it lists the experiments. Exit codes: 0 all is done, 1 a trial failed or the report could not
be written, 2 bad input (one clear line, nothing is computed), 130 stopped by Ctrl-C or SIGTERM.
Tracebacks are shown with HYDRA_FULL_ERROR=1.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

import ablab
from runner import interrupts, output

CONF = Path(__file__).resolve().parent.parent / "conf"
STOPPED, KEPT = "stopped", "; finished trials are kept, the same command goes on from there"


def main() -> None:
    """The command."""
    output.protect_streams()
    interrupts.listen()
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of being printed by Hydra
    stopped = STOPPED + (KEPT if computes(sys.argv[1:]) else "")
    try:
        run(full_error=full_error)
        interrupts.check()
    except KeyboardInterrupt:
        leave(stopped, 130)
    except Exception as error:
        if interrupts.Heard.count:  # the error followed from a signal
            leave(stopped, 130)
        if full_error:
            raise
        from runner.plan.explaining import explain

        leave(*explain(error, planning=True))


def computes(arguments: list[str]) -> bool:
    """Whether a command computes trials, as far as its words say."""
    return arguments[:1] != ["redraw"] and "plan=only" not in arguments


def listed_or_version(arguments: list[str]) -> bool:
    """Whether the command asks for the list of experiments or the version, which is then printed.

    `--config-dir` alone lists the user's own experiments too.
    """
    from runner.plan import listing

    alone, own = listing.alone(arguments)
    if alone:
        print(listing.listing(own))  # noqa: T201
    elif "--version" in arguments:
        from runner.provenance import version

        print(f"ablab {version('ablab')}")  # noqa: T201
    else:
        return False
    return True


def run(*, full_error: bool) -> None:
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
    from omegaconf import DictConfig

    from runner.plan import arguments, loading
    from runner.plan.explaining import explain

    loading.check_all_loading()
    done: list[str] = []
    failed: list[tuple[str, int]] = []
    command = shlex.join(["python", "-m", "runner", *sys.argv[1:]])
    sys.argv[1:] = arguments.check(sys.argv[1:])

    @hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
    def job(config: DictConfig) -> None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from runner import study

        loading.check_all_loading()  # a launcher's process has not
        hydra_config = HydraConfig.get()
        sweep = hydra_config.mode is RunMode.MULTIRUN
        elsewhere = hydra_config.runtime.choices["hydra/launcher"] != "basic"
        overrides = list(hydra_config.overrides.task)
        try:
            done.append(study.run_and_report(config, overrides, "" if sweep else command))
        except Exception as error:
            interrupts.check()
            if full_error or (sweep and elsewhere):
                raise
            message, code = explain(error)
            point = f" ({output.shortened(arguments.command(overrides))})" if sweep else ""
            say(message + point)
            failed.append((point, code))

    try:
        job()
    finally:
        loading.remove_sweep_folder()
    if len(done) + len(failed) > 1:
        told = [f"{len(done)} studies done, {len(failed)} failed:", *done]
        print("\n".join(["", *told]))  # noqa: T201
    interrupts.check()
    if failed:
        sys.exit(max(code for _, code in failed))


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
    main()
