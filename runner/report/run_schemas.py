"""The schemas of a run's study.json and config.yaml, as far as a report uses them. No torch.

A run folder may be untrusted; `runner.report.untrusted_run` checks it against these schemas.
"""

import math
import shlex
from collections.abc import Callable
from typing import Any

from runner.config import INTEGER_LIMIT, Scale
from runner.metric_names import DISPLAY, DivergedValue
from runner.records.schemas import (
    STATES,
    is_count,
    is_duration,
    is_number_or_null,
    is_shallow_mapping,
    is_string,
    is_string_list,
)
from runner.report import declarations

MAX_ARMS, MAX_TRIALS, MAX_ITEMS, MAX_METRICS = 1_000, 100_000, 500, 200_000


def _mapping_to(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return the check of a mapping from strings to values that pass `check`."""
    return lambda value: (
        isinstance(value, dict) and all(is_string(k) and check(v) for k, v in value.items())
    )


def _at_most(limit: int, check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict | list) and len(value) <= limit and check(value)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool) or (is_number_or_null(value) and value is not None)


def _is_seed(value: Any) -> bool:
    return is_count(value) and value < INTEGER_LIMIT


def _is_trial(row: Any) -> bool:
    """Return whether a row matches the schema of a trial."""
    if not isinstance(row, dict):
        return False
    return (
        is_string(row.get("arm"))
        and _is_seed(row.get("seed"))
        and row.get("status") in (*STATES, "pending")
        and is_duration(row.get("seconds"))
        and isinstance(row.get("reused", False), bool)
        and all(is_string(row.get(key, "")) for key in ("message", "code", "folder"))
        and all(
            row.get(key) is None or is_shallow_mapping(row[key]) for key in ("versions", "machine")
        )
        and is_count(row.get("passes", 0))
    )


def _are_trials(value: Any) -> bool:
    if not isinstance(value, list) or not value or not all(map(_is_trial, value)):
        return False
    return len({(row["arm"], row["seed"]) for row in value}) == len(value)


def _is_headline(value: Any) -> bool:
    """Return whether a value matches the schema of a headline; its baseline may be null."""
    return isinstance(value, dict) and all(v is None or is_string(v) for v in value.values())


def _is_registration(value: Any) -> bool:
    texts, booleans = {"registered", "cure", "hash"}, {"shipped", "late"}
    return (
        isinstance(value, dict)
        and {"shipped", "registered"} <= {*value} <= texts | booleans
        and all(isinstance(v, bool if key in booleans else str) for key, v in value.items())
    )


def _are_plugins(value: Any) -> bool:
    keys = {"module", "package", "version", "code"}
    return isinstance(value, list) and all(
        _mapping_to(is_string)(each) and each.keys() == keys for each in value
    )


def _are_looks(value: Any) -> bool:
    def are_seeds(seeds: Any) -> bool:
        return isinstance(seeds, list) and all(map(is_count, seeds))

    return value is None or (
        isinstance(value, dict)
        and {*value} == {"number", "sets", "left_out"}
        and is_count(value["number"])
        and isinstance(value["sets"], list)
        and all(map(are_seeds, value["sets"]))
        and are_seeds(value["left_out"])
    )


def _is_command(value: Any) -> bool:
    """Return whether a value is a command line that `shlex` can split, as the page does."""
    try:
        return is_string(value) and bool(shlex.split(value) or True)
    except ValueError:
        return False


def _is_finite(value: Any) -> bool:
    return is_number_or_null(value) and value is not None and math.isfinite(value)


def _is_not_negative(value: Any) -> bool:
    return _is_finite(value) and value >= 0


def _is_metric(value: Any) -> bool:
    """Return whether a value matches the schema of a metric's declaration."""
    if not isinstance(value, dict):
        return False
    number, fixed = value.get("value"), value.get("diverged") == DivergedValue.fixed
    deciding = value.keys() - {*DISPLAY}  # runs of older versions have none of `DISPLAY`
    return (
        deciding == {*declarations.RECORDED} - {*DISPLAY}
        and value["diverged"] in tuple(DivergedValue)
        and (_is_finite(number) if fixed else number is None)
        and isinstance(value["deterministic"], bool)
        and is_string(value["curve"])
        and all(is_string(value.get(name, "")) for name in ("label", "exchangeable"))
        and all(is_number_or_null(value.get(name)) for name in ("lowest", "highest"))
    )


SUMMARY_SCHEMA: dict[str, Callable[[Any], bool]] = {
    "experiment": is_string,
    "command": _is_command,
    "arms": _at_most(MAX_ARMS, _mapping_to(is_string_list)),
    "baseline": is_string,
    "notes": is_string_list,
    "costs": _mapping_to(_mapping_to(_is_not_negative)),
    "controls": is_string_list,
    "typed": is_string_list,
    "conditions": _mapping_to(_mapping_to(_is_scalar)),
    "preset_tolerance": _is_not_negative,
    "tolerances": _mapping_to(_is_not_negative),
    "interior": _mapping_to(lambda value: isinstance(value, bool)),
    "tuned": _mapping_to(is_string),
    "hparams": _mapping_to(_mapping_to(_is_scalar)),
    "registrations": _mapping_to(_is_registration),
    "looks": _are_looks,
    "trials": _at_most(MAX_TRIALS, _are_trials),
}
OPTIONAL_SUMMARY_SCHEMA: dict[str, Callable[[Any], bool]] = {
    "setting_notes": is_string_list,
    "plugins": _at_most(MAX_ITEMS, _are_plugins),
    declarations.METRICS_KEY: _at_most(MAX_METRICS, _mapping_to(_is_metric)),
    declarations.AFFECTS_KEY: _at_most(MAX_ITEMS, _mapping_to(is_string_list)),
}
"""Keys that runs of older versions do not have."""
OUTLINE_SCHEMA: dict[str, Callable[[Any], bool]] = {
    "question": is_string,
    "scale": lambda value: value in tuple(scale.value for scale in Scale),
    "headline": _at_most(MAX_ITEMS, lambda v: isinstance(v, list) and all(map(_is_headline, v))),
    "claims": _at_most(MAX_ITEMS, _mapping_to(is_shallow_mapping)),
    "figures": _at_most(MAX_ITEMS, _mapping_to(is_shallow_mapping)),
    "not_tested": is_string_list,
    "report": lambda v: v is None or (isinstance(v, dict) and isinstance(v.get("samples"), bool)),
}
"""Keys of config.yaml; runs of older versions do not have `report`."""
