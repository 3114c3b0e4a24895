"""The command line of a sweep, after its checks. No torch."""

import contextlib
import dataclasses
import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.utils import get_args_parser

from runner.config import ConfigError
from runner.plan.arguments import check_and_rewrite
from runner.plan.experiment_checks import describe_missing_experiment
from runner.plan.overrides import parse_override
from runner.plan.question_names import chosen_name
from runner.sweeps.jobs import Axis, SweepJob, combine, refuse_unswept, split_typed
from runner.sweeps.named_sweep import (
    NamedSweep,
    find_sweep_file,
    is_named_sweep,
    read_named_sweep,
)
from runner.wording.names import format_count

MULTIRUN_FLAGS = ("-m", "--multirun")
SHARED_KEYS = ("outputs", "plugins")
MAX_ATTEMPTS = 5  # to create the folder of a sweep


@dataclass(frozen=True)
class SweepRequest:
    """The command line of a sweep.

    Attributes:
        flags: the arguments besides overrides, without `-m`.
        hydra: the overrides of Hydra's own settings, e.g. the launcher.
        shared: the overrides of keys that have one value for the whole sweep.
        jobs: the jobs.
        title: the title of a sweep in YAML; otherwise "".
        outputs: the folder of all outputs.
        fails_fast: whether the command line sets `fail_fast=true`.
        plans_only: whether the command line sets `plan=only`.
        notes: lines on combinations of values that are no points of their own.
    """

    flags: tuple[str, ...]
    hydra: tuple[str, ...]
    shared: tuple[str, ...]
    jobs: tuple[SweepJob, ...]
    title: str
    outputs: Path
    fails_fast: bool
    plans_only: bool = False
    notes: tuple[str, ...] = ()

    @property
    def has_other_sweeper(self) -> bool:
        """Whether a sweeper of Hydra chooses the points, instead of the listed values."""
        return any(
            text.startswith("hydra/sweeper=") and text != "hydra/sweeper=basic"
            for text in self.hydra
        )


def read_request(checked: Sequence[str]) -> SweepRequest:
    """Return the sweep of a checked command line.

    Raises:
        ConfigError: a key cannot be swept over, the sweep in YAML is not valid, or no job has an
            experiment.
    """
    flags = get_args_parser().parse_intermixed_args(list(checked))
    texts = [text for text in flags.overrides if not is_named_sweep(text)]
    key_of = {text: parse_override(text).key_or_group for text in texts}
    refuse_unswept(map(parse_override, texts))
    own = [text for text in texts if not key_of[text].startswith("hydra")]
    hydra = tuple(text for text in texts if text not in own)
    path = find_sweep_file(flags.overrides)
    named = read_named_sweep(path, check_and_rewrite) if path else NamedSweep()
    typed = {key_of[text]: parse_override(text).value() for text in own}
    if typed.get("outputs") == "":
        raise ConfigError("outputs is empty; give a folder, e.g. outputs=outputs")
    request = SweepRequest(
        flags=tuple(
            word for word in checked if word not in flags.overrides and word not in MULTIRUN_FLAGS
        ),
        hydra=hydra,
        shared=tuple(text for text in own if key_of[text] in SHARED_KEYS),
        jobs=(),
        title=named.title,
        outputs=Path(str(typed.get("outputs", "outputs"))),
        fails_fast=typed.get("fail_fast") is True,
        plans_only=typed.get("plan") == "only",
    )
    if request.has_other_sweeper:
        return request
    fixed, typed_axes = split_typed(own)
    axes = [*named.axes, *typed_axes]
    jobs = tuple(combine(named.overrides, axes, fixed))
    if not any(chosen_name(job.overrides) for job in jobs):
        raise ConfigError(describe_missing_experiment(None, ()))
    return dataclasses.replace(request, jobs=jobs, notes=note_equal_jobs(jobs, axes))


def note_equal_jobs(jobs: Sequence[SweepJob], axes: Sequence[Axis]) -> tuple[str, ...]:
    """Return a note on combinations of values that are equal, so that they are one job."""
    n_all = math.prod(len(axis) for axis in axes)
    if len(jobs) == n_all:
        return ()
    return (
        f"{n_all} combinations of values are only {format_count(len(jobs), 'job')}, because some "
        "have equal overrides",
    )


@contextlib.contextmanager
def reserve_folder(outputs: Path) -> Iterator[Path]:
    """Create a folder for a new sweep, named after the time, and yield it.

    Two commands of one second get different folders. A folder that is empty at the end is removed,
    as are `sweeps` and the new folders above it. Where no folder can be created, only its path is
    yielded.
    """
    sweeps = outputs / "sweeps"
    new_parents = [path for path in (outputs, *outputs.parents) if not path.exists()]
    moment = datetime.datetime.now()
    attempts = 0
    while True:
        folder = sweeps / moment.strftime("%Y-%m-%d_%H-%M-%S")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if folder.exists():
                moment += datetime.timedelta(seconds=1)
                continue
        except FileNotFoundError:  # another command has just removed an empty `sweeps`
            if (attempts := attempts + 1) < MAX_ATTEMPTS:
                continue
        except OSError:
            pass  # each point says why nothing can be written
        break
    try:
        yield folder
    finally:
        # An empty `sweeps` may be of another command, which was the last to remove its folder.
        for path in (folder, sweeps, *new_parents):
            with contextlib.suppress(OSError):  # only an empty one is removed
                path.rmdir()
