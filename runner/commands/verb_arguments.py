"""The arguments of a verb such as `parts`: words, key=value, and the options that all verbs share.

Every verb takes `outputs=`, `plugins=[...]` and `--config-dir`, as a run does. A verb that needs
none of them says so and ignores it.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from runner.config import ConfigError
from runner.plan import user_options
from runner.plan.user_arguments import CONFIG_DIR, FOLDER_FLAGS, PLUGINS, read_plugin_list
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

OUTPUTS, DEFAULT_OUTPUTS = "outputs", "outputs"
SHARED_KEYS = (OUTPUTS, PLUGINS, CONFIG_DIR)
"""The keys that every verb takes."""
BOOLEANS = {"true": True, "false": False}


class VerbArguments(NamedTuple):
    """The arguments of a verb.

    Attributes:
        words: the arguments that are neither `key=value` nor flags.
        values: the text of each `key=value`.
        config_dir: the folder of `--config-dir`; None without the flag.
    """

    words: tuple[str, ...]
    values: dict[str, str]
    config_dir: Path | None

    @property
    def outputs(self) -> Path:
        """The folder of `outputs=`, by default `outputs`."""
        return Path(self.values.get(OUTPUTS, DEFAULT_OUTPUTS))

    def is_true(self, key: str) -> bool:
        """Return the boolean of a key; False if it is not set.

        Raises:
            ConfigError: the value is neither true nor false.
        """
        text = self.values.get(key, "false")
        if text.lower() not in BOOLEANS:
            raise ConfigError(f"{key}={truncate_middle(text, 80)} must be true or false")
        return BOOLEANS[text.lower()]

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """Return the value of a key that has few values; None if it is not set.

        Raises:
            ConfigError: the value is not among `choices`.
        """
        text = self.values.get(key)
        if text is not None and text not in choices:
            raise ConfigError(
                f"{key}={truncate_middle(text, 80)}: there is no such value; "
                f"{name_hint(text, choices)}"
            )
        return text


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether a verb's help is requested."""
    return any(word in ("-h", "--help") for word in arguments)


def read_verb_arguments(
    usage: str, arguments: Sequence[str], keys: Iterable[str], most_words: int
) -> VerbArguments:
    """Return the arguments of a verb. `usage` ends the messages.

    `keys` are the keys that the verb uses, `--config-dir` and other shared keys included. A shared
    key that it does not use is left out of the result, and a note on stderr says so.

    Raises:
        ConfigError: a key or flag is unknown or doubled, or there are too many words.
    """
    used = tuple(keys)
    words, values = split_arguments(usage, arguments, used)
    if "\0" in "".join(arguments):
        raise ConfigError(f"an argument has a null character; type {usage}")
    if len(words) > most_words:
        raise ConfigError(f"{truncate_middle(words[most_words], 80)} is too much; type {usage}")
    if OUTPUTS in values and not values[OUTPUTS]:
        raise ConfigError(f"{OUTPUTS}=: name a folder, e.g. {OUTPUTS}={DEFAULT_OUTPUTS}")
    for key in [key for key in values if key not in used]:
        del values[key]
        # A script may pass the same options to every command.
        print(f"note: this command does not need {key}, and ignores it", file=sys.stderr)  # noqa: T201
    folder = values.pop(CONFIG_DIR, None)
    return VerbArguments(tuple(words), values, None if folder is None else Path(folder))


def split_arguments(
    usage: str, arguments: Sequence[str], used: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    """Return the words of a verb's arguments, and the texts of its keys.

    Raises:
        ConfigError: a key or flag is unknown or doubled.
    """
    words: list[str] = []
    values: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        text = rest.pop(0)
        key, equals, value = text.partition("=")
        if key in FOLDER_FLAGS:
            key, value = CONFIG_DIR, value if equals else "".join(rest[:1])
            rest = rest if equals else rest[1:]
            if not value:
                raise ConfigError(f"{key}: name a folder, e.g. {key}=mine")
        elif key.startswith("-"):
            raise ConfigError(f"{truncate_middle(key, 80)}: there is no such flag; type {usage}")
        elif not equals or os.sep in key:  # a path may have an equals sign
            words.append(text)
            continue
        elif key not in (*used, *SHARED_KEYS):
            known = {*used, *SHARED_KEYS} - {CONFIG_DIR}
            hint = name_hint(key, known) if {*used} - {*SHARED_KEYS} else f"type {usage}"
            raise ConfigError(f"{truncate_middle(text, 120)}: there is no such key; {hint}")
        if key in values:
            raise ConfigError(f"{key} is set twice; set it once, or type {usage}")
        values[key] = value
    return words, values


def existing_outputs(arguments: VerbArguments) -> Path:
    """Return the folder of `outputs=`.

    Raises:
        ConfigError: there is no such folder.
    """
    return existing_folder(OUTPUTS, str(arguments.outputs), "name the folder of your runs")


def existing_folder(key: str, text: str, advice: str = "name a folder") -> Path:
    """Return the folder that `key=text` names.

    Raises:
        ConfigError: there is no such folder.
    """
    if not text or not os.path.isdir(text):  # noqa: PTH112 (`Path.is_dir` raises for a long name)
        fault = "is a file" if text and os.path.isfile(text) else "there is no such folder"  # noqa: PTH113
        raise ConfigError(f"{key}={truncate_middle(text, 120)}: {fault}; {advice}")
    return Path(text)


def load_verb_options(arguments: VerbArguments) -> None:
    """Use the folder of `--config-dir`, and import the plug-ins of the command.

    Raises:
        ConfigError: there is no such folder, a file in it is refused, or an import fails.
    """
    names = arguments.values.get(PLUGINS)
    user_options.load_user_options(
        arguments.config_dir, [] if names is None else read_plugin_list(names)
    )
