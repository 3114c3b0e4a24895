"""The arms of a study as lists of overrides.

`{copy_of: <arm>}` is replaced by that arm's overrides; `${key}` within an override stays.
"""

import itertools
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from runner.claims.aa_pairs import SEED_OFFSET, SEED_OFFSET_STEP
from runner.config import INTEGER_LIMIT, ConfigError
from runner.plan import value_types
from runner.plan.copy_of import COPY_OF, is_copy
from runner.plan.overrides import parse_override
from runner.wording.names import name_hint
from runner.wording.output import join_names, truncate_middle

ONE_INTERPOLATION = re.compile(r"\$\{[^{}=]*\}")
HIDDEN_OPENING = "$\N{ZERO WIDTH SPACE}{"  # replaces ${ in arms while other keys are resolved


def expand_arms(config: DictConfig) -> Any:
    """Return the arms of a composed config as plain data, each copy with its own overrides.

    `${key}` within an override stays, and is resolved when the arm is composed. A value that is
    one `${key}` as a whole, such as an arm that repeats another, is resolved here.

    Raises:
        ConfigError: a copy names an unknown arm or another copy, or has further keys.
    """
    base = config.get(SEED_OFFSET)
    return expand_copies(_resolve_in_part(config, "arms"), base if isinstance(base, int) else 0)


def _resolve_in_part(node: Any, key: Any) -> Any:
    """Return the value at a key of a container, with `${key}` resolved in some texts.

    They are resolved in copies, and in texts that are one `${key}` as a whole.
    """
    if OmegaConf.is_missing(node, key):
        return "???"
    if OmegaConf.is_interpolation(node, key):
        plain: Any = OmegaConf.to_container(node, resolve=False)
        text = str(plain[key])
        if not ONE_INTERPOLATION.fullmatch(text) and not text.startswith(f"{COPY_OF}="):
            return text
    value = node[key]
    if isinstance(value, DictConfig):
        for name in value:
            if not isinstance(name, str):
                raise ConfigError(
                    f"arms: the key {value_types.format_typed_value(name)} is not a text; quote it"
                )
        return {name: _resolve_in_part(value, name) for name in value}
    if isinstance(value, ListConfig):
        return [_resolve_in_part(value, place) for place in range(len(value))]
    return value


def hide_interpolations(value: Any, *, undo: bool = False) -> Any:
    """Return plain data with each `${` hidden from OmegaConf, or with `undo` restored."""
    if isinstance(value, dict):
        return {name: hide_interpolations(item, undo=undo) for name, item in value.items()}
    if isinstance(value, list):
        return [hide_interpolations(item, undo=undo) for item in value]
    if not isinstance(value, str):
        return value
    return value.replace(HIDDEN_OPENING, "${") if undo else value.replace("${", HIDDEN_OPENING)


def expand_copies(arms: Any, base: int = 0) -> Any:
    """Return arms by name, each copy replaced by its original's overrides and a seed offset.

    The first copy of an arm has a seed offset 1000 above the arm's own, the second 2000, and so on.
    Offsets of other arms with the same overrides are skipped. `base` is the offset of arms that do
    not set one.
    """
    if not isinstance(arms, dict):
        return arms  # the wrong type: reading the study refuses it
    lists, used_offsets = dict(arms), dict[tuple[str, ...], set[int]]()
    originals = {
        name: find_original(name, arm, arms)
        for name, arm in arms.items()
        if is_copy(arm) or isinstance(arm, dict)
    }
    for name, original in originals.items():
        if not isinstance(arms[original], list):
            lists[name] = arms[original]  # the wrong type: reading the study refuses it
            continue
        overrides = overrides_without_offset(arms[original])
        overrides_key = tuple(sorted(map(str, overrides)))
        if overrides_key not in used_offsets:
            used_offsets[overrides_key] = {
                read_seed_offset(other, arm, base)
                for other, arm in arms.items()
                if other not in originals
                and isinstance(arm, list)
                and tuple(sorted(map(str, overrides_without_offset(arm)))) == overrides_key
            }
        start = read_seed_offset(original, arms[original], base) + SEED_OFFSET_STEP
        candidates = itertools.chain(
            range(start, INTEGER_LIMIT, SEED_OFFSET_STEP), range(0, INTEGER_LIMIT, SEED_OFFSET_STEP)
        )  # from 0 on where none above is free
        offset = next(
            candidate for candidate in candidates if candidate not in used_offsets[overrides_key]
        )
        used_offsets[overrides_key].add(offset)
        lists[name] = [*overrides, f"{SEED_OFFSET}={offset}"]
    return lists


def find_original(name: str, arm: Any, arms: Mapping[str, Any]) -> str:
    """Return the name of the arm that an arm copies. Raises ConfigError for a malformed copy."""
    key = f"arms.{truncate_middle(name, 80)}"
    if isinstance(arm, dict) and list(arm) != [COPY_OF]:
        keys = f"the keys {truncate_middle(join_names(list(arm)), 80)}" if arm else "no overrides"
        raise ConfigError(
            f"{key} has {keys}; an arm is a list of overrides or {{{COPY_OF}: <arm>}}"
        )
    original = arm[COPY_OF] if isinstance(arm, dict) else arm[0].partition("=")[2]
    where = f"{key}: {COPY_OF}={value_types.format_typed_value(original)}"
    if not isinstance(original, str) or original not in arms:
        raise ConfigError(f"{where}: there is no such arm; {name_hint(str(original), arms)}")
    if original == name:
        raise ConfigError(f"{where}: an arm cannot copy itself; name another arm")
    if is_copy(arms[original]) or isinstance(arms[original], dict):
        raise ConfigError(f"{where}: {original} is a copy too; name the arm that it copies")
    return original


def sets_offset(text: Any) -> bool:
    """Return whether an override of an arm sets its seed offset."""
    return str(text).lstrip("+").startswith(f"{SEED_OFFSET}=")


def overrides_without_offset(arm: list[Any]) -> list[Any]:
    """Return an arm's overrides without its seed offset."""
    return [text for text in arm if not sets_offset(text)]


def read_seed_offset(name: str, arm: list[Any], base: int) -> int:
    """Return the seed offset of an arm; the last of several counts.

    Raises:
        ConfigError: the offset is not a whole number.
    """
    own = [str(text) for text in arm if sets_offset(text)]
    value = parse_override(own[-1]).value() if own else base
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(
            f"arms.{truncate_middle(name, 80)}: {truncate_middle(own[-1], 80)} must be a whole "
            f"number, e.g. {SEED_OFFSET}={SEED_OFFSET_STEP}, as the offset of a copy adds to it"
        )
    return value
