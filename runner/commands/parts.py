"""`python -m runner parts`: list the options of every group, with where they come from."""

import itertools
import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

import yaml

from runner import registry
from runner.commands.options import Option, list_options
from runner.commands.verb_arguments import (
    asks_for_help,
    load_verb_options,
    read_verb_arguments,
)
from runner.config import ConfigError
from runner.plan.declared_options import explain_undeclared
from runner.plan.user_arguments import CONFIG_DIR, PLUGINS
from runner.wording.names import name_hint
from runner.wording.output import escape_unprintable, truncate_middle

USAGE = "python -m runner parts [<group>|<group>=<option>] [plugins=[...]] [--config-dir=<folder>]"
HELP = f"""usage: {USAGE}

List what you can choose, and where it comes from: ablab, a file, a package.

  parts                           every option of every group, a line each
  parts ffn                       the options of one group, with their fields
  parts ffn=swiglu                one option
  parts 'plugins=[my_ffn]'        also the options of your modules
  parts --config-dir=mine         also the options in mine/<group>/<name>.yaml"""
WIDEST_NAME, WIDEST_ORIGIN = 26, 24


def print_parts(arguments: Sequence[str]) -> None:
    """Print the options of every group, or the options that the arguments choose.

    Raises:
        ConfigError: a group, option or key is unknown, or a plug-in cannot be imported.
    """
    if asks_for_help(arguments):
        print(HELP)  # noqa: T201
        return
    groups = (*registry.group_names(), "experiment")
    # `ffn=swiglu` chooses an option and sets no key.
    filters = [word for word in arguments if word.partition("=")[0] in groups]
    rest = [word for word in arguments if word not in filters]
    read = read_verb_arguments(USAGE, rest, [*groups, PLUGINS, CONFIG_DIR], most_words=1)
    for word in read.words:
        raise ConfigError(
            f"{truncate_middle(word, 80)}: there is no such group; {name_hint(word, groups)}"
        )
    if len(filters) > 1:
        raise ConfigError(f"{truncate_middle(' '.join(filters), 120)}: choose one; type {USAGE}")
    load_verb_options(read)
    width = min(max(shutil.get_terminal_size().columns, 60), 120)
    if not filters:
        options = [option for group in groups for option in list_options(group)]
        print(escape_unprintable(format_overview(options, width)))  # noqa: T201
        return
    group, equals, name = filters[0].partition("=")
    options = list_options(group)
    if equals:
        names = [option.name for option in options]
        if name not in names:
            if reason := explain_undeclared(group, name):
                raise ConfigError(f"{group}={name}: {reason}")
            raise ConfigError(
                f"{group}={truncate_middle(name, 80)}: there is no such option; "
                f"{name_hint(name, names)}"
            )
        options = [option for option in options if option.name == name]
    print(escape_unprintable("\n\n".join(format_option(each, width) for each in options)))  # noqa: T201


def format_overview(options: Sequence[Option], width: int) -> str:
    """Return a line for each option below its group: name, description, where it comes from."""
    lines = []
    for group, members in itertools.groupby(options, lambda option: option.group):
        listed = list(members)
        name_width = min(max(len(option.name) for option in listed), WIDEST_NAME)
        origin_width = min(max(len(option.origin) for option in listed), WIDEST_ORIGIN)
        text_width = width - name_width - origin_width - 6
        lines.append(f"{group}=")
        for option in listed:
            name = truncate_middle(option.name, name_width)
            text = textwrap.shorten(
                option.description, text_width, placeholder=" ...", break_on_hyphens=False
            )
            origin = truncate_middle(option.origin, origin_width)
            lines.append(f"  {name:<{name_width}}  {text:<{text_width}}  {origin}")
    return "\n".join([*lines, "", "Fields of the options of a group: python -m runner parts ffn"])


def format_option(option: Option, width: int) -> str:
    """Return the lines of one option: description, fields with defaults, where it comes from."""
    values = [f"{key}={format_value(value)}" for key, value in option.fields.items()]
    lines = [f"{option.group}={option.name}"]
    lines += wrap(option.description, width, "  ")
    if option.group != "experiment":
        lines += wrap(" ".join(values), width, "  fields: ")
    sources = ", ".join(source for source in option.sources if source != option.origin)
    lines += wrap(option.origin + (f" ({sources})" if sources else ""), width, "  from:   ")
    return "\n".join(lines)


def wrap(text: str, width: int, start: str) -> list[str]:
    """Return text in lines of a width, the first with `start` and the others indented."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def format_value(value: Any) -> str:
    """Return a value as on the command line: `true`, `null`, `[a, b]`."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=1000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...").replace(", ", ",")
