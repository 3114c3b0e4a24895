"""Checks of the command line before Hydra reads it.

A config chooses options and must not run code. This module therefore refuses `_target_`, resolvers
that read the environment, callbacks and logging set-ups.

Some options of a group have a key that others lack (`ffn.n_experts=16`). Such an override takes
Hydra's "add or change" form (`++`), and each arm drops it if its own option lacks the key.
"""

import functools
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.types import Override, OverrideType

from runner import registry
from runner.config import STUDY_KEYS, ConfigError
from runner.plan import launchers, option_folders, overrides, selection
from runner.plan.copy_of import rewrite_typed_copies
from runner.plan.declared_options import explain_undeclared
from runner.plan.dotted_names import rewrite_dotted_key
from runner.plan.error_messages import as_config_error
from runner.plan.keys import (
    GROUPS,
    SECTIONS,
    check_key,
    check_value,
    full_keys_by_field,
    known_keys,
)
from runner.plan.overrides import parse_override
from runner.plan.security import refuse_code, refuse_code_in_values
from runner.plan.user_arguments import check_plugin_list
from runner.plan.user_options import load_user_options
from runner.wording.names import name_hint
from runner.wording.output import truncate_middle

HYDRA_ALLOWED = (
    "hydra/launcher",
    "hydra/sweeper",
    "hydra.launcher.",
    "hydra.sweeper.",
    "hydra.verbose",
    "hydra/help",
)
REFUSED_FLAGS = ("config_path", "config_name", "experimental_rerun")


def check_arguments(arguments: Sequence[str]) -> list[str]:
    """Check the command line and return the arguments to pass to Hydra.

    Raises:
        ConfigError: a flag, key or group is unknown, or a value could run code.
    """
    parser = get_args_parser()
    parser.error = functools.partial(refuse_flag, arguments)  # type: ignore[method-assign]
    parser.allow_abbrev = False  # else --experiment would mean --experimental-rerun
    flags = parser.parse_intermixed_args(list(arguments))
    for flag in REFUSED_FLAGS:
        if getattr(flags, flag, None):
            raise ConfigError(
                f"--{flag.replace('_', '-')} is not supported; add a folder of options with "
                "--config-dir"
            )
    for text in flags.overrides:
        refuse_code(text)
    load_user_options(
        Path(flags.config_dir) if flags.config_dir else None, read_plugin_names(flags.overrides)
    )
    if not (flags.multirun or flags.cfg or flags.help or flags.hydra_help or flags.info):
        launchers.check_sweeps(flags.overrides)
    # A sweep in YAML is read later, by `runner.sweeps`; Hydra knows no such group.
    is_multirun = bool(flags.multirun)
    rewritten = {
        text: text for text in flags.overrides if check_named_sweep(text, multirun=is_multirun)
    }
    for text in flags.overrides:
        if text not in rewritten:
            with as_config_error(text):
                rewritten[text] = check_and_rewrite(text)
    check_sweeper(flags.overrides)
    overrides.check_sweep(map(parse_override, flags.overrides))
    # Flags come first: Hydra does not read options on both sides of a flag.
    return [
        *(text for text in arguments if text not in rewritten),
        *(rewritten[text] for text in flags.overrides),
    ]


def is_sweep(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for a sweep: it has `-m`, and no flag that only prints."""
    flags = get_args_parser().parse_intermixed_args(list(arguments))
    prints = (flags.help, flags.hydra_help, flags.cfg, flags.info, flags.shell_completion)
    return bool(flags.multirun) and not any(prints)


def check_named_sweep(text: str, *, multirun: bool) -> bool:
    """Return whether an argument is `sweep=<name>`, which needs `-m`."""
    override = parse_override(text)
    if override.key_or_group != "sweep":
        return False
    short = truncate_middle(text, 120)
    if not isinstance(override.value(), str) or override.type is not OverrideType.CHANGE:
        raise ConfigError(f"{short}: name one sweep in YAML: -m sweep=<name>")
    if not multirun:
        raise ConfigError(f"{short}: a sweep needs -m: python -m runner -m {short}")
    return True


def check_sweeper(texts: Sequence[str]) -> None:
    """Refuse sweeper parameters where no sweeper is chosen: Hydra's own would sweep over them."""
    has_sweeper = any(text.startswith("hydra/sweeper=") for text in texts)
    for text in texts:
        if "hydra.sweeper.params" in text.partition("=")[0] and not has_sweeper:
            raise ConfigError(
                f"{truncate_middle(text, 120)}: params need another hydra/sweeper; type the values "
                "of the sweep: -m seed=0,1"
            )


def format_command(texts: Sequence[str]) -> str:
    """Return the command that a user would type for one point of a sweep."""
    # These keep their ++: they may add fields (see `dotted_names`).
    braces = tuple(f"++{key}={{" for key in selection.DELETION_OVERRIDES)
    words = []
    for text in texts:
        if group := selection.deleted_group(text):
            words.append(f"~{group}")
        else:
            words.append(text if text.startswith(braces) else text.removeprefix("++"))
    return shlex.join(["python", "-m", "runner", *words])


def read_plugin_names(texts: Sequence[str]) -> list[str]:
    """Return the modules of `plugins=[...]`; their parts are registered before keys are checked."""
    modules: list[str] = []
    for text in texts:
        override = parse_override(text)
        if override.key_or_group == "plugins":
            if override.is_sweep_override():
                raise ConfigError(f"{text}: plugins cannot be swept over; give one list of all")
            value = override.value()
            if value is None or override.is_delete():
                raise ConfigError(
                    f"{text}: name importable modules, e.g. 'plugins=[my_package.my_ffn]', or "
                    "leave plugins out"
                )
            modules += check_plugin_list(text, value)
    return modules


def refuse_flag(arguments: Sequence[str], message: str) -> NoReturn:
    """Raise ConfigError for an unknown flag, with the override that it may mean.

    It replaces `ArgumentParser.error`.
    """
    flag = message.removeprefix("unrecognized arguments: ").split()[0]
    key, equals, value = flag.lstrip("-").partition("=")
    if not equals and flag in arguments:
        value = "".join(arguments[arguments.index(flag) + 1 :][:1])
    known_sections = {*STUDY_KEYS, *GROUPS, *SECTIONS, *registry.group_names()}
    if message.startswith("unrecognized") and (
        key.partition(".")[0] in known_sections or key in full_keys_by_field()
    ):
        full_key = key if key.partition(".")[0] in known_sections else full_keys_by_field()[key][0]
        raise ConfigError(
            f"{flag}: write options as key=value: {full_key}="
            f"{truncate_middle(value or '<value>', 80)}"
        )
    raise ConfigError(
        f"{truncate_middle(message, 120)}; write options as key=value; see "
        "python -m runner --hydra-help for flags"
    )


def check_and_rewrite(text: str) -> str:
    """Check one override of the command line and return it in a form that applies to every arm."""
    override = parse_override(text)
    key = override.key_or_group
    if override.package is not None:
        text = truncate_middle(text, 120)
        raise ConfigError(f"{text}: remove @{override.package}; a group has only one place")
    if (
        key in selection.DELETION_OVERRIDES
        and not override.is_sweep_override()
        and override.value() in (None, {})
    ):
        return selection.DELETION_OVERRIDES[key]
    if key.partition(".")[0] in selection.DELETION_OVERRIDES and selection.NONE_MARKER in text:
        raise ConfigError(
            f"{truncate_middle(text, 120)}: {selection.NONE_MARKER} is not a name; "
            f"~{key.partition('.')[0]} leaves out all of them"
        )
    if key.startswith("hydra"):
        if not override.is_sweep_override():
            refuse_code_in_values(override.value())
        internal = any(part.startswith("_") for part in key.split("."))  # _convert_, _recursive_
        if internal or not key.startswith(HYDRA_ALLOWED):
            raise ConfigError(
                f"{key}: Hydra's own settings cannot be changed, except hydra/launcher and "
                "hydra/sweeper"
            )
        launchers.check_launcher(key, override.value())
        launchers.check_setting(override)
        return text
    check_override(override)
    section, dot, _ = key.partition(".")
    if braces := rewrite_dotted_key(override):
        return braces
    if section == "arms" and (copies := rewrite_typed_copies(override)):
        return copies
    # `++options={size: 9}` adds to the options, since a default may be only in the class.
    if (
        key == "options" or (dot and known_keys(section) is not None)
    ) and override.type is OverrideType.CHANGE:
        return f"++{override.input_line}"
    return override.input_line or text


def check_override(override: Override) -> None:
    """Raise ConfigError for an override, of the command line or an arm, with a bad key or value."""
    key, text = override.key_or_group, truncate_middle(override.input_line, 120)
    if len(key) > overrides.LONGEST_KEY:
        raise ConfigError(f"{text}: a key has at most {overrides.LONGEST_KEY} characters")
    check_key(key)
    if key == "code":
        raise ConfigError(
            f"{text}: the YAML file of a question names its page; choose a question with "
            "experiment=<name>"
        )
    if key in SECTIONS and override.is_delete():
        raise ConfigError(f"{text}: {key} cannot be left out; set its keys: {key}.<key>=<value>")
    for value in overrides.listed_values(override):
        refuse_code_in_values(value)
        if key in (*GROUPS, *registry.group_names()) and not isinstance(value, dict):
            check_option(override, value)
        elif not override.is_delete() and "${" not in str(value):
            check_value(key, value)


def check_option(override: Override, value: Any) -> None:
    """Raise ConfigError unless a value is the name of an option of the override's group."""
    group, text = override.key_or_group, truncate_middle(override.input_line, 120)
    known = option_folders.option_names(group)
    if value is None or value == "" or override.is_delete():
        raise ConfigError(
            f"{text}: {group} needs one of its options, e.g. {group}={min(known, default='')}"
        )
    if isinstance(value, list):
        raise ConfigError(
            f"{text}: {group} takes one option; to sweep over several, write -m {group}=a,b"
        )
    if not isinstance(value, str) or value not in known:
        if reason := explain_undeclared(group, str(value)):
            raise ConfigError(f"{group}={value}: {reason}")
        stem = str(value).rpartition("/")[2].removesuffix(".yaml").removesuffix(".yml")
        hint = f"write {group}={stem}" if stem in known else name_hint(str(value), known)
        raise ConfigError(
            f"{group}={truncate_middle(value, 80)}: there is no such option; "
            f"{truncate_middle(hint, 180)}"
        )
    if override.is_add() or override.is_force_add():
        raise ConfigError(f"{text}: remove the plus: {group}={value}")
