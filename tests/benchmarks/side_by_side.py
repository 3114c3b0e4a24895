"""The benchmarks' common parts: interleaved timing, tables of ratios, a file of samples.

Contenders run in a new random order each round (`runner.trial.measure.time_interleaved`). Tables
have medians over rounds and ratios of medians; the JSON file has every sample in seconds. A shared
machine changes its speed from minute to minute: only ratios within one run are reliable.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))  # this checkout is measured, installed or not

from runner.trial.measure import time_interleaved  # noqa: E402

QUICK_ROUNDS = 3


def arguments(about: str, *, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the common options; `about` is the benchmark's docstring."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--rounds", type=int, help=f"default {rounds}; {QUICK_ROUNDS} if --quick")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every sample here")
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes: seconds")
    parser.set_defaults(usual_rounds=rounds)
    return parser


class SideBySide:
    """One run of a benchmark; `options` are those of the command line."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.options = parser.parse_args()
        usual = QUICK_ROUNDS if self.options.quick else self.options.usual_rounds
        self.rounds: int = self.options.rounds or usual
        self.samples: dict[str, dict[str, list[float]]] = {}
        self._console = Console()
        torch.set_num_threads(self.options.threads)
        torch.manual_seed(0)

    def compare(
        self,
        title: str,
        contenders: Mapping[str, Callable[[], object]],
        *ratios: str,
        times: float = 1,
        warmup: int = 2,
        min_seconds: float = 0.0,
    ) -> dict[str, float]:
        """Time contenders in `times` the requested rounds, print a table, return median seconds.

        A ratio is the heading of a column and an expression, e.g. `it / ours` or `limit / it`.
        `it` is the contender of the row; others appear by name.
        """
        rounds = max(1, round(times * self.rounds))
        samples = time_interleaved(
            contenders, rounds=rounds, warmup=warmup, min_seconds=min_seconds
        )
        self.samples[title] = samples
        medians = {name: statistics.median(values) for name, values in samples.items()}
        rows = []
        for name, median in medians.items():
            row = {"": name, "median ms": f"{median * 1e3:.2f}"}
            row["min ms"] = f"{min(samples[name]) * 1e3:.2f}"
            for ratio in ratios:
                over, under = ((medians | {"it": median})[side] for side in ratio.split(" / "))
                row[ratio] = f"{over / under:.3g}"
            rows.append(row)
        self.table(title, rows)
        return medians

    def table(self, title: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Print rows of the same columns."""
        table = Table(*rows[0], title=title, title_justify="left")
        for row in rows:
            table.add_row(*row.values())
        self._console.print(table)

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, highlight=False)

    def write(self, **more: Any) -> None:
        """Write all samples and the other measurements, if the command names a file."""
        if not self.options.json:
            return
        malloc = {name: value for name, value in os.environ.items() if name.startswith("MALLOC_")}
        machine = {
            "torch": torch.__version__,
            "threads": self.options.threads,
            "processor": platform.processor() or platform.machine(),
            "malloc": malloc,
        }
        record = {"machine": machine, "rounds": self.rounds, "seconds": self.samples, **more}
        self.options.json.write_text(json.dumps(record, indent=1))
