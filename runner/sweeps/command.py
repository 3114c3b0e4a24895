"""The command with `-m`: launch the jobs of a sweep, and report its studies. No torch."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from runner.config import ConfigError
from runner.plan import hydra_loader, launchers
from runner.plan.data import check_outputs_writable
from runner.study import hydra_app, interrupts
from runner.study.store_use import use_trials
from runner.study.study_part import StudyPart
from runner.sweeps.jobs import SweepJob
from runner.sweeps.other_sweeper import run_other_sweeper
from runner.sweeps.outcomes import LEFT_OUT, PointOutcome, describe_points, find_exit_code
from runner.sweeps.points import Seeds, SweepPoint, group_into_points
from runner.sweeps.request import SweepRequest, read_request, reserve_folder
from runner.sweeps.task import JobOutcome, StudyTask, describe_failure, stop_others
from runner.wording.output import describe_error, say, truncate_middle

STOP_FILE, SWEEPS = ".stopped", "sweeps"


def run_sweep(checked: Sequence[str], command: str, *, full_error: bool) -> int:
    """Compute every point of a sweep and report; return the exit code.

    Raises:
        ConfigError: the command line is bad input as a whole.
    """
    request = read_request(checked)
    if request.has_other_sweeper:
        return find_exit_code(run_other_sweeper(checked, full_error=full_error))
    check_outputs_writable(request.outputs, SWEEPS, probe=not request.plans_only)
    with reserve_folder(request.outputs) as folder:
        return run_listed_jobs(SweepLaunch(request, folder, full_error=full_error), command)


def run_listed_jobs(launch: "SweepLaunch", command: str) -> int:
    """Compute the points of the listed values and report; return the exit code."""
    request, full_error = launch.request, launch.full_error
    points, notes = group_into_points(request.jobs, launch.read_seeds)
    notes = [*request.notes, *notes]
    for note in notes:
        print(f"note: {note}", flush=True)  # noqa: T201
    outcomes = launch.compute(points)
    interrupts.raise_if_interrupted()
    page, code = None, find_exit_code(outcomes)
    if len(points) > 1 and any(one.outcome.folder for one in outcomes):
        from runner.sweeps.report import report_sweep

        try:
            page = report_sweep(launch.folder, request.title, command, outcomes, notes)
        except Exception as error:  # the reports of the points are kept
            interrupts.raise_if_interrupted()
            if full_error:
                raise
            text = truncate_middle(describe_error(error), 160)
            say(f"the page of the sweep could not be written: {text}")
            code = 1
    jobs = launch.folder / "jobs"  # the output of a launcher's jobs, if it keeps them in files
    if len(points) > 1 or outcomes[0].point.is_shared or jobs.is_dir():
        print(describe_points(outcomes, page))  # noqa: T201
    if jobs.is_dir():
        print(f"output of the jobs: {jobs}")  # noqa: T201
    return code


@dataclass(frozen=True)
class SweepLaunch:
    """The launch of a sweep's jobs, and of the parts of a study that this process does itself."""

    request: SweepRequest
    folder: Path
    full_error: bool = False

    @property
    def stop_file(self) -> Path:
        """The file that keeps later jobs from starting once a point has failed."""
        return self.folder.absolute() / STOP_FILE

    def read_seeds(self, job: SweepJob) -> Seeds:
        """Return the first seed of a job and the number of its seeds.

        A config that cannot be composed has one seed: its job reports the error.
        """
        seeds: Any = (0, 1)
        with contextlib.suppress(Exception):
            seeds = self._call(job.overrides, lambda config: (config.seed, config.n_seeds))
        interrupts.raise_if_interrupted()
        first, number = seeds
        are_numbers = isinstance(first, int) and isinstance(number, int)
        return (first, max(1, number)) if are_numbers else (0, 1)

    def compute(self, points: Sequence[SweepPoint]) -> list[PointOutcome]:
        """Compute and report all points; the jobs of a shared study only compute its trials."""
        uses = contextlib.ExitStack()
        # Check the launcher before a shared study is planned, which may take a minute.
        if any(point.is_shared for point in points):
            _, failure = self._call_launcher([], StudyTask())
            if failure is not None:
                raise failure
        try:
            opened = {i: self._open(one) for i, one in enumerate(points) if one.is_shared}
            for point in (one for one in points if one.is_shared):
                self._use_trials(point, uses)
            ready = [i for i, _ in enumerate(points) if i not in opened or opened[i] is None]
            jobs = [(i, job) for i in ready for job in points[i].jobs]
            results = self._launch([(points[i], job) for i, job in jobs])
            outcomes = []
            for i, point in enumerate(points):
                mine = [one for (number, _), one in zip(jobs, results, strict=True) if number == i]
                outcome = opened.get(i) or self.finish(point, mine)
                outcomes.append(PointOutcome(point, outcome))
        finally:
            uses.close()
            with contextlib.suppress(OSError):
                self.stop_file.unlink()
        return outcomes

    def _open(self, point: SweepPoint) -> JobOutcome | None:
        """Plan a shared study and register its claims; return an outcome if nothing is to do."""
        if self.stop_file.exists():
            return LEFT_OUT
        outcome = self._do(point, StudyPart.opening)
        is_open = outcome.state == "done" and not outcome.summary  # plan=only has a summary
        return None if is_open else outcome

    def _use_trials(self, point: SweepPoint, uses: contextlib.ExitStack) -> None:
        """Keep the trials of a shared study from being deleted between its jobs and its report."""
        with contextlib.suppress(Exception):  # its job reports a config that cannot be composed
            place = self._call(point.overrides, lambda config: (config.outputs, config.experiment))
            outputs, experiment = place
            uses.enter_context(use_trials(Path(str(outputs)), str(experiment)))
        interrupts.raise_if_interrupted()

    def _launch(self, jobs: Sequence[tuple[SweepPoint, SweepJob]]) -> list[JobOutcome]:
        """Return the outcome of each job, by the chosen launcher."""
        if not jobs:
            return []
        request = self.request
        part = StudyPart.trials if jobs[0][0].is_shared else StudyPart.whole
        task = StudyTask(part, "", str(self.stop_file), is_point=True, full_error=self.full_error)
        with launchers.planning_for_jobs(request.hydra if request.plans_only else ()):
            values, failure = self._call_launcher([job.overrides for _, job in jobs], task)
        interrupts.raise_if_interrupted()
        if failure is not None:
            if self.full_error or (isinstance(failure, ConfigError) and not any(values)):
                raise failure
            lost = replace(describe_failure(failure), state="failed")
            return [value or lost for value in values]
        return values

    def _call_launcher(self, jobs: Sequence[Sequence[str]], task: StudyTask) -> hydra_app.Launched:
        """Call the task with each job by the launcher; with no jobs, only check its settings."""
        request = self.request
        hydra_loader.SweepFolder.path = self.folder
        arguments = [*request.flags, *request.hydra, *request.shared]
        # A plan is printed here, also if jobs of a launcher would compute its trials.
        here = request.plans_only
        return hydra_app.launch_jobs(arguments, jobs, task, self._refuse, here=here)

    def finish(self, point: SweepPoint, results: Sequence[JobOutcome]) -> JobOutcome:
        """Return the outcome of a point; a shared study is reported now."""
        if not point.is_shared:
            return results[0]
        if any(one.state == "not run" for one in results):
            return next((one for one in results if one.state in ("failed", "refused")), LEFT_OUT)
        outcome = self._do(point, StudyPart.report)
        if outcome.state == "done" or outcome.log:
            return outcome
        # A job without a trial's log may have a log of its own launcher.
        log = next((one.log for one in results if one.log), "")
        return replace(outcome, log=log)

    def _do(self, point: SweepPoint, part: StudyPart) -> JobOutcome:
        """Do a part of a point's whole study in this process."""
        stop_file = str(self.stop_file) if part is StudyPart.opening else ""
        task = StudyTask(part, "", stop_file, is_point=True, full_error=self.full_error)
        try:
            with launchers.planning_for_jobs(self.request.hydra):
                outcome: JobOutcome = self._call(point.overrides, task)
        except Exception as error:
            interrupts.raise_if_interrupted()
            outcome = self._refuse(point.overrides, error)
        return outcome

    def _refuse(
        self, overrides: Sequence[str], error: Exception, config: DictConfig | None = None
    ) -> JobOutcome:
        """Return the outcome of a job that was lost, or whose config cannot be composed (None)."""
        if self.full_error:
            raise error
        if self.request.fails_fast or (config is not None and config.get("fail_fast") is True):
            stop_others(self.stop_file)
        return describe_failure(error, overrides)

    def _call(self, overrides: Sequence[str], task: hydra_app.Task) -> Any:
        return hydra_app.call_with_config([*self.request.flags, *overrides], task)
