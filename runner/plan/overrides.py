"""Parse overrides of the command line and of arms by Hydra's grammar, within limits of size.

If the grammar refuses a value that can only be one text (`task.path=日本語/a.txt`), the value is
quoted for Hydra.
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

MAX_LENGTH, MAX_DEPTH, MAX_POINTS, LONGEST_KEY = 20_000, 50, 10_000, 200
WORDS = ("scale", "device", "task")  # groups whose options users type without `group=`
KEY_AND_VALUE = re.compile(r"([+~]{0,2}[A-Za-z_$][\w.$/-]*)=(.*)", re.DOTALL)
UNQUOTED_LIST = re.compile(r"\[([^\[\]\"']*)\]")
UNQUOTED_LISTS = re.compile(rf"\s*{UNQUOTED_LIST.pattern}\s*(,\s*{UNQUOTED_LIST.pattern}\s*)*")
EMPTY_ITEM = re.compile(r"^\s*,|,\s*(?:,|$)")
NOT_ONE_TEXT = re.compile(r"""^\s*["'\[{(]|,|\$\{|^\s*\w+\s*\(""")


@functools.lru_cache(maxsize=2000)
def parse_override(text: str) -> Override:
    """Return one parsed override; its `input_line` is the text to pass to Hydra.

    Raises:
        ConfigError: the text is not an override, or exceeds the limits of length or nesting.
    """
    if len(text) > MAX_LENGTH:
        raise ConfigError(
            f"{truncate_middle(text, 80)}: an option has at most {MAX_LENGTH:,} characters, this "
            f"one has {len(text):,}; put it in a YAML file of --config-dir"
        )
    if depth(text) > MAX_DEPTH:
        raise ConfigError(
            f"{truncate_middle(text, 80)}: brackets are nested {depth(text)} deep; at most "
            f"{MAX_DEPTH} levels are allowed"
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
    """Return an override that the grammar refuses, with its value in quotes.

    Raises:
        ConfigError: the text is not an override, or its value may be meant as another type.
    """
    match = KEY_AND_VALUE.fullmatch(text)
    if match is None:
        raise no_override(text) from error
    in_quotes = f"{match[1]}={quoted(match[2])}"
    if NOT_ONE_TEXT.search(match[2]):
        listed = UNQUOTED_LISTS.fullmatch(match[2])
        if listed:  # the shell has removed one pair of quotes
            in_quotes = f"{match[1]}={UNQUOTED_LIST.sub(quote_items, match[2])}"
        if match[2].lstrip().startswith("{"):
            how = "keys within {...} have no quotes: {a: b}"
        elif "${" in match[2]:
            how = "${ is followed by the name of a key and }, e.g. ${training.steps}"
        else:
            target = "quote each text of the list" if listed else "if it is one text, quote it"
            example = truncate_middle(f"'{in_quotes}'", 100)
            how = f"{target}, and the whole option for the shell: {example}"
            if EMPTY_ITEM.search(match[2]):
                how = f"write a value on both sides of each comma; {how}"
        raise ConfigError(
            f"{truncate_middle(text, 80)}: the value cannot be read; {how}"
        ) from error
    return in_quotes


def no_override(text: str) -> ConfigError:
    """Return the error for a text that does not have the form key=value."""
    word = text.strip()
    group = next(
        (g for g in ("experiment", *WORDS) if word in option_folders.option_names(g)), None
    )
    example = "e.g. n_seeds=3" if group is None else f"here {group}={word}"
    return ConfigError(
        f"'{truncate_middle(text, 120)}' is not an override; write key=value, {example}"
    )


def quoted(value: str) -> str:
    """Return a text as a quoted value of Hydra's grammar."""
    inner = re.sub(r'(\\*)("|$)', lambda m: m[1] * 2 + ('\\"' if m[2] else ""), value)
    return f'"{inner}"'


def quote_items(listed: re.Match[str]) -> str:
    """Return a list of Hydra's grammar with its items in quotes."""
    items = [item.strip() for item in listed[1].split(",")]
    return f"[{','.join(quoted(item) for item in items if item)}]"


def depth(text: str) -> int:
    """Return how deep brackets of any kind are nested in a text."""
    deepest = level = 0
    for character in text:
        level += (character in "[{(") - (character in "]})")
        deepest = max(deepest, level)
    return deepest


def listed_values(override: Override) -> list[object]:
    """Return the values of an override: one value, or the listed values of a sweep."""
    value = override.value()
    if isinstance(value, ChoiceSweep):
        return [override._convert_value(item) for item in value.list]
    return [] if override.is_sweep_override() else [value]


def check_sweep(overrides: Iterable[Override]) -> None:
    """Refuse a sweep without points or with more than `MAX_POINTS`, before Hydra expands it.

    Raises:
        ConfigError: the message has the number that is allowed.
    """
    total = 1
    for override in overrides:
        if not override.is_sweep_override():
            continue
        n_points = count_points(override)
        if n_points == 0:
            raise ConfigError(
                f"{truncate_middle(override.input_line, 120)}: the sweep has no points"
            )
        total = min(total * n_points, 10**12)
        if total > MAX_POINTS:
            raise ConfigError(
                f"{truncate_middle(override.input_line, 120)}: the sweep has "
                f"{'at least a million' if total > 10**6 else f'{total:,}'} points; "
                f"at most {MAX_POINTS:,} are allowed"
            )


def count_points(override: Override) -> int:
    """Return the number of points of a sweep; an interval counts as one, chosen by its sweeper."""
    sweep = override.value()
    if isinstance(sweep, ChoiceSweep):
        return len(sweep.list)
    if isinstance(sweep, Glob):
        return len(sweep.filter(sorted(option_folders.option_names(override.key_or_group))))
    if not isinstance(sweep, RangeSweep):
        return 1
    start, stop, step = sweep.start or 0, sweep.stop or 0, sweep.step
    if not step or not all(math.isfinite(float(x)) for x in (start, stop, step)):
        return MAX_POINTS + 1
    return max(0, math.ceil(min((stop - start) / step, 1e12)))
