"""Errors of Hydra and OmegaConf about a config, rewritten in plain words for users. No torch."""

import re
from collections.abc import Callable

from runner.plan import option_folders
from runner.plan.declared_options import explain_undeclared
from runner.plan.keys import accepts_value, known_keys
from runner.wording.names import name_hint

NAMED_BY_USER = ("arms", "figures", "claims")
Rule = tuple[str, Callable[[re.Match[str]], str]]


def describe_composition_error(error: BaseException) -> str:
    """Return an error of Hydra or OmegaConf as one line, after the user's file where it has one."""
    texts = list(
        dict.fromkeys(_one_line(cause) for cause in _error_chain(error) if _one_line(cause))
    )
    for text in texts:
        for pattern, describe in RULES:
            if match := re.search(pattern, text):
                return _user_file_prefix(texts) + describe(match)
    text = re.sub(IN_FILE, "", texts[0]).split(" To append to your config")[0] if texts else ""
    return _user_file_prefix(texts) + (
        text or "the config cannot be composed; check the values with ${...}"
    )


IN_FILE = r"\b[Ii]n '?([\w-]+(?:/[\w.-]+)+)'?[:,]"


def _error_chain(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, six at most."""
    errors: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(errors) < 6:
        errors.append(cause)
        cause = cause.__cause__ or cause.__context__
    return errors


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _user_file_prefix(texts: list[str]) -> str:
    """Return the user's file that Hydra names, as the start of a message; "" without one."""
    for text in texts:
        if (match := re.search(IN_FILE, text)) and (path := option_folders.user_file(match[1])):
            return f"{path}: "
    return ""


def _describe_unknown_key(match: re.Match[str]) -> str:
    key, line = match[1], match[2] or ""
    section, _, name = key.partition(".")
    if key.startswith("hydra.launcher."):
        return (
            f"{key}: the chosen launcher has no such key; choose another with "
            "hydra/launcher=<name>, or leave the key out; see docs/clusters.md"
        )
    if section in NAMED_BY_USER or known_keys(section) is None:
        return f"{key}: there is no such key; to add one, write '+{line or key}'"
    keys = known_keys(section) or ()
    hint = "other options have it" if name in keys else name_hint(name, keys)
    return f"{key}: the chosen option of {section} lacks this key; {hint}"


def _describe_unknown_option(match: re.Match[str]) -> str:
    group, name, options = match[1], match[2], (match[3] or "").split()
    if reason := explain_undeclared(group, name):
        return f"{group}={name}: {reason}"
    options = options or sorted(option_folders.option_names(group))
    return f"{group}={name}: there is no such option; {name_hint(name, options)}"


def _describe_unknown_reference(match: re.Match[str]) -> str:
    key = match[1]
    section, _, name = key.partition(".")
    keys = known_keys(section)
    hint = name_hint(name, keys) if keys else "write the whole key, e.g. ${training.steps}"
    return f"{_full_key_prefix(match)}${{{key}}}: there is no such key; {hint}"


def _full_key_prefix(match: re.Match[str]) -> str:
    """Return the key that OmegaConf names, as the start of a message: `training.steps=`."""
    full_key = re.search(r"full_key: (\S+)", match.string)
    return f"{full_key[1]}=" if full_key else ""


def _describe_wrong_type(match: re.Match[str]) -> str:
    return f"{_full_key_prefix(match)}{match[1]} has the wrong type"


def _describe_unquoted_list(match: re.Match[str]) -> str:
    typed, value = match[1].removeprefix("++"), match[2]  # check_and_rewrite may have added the ++
    key = typed.lstrip("+")
    message = f"{typed}={value} gives several values: add -m to sweep over them"
    if accepts_value(key, [item.strip() for item in value.split(",")]):
        return f"{message}, or write '{typed}=[{value}]' for one list"
    if accepts_value(key, value):
        return f"{message}, or write '{typed}=\"{value}\"' for one text"
    return message


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
        lambda _: "the value of a key has another type than in conf/config.yaml",
    ),
    (
        r"not a supported primitive|is not a supported type",
        lambda _: "a value must be a text, number, true, false, list or `key: value`",
    ),
    (r"Error merging override (.*)", lambda m: f"{m[1]}: the key takes a value of another type"),
    (r"Could not override '([^']+)'\.(?:.*use \+(.*))?", _describe_unknown_key),
    (
        r"Could not find '([^']+)/([^'/]+)'(?: Available options in '[^']+': (.*?) Config search)?",
        _describe_unknown_option,
    ),
    (r"Could not (?:find|load) '([^']+)'", lambda m: f"{m[1]}.yaml: there is no such file"),
    (
        r"Ambiguous value for argument '(.*?)=(.*?)' 1\.",
        _describe_unquoted_list,
    ),
    (
        r"Sweep parameters '(.*?)' requires --multirun",
        lambda m: f"{m[1]} is a sweep; add -m to run all of its points",
    ),
    (r"An item is already at '(.*?)'", lambda m: f"{m[1]} exists already; remove the +"),
    (r"Could not delete[^']*'(.*?)'", lambda m: f"~{m[1]}: there is no such key to leave out"),
    (r"Interpolation key '(.*?)' not found", _describe_unknown_reference),
    (
        r"Recursive interpolation|Interpolation to parent node|recursion",
        lambda m: (
            f"{_full_key_prefix(m)}${{...}} refers back to itself; give one of the keys a value"
        ),
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
            "a key in a YAML file or in {...} is not a text; put null, true or a number in quotes"
        ),
    ),
    (r"Value '(.*?)'.*? (?:could not be converted|is not a valid)", _describe_wrong_type),
    (
        r"(\S+) appears more than once in the final defaults",
        lambda m: f"{m[1]} appears twice in the defaults; remove one or write override /{m[1]}",
    ),
    (r"Multiple values for (\S+)\.", lambda m: f"{m[1]} is chosen twice; write override /{m[1]}"),
    (
        r"Override '(.*?)' is defined before",
        lambda m: f"defaults: the entry 'override {m[1]}' must come last",
    ),
    (r"Duplicate _self_", lambda _: "defaults: _self_ appears twice; remove one"),
    (
        r"must be an OmegaConf config, got|Config (\S+) must be",
        lambda _: "the file has no keys; write key: value",
    ),
    (r"You must specify '(.*?)'", lambda m: f"{m[1]}=??? has no value; choose an option"),
    (
        r"not in struct|Key '(.*?)' (?:is )?not",
        lambda m: f"{_full_key_prefix(m).rstrip('=') or m[1] or 'a key'}: there is no such key",
    ),
]
