"""From a task's options to the task."""

from pathlib import Path
from typing import Any

from experiments import corpora
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
from runner.config import Evaluation
from runner.trial.trial import Trial

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


def build_task(
    options: Options,
    *,
    seed: int,
    batch_size: int,
    cache: Path,
    data: str = "",
    evaluation: Evaluation = Evaluation.report,
) -> Task:
    """The task behind `options`.

    Args:
        options: of a task.
        seed: decides the order of training batches and nothing else.
        batch_size: sequences of a batch.
        cache: where corpora lie.
        data: the fingerprint of the corpus that was planned; "" takes the sources as they are now.
        evaluation: which held-out data `evaluation()` gives.

    Raises:
        ValueError: the corpus that was planned is lost.
    """
    more: dict[str, Any] = {"data": data} if isinstance(options, corpora.Corpus) else {}
    if evaluation is not Evaluation.report:
        more["evaluation"] = evaluation
    task: Task = TASKS[type(options)](
        options, seed=seed, batch_size=batch_size, cache=cache, **more
    )
    return task


def task_of(trial: Trial, batch_size: int | None = None) -> Task:
    """The task of a trial: the data it was planned with, judged as its arm says.

    `batch_size` is that of its training unless given.
    """
    config = trial.config
    return build_task(
        config.parts.task,
        seed=trial.seed,
        batch_size=batch_size or config.training.batch_size,
        cache=trial.cache,
        data=config.data,
        evaluation=config.evaluation,
    )
