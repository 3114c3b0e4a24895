"""What is declared of a metric: what it is worth for a diverged trial, and whether it needs a test.

The engine's own metrics are declared here, those of the science in `experiments.metrics`;
`runner.registry.metric` looks a name up. No torch.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Worth(StrEnum):
    """What a metric is worth for a trial that has diverged.

    kept     the value stands: it does not depend on how the training ended (a count, a cost, what
             was measured before training)
    start    what it was before training, as the trial's own first evaluation logged it
    fixed    the declared `value`: the worst possible one, or that of chance
    nothing  no value: a comparison then says that seeds are missing, and decides nothing
    """

    kept = "kept"
    start = "start"
    fixed = "fixed"
    nothing = "nothing"


@dataclass(frozen=True)
class Metric:
    """The declaration of a metric and of all finer ones, whose names continue it after a slash.

    `deterministic` says that the value is a count that no seed changes, such as bytes of a cache:
    two arms are then compared without a test.
    """

    diverged: Worth = Worth.nothing
    value: float = math.nan
    deterministic: bool = False

    def __post_init__(self) -> None:
        if (self.diverged is Worth.fixed) != math.isfinite(self.value):
            raise ValueError("value is the worth of a `fixed` metric, and of no other")


KEPT, START, NOTHING = Metric(Worth.kept), Metric(Worth.start), Metric()
COUNT = Metric(Worth.kept, deterministic=True)

ENGINE: Mapping[str, Metric] = {
    "val/loss": START,
    "train/spike_score": Metric(Worth.fixed, 1.0),
    "time": KEPT,
    "cost": COUNT,
}


def declared(name: str, known: Mapping[str, Metric]) -> Metric:
    """The declaration of the longest known name that `name` is or continues; else no worth."""
    parts = name.split("/")
    for end in range(len(parts), 0, -1):
        if (found := known.get("/".join(parts[:end]))) is not None:
            return found
    return NOTHING
