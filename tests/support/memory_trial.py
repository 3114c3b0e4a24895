"""A trial in memory with the interface that experiments and the training loop use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from runner import registry
from runner.metric_names import value_if_diverged

T = TypeVar("T")


class MemoryTrial:
    """A trial like `runner.trial.trial.Trial`, whose only files are checkpoints.

    Attributes:
        rows: the curves, {(step, metric): value}.
        results: the recorded values, {metric: (value, unit)}.
        tables: the tables by name.
        notes: the trial's notes, line by line.
        resume_steps: the steps from which training resumed, 0 for a start.
    """

    def __init__(
        self, config: Any, folder: Path, *, stop_at: int | None = None, **training: object
    ) -> None:
        """`training` replaces options of `config`; at step `stop_at` the trial dies."""
        if training:
            config = replace(config, training=replace(config.training, **training))
        self.config = config
        self.seed = config.seed_offset
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.cache, self.checkpoints = folder, folder / "checkpoint"
        self.diverged: str | None = None
        self.notes: list[str] = []
        self.stop_requested = False
        self.defer_stop = False
        self.stop_at = stop_at
        self.rows: dict[tuple[int, str], float] = {}
        self.results: dict[str, tuple[float, str]] = {}
        self.tables: dict[str, Sequence[Mapping[str, Any]]] = {}
        self.resume_steps: list[int] = []
        self.passes = 0
        torch.manual_seed(self.seed)

    @property
    def curves(self) -> dict[int, dict[str, float]]:
        """Return the logged values by step."""
        values_of_step: dict[int, dict[str, float]] = {}
        for (step, name), value in self.rows.items():
            values_of_step.setdefault(step, {})[name] = value
        return values_of_step

    @property
    def values(self) -> dict[str, float]:
        """Return the recorded values without units."""
        return {name: value for name, (value, _) in self.results.items()}

    @property
    def reported_values(self) -> dict[str, float]:
        """Return the values in a report: of a diverged trial the diverged values."""
        if not self.diverged:
            return self.values
        first: dict[str, float] = {}
        for (_, name), value in self.rows.items():
            first.setdefault(name, value)
        return {
            n: value_if_diverged(n, v, registry.metric(n), first)[0] for n, v in self.values.items()
        }

    def log(self, values: dict[str, float], step: int) -> None:
        assert self.resume_steps, "resume() opens the records before the first log()"
        self.rows |= {(step, name): value for name, value in values.items()}

    def record(self, values: dict[str, float], unit: str = "") -> None:
        assert unit, f"{sorted(values)} have no unit"
        self.results |= {name: (value, unit) for name, value in values.items()}

    def pool_samples(self, samples: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
        return {name: list(new) for name, new in samples.items()}

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.tables[name] = rows

    def extend_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.tables[name] = [*self.tables.get(name, ()), *rows]

    def resumable_loop(self, items: Sequence[T]) -> Iterator[T]:
        self.open_log(0)
        yield from items

    def progress(self, step: int, steps: int, loss: float) -> None:  # noqa: ARG002
        if step == self.stop_at:
            raise InterruptedError

    def open_log(self, step: int) -> None:
        self.resume_steps.append(step)

    def flush(self) -> None: ...

    def diverge(self, reason: str) -> None:
        self.diverged = self.diverged or reason

    def note(self, text: str) -> None:
        self.notes.append(text)
