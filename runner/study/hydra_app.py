"""Hydra as the command uses it: compose configs from arguments, and call a task with each."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig

from runner.config import ConfigError
from runner.plan import hydra_loader
from runner.plan.option_folders import CONF

Task = Callable[[DictConfig], Any]
Launched = tuple[list[Any], Exception | None]
"""The value of each job, or None if it was lost, and the error of the launcher that lost them."""


def call_with_config(arguments: Sequence[str], task: Task) -> Any:
    """Compose a config from arguments, call `task` with it, and return its value.

    It returns None where Hydra only prints, as with `--help`, or lets a sweeper choose the points.
    """
    import hydra

    values: list[Any] = []

    def keep_value(config: DictConfig) -> Any:
        values.append(task(config))
        return values[-1]

    with _arguments(arguments):
        hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(keep_value)()
    return values[-1] if values else None


def launch_jobs(
    arguments: Sequence[str],
    jobs: Sequence[Sequence[str]],
    task: Task,
    refuse: Callable[[Sequence[str], Exception, DictConfig | None], Any],
    *,
    here: bool = False,
) -> Launched:
    """Compose each job's config, call `task` with it by the chosen launcher.

    It returns the value of each job, or None for the jobs that an error of the launcher lost, and
    this error.

    Args:
        arguments: the flags and Hydra's own settings, e.g. the launcher.
        jobs: the overrides of each job.
        task: a picklable function of a config.
        refuse: returns the value of a job whose config cannot be composed, or that was lost. It
            gets the overrides, the error, and the config if there is one.
        here: whether the jobs run in this process; the settings of the launcher are only checked.
    """
    import hydra
    from hydra.core.plugins import Plugins

    Plugins.instance()  # it loads the modules of Hydra's own plug-ins again, so that it comes first
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    from runner.study import job_launching

    values: dict[int, Any] = {}
    failures: list[Exception] = []

    def sweep(self: BasicSweeper, **_: Any) -> list[Any]:
        """Launch these jobs, in place of the combinations that Hydra would choose."""
        assert self.launcher is not None
        try:
            job_launching.check_settings(self.launcher)
        except ConfigError as error:
            failures.append(error)
            return []
        launcher = job_launching.in_this_process(self.launcher) if here else self.launcher
        composed: dict[int, DictConfig] = {}
        for number, job in enumerate(jobs):
            try:
                assert self.hydra_context is not None
                assert self.config is not None
                loader = self.hydra_context.config_loader
                composed[number] = loader.load_sweep_config(self.config, list(job))
            except Exception as error:
                values[number] = refuse(job, error, None)
        composable = [*composed]
        size = self.max_batch_size or len(composable) or 1
        for start in range(0, len(composable), size):
            batch = composable[start : start + size]
            try:
                runs = job_launching.launch(launcher, [list(jobs[i]) for i in batch], start)
            except Exception as error:
                failures.append(error)
                continue
            for i, run in zip(batch, runs, strict=True):
                try:
                    values[i] = job_launching.value_of(run)
                except Exception as error:
                    values[i] = refuse(jobs[i], error, composed[i])
        return []

    original = BasicSweeper.sweep
    BasicSweeper.sweep = sweep  # type: ignore[method-assign, assignment]
    try:
        with _arguments(["--multirun", *arguments]):
            hydra.main(config_path=str(CONF), config_name="config", version_base="1.3")(task)()
    finally:
        BasicSweeper.sweep = original  # type: ignore[method-assign]
        hydra_loader.remove_sweep_folder()
    return [values.get(number) for number in range(len(jobs))], next(iter(failures), None)


@contextlib.contextmanager
def _arguments(arguments: Sequence[str]) -> Iterator[None]:
    """Let Hydra read these arguments, and restore those of the command."""
    before = sys.argv[1:]
    sys.argv[1:] = arguments
    try:
        yield
    finally:
        sys.argv[1:] = before
