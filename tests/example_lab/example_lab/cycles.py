"""Random symbols that repeat after a period."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from experiments.rules import check_at_least
from experiments.tasks import Sizes, TaskOptions, task

if TYPE_CHECKING:
    from .cycles_task import CyclesTask


@task("example_cycles")
@dataclass
class Cycles(TaskOptions):
    """Random symbols that repeat after `period` steps."""

    symbols: ClassVar[bool] = True

    length: int = 12
    vocabulary: int = 8
    period: int = 3
    n_eval: int = 16

    def __post_init__(self) -> None:
        check_at_least(1, period=self.period, n_eval=self.n_eval)
        check_at_least(2, vocabulary=self.vocabulary, length=self.length)

    def sizes(self) -> Sizes:
        """Return how large the task is."""
        return Sizes(self.length, n_outputs=self.vocabulary, n_eval=self.n_eval)

    def build(self, *, seed: int, batch_size: int, **_: object) -> "CyclesTask":
        """Return the task, whose module imports numpy: each command imports this one."""
        from .cycles_task import CyclesTask

        return CyclesTask(self, seed, batch_size)
