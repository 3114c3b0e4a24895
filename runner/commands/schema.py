"""`python -m runner schema`: print the JSON schema of the YAML files that a user may write."""

import json
from collections.abc import Sequence

from runner.commands.verb_arguments import (
    asks_for_help,
    load_verb_options,
    read_verb_arguments,
)
from runner.config import ConfigError
from runner.plan.user_arguments import CONFIG_DIR, PLUGINS
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

USAGE = "python -m runner schema [<folder>] [plugins=[...]]"
HELP = f"""usage: {USAGE} > ablab.schema.json

Print the JSON schema (2020-12) of YAML files for an editor, which then checks
and completes keys. It has all keys, types, values and their meanings.

  schema                          a file of any folder
  schema experiment               the files in experiment/; also preset, claims,
                                  figures, attention, ffn, norm, language_model,
                                  task, device, tune, sweep and launcher
  schema 'plugins=[my_ffn]'       also the options of your modules

With yaml-language-server, write as the first line of a YAML file:
  # yaml-language-server: $schema=../../ablab.schema.json"""


def print_schema(arguments: Sequence[str]) -> None:
    """Print the schema of YAML files as JSON.

    Raises:
        ConfigError: there is no such kind of file, or a plug-in cannot be imported.
    """
    if asks_for_help(arguments):
        print(HELP)  # noqa: T201
        return
    read = read_verb_arguments(USAGE, arguments, (PLUGINS, CONFIG_DIR), most_words=1)
    load_verb_options(read)
    from runner.commands.yaml_schemas import file_kinds, make_schema

    for word in read.words:
        if word not in file_kinds():
            raise ConfigError(
                f"{truncate_middle(word, 80)}: there is no such folder of YAML files; "
                f"{name_hint(word, file_kinds())}"
            )
    print(json.dumps(make_schema(*read.words), indent=1, ensure_ascii=False))  # noqa: T201
