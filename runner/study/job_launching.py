"""Launch the jobs of a sweep so that it ends complete although processes are killed. No torch.

Hydra's launchers give up the whole sweep if one job is lost, for example because its machine was
taken away. Here a lost job is launched again. It repeats nothing, because finished trials are in
the store, and running ones have written checkpoints. Ray starts lost jobs again by itself.
"""

import contextlib
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig

from runner import device
from runner.config import ConfigError, StudyError
from runner.plan.launchers import CORES, Engine, engine_of
from runner.study import interrupts
from runner.wording.names import format_count
from runner.wording.output import describe_error, truncate_middle

SETTINGS_ERRORS = (ValueError, TypeError, AssertionError, ArithmeticError, HydraException)
MAX_LAUNCHES = 3
"""The most times that a job is launched, if its process ends without a result."""


class LostJobError(StudyError):
    """A job that ended without a result.

    Attributes:
        log: the file of its output; None if its launcher has none.
        is_final: whether it must not be launched again, because a user has cancelled it.
    """

    def __init__(self, message: str, log: Path | None = None, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.log, self.is_final = log, is_final


@dataclass(frozen=True)
class JobTask:
    """A task that runs in the process of a launcher's job; it can be pickled.

    Attributes:
        task: the task of a config.
        folder: the current folder of the command.
        cores: the cores that the job may use; None for those of its process.
    """

    task: Callable[[DictConfig], Any]
    folder: str
    cores: int | None = None

    def __call__(self, config: DictConfig) -> Any:
        """Call the task; after a signal let the launcher end or queue the job.

        Raises:
            ConfigError: this machine does not have the folder of the command.
        """
        try:
            os.chdir(self.folder)  # a process of Ray may have another one
        except OSError as error:
            raise ConfigError(
                f"{self.folder}, the current folder of the command, cannot be used on "
                f"{platform.node()} ({error.strerror}); all machines need it under the same path"
            ) from error
        if self.cores is not None:
            os.environ[CORES] = str(self.cores)
        with interrupts.listen_in_job():
            return self.task(config)


def launch(
    launcher: Launcher, jobs: Sequence[Sequence[str]], first_number: int
) -> list[JobReturn | LostJobError]:
    """Compute jobs by a launcher of Hydra; return the result of each job.

    Args:
        launcher: the launcher, set up with config and task.
        jobs: the overrides of each job.
        first_number: the number of the first job within the sweep.

    Raises:
        ConfigError: the launcher has no engine here, e.g. no Ray cluster.
    """
    if isinstance(launcher, BasicLauncher) or not jobs:
        return list(launcher.launch(jobs, initial_job_idx=first_number))
    config: DictConfig = vars(launcher)["config"]
    name = str(config.hydra.runtime.choices["hydra/launcher"])
    engine = engine_of(name)
    at_a_time, cores = share_cores(engine, config.hydra.launcher, jobs)
    task = vars(launcher)["task_function"]
    if not isinstance(task, JobTask):
        vars(launcher)["task_function"] = JobTask(task, os.getcwd(), cores)  # noqa: PTH109
    results: dict[int, JobReturn | LostJobError] = {}
    due = list(range(len(jobs)))
    with submitted_jobs(engine), removing_folder_template(config.hydra.launcher):
        for launches in range(1, MAX_LAUNCHES + 1):
            for start in range(0, len(due), at_a_time):
                batch = due[start : start + at_a_time]
                ended: list[JobReturn | LostJobError]
                try:
                    ended = launch_once(launcher, name, [jobs[i] for i in batch], first_number)
                except Exception as error:
                    interrupts.raise_if_interrupted()
                    if not results:
                        raise
                    # The jobs of earlier batches keep their results.
                    ended = [LostJobError(describe_error(error), is_final=True) for _ in batch]
                results.update(zip(batch, ended, strict=True))
            due = [i for i in due if isinstance(r := results[i], LostJobError) and not r.is_final]
            if due and launches < MAX_LAUNCHES:
                what = f"{format_count(len(due), 'job')} ended without a result"
                print(f"note: {what}; launched again, finished trials are kept", flush=True)  # noqa: T201
    return [results[i] for i in range(len(jobs))]


def in_this_process(launcher: Launcher) -> Launcher:
    """Return a launcher of the same jobs that computes them here, one after another."""
    basic = BasicLauncher()
    names = ("hydra_context", "task_function", "config")
    basic.setup(**{name: vars(launcher)[name] for name in names})
    return basic


def check_settings(launcher: Launcher) -> None:
    """Check the settings of a launcher that can be checked before it launches anything.

    Raises:
        ConfigError: no point could start.
    """
    config = vars(launcher).get("config")
    if config is not None and config.hydra.runtime.choices["hydra/launcher"] == "ray_local":
        check_ray_resources(config.hydra.launcher.ray)


def check_ray_resources(settings: DictConfig) -> None:
    """Check that a point can start in Ray's instance on this machine; Ray would wait for ever.

    Raises:
        ConfigError: a point needs more cores or GPUs than the instance has.
    """
    init, remote = settings.init, settings.remote
    gpus = None if device.may_have_cuda() else 0  # None: their number is unknown
    available = {
        "num_cpus": init.get("num_cpus") or device.cores(),
        "num_gpus": init.get("num_gpus") or gpus,
    }
    for key, number in available.items():
        needed = remote.get(key) or 0
        if number is not None and needed > number:
            raise ConfigError(
                f"hydra.launcher.ray.remote.{key}={needed}: no point could start, because Ray has "
                f"only {number} here"
            )


def value_of(result: JobReturn | LostJobError) -> Any:
    """Return the value of a job's task. Raises its error, or LostJobError."""
    if isinstance(result, LostJobError):
        raise result
    return result.return_value


def share_cores(
    engine: Engine | None, settings: DictConfig, jobs: Sequence[Sequence[str]]
) -> tuple[int, int | None]:
    """Return how many jobs to launch at a time, and the cores of each; None if its process knows.

    submitit's local executor starts all its jobs at once, so they are launched in batches.
    """
    n_jobs, cores = len(jobs), device.cores()
    if engine is Engine.ray:
        return n_jobs, max(1, int(settings.ray.remote.get("num_cpus", 1) or 1))
    if engine is Engine.joblib:
        limit = settings.n_jobs if settings.n_jobs > 0 else cores + 1 + settings.n_jobs
        at_a_time = max(1, min(n_jobs, limit))
        return n_jobs, max(1, cores // at_a_time)
    if engine is Engine.submitit_local:
        texts = [text.lstrip("+").partition("=") for text in jobs[0]]
        workers = next((value for key, _, value in texts if key == "workers"), "")
        at_a_time = max(1, cores // max(1, int(workers) if workers.isdigit() else 1))
        return at_a_time, max(1, cores // min(n_jobs, at_a_time))
    return n_jobs, None


def launch_once(
    launcher: Launcher, name: str, jobs: Sequence[Sequence[str]], first_number: int
) -> list[JobReturn | LostJobError]:
    """Launch jobs once by the launcher of this name; return a result or an error for each.

    Raises:
        ConfigError: the launcher refuses its settings, or there is no Ray cluster.
    """
    try:
        return list(launcher.launch(jobs, initial_job_idx=first_number))
    except Exception as error:
        interrupts.raise_if_interrupted()
        if engine_of(name) is Engine.ray and isinstance(error, ConnectionError):
            raise ConfigError(
                f"hydra/launcher={name}: no Ray cluster answers; start one with "
                "ray start --head, or set hydra.launcher.ray.init.address=<head>:6379"
            ) from error
        if is_lost_process(error):
            lost = f"a process of the launcher was killed ({type(error).__name__})"
            return [LostJobError(lost) for _ in jobs]
        if isinstance(error, SETTINGS_ERRORS):
            reason = truncate_middle(describe_error(error), 160)
            raise ConfigError(
                f"hydra/launcher={name} has refused its settings (hydra.launcher.*): {reason}"
            ) from error
        raise


def is_lost_process(error: Exception) -> bool:
    """Return whether an error of joblib or Ray says that a process or a machine was lost."""
    lost = {"BrokenProcessPool", "TerminatedWorkerError", "WorkerCrashedError", "NodeDiedError"}
    return any(kind.__name__ in lost for kind in type(error).__mro__)


@contextlib.contextmanager
def submitted_jobs(engine: Engine | None) -> Iterator[None]:
    """Let submitit return a `LostJobError` for a lost job, and cancel all jobs on Ctrl-C."""
    if engine not in (Engine.submitit_local, Engine.slurm):
        yield
        return
    import submitit

    submitted: list[SubmittedJob] = []

    def map_array(executor: Any, *args: Any) -> list[SubmittedJob]:
        jobs = submitit.core.core.Executor.map_array(executor, *args)
        if not submitted:
            print(f"output of the jobs: {jobs[0].paths.folder.parent}", flush=True)  # noqa: T201
        submitted.extend(map(SubmittedJob, jobs))
        return submitted[-len(jobs) :]

    submitit.AutoExecutor.map_array = map_array
    try:
        yield
    except KeyboardInterrupt:
        for one in submitted:
            with contextlib.suppress(Exception):
                one.job.cancel(check=False)
        raise
    finally:
        del submitit.AutoExecutor.map_array


@contextlib.contextmanager
def removing_folder_template(settings: DictConfig) -> Iterator[None]:
    """Remove the empty folder `jobs/%j`, which submitit creates besides those of the jobs."""
    try:
        yield
    finally:
        folder = Path(str(settings.get("submitit_folder") or ""))
        if "%" in folder.name:
            with contextlib.suppress(OSError):  # only an empty one is removed
                folder.rmdir()
                folder.parent.rmdir()


@dataclass(frozen=True)
class SubmittedJob:
    """A job of submitit, whose results are read by its launcher."""

    job: Any

    def results(self) -> list[Any]:
        """Wait for the job; return its result, or a `LostJobError` in a list."""
        import submitit

        try:
            return list(self.job.results())
        except (submitit.core.utils.FailedJobError, submitit.core.utils.UncompletedJobError) as err:
            return [self.describe_loss(err)]

    def describe_loss(self, error: Exception) -> LostJobError:
        """Return why a job has no result, with the file of its output."""
        import submitit

        log, name = Path(self.job.paths.stdout), f"job {self.job.job_id}"
        # submitit ends a trace with a rule and the paths of the logs.
        trace = str(error).partition("You can check full logs")[0]
        lines = [line for line in trace.splitlines() if line.strip(" -")] or [""]
        if "timed-out too many times" in str(error):
            reason = (
                f"{name} reached its time limit too often; raise hydra.launcher.timeout_min, or "
                "type the command again, which resumes"
            )
            return LostJobError(reason, log, is_final=True)
        if isinstance(error, submitit.core.utils.FailedJobError):
            last_line = truncate_middle(lines[-1], 160)
            return LostJobError(f"{name} failed: {last_line}", log, is_final=True)
        state = str(self.job.state).upper()
        is_cancelled = state.startswith("CANCELLED")
        has_no_memory = state.startswith("OUT_OF_ME")  # it would be killed again
        end = "was cancelled" if is_cancelled else "was killed, or its machine was lost"
        if has_no_memory:
            end = "was killed, because it needs more memory; raise hydra.launcher.mem_gb"
        return LostJobError(f"{name} {end}", log, is_final=is_cancelled or has_no_memory)
