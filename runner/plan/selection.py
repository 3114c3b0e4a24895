"""Select the claims and figures of a study by `claim`, `figure` and the command line."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override

from runner.config import ConfigError, Study
from runner.plan.overrides import parse_override
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

CHOICE_KEYS = {"claims": "claim", "figures": "figure"}
# conf/claims/ and conf/figures/ are folders, so that Hydra reads `~claims` as deletion of a group.
# The override is replaced by a dictionary, and `select_claims_and_figures` deletes the claims.
NONE_MARKER = "_none_"
DELETION_OVERRIDES = {key: f"++{key}={{{NONE_MARKER}:true}}" for key in CHOICE_KEYS}


def select_claims_and_figures(study: Study, overrides: Sequence[str]) -> Study:
    """Return the study with only its selected claims and figures, in the order of the selection.

    - `claim` and `figure` name them; null selects all.
    - A claim that the command line adds or changes is selected too, unless the command line sets
      `claim` itself. The same holds for figures, and for arms.
    - After `~claims` only the claims that the command line adds or changes are left.
    - A null claim or figure is deleted: `rewrite_dotted_key` turns `~claims.<id>` into null.

    Raises:
        ConfigError: an unknown name, or a value that is neither a name nor a list of names.
    """
    selected = {key: select_entries(study, key, overrides) for key in CHOICE_KEYS}
    return dataclasses.replace(study, claims=selected["claims"], figures=selected["figures"])


def is_key_typed(key: str, overrides: Sequence[str]) -> bool:
    """Return whether the command line sets a key."""
    return any(parse_override(text).key_or_group == key for text in overrides)


def without_claims_and_figures(overrides: Sequence[str]) -> list[str]:
    """Return typed overrides without claims and figures, and overrides that delete both groups.

    An arm does not use them, and composing their files takes a third of the time.
    """
    others = [
        t for t in overrides if parse_override(t).key_or_group.partition(".")[0] not in CHOICE_KEYS
    ]
    return [*others, *(f"~{key}" for key in CHOICE_KEYS)]


def select_entries(study: Study, key: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the selected claims or figures of a study, by name."""
    known: Mapping[str, Any] = getattr(study, key)
    if not isinstance(known, Mapping):
        return known
    choice = CHOICE_KEYS[key]
    deletes_all = any(key == deleted_group(text) for text in overrides)
    deleted = {name for name, value in known.items() if value is None}
    deleted |= {NONE_MARKER} if deletes_all else set()
    known = {name: value for name, value in known.items() if name not in deleted}
    parsed = [parse_override(text) for text in overrides]
    added = typed_names(key, known, parsed)
    is_typed = any(override.key_or_group == choice for override in parsed)
    if deletes_all:
        known = {name: known[name] for name in added}
    names = read_names(choice, getattr(study, choice))
    if names and not is_typed:  # a preset may name entries that the command line deletes
        names = [name for name in names if name not in deleted | deleted_names(key, parsed)]
    if names is None or (deletes_all and not is_typed):
        return dict(known)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{choice}={truncate_middle(name, 80)}: there is no such {choice}; "
                f"{name_hint(name, known)}"
            )
    return {name: known[name] for name in (names if is_typed else [*names, *added])}


def read_names(choice: str, value: Any) -> list[str] | None:
    """Return the names that `claim` or `figure` selects; None for all."""
    if value is None:
        return None
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names):
        raise ConfigError(
            f"{choice}={truncate_middle(value, 80)}: name one {choice} or a list of them, or leave "
            "it out"
        )
    return names


def deleted_group(text: str) -> str | None:
    """Return `claims` for the override that replaces `~claims`, also in a sweep; else None."""
    override = parse_override(text)
    return override.key_or_group if override.value() == {NONE_MARKER: True} else None


def deleted_names(key: str, overrides: Sequence[Override]) -> set[str]:
    """Return the names of arms, claims or figures that the command line deletes."""
    keys = {override.key_or_group for override in overrides if override.is_delete()}
    return {name.removeprefix(f"{key}.") for name in keys if name.startswith(f"{key}.")}


def typed_names(key: str, known: Mapping[str, Any], overrides: Sequence[Override]) -> list[str]:
    """Return the names of arms, claims or figures that the command line adds or changes."""
    paths = set()
    for override in overrides:
        section, dot, rest = override.key_or_group.partition(".")
        deletes_group = deleted_group(str(override.input_line))
        if section == key and not deletes_group and not override.is_delete():
            value = override.value()
            paths |= {rest} if dot else {*map(str, value if isinstance(value, dict) else ())}
    return [n for n in known if any(path == n or path.startswith(f"{n}.") for path in paths)]
