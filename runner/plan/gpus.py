"""The GPUs that this process may use, and the one that each trial gets.

A trial's process sees one GPU: `CUDA_VISIBLE_DEVICES` names it before the process uses CUDA. The
names are those of the inherited list, which may have numbers, GPU UUIDs and MIG UUIDs. torch is
imported only to count GPUs.
"""

import itertools
import os
from collections.abc import Sequence

VISIBLE = "CUDA_VISIBLE_DEVICES"


def count_gpus() -> int:
    """Return the number of GPUs that CUDA reports to this process; CUDA is not initialised."""
    import torch

    return torch.cuda.device_count()


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` has them.

    CUDA ignores an entry without a GPU, for example `-1`, and all entries after it. Of several MIG
    instances it reports only the first, so UUIDs are not compared with the number of GPUs.
    """
    listed = os.environ.get(VISIBLE)
    if listed is None:
        return [str(index) for index in range(count_gpus())]
    entries = (entry.strip() for entry in listed.split(","))
    names = list(
        dict.fromkeys(itertools.takewhile(lambda name: name and not name.startswith("-"), entries))
    )
    return names[: count_gpus()] if all(name.isdigit() for name in names) else names


def least_used(names: Sequence[str], in_use: Sequence[str | None]) -> str | None:
    """Return the GPU with the fewest running trials, the first of several; None without GPUs.

    `in_use` has the GPU of each running trial.
    """
    return min(names, key=lambda name: in_use.count(name), default=None)


def restrict_to(name: str | None) -> None:
    """Let this process see one GPU only. It must not have used CUDA yet; None changes nothing."""
    if name is not None:
        os.environ[VISIBLE] = name
