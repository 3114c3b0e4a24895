"""The arguments of a verb such as `parts`: words, key=value, and the user's own options.

A verb takes `--config-dir` and `plugins=[...]` as a run does.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from runner.config import ConfigError
from runner.plan import user_options
from runner.plan.user_arguments import CONFIG_DIR, FOLDER_FLAGS, PLUGINS, read_plugin_list
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle


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


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether a verb's help is requested."""
    return any(word in ("-h", "--help") for word in arguments)


def read_verb_arguments(
    usage: str, arguments: Sequence[str], keys: Iterable[str], most_words: int
) -> VerbArguments:
    """Return the arguments of a verb. `usage` ends the messages.

    `keys` are the keys that the verb knows, and the flag `--config-dir` if it takes one.

    Raises:
        ConfigError: a key or flag is unknown or doubled, or there are too many words.
    """
    words: list[str] = []
    values: dict[str, str] = {}
    known = tuple(keys)
    rest = list(arguments)
    while rest:
        text = rest.pop(0)
        key, equals, value = text.partition("=")
        if key in FOLDER_FLAGS and CONFIG_DIR in known:
            key, value = CONFIG_DIR, value if equals else "".join(rest[:1])
            rest = rest if equals else rest[1:]
            if not value:
                raise ConfigError(f"{key}: name a folder, e.g. {key}=mine")
        elif key.startswith("-"):
            raise ConfigError(f"{truncate_middle(key, 80)}: there is no such flag; type {usage}")
        elif not equals:
            words.append(text)
            continue
        elif key not in known:
            hint = name_hint(key, known) if known else f"type {usage}"
            raise ConfigError(f"{truncate_middle(text, 120)}: there is no such key; {hint}")
        if key in values:
            raise ConfigError(f"{key} is set twice; set it once")
        values[key] = value
    if len(words) > most_words:
        raise ConfigError(f"{truncate_middle(words[most_words], 80)} is too much; type {usage}")
    folder = values.pop(CONFIG_DIR, None)
    return VerbArguments(tuple(words), values, None if folder is None else Path(folder))


def load_verb_options(arguments: VerbArguments) -> None:
    """Use the folder of `--config-dir`, and import the plug-ins of the command.

    Raises:
        ConfigError: there is no such folder, a file in it is refused, or an import fails.
    """
    names = arguments.values.get(PLUGINS)
    user_options.load_user_options(
        arguments.config_dir, [] if names is None else read_plugin_list(names)
    )
