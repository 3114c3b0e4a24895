"""`python -m tests.metrics_page`: write docs/metrics.md from the declarations of metrics.

Run it after a metric or one of its texts changed. A test compares the page with the declarations.
"""

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from inspect import getdoc
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.estimates.expected_metrics import list_names
from runner import registry
from runner.metric_names import DivergedValue, Metric
from runner.trial import metrics as engine

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"

HEAD = """\
# Metrics

`python -m tests.metrics_page` writes this page from the declarations in `runner/trial/metrics.py`
and `experiments/metrics/`: edit those. A test fails while a metric lacks its line here.

- **Names.** A trial records the final value of a metric, and logs curves under the same name.
  - The longest listed prefix describes a name that is not listed: `a/b`, otherwise `a`, for
    `a/b/c`.
  - `/layer{layer}`, `/head{head}` and `/expert{expert}` are one layer, head or expert, counted from
    0. `/length{length}` and `/depth{depth}` are one length or number of layers. Other endings name
    a label of the task, a split or a choice.
  - `*` stands for any text without a slash: `ffn/*_init` is `ffn/zero_share_init` too.
- **Label** is the metric in a few words, as tables and figures show it. A finer name adds its
  endings: "share of assignments, layer 0, expert 3". A `*` in a label is the label of that metric.
- **Unit.** `1` is a plain number. Where a task decides the unit, all that occur are listed.
- **Range** has the limits of its values; `-` means none.
- **Better** says which values are better; `-` means neither.
- **Source** is the paper or program that defines the metric, perhaps for another setting. `-` is a
  plain count, mean, median, norm or deviation.
- **Diverged trial** is the value that counts for a trial that diverged:
  - `kept`: the value stands, since it does not depend on how the training ended;
  - `start`: the value before training, as the trial's first evaluation logged it;
  - a number: that value, the worst possible one;
  - `none`: no value. A comparison that needs this seed is then undecided.
"""
TABLE = (
    "| metric | label | meaning | unit | range | better | formula | source | diverged trial |\n"
    + "|---" * 9
    + "|"
)


def text() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *(section(*owned) for owned in owners())])


def owners() -> Iterator[tuple[str, str, ModuleType, Mapping[str, Metric]]]:
    """Yield the engine and each question: title, summary, module and its declarations."""
    yield "Engine", "Experiments that train a model have these.", engine, engine.ENGINE_METRICS
    for name in questions():
        summary = (getdoc(sys.modules[registry.page_module(name)]) or "").partition("\n")[0]
        module = import_module(f"experiments.metrics.{name}")
        if not module.DECLARATIONS:  # it records only those of the engine
            continue
        yield f"`{name}`", summary, module, module.DECLARATIONS


def questions() -> list[str]:
    """Return the project's experiments, without those of plug-ins."""
    return [
        name
        for name in sorted(registry.experiment_names())
        if registry.page_module(name) == f"experiments.{name}"
    ]


def section(title: str, summary: str, module: ModuleType, metrics: Mapping[str, Metric]) -> str:
    """Return one owner's section: its question, the legend of its formulas, its table."""
    _, _, legend = (getdoc(module) or "").partition("\n\n")
    rows = [row(name, metric) for name, metric in metrics.items()]
    parts = [f"## {title}", summary, " ".join(legend.split("\n")).replace("  ", "\n\n")]
    return "\n\n".join([*filter(None, parts), "\n".join([TABLE, *rows])]) + "\n"


def row(name: str, metric: Metric) -> str:
    """Return the line of a metric."""
    cells = [
        f"`{name}`",
        metric.label,
        metric.meaning,
        metric.unit,
        value_range(metric),
        metric.better or "-",
        f"`{metric.formula}`" if metric.formula else "-",
        metric.source or "-",
        diverged(metric),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def value_range(metric: Metric) -> str:
    """Return the limits of a metric's values: `0 to 1`, `at least 0` or `-`."""
    if math.isfinite(metric.lowest) and math.isfinite(metric.highest):
        return f"{metric.lowest:g} to {metric.highest:g}"
    return f"at least {metric.lowest:g}" if math.isfinite(metric.lowest) else "-"


def diverged(metric: Metric) -> str:
    """Describe the value of a metric for a diverged trial."""
    if metric.diverged is DivergedValue.fixed:
        return f"{metric.value:g}"
    if metric.diverged is DivergedValue.nothing:
        return "none"
    return f"{metric.diverged} of `{metric.curve}`" if metric.curve else str(metric.diverged)


@dataclass
class Everything:
    """Options, or a part, with which every metric of a question is recorded."""

    depths: tuple[int, ...] = (1, 2)
    lengths: tuple[int, ...] = (1, 2)
    length: int = 1
    rounds: int = 1
    n_orders: int = 1
    reference_up_to: int = 2
    experts: int = 2
    n_heads: int = 2
    n_kv_heads: int = 1
    kernel: str = "tiled"
    is_plain: bool = False
    train: bool = True
    symbols: bool = True
    numerals: bool = True
    has_planted_lags: bool = True
    repeats: bool = True
    of_text: bool = True


def recorded(question: str) -> list[str]:
    """Return the names that trials of a question may record, `layer*` for any layer."""
    parts: dict[str, Any] = dict.fromkeys(registry.experiment_groups(question), Everything())
    return list(dict.fromkeys(list_names(registry.options_class(question), Everything(), parts)))


def main() -> None:
    """Write the page."""
    PAGE.write_text(text(), encoding="utf-8")
    print(f"{sum(len(owned[-1]) for owned in owners())} metrics in {PAGE.name}")  # noqa: T201


if __name__ == "__main__":
    main()
