"""From a task's options to the task."""

from pathlib import Path
from typing import Any

from experiments.config import (
    Domains,
    Function,
    Induction,
    Numbers,
    Pairs15,
    Patterns,
    Text,
    Waves,
)
from experiments.tasks.byte_text import ByteText
from experiments.tasks.domains import DomainsTask
from experiments.tasks.function import FunctionTask
from experiments.tasks.induction import InductionTask
from experiments.tasks.numbers import NumbersTask
from experiments.tasks.pairs import Pairs15Task
from experiments.tasks.patterns import PatternsTask
from experiments.tasks.text import TextTask
from experiments.tasks.translation import TranslationTask
from experiments.tasks.waves import WavesTask

Options = Domains | Text | Waves | Patterns | Induction | Function | Numbers | Pairs15
Task = ByteText | WavesTask | PatternsTask | InductionTask | FunctionTask | TranslationTask

TASKS: dict[type, type[Any]] = {
    Domains: DomainsTask,
    Text: TextTask,
    Waves: WavesTask,
    Patterns: PatternsTask,
    Induction: InductionTask,
    Function: FunctionTask,
    Numbers: NumbersTask,
    Pairs15: Pairs15Task,
}


def build_task(options: Options, *, seed: int, batch_size: int, cache: Path) -> Task:
    """The task behind `options`; `seed` decides the order of training batches and nothing else."""
    task: Task = TASKS[type(options)](options, seed=seed, batch_size=batch_size, cache=cache)
    return task
