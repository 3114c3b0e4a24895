"""`python -m runner`: compose a config, validate it, hand it over.

Alone it lists the experiments. Bad input ends in one clear line and exit code 2, a failed trial in
exit code 1; tracebacks are shown with HYDRA_FULL_ERROR=1.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

CONF = Path(__file__).resolve().parent.parent / "conf"


def main() -> None:
    """The command."""
    if len(sys.argv) == 1:
        from runner.listing import listing

        print(listing())  # noqa: T201
        return
    full_error = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors reach us instead of being printed by Hydra
    try:
        if sys.argv[1] == "redraw":
            from runner.redraw import redraw

            redraw(sys.argv[2:])
        else:
            compose_and_run(full_error=full_error)
    except KeyboardInterrupt:
        leave("stopped; finished trials are kept, the same command goes on from there", 130)
    except Exception as error:
        if full_error:
            raise
        leave(*explain(error))


def compose_and_run(*, full_error: bool) -> None:
    """Check the arguments, let Hydra compose, and run the study of each point of a sweep."""
    import hydra
    from omegaconf import DictConfig, OmegaConf

    from runner import arguments

    for resolver in ("oc.env", "oc.decode", "oc.create"):
        OmegaConf.clear_resolver(resolver)
    done: list[str] = []
    command = shlex.join(["python", "-m", "runner", *sys.argv[1:]])
    sys.argv[1:] = arguments.check(sys.argv[1:])

    @hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")
    def job(config: DictConfig) -> None:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from runner import study

        sweep = HydraConfig.get().mode is RunMode.MULTIRUN
        overrides = list(HydraConfig.get().overrides.task)
        try:
            done.append(study.run_and_report(config, overrides, "" if sweep else command))
        except Exception as error:
            if full_error or sweep:
                raise  # a sweep goes on with its next point and fails at its end
            leave(*explain(error))

    job()
    if len(done) > 1:
        print("\n".join(["", f"{len(done)} studies:", *done]))  # noqa: T201


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
        from runner.composing import compose_error

        return compose_error(error), 2
    return f"{type(error).__name__}: {text} (HYDRA_FULL_ERROR=1 shows the traceback)", 1


def leave(message: str, code: int) -> NoReturn:
    """Print a message for the user and exit."""
    print("\n".join(f"ablab: {line}" for line in message.splitlines()), file=sys.stderr)  # noqa: T201
    sys.exit(code)


if __name__ == "__main__":
    main()
