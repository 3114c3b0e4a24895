"""Checks of a figure's keys and values in YAML; each message names the value and the rule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_origin

from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

EMPTY: tuple[Any, ...] = (None, "", [], {})
Rule = tuple[Callable[[Any], bool], str]  # a test of a value, and the rule in words


def read_figure_keys(cls: type, mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Check the keys of a mapping against the fields of a dataclass; return its arguments.

    Raises:
        ValueError: a key is unknown or missing.
    """
    known = {f.name: f for f in fields(cls)}
    for key in mapping:
        if key not in known:
            raise ValueError(
                f"there is no key {truncate_middle(repr(key), 80)}; "
                f"{name_hint(str(key), ['kind', *known])}"
            )
    for name, f in known.items():
        is_required = f.default is MISSING and f.default_factory is MISSING
        if is_required and mapping.get(name) in EMPTY:
            raise ValueError(f"missing key {name}")
    return {name: _plain(value, known[name].type) for name, value in mapping.items()}


def check_types(figure: Any) -> None:
    """Raise ValueError for a field of a dataclass whose value does not have the field's type."""
    for f in fields(figure):
        value = getattr(figure, f.name)
        is_valid, rule = _rule(f.type)
        if not is_valid(value):
            raise ValueError(f"{f.name}={truncate_middle(repr(value), 80)} must be {rule}")


def _rule(kind: Any) -> Rule:
    if get_origin(kind) is Literal:
        allowed = get_args(kind)
        return lambda value: value in allowed, f"one of {', '.join(allowed)}"
    return RULES[kind]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


RULES: Mapping[Any, Rule] = {
    str: (_is_text, "text; quote it"),
    str | None: (lambda value: value is None or _is_text(value), "text; quote it"),
    bool: (lambda value: isinstance(value, bool), "true or false"),
    int: (lambda value: _is_number(value) and isinstance(value, int), "a whole number"),
    float | None: (lambda value: value is None or _is_number(value), "a number"),
    list[str]: (
        lambda value: isinstance(value, list) and all(map(_is_text, value)),
        "a list of names, e.g. [a, b]",
    ),
    dict[str, str]: (
        lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
        "a mapping of short names to metrics",
    ),
}


def _plain(value: Any, kind: Any) -> Any:
    """Return a list for any sequence of names, a dict for any mapping, and other values as is."""
    if kind == list[str] and isinstance(value, Sequence) and not isinstance(value, str):
        return [str(item) for item in value]
    if kind == dict[str, str] and isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    return value
