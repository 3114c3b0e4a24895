"""The ways to write that an arm is a copy: `{copy_of: <arm>}` in YAML and on the command line."""

from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from omegaconf import DictConfig, OmegaConf

from runner.plan import value_types

COPY_OF = "copy_of"


def is_copy(arm: Any) -> bool:
    """Return whether an arm is the list that stands for `{copy_of: <arm>}` (see `copy_as_list`)."""
    return isinstance(arm, list) and len(arm) == 1 and str(arm[0]).startswith(f"{COPY_OF}=")


def copy_as_list(arm: Any) -> list[str] | None:
    """Return `{copy_of: <arm>}` as a list of one text; None for anything else.

    An arm can then replace another of its name in a later file or on the command line, whichever of
    the two is a copy: a list replaces a list, but cannot be merged with keys.
    """
    if not isinstance(arm, Mapping) or list(arm) != [COPY_OF]:
        return None
    original = arm[COPY_OF]
    text = original if isinstance(original, str) else value_types.format_typed_value(original)
    return [f"{COPY_OF}={text}"]


def replace_copies_by_lists(config: Any) -> None:
    """Replace, in a YAML file as it was loaded, each `{copy_of: <arm>}` by its list."""
    arms = config._get_node("arms") if isinstance(config, DictConfig) else None
    if not isinstance(arms, DictConfig):
        return
    written: Any = OmegaConf.to_container(arms, resolve=False)
    for name, arm in written.items() if isinstance(written, dict) else ():
        if copy := copy_as_list(arm):
            arms[name] = copy


def rewrite_typed_copies(override: Override) -> str | None:
    """Return an override of `arms` or `arms.<name>` with copies as lists; None where it has none.

    It may give one value or a sweep over several.
    """
    given = override._value
    if override.is_delete() or isinstance(given, Glob | RangeSweep | IntervalSweep):
        return None
    several = given.list if isinstance(given, ChoiceSweep) else [given]
    key = override.key_or_group
    start = str(override.input_line).partition(key)[0]
    if key.count(".") > 1 and key.endswith(f".{COPY_OF}"):  # arms.x.copy_of=relu
        key = key.removesuffix(f".{COPY_OF}")
        several = [{COPY_OF: one} for one in several]
    written = [_with_lists(one, whole=key == "arms") for one in several]
    if written == several:
        return None
    return f"{start}{key}={','.join(map(Override._get_value_element_as_str, written))}"


def _with_lists(value: Any, *, whole: bool) -> Any:
    """The value of `arms` (whole) or of one arm, as Hydra has parsed it, with copies as lists."""
    if whole:
        arms = value.items() if isinstance(value, dict) else ()
        return {name: _with_lists(arm, whole=False) for name, arm in arms} if arms else value
    plain = Override._convert_value(value)
    copy = copy_as_list(plain)
    return value if copy is None else [QuotedString(text=copy[0], quote=Quote.double)]
