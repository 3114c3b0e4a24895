"""Arms written as `{copy_of: <arm>}`, in YAML or on the command line, turned into lists."""

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
    """Return whether an arm is the list form of `{copy_of: <arm>}` (see `copy_as_list`)."""
    return isinstance(arm, list) and len(arm) == 1 and str(arm[0]).startswith(f"{COPY_OF}=")


def copy_as_list(arm: Any) -> list[str] | None:
    """Return `{copy_of: <arm>}` as a list of one text; None for anything else.

    Hydra replaces a list by a list, but merges keys and refuses to merge a list with keys. As
    lists, copies and other arms can replace each other in a later file or on the command line.
    """
    if not isinstance(arm, Mapping) or list(arm) != [COPY_OF]:
        return None
    original = arm[COPY_OF]
    text = original if isinstance(original, str) else value_types.format_typed_value(original)
    return [f"{COPY_OF}={text}"]


def replace_copies_by_lists(config: Any) -> None:
    """Replace each `{copy_of: <arm>}` in a loaded YAML file by its list form."""
    arms = config._get_node("arms") if isinstance(config, DictConfig) else None
    if not isinstance(arms, DictConfig):
        return
    plain: Any = OmegaConf.to_container(arms, resolve=False)
    for name, arm in plain.items() if isinstance(plain, dict) else ():
        if copy := copy_as_list(arm):
            arms[name] = copy


def rewrite_typed_copies(override: Override) -> str | None:
    """Return an override of `arms` or `arms.<name>` with copies as lists; None without copies.

    The override may have one value or be a sweep over several.
    """
    value = override._value
    if override.is_delete() or isinstance(value, Glob | RangeSweep | IntervalSweep):
        return None
    values = value.list if isinstance(value, ChoiceSweep) else [value]
    key = override.key_or_group
    prefix = str(override.input_line).partition(key)[0]
    if key.count(".") > 1 and key.endswith(f".{COPY_OF}"):  # arms.x.copy_of=relu
        key = key.removesuffix(f".{COPY_OF}")
        values = [{COPY_OF: item} for item in values]
    rewritten = [_replace_copies(item, whole=key == "arms") for item in values]
    if rewritten == values:
        return None
    return f"{prefix}{key}={','.join(map(Override._get_value_element_as_str, rewritten))}"


def _replace_copies(value: Any, *, whole: bool) -> Any:
    """Return Hydra's parsed value of `arms` (if `whole`) or of one arm, with copies as lists."""
    if whole:
        arms = value.items() if isinstance(value, dict) else ()
        return {name: _replace_copies(arm, whole=False) for name, arm in arms} if arms else value
    plain = Override._convert_value(value)
    copy = copy_as_list(plain)
    return value if copy is None else [QuotedString(text=copy[0], quote=Quote.double)]
