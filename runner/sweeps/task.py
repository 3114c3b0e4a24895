"""The task of one job: compute a study or a part of it, and return what happened. No torch."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf

from runner.config import StudyError
from runner.study import interrupts
from runner.study.study_part import StudyPart
from runner.wording import output

State = Literal["done", "failed", "refused", "not run"]
EXIT_CODES: dict[State, int] = {"done": 0, "failed": 1, "refused": 2, "not run": 0}
MAX_COMMAND = 400  # characters; the command of a point is printed whole, to be typed again
STOPPED = "not run, because an earlier point failed and fail_fast=true"


@dataclass(frozen=True)
class JobOutcome:
    """The outcome of one job; it can be pickled, and needs no torch.

    Attributes:
        state: done; failed (a trial or the report failed); refused (bad input); or not run.
        summary: one line on the study that is done.
        message: the error in words.
        experiment: the name of the question; "" if the config was refused.
        folder: the run folder with the report; "" without one.
        log: the log of the first failed trial; "" without one.
    """

    state: State
    summary: str = ""
    message: str = ""
    experiment: str = ""
    folder: str = ""
    log: str = ""

    @property
    def exit_code(self) -> int:
        """The exit code of a command with only this job."""
        return EXIT_CODES[self.state]

    @property
    def is_plan_only(self) -> bool:
        """Whether the job only printed a plan: it is done, and has no run folder."""
        return self.state == "done" and not self.folder


@dataclass(frozen=True)
class StudyTask:
    """The task that Hydra calls with the config of a job.

    Attributes:
        part: the part of the study to do.
        command: the command that the report shows; "" for the one made from the overrides.
        stop_file: a file that exists once a point has failed with `fail_fast=true`; "" without one.
        is_point: whether messages name the point.
        full_error: whether errors are raised instead of returned.
    """

    part: StudyPart = StudyPart.whole
    command: str = ""
    stop_file: str = ""
    is_point: bool = False
    full_error: bool = False

    def __call__(self, config: DictConfig) -> JobOutcome:
        """Do this part of the study, print any error, and return the outcome."""
        from hydra.core.hydra_config import HydraConfig

        from runner import invocation
        from runner.plan import hydra_loader

        if self.stop_file and Path(self.stop_file).exists():
            return JobOutcome("not run", message=STOPPED)
        hydra_loader.install_checked_loader()  # not installed in the process of a launcher
        experiment, overrides = "", []
        try:
            experiment = str(config.get("experiment") or "")
            # Do not resolve `${key}`: each arm resolves it with its own values.
            typed: Any = OmegaConf.to_container(HydraConfig.get().overrides.task, resolve=False)
            overrides += typed
            finished = invocation.run_study(config, overrides, self.command, part=self.part)
        except (Exception, SystemExit) as error:  # a user's code may call sys.exit
            interrupts.raise_if_interrupted()
            if self.full_error:
                raise
            outcome = describe_failure(error, overrides if self.is_point else (), experiment)
            if self.stop_file and config.get("fail_fast") is True:
                stop_others(Path(self.stop_file))
            return outcome
        folder = finished.folder
        return JobOutcome(
            "done",
            finished.summary,
            experiment=finished.plan.experiment,
            folder="" if folder is None else str(folder.absolute()),
        )


def describe_failure(
    error: BaseException, overrides: Sequence[str] = (), experiment: str = ""
) -> JobOutcome:
    """Print an error of a job, with the command of its point, and return it as an outcome."""
    from runner.plan.arguments import format_command
    from runner.plan.error_messages import explain, format_message

    message, code = explain(error)
    point = (
        f" ({output.truncate_middle(format_command(overrides), MAX_COMMAND)})" if overrides else ""
    )
    output.say(format_message(message) + point)
    folder, log = None, None
    if isinstance(error, StudyError):
        folder, log = error.folder, error.log
    return JobOutcome(
        "refused" if code == 2 else "failed",
        message=message,
        experiment=experiment,
        folder=str(folder.absolute()) if folder else "",
        log=str(log.absolute()) if log else "",
    )


def stop_others(path: Path) -> None:
    """Leave the file that keeps later jobs of the sweep from starting."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
