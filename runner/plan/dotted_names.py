"""Claims and figures whose names have dots, on the command line. No torch.

Hydra takes each dot of `claims.F1.swiglu_learns_better.n=9` for a step into a deeper key. Within
braces a name may have dots, so that this is turned into `++claims={F1.swiglu_learns_better:{n:9}}`.
"""

from typing import Any

import yaml
from hydra.core.override_parser.types import ChoiceSweep, Override

from runner.config import ConfigError
from runner.plan import option_folders
from runner.plan.selection import CHOICE_KEYS
from runner.wording.names import name_hint, similar_names
from runner.wording.output import truncate_middle


def rewrite_dotted_key(override: Override) -> str | None:
    """Return an override of a claim or figure whose name has dots as one of `claims`, else None.

    A field, or a whole claim, that is deleted becomes null.

    Raises:
        ConfigError: a name that is none but near to one, or a sweep that does not list its values.
    """
    section, _, rest = override.key_or_group.partition(".")
    if section not in CHOICE_KEYS or "." not in rest:
        return None
    known = known_names(section)
    name = max((n for n in known if f"{rest}.".startswith(f"{n}.")), key=len, default="")
    if not name:
        check_near(override, rest, known)
    if "." not in name:
        return None
    given: Any = override._value
    if override.is_sweep_override() and not isinstance(given, ChoiceSweep):
        raise ConfigError(
            f"{truncate_middle(override.input_line, 120)}: list the values of the sweep"
        )
    several = given.list if isinstance(given, ChoiceSweep) else [given]
    fields = [field for field in rest[len(name) + 1 :].split(".") if field]
    values = ",".join(
        Override._get_value_element_as_str(
            nested([name, *fields], None if override.is_delete() else value)
        )
        for value in several
    )
    return f"++{section}={values}"


def check_near(override: Override, rest: str, known: set[str]) -> None:
    """Raise ConfigError for a name with dots that is none, but is near to one."""
    word = rest if override.is_delete() else rest.rpartition(".")[0]
    if "." in word and not override.is_add() and similar_names(word, sorted(known)):
        choice = CHOICE_KEYS[override.key_or_group.partition(".")[0]]
        raise ConfigError(
            f"{override.key_or_group}: there is no such {choice}; {name_hint(word, known)}"
        )


def nested(keys: list[str], value: Any) -> Any:
    """Return a value within a dictionary for each key."""
    return {keys[0]: nested(keys[1:], value)} if keys else value


def known_names(section: str) -> set[str]:
    """Return the names of all claims or figures that stand in files, ours and the user's."""
    found: set[str] = set()
    for path in option_folders.find_group_files(section, "experiment", "preset"):
        try:
            said: Any = option_folders.read_yaml(path)
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            continue  # it is told where the file is loaded, if it is
        said = said if path.parent.name == section else dict(said).get(section)
        found |= set(map(str, said)) if isinstance(said, dict) else set()
    return found
