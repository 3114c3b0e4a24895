"""What stands on the command line, checked before Hydra sees it.

A config names options and never code: `_target_`, resolvers that read the environment, callbacks
and logging set-ups are refused here. A value for a key that only some options of a group have
(`ffn.n_experts=16`) is turned into Hydra's "add or change" form, since each arm decides by its own
option whether the key is there.
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
from runner.plan import choosing, folders, launchers, moved, overrides
from runner.plan.copy_of import typed_copies
from runner.plan.dotted import in_braces
from runner.plan.explaining import about
from runner.plan.keys import GROUPS, SECTIONS, check_key, check_value, known_keys, leaves
from runner.plan.overrides import parse
from runner.plan.refusal import refuse_code, refuse_values
from runner.wording.names import near
from runner.wording.output import shortened

HYDRA_ALLOWED = (
    "hydra/launcher",
    "hydra/sweeper",
    "hydra.launcher.",
    "hydra.sweeper.",
    "hydra.verbose",
    "hydra/help",
)
REFUSED_FLAGS = ("config_path", "config_name", "experimental_rerun")


def check(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra should get them.

    Raises:
        ConfigError: an unknown flag, key or group, or anything that could run code.
    """
    parser = get_args_parser()
    parser.error = functools.partial(fail, arguments)  # type: ignore[method-assign]
    parser.allow_abbrev = False  # --experiment is no short form of --experimental-rerun
    flags = parser.parse_intermixed_args(list(arguments))
    for flag in REFUSED_FLAGS:
        if getattr(flags, flag, None):
            raise ConfigError(
                f"--{flag.replace('_', '-')} is not supported; add a folder of options with "
                "--config-dir"
            )
    folders.Own.folder = Path(flags.config_dir) if flags.config_dir else None
    folders.Own.loaded = frozenset()
    if folders.Own.folder is not None:
        if not folders.Own.folder.is_dir():
            raise ConfigError(f"--config-dir {flags.config_dir} is not a folder")
        folders.check_own_files(folders.Own.folder)
    for text in flags.overrides:
        refuse_code(text)
    if named := named_plugins(flags.overrides):
        moved.load(named)
        folders.check_declared()
    mended = {}
    for text in flags.overrides:
        with about(text):
            mended[text] = mend(text)
    check_sweeper(flags.overrides)
    overrides.check_sweep(map(parse, flags.overrides))
    # Flags come first: Hydra does not read options on both sides of a flag.
    return [
        *(text for text in arguments if text not in mended),
        *(mended[text] for text in flags.overrides),
    ]


def check_sweeper(texts: Sequence[str]) -> None:
    """Refuse the parameters of a sweeper that is not chosen; Hydra's own takes them as typed."""
    chosen = any(text.startswith("hydra/sweeper=") for text in texts)
    for text in texts:
        if "hydra.sweeper.params" in text.partition("=")[0] and not chosen:
            raise ConfigError(
                f"{shortened(text, 120)}: only another hydra/sweeper has params; type the sweep as "
                "values: -m seed=0,1"
            )


def command(texts: Sequence[str]) -> str:
    """The overrides of one point of a sweep, as a user would type them."""
    left_out = {text: f"~{key}" for key, text in choosing.NONE.items()}
    braces = tuple(f"++{key}={{" for key in choosing.NONE)  # may add fields, see `dotted`
    typed = [
        left_out.get(text, text if text.startswith(braces) else text.removeprefix("++"))
        for text in texts
    ]
    return shlex.join(["python", "-m", "runner", *typed])


def named_plugins(texts: Sequence[str]) -> list[str]:
    """The modules of `plugins=[...]`: a user's own parts, registered before keys are checked."""
    found: list[str] = []
    for text in texts:
        override = parse(text)
        if override.key_or_group == "plugins":
            if override.is_sweep_override():
                raise ConfigError(f"{text}: plugins cannot be swept over; name them all")
            value = override.value()
            if value is None or override.is_delete():
                raise ConfigError(
                    f"{text}: name importable modules, e.g. 'plugins=[my_package.my_ffn]', or "
                    "leave plugins out"
                )
            if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
                raise ConfigError(
                    f"{shortened(text, 120)}: plugins is a list of modules, e.g. "
                    "'plugins=[my_package.my_ffn]'"
                )
            found += value
    return found


def fail(arguments: Sequence[str], message: str) -> NoReturn:
    """What argparse calls for a flag it does not know."""
    flag = message.removeprefix("unrecognized arguments: ").split()[0]
    key, equals, value = flag.lstrip("-").partition("=")
    if not equals and flag in arguments:
        value = "".join(arguments[arguments.index(flag) + 1 :][:1])
    known = {*STUDY_KEYS, *GROUPS, *SECTIONS, *registry.groups()}
    if message.startswith("unrecognized") and (key.partition(".")[0] in known or key in leaves()):
        whole = key if key.partition(".")[0] in known else leaves()[key][0]
        raise ConfigError(
            f"{flag}: options are written key=value: {whole}={shortened(value or '<value>', 80)}"
        )
    raise ConfigError(
        f"{shortened(message, 120)}; see python -m runner --hydra-help for flags, options are "
        "written key=value"
    )


def mend(text: str) -> str:
    """Check one override of the command line and return it in the form that reaches every arm."""
    override = parse(text)
    key = override.key_or_group
    if override.package is not None:
        text = shortened(text, 120)
        raise ConfigError(f"{text}: leave @{override.package} out; a group has one place")
    if key in choosing.NONE and not override.is_sweep_override() and override.value() in (None, {}):
        return choosing.NONE[key]
    if key.partition(".")[0] in choosing.NONE and choosing.NONE_OF_THEM in text:
        raise ConfigError(
            f"{shortened(text, 120)}: {choosing.NONE_OF_THEM} is no name; ~{key.partition('.')[0]} "
            "leaves all of them out"
        )
    if key.startswith("hydra"):
        if not override.is_sweep_override():
            refuse_values(override.value())
        internal = any(part.startswith("_") for part in key.split("."))  # _convert_, _recursive_
        if internal or not key.startswith(HYDRA_ALLOWED):
            raise ConfigError(
                f"{key}: Hydra's own settings are fixed here, except hydra/launcher and "
                "hydra/sweeper"
            )
        launchers.check(key, override.value())
        return text
    examine(override)
    section, dot, _ = key.partition(".")
    if braces := in_braces(override):
        return braces
    if section == "arms" and (copies := typed_copies(override)):
        return copies
    if dot and known_keys(section) is not None and override.type is OverrideType.CHANGE:
        return f"++{override.input_line}"
    return override.input_line or text


def examine(override: Override) -> None:
    """Raise ConfigError for an override of the command line or of an arm that cannot be meant."""
    key, text = override.key_or_group, shortened(override.input_line, 120)
    if len(key) > overrides.LONGEST_KEY:
        raise ConfigError(f"{text}: a key has at most {overrides.LONGEST_KEY} letters")
    check_key(key)
    if key in SECTIONS and override.is_delete():
        raise ConfigError(f"{text}: {key} cannot be left out; set its keys, {key}.<key>=<value>")
    for value in overrides.values(override):
        refuse_values(value)
        if key in (*GROUPS, *registry.groups()) and not isinstance(value, dict):
            check_option(override, value)
        elif not override.is_delete() and "${" not in str(value):
            check_value(key, value)


def check_option(override: Override, value: Any) -> None:
    """Raise ConfigError unless a value is the name of one of a group's options."""
    group, text = override.key_or_group, shortened(override.input_line, 120)
    known = folders.options(group)
    if value is None or value == "" or override.is_delete():
        raise ConfigError(
            f"{text}: a group needs one of its options, e.g. {group}={min(known, default='')}"
        )
    if isinstance(value, list):
        raise ConfigError(f"{text}: a group takes one option; several are a sweep: -m {group}=a,b")
    if not isinstance(value, str) or value not in known:
        stem = str(value).rpartition("/")[2].removesuffix(".yaml").removesuffix(".yml")
        hint = f"write {group}={stem}" if stem in known else near(str(value), known)
        raise ConfigError(
            f"{group}={shortened(value, 80)}: there is no such option; {shortened(hint, 180)}"
        )
    if override.is_add() or override.is_force_add():
        raise ConfigError(f"{text}: leave the plus out: {group}={value}")
