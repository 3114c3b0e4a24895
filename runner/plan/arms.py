"""The arms of a study as lists of overrides: `${key}` within them stays, copies are written out."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from runner.claims.copies import OFFSET
from runner.config import ConfigError
from runner.plan import values
from runner.wording.names import near
from runner.wording.output import listed, shortened

COPY_OF = "copy_of"
STEP = 1000
"""Between the seed offsets of an arm and of its copies."""
WHOLE = re.compile(r"\$\{[^{}=]*\}")
HIDDEN = "$\N{ZERO WIDTH SPACE}{"  # stands for ${ in arms while the other keys are resolved


def as_lists(config: DictConfig) -> Any:
    """Return the arms of a composed config as plain data, each `{copy_of: <arm>}` written out.

    Each arm is composed with its own overrides and resolves `${key}` within them then, as it would
    if it were typed. What is `${key}` as a whole (one arm that repeats another) is resolved here.

    Raises:
        ConfigError: a copy of no arm, of a copy, or with other keys.
    """
    return with_copies(_as_written(config, "arms"))


def _as_written(node: Any, key: Any) -> Any:
    """The value at a key of a container; only texts that are more than one `${key}` stay."""
    if OmegaConf.is_missing(node, key):
        return "???"
    if OmegaConf.is_interpolation(node, key):
        plain: Any = OmegaConf.to_container(node, resolve=False)
        if not WHOLE.fullmatch(text := str(plain[key])):
            return text
    value = node[key]
    if isinstance(value, DictConfig):
        for name in value:
            if not isinstance(name, str):
                raise ConfigError(f"arms: the key {values.typed_as(name)} is no text; quote it")
        return {name: _as_written(value, name) for name in value}
    if isinstance(value, ListConfig):
        return [_as_written(value, place) for place in range(len(value))]
    return value


def hidden(value: Any, *, back: bool = False) -> Any:
    """Plain data whose `${` OmegaConf does not see; `back` undoes it."""
    if isinstance(value, dict):
        return {name: hidden(item, back=back) for name, item in value.items()}
    if isinstance(value, list):
        return [hidden(item, back=back) for item in value]
    if not isinstance(value, str):
        return value
    return value.replace(HIDDEN, "${") if back else value.replace("${", HIDDEN)


def with_copies(arms: Any) -> Any:
    """Return arms by name, each copy replaced by its original's overrides and a seed offset.

    The first copy of an arm has a seed offset 1000 above its own, the second 2000, and so on.
    """
    if not isinstance(arms, dict):
        return arms  # of a wrong kind, which is told where arms are typed
    copies: Counter[str] = Counter()
    lists = {}
    for name, arm in arms.items():
        lists[name] = arm
        if is_copy(arm) or isinstance(arm, dict):
            original = original_of(name, arm, arms)
            copies[original] += 1
            lists[name] = moved(arms[original], STEP * copies[original])
    return lists


def is_copy(arm: Any) -> bool:
    """Return whether an arm is the list that stands for `{copy_of: <arm>}` (see `listed_copy`)."""
    return isinstance(arm, list) and len(arm) == 1 and str(arm[0]).startswith(f"{COPY_OF}=")


def listed_copy(arm: Any) -> list[str] | None:
    """Return `{copy_of: <arm>}` as a list of one text; None for anything else.

    An arm can then replace another of its name in a later file or on the command line, whichever of
    the two is a copy: a list replaces a list, but cannot be merged with keys.
    """
    named = isinstance(arm, Mapping) and list(arm) == [COPY_OF] and isinstance(arm[COPY_OF], str)
    return [f"{COPY_OF}={arm[COPY_OF]}"] if named else None


def list_copies(config: Any) -> None:
    """Replace, in a YAML file as it was loaded, each `{copy_of: <arm>}` by its list."""
    arms = config._get_node("arms") if isinstance(config, DictConfig) else None
    if not isinstance(arms, DictConfig):
        return
    written: Any = OmegaConf.to_container(arms, resolve=False)
    for name, arm in written.items() if isinstance(written, dict) else ():
        if copy := listed_copy(arm):
            arms[name] = copy


def original_of(name: str, arm: Any, arms: Mapping[str, Any]) -> str:
    """Return the arm that an arm is a copy of. Raises ConfigError where it is none."""
    here = f"arms.{shortened(name, 80)}"
    if isinstance(arm, dict) and list(arm) != [COPY_OF]:
        keys = f"the keys {shortened(listed(list(arm)), 80)}" if arm else "no overrides"
        raise ConfigError(
            f"{here} has {keys}; an arm is a list of overrides or {{{COPY_OF}: <arm>}}"
        )
    original = arm[COPY_OF] if isinstance(arm, dict) else arm[0].partition("=")[2]
    where = f"{here}: {COPY_OF}={values.typed_as(original)}"
    if not isinstance(original, str) or original not in arms:
        raise ConfigError(f"{where}: there is no such arm; {near(str(original), arms)}")
    if is_copy(arms[original]) or isinstance(arms[original], dict):
        raise ConfigError(f"{where}: that is a copy itself; name the arm that it is a copy of")
    return original


def moved(arm: Any, distance: int) -> Any:
    """Return an arm's overrides under seeds that are so far from its own."""
    if not isinstance(arm, list):
        return arm  # of a wrong kind, which is told where arms are typed
    own = [text for text in arm if str(text).lstrip("+").startswith(f"{OFFSET}=")]
    offsets = [str(text).partition("=")[2].strip() for text in own]
    start = int(offsets[-1]) if offsets and re.fullmatch(r"\d{1,10}", offsets[-1]) else 0
    return [*(text for text in arm if text not in own), f"{OFFSET}={start + distance}"]
