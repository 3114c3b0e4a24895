"""Claims and figures whose names have dots, on the command line. No torch.

Hydra reads each dot of `claims.F1.swiglu_learns_better.n=9` as a step into a deeper key. A name
within braces may have dots: this module writes `++claims={F1.swiglu_learns_better:{n:9}}` instead.
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
    """Return an override of a claim or figure whose name has dots, rewritten with braces.

    A deleted field, or a whole deleted claim, becomes null. Other overrides give None.

    Raises:
        ConfigError: a name is misspelled, or a sweep does not list its values.
    """
    section, _, rest = override.key_or_group.partition(".")
    if section not in CHOICE_KEYS or "." not in rest:
        return None
    known = known_names(section)
    name = max((n for n in known if f"{rest}.".startswith(f"{n}.")), key=len, default="")
    if not name:
        refuse_misspelled_name(override, rest, known)
    if "." not in name:
        return None
    parsed_value: Any = override._value
    if override.is_sweep_override() and not isinstance(parsed_value, ChoiceSweep):
        raise ConfigError(
            f"{truncate_middle(override.input_line, 120)}: list the values of the sweep: a,b,c"
        )
    values = parsed_value.list if isinstance(parsed_value, ChoiceSweep) else [parsed_value]
    fields = [field for field in rest[len(name) + 1 :].split(".") if field]
    texts = ",".join(
        Override._get_value_element_as_str(
            nest_value([name, *fields], None if override.is_delete() else value)
        )
        for value in values
    )
    return f"++{section}={texts}"


def refuse_misspelled_name(override: Override, rest: str, known: set[str]) -> None:
    """Raise ConfigError for an unknown name with dots that is similar to a known name."""
    typed_name = rest if override.is_delete() else rest.rpartition(".")[0]
    if "." in typed_name and not override.is_add() and similar_names(typed_name, sorted(known)):
        choice = CHOICE_KEYS[override.key_or_group.partition(".")[0]]
        raise ConfigError(
            f"{override.key_or_group}: there is no such {choice}; {name_hint(typed_name, known)}"
        )


def nest_value(keys: list[str], value: Any) -> Any:
    """Return a value in nested dictionaries, one for each key."""
    return {keys[0]: nest_value(keys[1:], value)} if keys else value


def known_names(section: str) -> set[str]:
    """Return the names of all claims or figures in YAML files of ablab and of the user."""
    names: set[str] = set()
    for path in option_folders.find_group_files(section, "experiment", "preset"):
        try:
            content: Any = option_folders.read_yaml(path)
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            continue  # loading the file reports its error
        content = content if path.parent.name == section else dict(content).get(section)
        names |= set(map(str, content)) if isinstance(content, dict) else set()
    return names
