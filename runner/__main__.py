"""`python -m runner`: compose a config, validate it, hand it over.

Alone it lists the experiments. Bad input ends in one clear line and exit code 2, a failed trial in
exit code 1; tracebacks are shown with HYDRA_FULL_ERROR=1.
"""

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import NoReturn

from ablab import leave_out_current_folder, stranger
from runner import output

CONF = Path(__file__).resolve().parent.parent / "conf"


def main() -> None:
    """The command."""
    output.protect_streams()
    leave_out_current_folder()
    if why := stranger():
        leave(why, 2)
    if len(sys.argv) == 1:
        from runner.plan.listing import listing

        print(listing())  # noqa: T201
        return
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    signal.signal(signal.SIGTERM, stop)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of being printed by Hydra
    try:
        if sys.argv[1] == "redraw":
            from runner.report.redraw import redraw

            redraw(sys.argv[2:])
        else:
            compose_and_run(full_error=full_error)
    except KeyboardInterrupt:
        leave("stopped; finished trials are kept, the same command goes on from there", 130)
    except Exception as error:
        if full_error:
            raise
        leave(*explain(error))


def stop(*_: object) -> NoReturn:
    """What SIGTERM does: the same as Ctrl-C, so that trials leave checkpoints."""
    raise KeyboardInterrupt


def compose_and_run(*, full_error: bool) -> None:
    """Check the arguments, let Hydra compose, and run the study of each point of a sweep."""
    import hydra
    from omegaconf import DictConfig

    from runner.plan import arguments, loading

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

        hydra_config = HydraConfig.get()
        sweep = hydra_config.mode is RunMode.MULTIRUN
        elsewhere = hydra_config.runtime.choices["hydra/launcher"] != "basic"
        overrides = list(hydra_config.overrides.task)
        try:
            done.append(study.run_and_report(config, overrides, "" if sweep else command))
        except Exception as error:
            if full_error or (sweep and elsewhere):
                raise
            message, code = explain(error)
            point = f" ({arguments.command(overrides)})" if sweep else ""
            say(message + point)
            failed.append((point, code))

    try:
        job()
    finally:
        loading.remove_sweep_folder()
    if len(done) + len(failed) > 1:
        told = [f"{len(done)} studies done, {len(failed)} failed:", *done]
        print("\n".join(["", *told]))  # noqa: T201
    if failed:
        sys.exit(max(code for _, code in failed))


def explain(error: Exception) -> tuple[str, int]:
    """What an error says to a user, in at most three lines, and the exit code."""
    from runner.config import ConfigError
    from runner.study import StudyError

    if isinstance(error, ConfigError):
        return str(error), 2
    if isinstance(error, StudyError):
        return str(error), 1
    text = " ".join(str(error).split()) or type(error).__name__
    if type(error).__module__.split(".")[0] in ("hydra", "omegaconf"):
        from runner.plan.composing import compose_error

        return compose_error(error), 2
    return f"{type(error).__name__}: {text} (HYDRA_FULL_ERROR=1 shows the traceback)", 1


def say(message: str) -> None:
    """Print a message for the user."""
    print("\n".join(f"ablab: {line}" for line in message.splitlines()), file=sys.stderr)  # noqa: T201


def leave(message: str, code: int) -> NoReturn:
    """Print a message for the user and exit."""
    say(message)
    sys.exit(code)


if __name__ == "__main__":
    main()
