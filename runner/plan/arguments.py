"""What stands on the command line, checked before Hydra sees it.

A config names options and never code: `_target_`, resolvers that read the environment, callbacks
and logging set-ups are refused here. A value for a key that only some options of a group have
(`ffn.n_experts=16`) is turned into Hydra's "add or change" form, since each arm decides by its own
option whether the key is there.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException

from runner import plugins, registry
from runner.config import STUDY_KEYS, ConfigError
from runner.names import near
from runner.plan.reading import known_keys
from runner.plan.refusal import refuse_code, refuse_values

SECTIONS = ("training", "match", "model", "options")
GROUPS = ("device", "scale", "tune", "experiment")
HYDRA_ALLOWED = (
    "hydra/launcher",
    "hydra/sweeper",
    "hydra.launcher.",
    "hydra.sweeper.",
    "hydra.verbose",
    "hydra/help",
)
# conf/claims/ is a folder, so Hydra takes `~claims` for the deletion of a group; a dictionary goes
# past that, and `only_typed` does what was meant.
NO_CLAIMS, NONE_OF_THEM = "++claims={_none_: true}", "_none_"
REFUSED_FLAGS = ("config_path", "config_name", "experimental_rerun")


def check(arguments: Sequence[str]) -> list[str]:
    """The arguments as Hydra should get them.

    Raises:
        ConfigError: an unknown flag, key or group, or anything that could run code.
    """
    parser = get_args_parser()
    parser.error = fail  # type: ignore[method-assign]
    flags = parser.parse_args(list(arguments))
    for flag in REFUSED_FLAGS:
        if getattr(flags, flag, None):
            raise ConfigError(
                f"--{flag.replace('_', '-')} is not supported; add a folder of options with "
                "--config-dir"
            )
    if flags.config_dir and not Path(flags.config_dir).is_dir():
        raise ConfigError(f"--config-dir {flags.config_dir} is not a folder")
    for text in flags.overrides:
        refuse_code(text)
    plugins.load(named_plugins(flags.overrides))
    mended = {text: mend(text) for text in flags.overrides}
    return [mended.get(argument, argument) for argument in arguments]


def command(overrides: Sequence[str]) -> str:
    """The overrides of one point of a sweep, as a user would type them."""
    typed = ["~claims" if text == NO_CLAIMS else text.removeprefix("++") for text in overrides]
    return shlex.join(["python", "-m", "runner", *typed])


def only_typed(claims: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The claims of a study; after `~claims` those alone that the command line adds."""
    if NONE_OF_THEM not in claims:
        return dict(claims)
    added = set()
    for override in map(parse, overrides):
        section, dot, rest = override.key_or_group.partition(".")
        if section == "claims" and override.input_line != NO_CLAIMS:
            value = override.value()
            added |= {rest} if dot else {*map(str, value if isinstance(value, dict) else ())}
    return {
        name: claim
        for name, claim in claims.items()
        if any(key == name or key.startswith(f"{name}.") for key in added)
    }


def named_plugins(overrides: Sequence[str]) -> list[str]:
    """The modules of `plugins=[...]`: a user's own parts, registered before keys are checked."""
    found: list[str] = []
    for text in overrides:
        override = parse(text)
        if override.key_or_group == "plugins":
            if override.is_sweep_override():
                raise ConfigError(f"{text}: plugins cannot be swept over; name them all")
            value = override.value()
            found += [str(name) for name in (value if isinstance(value, list) else [value])]
    return found


def fail(message: str) -> NoReturn:
    """What argparse calls for a flag it does not know."""
    raise ConfigError(
        f"{message}; see python -m runner --hydra-help for flags, options are written key=value"
    )


def parse(text: str) -> Override:
    """One override, parsed by Hydra's own grammar."""
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{text!r} is not an override; write key=value ({reason})") from error


def mend(text: str) -> str:
    """Check one override of the command line and return it in the form that reaches every arm."""
    override = parse(text)
    key = override.key_or_group
    if key == "claims" and override.value() in (None, {}):
        return NO_CLAIMS
    if override.value() is None and key in (*GROUPS, *registry.groups()):
        raise ConfigError(f"{text}: a group needs one of its options, e.g. scale=quick")
    if override.is_delete() and key in SECTIONS:
        raise ConfigError(f"{text}: {key} cannot be left out; set its keys, {key}.<key>=<value>")
    if not override.is_sweep_override():
        refuse_values(override.value())
    if key.startswith("hydra"):
        if not key.startswith(HYDRA_ALLOWED):
            raise ConfigError(
                f"{key}: Hydra's own settings are fixed here, except hydra/launcher and "
                "hydra/sweeper"
            )
        return text
    check_key(key)
    section, dot, _ = key.partition(".")
    if dot and known_keys(section) is not None and override.type is OverrideType.CHANGE:
        return f"++{text}"
    return text


def check_key(key: str) -> None:
    """Raise ConfigError where no option of any group has this key."""
    section, dot, field = key.partition(".")
    sections = {*STUDY_KEYS, *GROUPS, "training", "match", "model", "options", *registry.groups()}
    if section not in sections:
        raise ConfigError(f"{section}: there is no such key; {near(section, sections)}")
    known = known_keys(section)
    if dot and known is not None and field not in known:
        raise ConfigError(f"{key}: no option of {section} has this key; {near(field, known)}")
