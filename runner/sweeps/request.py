"""The command line of a sweep, after its checks. No torch."""

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra._internal.utils import get_args_parser

from runner.plan.arguments import check_and_rewrite
from runner.plan.overrides import parse_override
from runner.sweeps.jobs import SweepJob, combine, refuse_unswept, split_typed
from runner.sweeps.named_sweep import (
    NamedSweep,
    find_sweep_file,
    is_named_sweep,
    read_named_sweep,
)

MULTIRUN_FLAGS = ("-m", "--multirun")
SHARED_KEYS = ("outputs", "plugins")


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
    """

    flags: tuple[str, ...]
    hydra: tuple[str, ...]
    shared: tuple[str, ...]
    jobs: tuple[SweepJob, ...]
    title: str
    outputs: Path
    fails_fast: bool

    @property
    def has_other_sweeper(self) -> bool:
        """Whether a sweeper of Hydra chooses the points, instead of the listed values."""
        return any(
            text.startswith("hydra/sweeper=") and text != "hydra/sweeper=basic"
            for text in self.hydra
        )


def is_sweep(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for a sweep: it has `-m`, and no flag that only prints."""
    flags = get_args_parser().parse_intermixed_args(list(arguments))
    prints = (flags.help, flags.hydra_help, flags.cfg, flags.info, flags.shell_completion)
    return bool(flags.multirun) and not any(prints)


def read_request(checked: Sequence[str]) -> SweepRequest:
    """Return the sweep of a checked command line.

    Raises:
        ConfigError: a key cannot be swept over, or the sweep in YAML is not valid.
    """
    flags = get_args_parser().parse_intermixed_args(list(checked))
    texts = [text for text in flags.overrides if not is_named_sweep(text)]
    key_of = {text: parse_override(text).key_or_group for text in texts}
    refuse_unswept(map(parse_override, texts))
    own = [text for text in texts if not key_of[text].startswith("hydra")]
    hydra = tuple(text for text in texts if text not in own)
    path = find_sweep_file(flags.overrides)
    named = read_named_sweep(path, check_and_rewrite) if path else NamedSweep()
    outputs = [parse_override(text).value() for text in own if key_of[text] == "outputs"]
    request = SweepRequest(
        flags=tuple(
            word for word in checked if word not in flags.overrides and word not in MULTIRUN_FLAGS
        ),
        hydra=hydra,
        shared=tuple(text for text in own if key_of[text] in SHARED_KEYS),
        jobs=(),
        title=named.title,
        outputs=Path(str(outputs[-1])) if outputs else Path("outputs"),
        fails_fast=any(
            key_of[text] == "fail_fast" and parse_override(text).value() is True for text in own
        ),
    )
    if request.has_other_sweeper:
        return request
    fixed, axes = split_typed(own)
    return dataclasses.replace(
        request, jobs=tuple(combine(named.overrides, [*named.axes, *axes], fixed))
    )


def choose_folder(outputs: Path) -> Path:
    """Return a path for a new sweep, named after the time; no folder is created."""
    moment = datetime.datetime.now()
    while (folder := outputs / "sweeps" / moment.strftime("%Y-%m-%d_%H-%M-%S")).exists():
        moment += datetime.timedelta(seconds=1)
    return folder
