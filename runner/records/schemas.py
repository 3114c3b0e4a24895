"""The schemas of a trial's records, on which the rest of the code relies. No torch.

A seal detects a record that was changed after it was written. A schema detects a record that ablab
never wrote, such as one of another version or one written by hand.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

STATES = ("running", "untimed", "done", "diverged", "failed", "killed")
MAX_DEPTH = 50  # of nested mappings and lists

Check = Callable[[Any], bool]


def is_string(value: Any) -> bool:
    """Whether a value is a string."""
    return isinstance(value, str)


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0 to 2^63 - 1, the largest of a 64-bit column."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def is_number_or_null(value: Any) -> bool:
    """Whether a value is a number, or null, which stands for a number that is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        return False
    return not isinstance(value, int) or abs(value) < 2**63


def is_duration(value: Any) -> bool:
    """Whether a value is null or a finite number of seconds from 0 up."""
    return value is None or (is_number_or_null(value) and math.isfinite(value) and value >= 0)


def is_string_list(value: Any) -> bool:
    """Whether a value is a list of strings."""
    return isinstance(value, list) and all(map(is_string, value))


def is_shallow_mapping(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether a value is a mapping that is nested at most `depth` levels deep."""
    return isinstance(value, dict) and _is_shallow(value, depth)


def _is_shallow(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    items = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(item, depth - 1) for item in items)


def is_samples(value: Any) -> bool:
    """Whether a value holds timing samples: for each quantity, the seconds of each call."""
    return isinstance(value, dict) and all(
        isinstance(seconds, list)
        and seconds
        and all(is_duration(s) and s is not None for s in seconds)
        for seconds in value.values()
    )


def is_rows(value: Any) -> bool:
    """Whether a value is a list of final values: metric, value and unit, each metric once."""
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        return False
    metrics = [row.get("metric") for row in value]
    return (
        all(map(is_string, metrics))
        and len({*metrics}) == len(metrics)
        and all(
            is_string(row.get("unit")) and is_number_or_null(row.get("value", "")) for row in value
        )
    )


STATUS_SCHEMA: dict[str, Check] = {
    "seconds": is_duration,
    "message": is_string,
    "code": lambda value: value is None or is_string(value),
    "pid": is_count,
    "format": lambda _: True,
    "digests": lambda _: True,
}
RESULT_SCHEMA: dict[str, Check] = {
    "seconds": is_duration,
    "run_seconds": is_duration,
    "from_step": is_count,
    "passes": is_count,
    "samples": is_samples,
    "notes": is_string_list,
    "machine": is_shallow_mapping,
    "versions": is_shallow_mapping,
    "status": is_shallow_mapping,
}


def is_status(record: Mapping[str, Any]) -> bool:
    """Whether a record has the schema of a trial's status."""
    return record.get("state") in STATES and _matches(record, STATUS_SCHEMA)


def is_result(record: Mapping[str, Any]) -> bool:
    """Whether a record has the schema of a result: its code, and rows of metric, value, unit."""
    return (
        is_string(record.get("code"))
        and is_rows(record.get("results"))
        and _matches(record, RESULT_SCHEMA)
        and (not record.get("samples") or record.get("passes", 0) > 0)
    )


def is_first_stage(record: Mapping[str, Any]) -> bool:
    """Whether a record has the schema of a first stage: a result, and its first step."""
    return is_result(record) and is_count(record.get("from_step"))


def is_arm(record: Mapping[str, Any]) -> bool:
    """Whether a record has the schema of a signed arm: its config and a whole `seed_offset`."""
    config = record.get("config")
    return (
        is_shallow_mapping(config) and isinstance(config, dict) and _seed_offset(config) is not None
    )


def _seed_offset(config: Mapping[str, Any]) -> int | None:
    offset = config.get("seed_offset", 0)
    return offset if isinstance(offset, int) and not isinstance(offset, bool) else None


def _matches(record: Mapping[str, Any], schema: Mapping[str, Check]) -> bool:
    return all(check(record[key]) for key, check in schema.items() if key in record)


def nulls_to_nan(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with NaN for each null among its final values."""
    rows = [
        row | {"value": math.nan if row["value"] is None else row["value"]}
        for row in result["results"]
    ]
    return result | {"results": rows}


PIECES_SCHEMA: dict[str, Check] = {
    "done": is_count,
    "step": is_count,
    "results": lambda value: isinstance(value, dict) and all(map(_is_measured, value.values())),
    "tables": lambda value: isinstance(value, dict) and all(map(_is_table, value.values())),
    "curves": lambda value: isinstance(value, dict),
}


def is_pieces(record: Mapping[str, Any]) -> bool:
    """Whether a record has the schema of a trial's finished measurements."""
    return PIECES_SCHEMA.keys() <= record.keys() and _matches(record, PIECES_SCHEMA)


def _is_measured(value: Any) -> bool:
    # `encode_non_finite` writes no null.
    if not isinstance(value, list) or len(value) != 2 or value[0] is None:
        return False
    return is_number_or_null(value[0]) and is_string(value[1])


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def encode_non_finite(value: Any) -> Any:
    """Return the value with e.g. `{"float": "nan"}` for a number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: encode_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode_non_finite(item) for item in value]
    return (
        {"float": repr(value)} if isinstance(value, float) and not math.isfinite(value) else value
    )


def decode_non_finite(value: Any) -> Any:
    """Undo `encode_non_finite`. Raises ValueError for a text that is not a number."""
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return float(value["float"])
        return {key: decode_non_finite(item) for key, item in value.items()}
    return [decode_non_finite(item) for item in value] if isinstance(value, list) else value
