"""Which claims and figures a study has: those that `claim` and `figure` choose, and typed ones."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from runner.config import ConfigError, Study
from runner.plan.overrides import parse
from runner.wording.names import near
from runner.wording.output import shortened

CHOICES = {"claims": "claim", "figures": "figure"}
# conf/claims/ and conf/figures/ are folders, so Hydra takes `~claims` for the deletion of a group;
# a dictionary goes past that, and `choose` does what was meant.
NONE_OF_THEM = "_none_"
NONE = {key: f"++{key}={{{NONE_OF_THEM}: true}}" for key in CHOICES}


def choose(study: Study, overrides: Sequence[str]) -> Study:
    """Return the study with the claims and figures that it chooses, in the order of its choice.

    `claim` and `figure` name them; null is all. As with arms, those that the command line adds or
    changes are among them unless it makes the choice itself. After `~claims` only these are left.

    Raises:
        ConfigError: an unknown name, or a choice that is no name and no list of names.
    """
    found = {key: chosen(study, key, overrides) for key in CHOICES}
    return dataclasses.replace(study, claims=found["claims"], figures=found["figures"])


def chosen(study: Study, key: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the claims or the figures that a study chooses, by name."""
    known: Mapping[str, Any] = getattr(study, key)
    if not isinstance(known, Mapping):
        return known
    choice = CHOICES[key]
    left_out = NONE_OF_THEM in known
    known = {name: value for name, value in known.items() if name != NONE_OF_THEM}
    added = typed(key, known, overrides)
    is_typed = any(parse(text).key_or_group == choice for text in overrides)
    if left_out:
        known = {name: known[name] for name in added}
    names = named(choice, getattr(study, choice))
    if names and not is_typed:  # a preset's choice of what was deleted on the command line
        gone = {text.removeprefix(f"~{key}.") for text in overrides}
        names = [name for name in names if name not in gone]
    if names is None or (left_out and not is_typed):
        return dict(known)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{choice}={shortened(name, 80)}: there is no such {choice}; {near(name, known)}"
            )
    return {name: known[name] for name in (names if is_typed else [*names, *added])}


def named(choice: str, value: Any) -> list[str] | None:
    """Return the names that a choice gives; None for all."""
    if value is None:
        return None
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names):
        raise ConfigError(
            f"{choice}={shortened(value, 80)}: name one {choice} or a list of them, or leave it out"
        )
    return names


def typed(key: str, known: Mapping[str, Any], overrides: Sequence[str]) -> list[str]:
    """Return the names of the claims or figures that the command line adds or changes."""
    places = set()
    for override in map(parse, overrides):
        section, dot, rest = override.key_or_group.partition(".")
        if section == key and override.input_line != NONE[key] and not override.is_delete():
            value = override.value()
            places |= {rest} if dot else {*map(str, value if isinstance(value, dict) else ())}
    return [n for n in known if any(place == n or place.startswith(f"{n}.") for place in places)]
