"""Which claims and figures a study has: those that `claim` and `figure` choose, and typed ones."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from runner.config import ConfigError, Study
from runner.plan.overrides import parse_override
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

CHOICE_KEYS = {"claims": "claim", "figures": "figure"}
# conf/claims/ and conf/figures/ are folders, so Hydra takes `~claims` for the deletion of a group;
# a dictionary goes past that, and `select_claims_and_figures` does what was meant.
NONE_MARKER = "_none_"
DELETION_OVERRIDES = {key: f"++{key}={{{NONE_MARKER}:true}}" for key in CHOICE_KEYS}


def select_claims_and_figures(study: Study, overrides: Sequence[str]) -> Study:
    """Return the study with the claims and figures that it chooses, in the order of its choice.

    `claim` and `figure` name them; null is all. As with arms, those that the command line adds or
    changes are among them unless it makes the choice itself. After `~claims` only these are left.
    A claim or figure that is null is none (`in_braces` writes `~claims.<id>` so).

    Raises:
        ConfigError: an unknown name, or a choice that is no name and no list of names.
    """
    found = {key: chosen(study, key, overrides) for key in CHOICE_KEYS}
    return dataclasses.replace(study, claims=found["claims"], figures=found["figures"])


def without_claims_and_figures(overrides: Sequence[str]) -> list[str]:
    """Return typed overrides without claims and figures, whose files are not composed either.

    An arm has none of them, and a third of the time to compose one is spent on these files.
    """
    kept = [
        t for t in overrides if parse_override(t).key_or_group.partition(".")[0] not in CHOICE_KEYS
    ]
    return [*kept, *(f"~{key}" for key in CHOICE_KEYS)]


def chosen(study: Study, key: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the claims or the figures that a study chooses, by name."""
    known: Mapping[str, Any] = getattr(study, key)
    if not isinstance(known, Mapping):
        return known
    choice = CHOICE_KEYS[key]
    none = any(key == deleted_group(text) for text in overrides)
    gone = {name for name, value in known.items() if value is None}
    gone |= {NONE_MARKER} if none else set()
    known = {name: value for name, value in known.items() if name not in gone}
    parsed = [parse_override(text) for text in overrides]
    added = typed_names(key, known, parsed)
    is_typed = any(override.key_or_group == choice for override in parsed)
    if none:
        known = {name: known[name] for name in added}
    names = named(choice, getattr(study, choice))
    if names and not is_typed:  # a preset's choice of what was deleted on the command line
        names = [name for name in names if name not in gone | deleted_names(key, parsed)]
    if names is None or (none and not is_typed):
        return dict(known)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{choice}={truncate_middle(name, 80)}: there is no such {choice}; {name_hint(name, known)}"
            )
    return {name: known[name] for name in (names if is_typed else [*names, *added])}


def named(choice: str, value: Any) -> list[str] | None:
    """Return the names that a choice gives; None for all."""
    if value is None:
        return None
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names):
        raise ConfigError(
            f"{choice}={truncate_middle(value, 80)}: name one {choice} or a list of them, or leave it out"
        )
    return names


def deleted_group(text: str) -> str | None:
    """Return `claims` for what `~claims` has become, also as a sweep writes it; None for others."""
    override = parse_override(text)
    return override.key_or_group if override.value() == {NONE_MARKER: True} else None


def deleted_names(key: str, overrides: Sequence[Override]) -> set[str]:
    """Return the names of the arms, claims or figures that the command line deletes."""
    keys = {override.key_or_group for override in overrides if override.is_delete()}
    return {name.removeprefix(f"{key}.") for name in keys if name.startswith(f"{key}.")}


def typed_names(key: str, known: Mapping[str, Any], overrides: Sequence[Override]) -> list[str]:
    """Return the names of the arms, claims or figures that the command line adds or changes."""
    places = set()
    for override in overrides:
        section, dot, rest = override.key_or_group.partition(".")
        none = deleted_group(str(override.input_line))
        if section == key and not none and not override.is_delete():
            value = override.value()
            places |= {rest} if dot else {*map(str, value if isinstance(value, dict) else ())}
    return [n for n in known if any(place == n or place.startswith(f"{n}.") for place in places)]
