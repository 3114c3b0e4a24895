"""The arms of a study as lists of overrides: `${key}` within them stays, copies are written out."""

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

WHOLE = re.compile(r"\$\{[^{}=]*\}")
HIDDEN = "$\N{ZERO WIDTH SPACE}{"  # stands for ${ in arms while the other keys are resolved


def expand_arms(config: DictConfig) -> Any:
    """Return the arms of a composed config as plain data, each `{copy_of: <arm>}` written out.

    Each arm is composed with its own overrides and resolves `${key}` within them then, as it would
    if it were typed. What is `${key}` as a whole (one arm that repeats another) is resolved here.

    Raises:
        ConfigError: a copy of no arm, of a copy, or with other keys.
    """
    base = config.get(SEED_OFFSET)
    return expand_copies(_as_written(config, "arms"), base if isinstance(base, int) else 0)


def _as_written(node: Any, key: Any) -> Any:
    """The value at a key of a container; texts that are more than one `${key}` stay, copies not."""
    if OmegaConf.is_missing(node, key):
        return "???"
    if OmegaConf.is_interpolation(node, key):
        plain: Any = OmegaConf.to_container(node, resolve=False)
        text = str(plain[key])
        if not WHOLE.fullmatch(text) and not text.startswith(f"{COPY_OF}="):
            return text
    value = node[key]
    if isinstance(value, DictConfig):
        for name in value:
            if not isinstance(name, str):
                raise ConfigError(
                    f"arms: the key {value_types.format_typed_value(name)} is no text; quote it"
                )
        return {name: _as_written(value, name) for name in value}
    if isinstance(value, ListConfig):
        return [_as_written(value, place) for place in range(len(value))]
    return value


def hide_interpolations(value: Any, *, undo: bool = False) -> Any:
    """Plain data whose `${` OmegaConf does not see; `undo` undoes it."""
    if isinstance(value, dict):
        return {name: hide_interpolations(item, undo=undo) for name, item in value.items()}
    if isinstance(value, list):
        return [hide_interpolations(item, undo=undo) for item in value]
    if not isinstance(value, str):
        return value
    return value.replace(HIDDEN, "${") if undo else value.replace("${", HIDDEN)


def expand_copies(arms: Any, base: int = 0) -> Any:
    """Return arms by name, each copy replaced by its original's overrides and a seed offset.

    The first copy of an arm has a seed offset 1000 above its own, the second 2000, and so on;
    offsets of arms that are copies already are skipped. `base` is the offset of arms without one.
    """
    if not isinstance(arms, dict):
        return arms  # of a wrong kind, which is told where arms are typed
    lists, taken = dict(arms), dict[tuple[str, ...], set[int]]()
    originals = {
        name: original_of(name, arm, arms)
        for name, arm in arms.items()
        if is_copy(arm) or isinstance(arm, dict)
    }
    for name, original in originals.items():
        if not isinstance(arms[original], list):
            lists[name] = arms[original]  # of a wrong kind, which is told where arms are typed
            continue
        rest = overrides_without_offset(arms[original])
        same = tuple(sorted(map(str, rest)))
        if same not in taken:
            taken[same] = {
                offset_of(other, arm, base)
                for other, arm in arms.items()
                if other not in originals
                and isinstance(arm, list)
                and tuple(sorted(map(str, overrides_without_offset(arm)))) == same
            }
        start = offset_of(original, arms[original], base) + SEED_OFFSET_STEP
        above = itertools.chain(
            range(start, INTEGER_LIMIT, SEED_OFFSET_STEP), range(0, INTEGER_LIMIT, SEED_OFFSET_STEP)
        )  # else from 0 on
        offset = next(one for one in above if one not in taken[same])
        taken[same].add(offset)
        lists[name] = [*rest, f"{SEED_OFFSET}={offset}"]
    return lists


def original_of(name: str, arm: Any, arms: Mapping[str, Any]) -> str:
    """Return the arm that an arm is a copy of. Raises ConfigError where it is none."""
    here = f"arms.{truncate_middle(name, 80)}"
    if isinstance(arm, dict) and list(arm) != [COPY_OF]:
        keys = f"the keys {truncate_middle(join_names(list(arm)), 80)}" if arm else "no overrides"
        raise ConfigError(
            f"{here} has {keys}; an arm is a list of overrides or {{{COPY_OF}: <arm>}}"
        )
    original = arm[COPY_OF] if isinstance(arm, dict) else arm[0].partition("=")[2]
    where = f"{here}: {COPY_OF}={value_types.format_typed_value(original)}"
    if not isinstance(original, str) or original not in arms:
        raise ConfigError(f"{where}: there is no such arm; {name_hint(str(original), arms)}")
    if original == name:
        raise ConfigError(f"{where}: that is the arm itself; name another arm")
    if is_copy(arms[original]) or isinstance(arms[original], dict):
        raise ConfigError(f"{where}: that is a copy itself; name the arm that it is a copy of")
    return original


def sets_offset(text: Any) -> bool:
    """Return whether an override of an arm gives it a seed offset."""
    return str(text).lstrip("+").startswith(f"{SEED_OFFSET}=")


def overrides_without_offset(arm: list[Any]) -> list[Any]:
    """Return an arm's overrides but for its seed offset."""
    return [text for text in arm if not sets_offset(text)]


def offset_of(name: str, arm: list[Any], base: int) -> int:
    """Return the seed offset of an arm that is copied; the last one that it gives counts.

    Raises:
        ConfigError: it is no whole number.
    """
    own = [str(text) for text in arm if sets_offset(text)]
    value = parse_override(own[-1]).value() if own else base
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(
            f"arms.{truncate_middle(name, 80)}: {truncate_middle(own[-1], 80)} must be a whole number, e.g. "
            f"{SEED_OFFSET}={SEED_OFFSET_STEP}, since a copy counts from it"
        )
    return value
