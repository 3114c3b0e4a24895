"""Composition of arms: Hydra composes the command line, then the arm's overrides. No torch."""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from hydra import compose
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, open_dict

from runner import registry
from runner.config import STUDY_ONLY_KEYS, ArmConfig, ConfigError, Study
from runner.plan import arguments, matching, option_folders, security, selection
from runner.plan.config_reader import part_schema, read_arm, set_option_defaults
from runner.plan.error_messages import ConfigErrors, as_config_error
from runner.plan.keys import field_names, known_keys
from runner.plan.member_checks import check_members
from runner.plan.overrides import parse_override
from runner.plan.question_names import set_question_name
from runner.plan.user_code import named_errors
from runner.wording.names import check_file_name, name_hint
from runner.wording.output import join_names, truncate_middle


@dataclass
class ComposedArms:
    """The typed arms of a study by name, with matched widths, and notes for the user.

    `sets_own_width` says for each arm whether its own overrides set the width to match.
    """

    arms: dict[str, ArmConfig]
    sets_own_width: dict[str, bool]
    notes: list[str] = field(default_factory=list)


def compose_arms(
    study: Study, overrides: Sequence[str], chosen: Sequence[str] | None = None
) -> ComposedArms:
    """Compose the chosen arms of a study and match their widths.

    `chosen` are names of arms; None means the arms that the study selects.

    Raises:
        ConfigErrors: the errors of all arms, one message each.
    """
    command_line = [parse_override(text) for text in overrides]
    chosen = select_arm_names(study, command_line) if chosen is None else chosen
    errors: dict[str, str] = {}
    arms: dict[str, ArmConfig] = {}
    skipped: dict[str, list[str]] = {}
    pending = list(chosen)
    while pending:
        name = pending.pop(0)
        try:
            composed, skipped[name] = compose_arm(study, overrides, command_line, study.arms[name])
            with named_errors():
                arms[name] = read_arm(composed)
            check_members(arms[name])
        except ConfigError as error:
            errors[name] = str(error)
            continue
        # Matching needs the cost of the arm to match, so compose it although it is not computed.
        target = matching.match_target(name, arms[name].match, study.arms)
        if target is not None and target not in (*arms, *errors, *pending):
            pending.append(target)
    if errors:
        raise ConfigErrors(merge_arm_errors(errors))
    notes = describe_overridden_values(
        {name: study.arms[name] for name in chosen}, command_line
    ) + describe_inapplicable_values({n: skipped[n] for n in chosen})
    sets_own_width = {
        name: sets_key(study.arms[name], matching.solved_key(arm) or arm.match.solve)
        for name, arm in arms.items()
    }
    matched, unmatched = matching.match_widths(arms, sets_own_width)
    computed = {name: matched[name] for name in chosen}
    notes += describe_rematched_widths(computed, arms, sets_own_width, command_line)
    return ComposedArms(computed, sets_own_width, notes + unmatched)


def describe_rematched_widths(
    matched: dict[str, ArmConfig],
    composed: dict[str, ArmConfig],
    sets_own_width: dict[str, bool],
    command_line: Sequence[Override],
) -> list[str]:
    """Return a note for each width of the command line that matching has changed in some arms."""
    lines = []
    for key, override in last_override_by_key(command_line).items():
        section, _, name = key.partition(".")
        all_widths = {
            arm: getattr(part, name)
            for arm, config in matched.items()
            if matching.solved_key(config) == key
            and hasattr(part := getattr(config.parts, section), name)  # ffn=none has no width
        }
        matched_widths = {
            arm: width
            for arm, width in all_widths.items()
            if not sets_own_width[arm]
            and matching.match_target(arm, matched[arm].match, composed) is not None
        }
        composed_widths = {
            a: getattr(getattr(composed[a].parts, section), name) for a in matched_widths
        }
        changed_widths = {
            a: width for a, width in matched_widths.items() if width != composed_widths[a]
        }
        if changed_widths:
            changes = ", ".join(f"{arm} uses {width}" for arm, width in changed_widths.items())
            unchanged_arms = [
                arm for arm in all_widths if arm not in changed_widths and not sets_own_width[arm]
            ]
            names = f"only to {', '.join(unchanged_arms)}" if unchanged_arms else "to no arm"
            value = override.get_value_element_as_str()
            lines.append(
                f"{key}={value} applies {names}; to match costs, {changes}; "
                "match.by=none keeps it in every arm"
            )
    return lines


def last_override_by_key(command_line: Sequence[Override]) -> dict[str, Override]:
    """Return the command-line overrides by key; of several for a key the last counts."""
    return {override.key_or_group: override for override in command_line}


def sets_key(arm: Sequence[str], key: str) -> bool:
    """Return whether one of an arm's own overrides sets a key."""
    return any(text.split("=")[0].lstrip("+") == key for text in arm)


def select_arm_names(study: Study, command_line: Sequence[Override]) -> list[str]:
    """Return the names of the arms to compute.

    They are the arms of the key `arm`. Unless the command line sets `arm`, the arms that it adds
    count too, and the arms that it deletes do not.

    Raises:
        ConfigError: there are no arms, or `arm` is malformed, empty or names an unknown arm.
    """
    if not study.arms:
        raise ConfigError(
            f"experiment={study.experiment} has no arms; add one, e.g. '+arms.x=[\"ffn=swiglu\"]'"
        )
    for name in study.arms:
        check_file_name("the arm", name)
    if study.arm is None:
        return list(study.arms)
    chosen = study.arm if isinstance(study.arm, list) else [study.arm]
    if not chosen or not all(chosen) or not all(isinstance(name, str) for name in chosen):
        raise ConfigError(
            f"arm={study.arm}: name one arm or a list of arms, or leave it out; quote a name that "
            "reads as a number: 'arm=\"nan\"'"
        )
    if all(override.key_or_group != "arm" for override in command_line):
        deleted = selection.deleted_names("arms", command_line)
        chosen = [name for name in chosen if name not in deleted]
        chosen += selection.typed_names("arms", study.arms, command_line)
        if not chosen:
            raise ConfigError(
                f"arm={study.arm}: the command line leaves out every arm "
                f"({', '.join(f'~arms.{name}' for name in deleted)}); "
                "choose others, e.g. arm=<name>"
            )
    for name in chosen:
        if name not in study.arms:
            raise ConfigError(f"arm={name}: there is no such arm; {name_hint(name, study.arms)}")
    return list(dict.fromkeys(chosen))


def compose_arm(
    study: Study, overrides: Sequence[str], command_line: Sequence[Override], arm: Sequence[str]
) -> tuple[DictConfig, list[str]]:
    """Compose the command line and then the overrides of one arm.

    Returns:
        the composed config, and the keys of the command line that were removed from it, because
        the arm's options lack them.

    Raises:
        ConfigError: an override of the arm is malformed, runs code, or sets a key of the study.
    """
    # Check each override of the arm as strictly as the command line, before Hydra reads it.
    for text in arm:
        security.refuse_code(text)
        override = parse_override(text)
        key = override.key_or_group
        # Seeds, figures and claims belong to the study, or arms could not be compared.
        if key.split(".")[0] in STUDY_ONLY_KEYS:
            raise ConfigError(f"{text}: an arm cannot set {key}; it must be the same for all arms")
        if override.package is not None or override.is_sweep_override():
            raise ConfigError(f"{text}: an arm is one configuration; add an arm for each value")
        with as_config_error(text):
            arguments.check_override(override)
    arm_overrides = [rewrite_arm_override(text) for text in arm]
    # The arm comes last, so that its own overrides win over the command line.
    with as_config_error("the arm cannot be composed"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = compose(
            "config", overrides=[*selection.without_claims_and_figures(overrides), *arm_overrides]
        )
        set_question_name(config, overrides)
        set_option_defaults(config)
        is_same_study = (config.experiment, config.scale) == (study.experiment, study.scale.value)
    # An option's file can set these too, through its package, past the check above.
    if not is_same_study:
        raise ConfigError(
            "an arm cannot set experiment or scale; they must be the same for all arms"
        )
    # Defaults of an experiment may be for another option of a group than this arm's.
    drop_inapplicable_defaults(config, study, command_line)
    # `++ffn.n_experts=16` adds its key to every arm: remove it where the option lacks the key.
    inapplicable_keys = []
    for override in command_line:
        section, dot, name = override.key_or_group.partition(".")
        if not dot or known_keys(section) is None or section not in registry.group_names():
            continue
        node = config.get(section)
        if (
            node is not None
            and name in node
            and name not in field_names(part_schema(section, node))
        ):
            # Report the key, so that the user learns where the value has no effect.
            with open_dict(config):
                del config[section][name]
            inapplicable_keys.append(override.key_or_group)
    return config, inapplicable_keys


def rewrite_arm_override(text: str) -> str:
    """Return an arm's override in a form for Hydra.

    It has quotes around values that Hydra's grammar does not take. An option of the question gets
    `++`, because the composed config may lack it: its default is in the class of the question.
    """
    override = parse_override(text)
    is_option = override.key_or_group.partition(".")[0] == "options"
    plus = "++" if is_option and override.type is OverrideType.CHANGE else ""
    return f"{plus}{override.input_line or text}"


def drop_inapplicable_defaults(
    config: DictConfig, study: Study, command_line: Sequence[Override]
) -> None:
    """Remove keys that an experiment or preset sets and the chosen option of a group lacks.

    Example: `task: {n_eval: 48}` in a preset applies only to tasks with this key, so that
    task=pairs15 can be chosen. The defaults are read from the files that were composed, since a
    user's experiment may have any name and may extend another.
    """
    experiment_override = last_override_by_key(command_line).get("experiment")
    name = study.experiment if experiment_override is None else str(experiment_override.value())
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


def describe_inapplicable_values(skipped_keys: dict[str, list[str]]) -> list[str]:
    """Return a note for each command-line value whose key some arms lack.

    Raises:
        ConfigError: no arm has the key.
    """
    lines = []
    for key in dict.fromkeys(key for keys in skipped_keys.values() for key in keys):
        arms_without = [name for name, keys in skipped_keys.items() if key in keys]
        if len(arms_without) == len(skipped_keys):
            section = key.partition(".")[0]
            raise ConfigError(
                f"{key}: no arm has this key ({', '.join(arms_without)}); choose an option of "
                f"{section} that has it"
            )
        lines.append(
            f"{key} does not apply to {', '.join(arms_without)}: the option lacks this key"
        )
    return lines


def describe_overridden_values(
    arms: dict[str, Sequence[str]], command_line: Sequence[Override]
) -> list[str]:
    """Return a note for each command-line value that overrides of some arms replace."""
    lines = []
    for key, override in last_override_by_key(command_line).items():
        if key in STUDY_ONLY_KEYS or key.startswith("arms."):
            continue
        overriding_arms = {
            name: own.get_value_element_as_str()
            for name, arm in arms.items()
            if (own := _last_override(arm, key)) and own.value() != override.value()
        }
        if not overriding_arms:
            continue
        value = override.get_value_element_as_str()
        if len(overriding_arms) == len(arms):
            lines.append(
                f"{key}={value} has no effect, since every arm sets {key}; "
                f"add an arm instead: '+arms.mine=[\"{key}={value}\"]'"
            )
        else:
            own_values = ", ".join(f"{name} ({key}={own})" for name, own in overriding_arms.items())
            lines.append(
                f"{key}={value} does not apply to arms that set it themselves: {own_values}"
            )
    return lines


def _last_override(arm: Sequence[str], key: str) -> Override | None:
    """Return the last of an arm's own overrides of a key, if it has one."""
    parsed = [parse_override(text) for text in arm]
    return next((o for o in reversed(parsed) if o.key_or_group == key), None)


def merge_arm_errors(errors: dict[str, str]) -> list[str]:
    """Return messages for the errors of arms (name -> message), with one for all equal errors."""
    names: dict[str, list[str]] = {}
    for name, message in errors.items():
        names.setdefault(message, []).append(name)
    return [
        f"{message} (in arm{'s' if len(arms) > 1 else ''} "
        f"{join_names([truncate_middle(arm, 80) for arm in arms])})"
        for message, arms in names.items()
    ]
