"""What Hydra and OmegaConf say of a config that cannot be composed, in a user's words. No torch."""

import re
from collections.abc import Callable

from runner.plan import option_folders
from runner.plan.keys import accepts_value, known_keys
from runner.wording.names import name_hint

OWN_KEYS = ("arms", "figures", "claims")
Rule = tuple[str, Callable[[re.Match[str]], str]]


def describe_composition_error(error: BaseException) -> str:
    """An error of Hydra or OmegaConf as one clear line; the file is named where one is at fault."""
    texts = list(dict.fromkeys(_text(one) for one in _chain(error) if _text(one)))
    for text in texts:
        for pattern, words in RULES:
            if found := re.search(pattern, text):
                return _place(texts) + words(found)
    text = re.sub(IN_FILE, "", texts[0]).split(" To append to your config")[0] if texts else ""
    return _place(texts) + (text or "the config cannot be composed; look at the values with ${...}")


IN_FILE = r"\b[Ii]n '?([\w-]+(?:/[\w.-]+)+)'?[:,]"


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what caused it."""
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and len(found) < 6:
        found.append(step)
        step = step.__cause__ or step.__context__
    return found


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())


def _place(texts: list[str]) -> str:
    """The user's file that Hydra names, as the beginning of a message."""
    for text in texts:
        if (found := re.search(IN_FILE, text)) and (path := option_folders.user_file(found[1])):
            return f"{path}: "
    return ""


def _not_overridden(found: re.Match[str]) -> str:
    key, line = found[1], found[2] or ""
    section, _, name = key.partition(".")
    if section in OWN_KEYS or known_keys(section) is None:
        return f"{key}: there is no such key to change; a plus adds one: '+{line or key}'"
    known = known_keys(section) or ()
    hint = "others have it" if name in known else name_hint(name, known)
    return f"{key}: the chosen option of {section} has no such key; {hint}"


def _no_option(found: re.Match[str]) -> str:
    group, name, known = found[1], found[2], (found[3] or "").split()
    known = known or sorted(option_folders.option_names(group))
    return f"{group}={name}: there is no such option; {name_hint(name, known)}"


def _no_interpolation(found: re.Match[str]) -> str:
    key = found[1]
    section, _, name = key.partition(".")
    known = known_keys(section)
    hint = name_hint(name, known) if known else "write the whole key, e.g. ${training.steps}"
    return f"{_key(found)}${{{key}}}: there is no such key; {hint}"


def _key(found: re.Match[str]) -> str:
    """The key that OmegaConf names, as the beginning of a message: `training.steps=`."""
    where = re.search(r"full_key: (\S+)", found.string)
    return f"{where[1]}=" if where else ""


def _wrong_value(found: re.Match[str]) -> str:
    return f"{_key(found)}{found[1]} is of the wrong kind"


def _several(found: re.Match[str]) -> str:
    typed, value = found[1].removeprefix("++"), found[2]  # a ++ may be ours
    key = typed.lstrip("+")
    advice = f"{typed}={value} are several values: add -m to sweep over them"
    if accepts_value(key, [item.strip() for item in value.split(",")]):
        return f"{advice}, or write '{typed}=[{value}]' for a list"
    if accepts_value(key, value):
        return f"{advice}, or write '{typed}=\"{value}\"' for one text"
    return advice


RULES: list[Rule] = [
    (r"Expected header format", lambda _: "the first line must be `# @package _global_`"),
    (
        r"Invalid defaults list|in defaults : |in default item|defaults must be a list",
        lambda _: (
            "defaults: an entry is `- name`, `- group: option` or `- override /group: option`"
        ),
    ),
    (
        r"raised while composing config: (?!Key)",
        lambda _: "a key there has another kind of value than in conf/config.yaml",
    ),
    (
        r"not a supported primitive|is not a supported type",
        lambda _: "a value there is neither text, number, true, false, list nor key: value",
    ),
    (r"Error merging override (.*)", lambda m: f"{m[1]}: the key takes another kind of value"),
    (r"Could not override '([^']+)'\.(?:.*use \+(.*))?", _not_overridden),
    (
        r"Could not find '([^']+)/([^'/]+)'(?: Available options in '[^']+': (.*?) Config search)?",
        _no_option,
    ),
    (r"Could not (?:find|load) '([^']+)'", lambda m: f"{m[1]}.yaml: there is no such file"),
    (
        r"Ambiguous value for argument '(.*?)=(.*?)' 1\.",
        _several,
    ),
    (
        r"Sweep parameters '(.*?)' requires --multirun",
        lambda m: f"{m[1]} is a sweep; add -m to run all its points",
    ),
    (r"An item is already at '(.*?)'", lambda m: f"{m[1]} is there already; leave the + out"),
    (r"Could not delete[^']*'(.*?)'", lambda m: f"~{m[1]}: there is nothing to leave out"),
    (r"Interpolation key '(.*?)' not found", _no_interpolation),
    (
        r"Recursive interpolation|Interpolation to parent node|recursion",
        lambda m: f"{_key(m)}${{...}} leads back to itself; give one of the keys a value",
    ),
    (
        r"Unsupported interpolation type (\S+)",
        lambda m: f"${{{m[1]}:...}} is not allowed; ${{...}} takes the name of a key",
    ),
    (
        r"MissingMandatoryValue|Missing mandatory value: (\S+)",
        lambda m: f"{m[1] or 'a key that ${...} names'} has no value; give it one",
    ),
    (
        r"token recognition|no viable alternative|mismatched input|extraneous input",
        lambda _: (
            "a value with ${...} cannot be read; write the name of a key in it, "
            "e.g. ${training.steps}"
        ),
    ),
    (
        r"Incompatible key type|Unsupported key type|Key '?\S*'? of type",
        lambda _: (
            "a key that is no text stands in a YAML file or in {...}; write a name for null, "
            "true or a number, or put it in quotes"
        ),
    ),
    (r"Value '(.*?)'.*? (?:could not be converted|is not a valid)", _wrong_value),
    (
        r"(\S+) appears more than once in the final defaults",
        lambda m: f"{m[1]} stands twice in the defaults; leave one out or write override /{m[1]}",
    ),
    (r"Multiple values for (\S+)\.", lambda m: f"{m[1]} is chosen twice; write override /{m[1]}"),
    (
        r"Override '(.*?)' is defined before",
        lambda m: f"defaults: the entry 'override {m[1]}' must stand last",
    ),
    (r"Duplicate _self_", lambda _: "defaults: _self_ stands twice; leave one out"),
    (
        r"must be an OmegaConf config, got|Config (\S+) must be",
        lambda _: "the file holds no keys; write key: value",
    ),
    (r"You must specify '(.*?)'", lambda m: f"{m[1]}=??? has no value; choose an option"),
    (
        r"not in struct|Key '(.*?)' (?:is )?not",
        lambda m: f"{_key(m).rstrip('=') or m[1] or 'a key'}: there is no such key",
    ),
]
