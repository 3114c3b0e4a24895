"""One override of the command line or of an arm, parsed by Hydra's grammar, within bounds.

A value that the grammar does not take (`task.path=日本語/a.txt`) is put in quotes for Hydra, where
it can only be one text.
"""

import functools
import math
import re
from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep
from hydra.errors import HydraException

from runner.config import ConfigError
from runner.plan import option_folders
from runner.plan.error_messages import as_config_error
from runner.wording.output import truncate_middle

MOST_LETTERS, DEEPEST, MOST_POINTS, LONGEST_KEY = 20_000, 50, 10_000, 200
WORDS = ("scale", "device", "task")  # groups whose options are typed alone by mistake
KEY_AND_VALUE = re.compile(r"([+~]{0,2}[A-Za-z_$][\w.$/-]*)=(.*)", re.DOTALL)
NOT_ONE_TEXT = re.compile(r"""^\s*["'\[{(]|,|\$\{|^\s*\w+\s*\(""")


@functools.lru_cache(maxsize=2000)
def parse_override(text: str) -> Override:
    """One override; its `input_line` is the form that Hydra takes.

    Raises:
        ConfigError: it cannot be read, or is too long or too deep to be meant.
    """
    if len(text) > MOST_LETTERS:
        raise ConfigError(
            f"{truncate_middle(text, 80)}: an option has at most {MOST_LETTERS:,} letters, this one has "
            f"{len(text):,}; put it in a YAML file of --config-dir"
        )
    if depth(text) > DEEPEST:
        raise ConfigError(
            f"{truncate_middle(text, 80)}: brackets are {depth(text)} deep; at most {DEEPEST} are read"
        )
    with as_config_error(text):
        try:
            return OverridesParser.create().parse_override(text)
        except HydraException as error:
            in_quotes = with_quotes(text, error)
    with as_config_error(text):
        try:
            return OverridesParser.create().parse_override(in_quotes)
        except HydraException as error:
            raise no_override(text) from error


def with_quotes(text: str, error: HydraException) -> str:
    """An override that the grammar does not take, its value in quotes.

    Raises:
        ConfigError: it is no override, or its value may be meant as something else than a text.
    """
    found = KEY_AND_VALUE.fullmatch(text)
    if found is None:
        raise no_override(text) from error
    in_quotes = f"{found[1]}={quoted(found[2])}"
    if NOT_ONE_TEXT.search(found[2]):
        listed = re.fullmatch(r"\s*\[([^\[\]\"']*)\]\s*", found[2])
        if listed:  # the shell takes one pair of quotes away
            items = ",".join(quoted(item.strip()) for item in listed[1].split(","))
            in_quotes = f"{found[1]}=[{items}]"
        if found[2].lstrip().startswith("{"):
            how = "within {...} keys stand without quotes: {a: b}"
        elif "${" in found[2]:
            how = "${ is followed by the name of a key and }, e.g. ${training.steps}"
        else:
            meant = "put each of the list's texts" if listed else "if it is one text, put it"
            form = truncate_middle(f"'{in_quotes}'", 100)
            how = f"{meant} in quotes, and all in others: {form}"
        raise ConfigError(
            f"{truncate_middle(text, 80)}: the value cannot be read; {how}"
        ) from error
    return in_quotes


def no_override(text: str) -> ConfigError:
    """The error for a text that is not of the form key=value."""
    word = text.strip()
    group = next(
        (g for g in ("experiment", *WORDS) if word in option_folders.option_names(g)), None
    )
    meant = "e.g. n_seeds=3" if group is None else f"here {group}={word}"
    return ConfigError(
        f"'{truncate_middle(text, 120)}' is not an override; write key=value, {meant}"
    )


def quoted(value: str) -> str:
    """A text as a quoted value of Hydra's grammar."""
    inner = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ('\\"' if m[2] else ""), value)
    return f'"{inner}"'


def depth(text: str) -> int:
    """How deep brackets of any kind are nested in a text."""
    deepest = level = 0
    for letter in text:
        level += (letter in "[{(") - (letter in "]})")
        deepest = max(deepest, level)
    return deepest


def listed_values(override: Override) -> list[object]:
    """The values that an override gives: one, or those of a sweep as far as they are listed."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return [override._convert_value(item) for item in value.list]
    return [] if override.is_sweep_override() else [value]


def check_sweep(overrides: Iterable[Override]) -> None:
    """Refuse a sweep of more points than anyone computes, or of none, before it is counted out.

    Raises:
        ConfigError: with the number allowed.
    """
    total = 1
    for override in overrides:
        if not override.is_sweep_override():
            continue
        n_points = count(override)
        if n_points == 0:
            raise ConfigError(
                f"{truncate_middle(override.input_line, 120)}: the sweep has no points"
            )
        total = min(total * n_points, 10**12)
        if total > MOST_POINTS:
            raise ConfigError(
                f"{truncate_middle(override.input_line, 120)}: the sweep has "
                f"{'at least a million' if total > 10**6 else f'{total:,}'} points; "
                f"at most {MOST_POINTS:,} are allowed"
            )


def count(override: Override) -> int:
    """The number of points of a sweep; an interval has one, which its sweeper chooses."""
    sweep = override.value()
    if isinstance(sweep, ChoiceSweep):
        return len(sweep.list)
    if isinstance(sweep, Glob):
        return len(sweep.filter(sorted(option_folders.option_names(override.key_or_group))))
    if not isinstance(sweep, RangeSweep):
        return 1
    start, stop, step = sweep.start or 0, sweep.stop or 0, sweep.step
    if not step or not all(math.isfinite(float(x)) for x in (start, stop, step)):
        return MOST_POINTS + 1
    return max(0, math.ceil(min((stop - start) / step, 1e12)))
