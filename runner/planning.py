"""From a composed config to a plan.

All arms composed, typed and signed before anything is written. Imports no torch.
"""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra import compose
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from runner import arguments, device, matching, provenance, registry, store
from runner.config import (
    NOT_IN_ARMS,
    ArmConfig,
    By,
    ConfigError,
    DeviceName,
    Study,
    field_names,
    known_keys,
    near,
    part_schema,
    read_arm,
    read_study,
)


@dataclass(frozen=True)
class Arm:
    """One arm, ready to be computed.

    What one would type (a width that was solved included), and what that resolves to.
    """

    name: str
    overrides: tuple[str, ...]
    config: ArmConfig
    device: DeviceName
    data: str
    signed: str
    signature: str


@dataclass(frozen=True)
class Plan:
    """A study, resolved. `notes` are lines for the user: what was skipped, ignored or slow."""

    study: Study
    experiment: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    outputs: Path
    code: str
    config_yaml: str
    notes: list[str] = field(default_factory=list)


def plan(config: DictConfig, overrides: Sequence[str]) -> Plan:
    """Resolve a composed config and the overrides it came from.

    Raises:
        ConfigError: with the errors of all arms, a line each.
    """
    study = read_study(config)
    if study.experiment is None:
        raise ConfigError(
            f"no experiment is chosen; type experiment=<name>, one of {', '.join(registry.names())}"
        )
    if study.experiment not in registry.names():
        raise ConfigError(
            f"experiment={study.experiment}: {near(study.experiment, registry.names())}"
        )
    typed = [arguments.parse(text) for text in overrides]
    if study.plugins and not any(override.key_or_group == "plugins" for override in typed):
        raise ConfigError("plugins run code, so they are named on the command line and not in YAML")
    notes = replaced_groups(study, typed)
    errors: dict[str, str] = {}
    configs: dict[str, ArmConfig] = {}
    skipped: dict[str, list[str]] = {}
    for name in selected(study, typed):
        try:
            composed, skipped[name] = compose_arm(overrides, typed, study.arms[name])
            configs[name] = read_arm(composed)
        except ConfigError as error:
            errors[name] = str(error)
    if errors:
        raise ConfigError(together(errors))
    notes += skipped_values(skipped)
    held = {
        name: any(text.split("=")[0] == arm.match.solve for text in study.arms[name])
        for name, arm in configs.items()
    }
    configs, unmatched = matching.solve(configs, held)
    notes += unmatched
    outputs = writable(Path(study.outputs))
    arms = []
    for name, arm in configs.items():
        where = device.resolve(arm.device)
        notes += [line for line in device.warnings(arm.device, where) if line not in notes]
        data = prepare(arm, outputs)
        tree = arm.tree()
        tree["device"]["name"] = where.value
        text = store.signed(tree, data)
        typed_arm = (*study.arms[name], *solved_width(arm, name, held[name]))
        arms.append(Arm(name, typed_arm, arm, where, data, text, store.signature(text)))
    return Plan(
        study=study,
        experiment=study.experiment,
        arms=tuple(arms),
        seeds=tuple(range(study.seed, study.seed + study.n_seeds)),
        outputs=outputs,
        code=provenance.code_hash(study.experiment),
        config_yaml=OmegaConf.to_yaml(config, resolve=True),
        notes=notes + same_arms(arms),
    )


def solved_width(arm: ArmConfig, name: str, held: bool) -> list[str]:
    """The override that sets the width which was solved for an arm."""
    if held or arm.match.by is By.none or arm.match.to == name:
        return []
    section, _, key = arm.match.solve.partition(".")
    return [f"{arm.match.solve}={getattr(getattr(arm.parts, section), key)}"]


def selected(study: Study, typed: Sequence[Override]) -> list[str]:
    """The names of the arms to compute.

    `arm`, and those that the command line adds unless it sets `arm` itself.
    """
    if not study.arms:
        raise ConfigError(
            f"experiment {study.experiment} has no arms; add one, e.g. '+arms.x=[\"ffn=swiglu\"]'"
        )
    if study.arm is None:
        return list(study.arms)
    chosen = [study.arm] if isinstance(study.arm, str) else list(study.arm)
    keys = [o.key_or_group for o in typed]
    if "arm" not in keys:
        chosen += [key.removeprefix("arms.") for key in keys if key.startswith("arms.")]
    for name in chosen:
        if name not in study.arms:
            raise ConfigError(f"arm={name}: there is no such arm; {near(str(name), study.arms)}")
    return list(dict.fromkeys(chosen))


def compose_arm(
    overrides: Sequence[str], typed: Sequence[Override], arm: Sequence[str]
) -> tuple[DictConfig, list[str]]:
    """Compose the command line and then the arm.

    The keys of command-line values that this arm's options lack are left out.
    """
    for text in arm:
        arguments.refuse_code(text)
        key = arguments.parse(text).key_or_group
        arguments.check_key(key)
        if key.split(".")[0] in NOT_IN_ARMS:
            raise ConfigError(f"{text}: an arm cannot set {key}; it is the same for all arms")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = compose("config", overrides=[*overrides, *arm])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(compose_error(error)) from error
    lacking = []
    for override in typed:
        section, dot, name = override.key_or_group.partition(".")
        if not dot or known_keys(section) is None or section not in registry.groups():
            continue
        node = config.get(section)
        if (
            node is not None
            and name in node
            and name not in field_names(part_schema(section, node))
        ):
            with open_dict(config):
                del config[section][name]
            lacking.append(override.key_or_group)
    return config, lacking


def compose_error(error: Exception) -> str:
    """An error of Hydra or OmegaConf in one line.

    With near names where a key or an option is not there.
    """
    text = " ".join(str(error).split())
    if found := re.search(r"Could not override '([^']+)'", text):
        section, _, name = found[1].partition(".")
        hint = near(name, known_keys(section) or ())
        return f"{found[1]}: the chosen option of {section} has no such key; {hint}"
    if found := re.search(
        r"Could not find '(.+)/([^']+)' Available options in '[^']+': (.*?) Config search path",
        text,
    ):
        return f"{found[1]}={found[2]}: there is no such option; {near(found[2], found[3].split())}"
    return text.split(" To append to your config")[0]


def skipped_values(skipped: dict[str, list[str]]) -> list[str]:
    """A line for each command-line value that some arms lack.

    Raises:
        ConfigError: no arm has the key.
    """
    lines = []
    for key in dict.fromkeys(key for keys in skipped.values() for key in keys):
        without = [name for name, keys in skipped.items() if key in keys]
        if len(without) == len(skipped):
            section = key.partition(".")[0]
            raise ConfigError(
                f"{key}: no arm has this key ({', '.join(without)}); the options of {section} "
                "that do are not used"
            )
        lines.append(f"{key} does not apply to {', '.join(without)}: its option has no such key")
    return lines


def replaced_groups(study: Study, typed: Sequence[Override]) -> list[str]:
    """A warning for each group choice on the command line that every arm replaces."""
    lines = []
    for override in typed:
        group = override.key_or_group
        if group in registry.groups() and study.arms:
            replaced = all(
                any(text.split("=")[0] == group for text in arm) for arm in study.arms.values()
            )
            if replaced:
                value = override.value()
                lines.append(
                    f"{group}={value} changes nothing, since every arm sets {group}; "
                    f"add an arm instead: '+arms.{value}=[\"{group}={value}\"]'"
                )
    return lines


def same_arms(arms: Sequence[Arm]) -> list[str]:
    """A warning for arms that are the same configuration under two names."""
    lines: list[str] = []
    first: dict[str, str] = {}
    for arm in arms:
        other = first.setdefault(arm.signature, arm.name)
        if other != arm.name:
            lines.append(
                f"arms {other} and {arm.name} are the same configuration: their trials are shared"
            )
    return lines


def prepare(arm: ArmConfig, outputs: Path) -> str:
    """The fingerprint of an arm's data, which are made ready on disk."""
    task = getattr(arm.parts, "task", None)
    if task is None:
        return ""
    try:
        return registry.prepare(task, cache_folder(outputs))
    except ValueError as error:
        raise ConfigError(str(error)) from error


def cache_folder(outputs: Path) -> Path:
    """Where prepared data lie."""
    return outputs / "corpora"


def writable(outputs: Path) -> Path:
    """The outputs folder, if something can be written there; nothing is left behind.

    Raises:
        ConfigError: it cannot.
    """
    there = outputs.absolute()
    while not there.exists():
        there = there.parent
    try:
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is a file")
        probe = there / f".ablab-{provenance.token()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(
            f"outputs={outputs}: nothing can be written there ({reason}); give another folder"
        ) from error
    return outputs


def together(errors: dict[str, str]) -> str:
    """The errors of all arms (name -> message) in at most three lines.

    Arms with the same error share a line.
    """
    names: dict[str, list[str]] = {}
    for name, message in errors.items():
        names.setdefault(message, []).append(name)
    lines = [f"{message} (in arm {', '.join(arms)})" for message, arms in names.items()]
    return "\n".join(
        lines
        if len(lines) <= 3
        else [*lines[:2], f"and {len(lines) - 2} more errors in other arms"]
    )
