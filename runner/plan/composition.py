"""Arms as lists of Hydra overrides: each is composed after the command line and typed. No torch."""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra import compose
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, open_dict

from runner import registry
from runner.config import STUDY_ONLY_KEYS, ArmConfig, ConfigError, Study
from runner.plan import arguments, matching, option_folders, security, selection
from runner.plan.config_reader import part_schema, read_arm
from runner.plan.error_messages import ConfigErrors, as_config_error
from runner.plan.keys import field_names, known_keys
from runner.plan.overrides import parse_override
from runner.wording.names import check_file_name, name_hint
from runner.wording.output import join_names, truncate_middle


@dataclass
class ComposedArms:
    """Typed arms by name, with their widths solved, and lines for the user.

    `sets_own_width` says which arms set the width that matching would solve.
    """

    arms: dict[str, ArmConfig]
    sets_own_width: dict[str, bool]
    notes: list[str] = field(default_factory=list)


def compose_arms(
    study: Study, overrides: Sequence[str], chosen: Sequence[str] | None = None
) -> ComposedArms:
    """Compose the arms of a study that are chosen (None: that it selects), and solve their widths.

    Raises:
        ConfigError: the errors of all arms in one message.
    """
    typed = [parse_override(text) for text in overrides]
    chosen = select_arm_names(study, typed) if chosen is None else chosen
    errors: dict[str, str] = {}
    arms: dict[str, ArmConfig] = {}
    skipped: dict[str, list[str]] = {}
    waiting = list(chosen)
    while waiting:
        name = waiting.pop(0)
        try:
            composed, skipped[name] = compose_arm(study, overrides, typed, study.arms[name])
            arms[name] = read_arm(composed)
        except ConfigError as error:
            errors[name] = str(error)
            continue
        # An arm that others are matched to is composed although it is not computed.
        to = matching.match_target(name, arms[name].match, study.arms)
        if to is not None and to not in (*arms, *errors, *waiting):
            waiting.append(to)
    if errors:
        raise ConfigErrors(together(errors))
    notes = replaced({name: study.arms[name] for name in chosen}, typed) + skipped_values(
        {n: skipped[n] for n in chosen}
    )
    held = {name: holds(study.arms[name], arm.match.solve) for name, arm in arms.items()}
    solved, unmatched = matching.match_widths(arms, held)
    computed = {name: solved[name] for name in chosen}
    notes += solved_instead(computed, arms, held, typed)
    return ComposedArms(computed, held, notes + unmatched)


def solved_instead(
    solved: dict[str, ArmConfig],
    composed: dict[str, ArmConfig],
    held: dict[str, bool],
    typed: Sequence[Override],
) -> list[str]:
    """A line for each typed width that matching has replaced in some arms, and how to keep it."""
    lines = []
    for key, override in last_of_each(typed).items():
        section, _, name = key.partition(".")
        all_widths = {
            arm: getattr(part, name)
            for arm, config in solved.items()
            if config.match.solve == key
            and hasattr(part := getattr(config.parts, section), name)  # ffn=none has no width
        }
        widths = {
            arm: width
            for arm, width in all_widths.items()
            if not held[arm] and matching.match_target(arm, solved[arm].match, composed) is not None
        }
        given = {a: getattr(getattr(composed[a].parts, section), name) for a in widths}
        replaced_in = {a: width for a, width in widths.items() if width != given[a]}
        if replaced_in:
            told = ", ".join(f"{arm} is solved to {width}" for arm, width in replaced_in.items())
            kept = [arm for arm in all_widths if arm not in replaced_in and not held[arm]]
            holds_for = f"holds for {', '.join(kept)} alone" if kept else "holds for no arm"
            value = override.get_value_element_as_str()
            lines.append(f"{key}={value} {holds_for}; {told}; match.by=none keeps it in all")
    return lines


def last_of_each(typed: Sequence[Override]) -> dict[str, Override]:
    """The typed values by key; of a key that is typed twice the last one counts."""
    return {override.key_or_group: override for override in typed}


def holds(arm: Sequence[str], key: str) -> bool:
    """Whether an arm sets a key itself."""
    return any(text.split("=")[0].lstrip("+") == key for text in arm)


def select_arm_names(study: Study, typed: Sequence[Override]) -> list[str]:
    """The names of the arms to compute.

    `arm`, and those that the command line adds unless it sets `arm` itself.
    """
    if not study.arms:
        raise ConfigError(
            f"experiment {study.experiment} has no arms; add one, e.g. '+arms.x=[\"ffn=swiglu\"]'"
        )
    for name in study.arms:
        check_file_name("the arm", name)
    if study.arm is None:
        return list(study.arms)
    chosen = study.arm if isinstance(study.arm, list) else [study.arm]
    if not chosen or not all(chosen) or not all(isinstance(name, str) for name in chosen):
        raise ConfigError(
            f"arm={study.arm}: name one arm or a list of arms, or leave it out; a name that reads "
            "as a number needs quotes: 'arm=\"nan\"'"
        )
    if all(override.key_or_group != "arm" for override in typed):
        gone = selection.deleted_names("arms", typed)
        chosen = [name for name in chosen if name not in gone]
        chosen += selection.typed_names("arms", study.arms, typed)
        if not chosen:
            raise ConfigError(
                f"arm={study.arm}: each is left out ({', '.join(f'~arms.{name}' for name in gone)})"
                "; choose others, e.g. arm=<name>"
            )
    for name in chosen:
        if name not in study.arms:
            raise ConfigError(f"arm={name}: there is no such arm; {name_hint(name, study.arms)}")
    return list(dict.fromkeys(chosen))


def compose_arm(
    study: Study, overrides: Sequence[str], typed: Sequence[Override], arm: Sequence[str]
) -> tuple[DictConfig, list[str]]:
    """Compose the command line and then the arm.

    The keys of command-line values that this arm's options lack are left out.
    """
    for text in arm:
        security.refuse_code(text)
        override = parse_override(text)
        key = override.key_or_group
        if key.split(".")[0] in STUDY_ONLY_KEYS:
            raise ConfigError(f"{text}: an arm cannot set {key}; it is the same for all arms")
        if override.package is not None or override.is_sweep_override():
            raise ConfigError(f"{text}: an arm is one configuration; give each value an arm")
        with as_config_error(text):
            arguments.check_override(override)
    readable = [parse_override(text).input_line or text for text in arm]
    with as_config_error("the arm cannot be composed"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = compose(
            "config", overrides=[*selection.without_claims_and_figures(overrides), *readable]
        )
        same = (config.experiment, config.scale) == (study.experiment, study.scale.value)
    if not same:  # by the package of an option's file
        raise ConfigError("an arm cannot set experiment or scale; they are the same for all arms")
    drop_inapplicable_defaults(config, study, typed)
    lacking = []
    for override in typed:
        section, dot, name = override.key_or_group.partition(".")
        if not dot or known_keys(section) is None or section not in registry.group_names():
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


def drop_inapplicable_defaults(config: DictConfig, study: Study, typed: Sequence[Override]) -> None:
    """Leave out what an experiment or preset says of another option of a group than is chosen.

    `task: {n_eval: 48}` in a preset is about the tasks that have the key; task=pairs15 has not.
    The files are those that were composed: a user's experiment may have any name, and extend ours.
    """
    chosen = last_of_each(typed).get("experiment")
    name = study.experiment if chosen is None else str(chosen.value())
    for option in (f"experiment/{name}", f"preset/{name}_{study.scale.value}"):
        for group, defaults in itertools.product(
            registry.group_names(), option_folders.read_option_layers(option)
        ):
            node = config.get(group)
            if node is None or not isinstance(defaults.get(group), dict):
                continue
            known = field_names(part_schema(group, node))
            with open_dict(config):
                for key in set(defaults[group]) - set(known):
                    config[group].pop(key, None)


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


def replaced(arms: dict[str, Sequence[str]], typed: Sequence[Override]) -> list[str]:
    """A line for each typed group or value that some or all computed arms set themselves."""
    lines = []
    for key, override in last_of_each(typed).items():
        if key in STUDY_ONLY_KEYS or key.startswith("arms."):
            continue
        setting = {
            name: theirs.get_value_element_as_str()
            for name, arm in arms.items()
            if (theirs := _setting(arm, key)) and theirs.value() != override.value()
        }
        if not setting:
            continue
        value = override.get_value_element_as_str()
        if len(setting) == len(arms):
            lines.append(
                f"{key}={value} changes nothing, since every arm sets {key}; "
                f"add an arm instead: '+arms.mine=[\"{key}={value}\"]'"
            )
        else:
            told = ", ".join(f"{name} ({key}={theirs})" for name, theirs in setting.items())
            lines.append(f"{key}={value} does not hold for arms that set it themselves: {told}")
    return lines


def _setting(arm: Sequence[str], key: str) -> Override | None:
    """The override by which an arm sets a key itself; the last one counts."""
    parsed = [parse_override(text) for text in arm]
    return next((o for o in reversed(parsed) if o.key_or_group == key), None)


def together(errors: dict[str, str]) -> list[str]:
    """The errors of all arms (name -> message); arms with the same error share a message."""
    names: dict[str, list[str]] = {}
    for name, message in errors.items():
        names.setdefault(message, []).append(name)
    return [
        f"{message} (in arm {join_names([truncate_middle(arm, 80) for arm in arms])})"
        for message, arms in names.items()
    ]
