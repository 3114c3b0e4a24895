"""The forms of a run's study.json and config.yaml: all that a report relies on. No torch.

Whoever has sent a run may have put anything there; `runner.report.stranger` reads it.
"""

import math
import shlex
from collections.abc import Callable
from typing import Any

from runner.config import MOST, Scale
from runner.metric_names import Worth
from runner.records.forms import STATES, is_count, is_number, is_plain, is_text, is_texts, is_time
from runner.report import declarations

MOST_ARMS, MOST_TRIALS, MOST_SHOWN, MOST_METRICS = 1_000, 100_000, 500, 200_000


def _of(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A check of a mapping: texts to what is checked."""
    return lambda value: (
        isinstance(value, dict) and all(is_text(k) and check(v) for k, v in value.items())
    )


def _many(most: int, check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict | list) and len(value) <= most and check(value)


def _scalar(value: Any) -> bool:
    return isinstance(value, str | bool) or (is_number(value) and value is not None)


def _seed(value: Any) -> bool:
    return is_count(value) and value < MOST


def _trial(row: Any) -> bool:
    """Whether a row has the form of a trial."""
    if not isinstance(row, dict):
        return False
    return (
        is_text(row.get("arm"))
        and _seed(row.get("seed"))
        and row.get("status") in (*STATES, "pending")
        and is_time(row.get("seconds"))
        and isinstance(row.get("reused", False), bool)
        and all(is_text(row.get(key, "")) for key in ("message", "code", "folder"))
        and all(row.get(key) is None or is_plain(row[key]) for key in ("versions", "machine"))
        and is_count(row.get("passes", 0))
    )


def _trials(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(map(_trial, value)):
        return False
    return len({(row["arm"], row["seed"]) for row in value}) == len(value)


def _headline(value: Any) -> bool:
    """Whether a value has the form of a headline; a baseline may be null."""
    return isinstance(value, dict) and all(v is None or is_text(v) for v in value.values())


def _registration(value: Any) -> bool:
    texts, truths = {"registered", "cure", "hash"}, {"shipped", "late"}
    return (
        isinstance(value, dict)
        and {"shipped", "registered"} <= {*value} <= texts | truths
        and all(isinstance(v, bool if key in truths else str) for key, v in value.items())
    )


def _looks(value: Any) -> bool:
    def seeds(some: Any) -> bool:
        return isinstance(some, list) and all(map(is_count, some))

    return value is None or (
        isinstance(value, dict)
        and {*value} == {"number", "sets", "left_out"}
        and is_count(value["number"])
        and isinstance(value["sets"], list)
        and all(map(seeds, value["sets"]))
        and seeds(value["left_out"])
    )


def _command(value: Any) -> bool:
    """Whether a value is a command line, which the page cuts into words."""
    try:
        return is_text(value) and bool(shlex.split(value) or True)
    except ValueError:
        return False


def _finite(value: Any) -> bool:
    return is_number(value) and value is not None and math.isfinite(value)


def _share(value: Any) -> bool:
    return _finite(value) and value >= 0


def _metric(value: Any) -> bool:
    """Whether a value has the form of a metric's declaration."""
    if not isinstance(value, dict):
        return False
    number, fixed = value.get("value"), value.get("diverged") == Worth.fixed
    return (
        value.keys() == {*declarations.DECIDING}
        and value["diverged"] in tuple(Worth)
        and (_finite(number) if fixed else number is None)
        and isinstance(value["deterministic"], bool)
        and is_text(value["curve"])
    )


FORM: dict[str, Callable[[Any], bool]] = {
    "experiment": is_text,
    "command": _command,
    "arms": _many(MOST_ARMS, _of(is_texts)),
    "baseline": is_text,
    "notes": is_texts,
    "costs": _of(_of(_share)),
    "controls": is_texts,
    "typed": is_texts,
    "conditions": _of(_of(_scalar)),
    "preset_tolerance": _share,
    "tolerances": _of(_share),
    "interior": _of(lambda value: isinstance(value, bool)),
    "tuned": _of(is_text),
    "hparams": _of(_of(_scalar)),
    "registrations": _of(_registration),
    "looks": _looks,
    "trials": _many(MOST_TRIALS, _trials),
}
LATER: dict[str, Callable[[Any], bool]] = {
    declarations.METRICS: _many(MOST_METRICS, _of(_metric)),
    declarations.AFFECTS: _many(MOST_SHOWN, _of(is_texts)),
}
"""What runs of older versions lack."""
OUTLINE: dict[str, Callable[[Any], bool]] = {
    "question": is_text,
    "scale": lambda value: value in tuple(scale.value for scale in Scale),
    "headline": _many(MOST_SHOWN, lambda v: isinstance(v, list) and all(map(_headline, v))),
    "claims": _many(MOST_SHOWN, _of(is_plain)),
    "figures": _many(MOST_SHOWN, _of(is_plain)),
    "not_tested": is_texts,
}
