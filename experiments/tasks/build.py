"""From a task's options to the task."""

from pathlib import Path
from typing import Any

from experiments.config import Domains, Text, Waves
from experiments.tasks.byte_text import ByteText
from experiments.tasks.domains import DomainsTask
from experiments.tasks.text import TextTask
from experiments.tasks.waves import WavesTask

Task = ByteText | WavesTask

TASKS: dict[type, type[Any]] = {Domains: DomainsTask, Text: TextTask, Waves: WavesTask}


def build_task(options: Domains | Text | Waves, *, seed: int, batch_size: int, cache: Path) -> Task:
    """The task behind `options`; `seed` decides the order of training batches and nothing else."""
    task: Task = TASKS[type(options)](options, seed=seed, batch_size=batch_size, cache=cache)
    return task
