"""The settings of a user's question at a scale for which it has no preset.

`scale=smoke` then lowers seeds and training steps, so that it takes seconds as for our questions.
Other scales change nothing. A note says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from runner.config import ConfigError, Scale, Study
from runner.plan import option_folders
from runner.plan.question_names import chosen_name
from runner.plan.security import check_yaml_file
from runner.wording.output import truncate_middle

SMOKE_SEEDS = 2
SMOKE_TRAINING = {
    "steps": 20,
    "warmup_steps": 2,
    "log_every": 2,
    "eval_every": 5,
    "checkpoint_every": 10,
}
PREFIX, SUFFIX = "preset/", "_smoke"


def smoke_preset(option: str) -> dict[str, Any] | None:
    """Return the content of a smoke preset, such as `preset/my_gate_smoke`, that the user lacks.

    It is None for another option, and for one that is not the smoke preset of a user's question.
    """
    name = option.removeprefix(PREFIX).removesuffix(SUFFIX)
    if option != f"{PREFIX}{name}{SUFFIX}" or option_folders.user_file(option):
        return None
    path = option_folders.user_file(f"experiment/{name}")
    if path is None:
        return None
    check_yaml_file(path)
    lowered = lowered_values(name)
    preset: dict[str, Any] = {"duration": ""}
    preset |= {key: value for key, value in lowered.items() if key == "n_seeds"}
    own = option_folders.read_yaml(path)
    # A section that is no mapping, such as `training: null`, stays, so that it is refused.
    if isinstance(own.get("training", {}), Mapping):
        preset["training"] = {
            key.removeprefix("training."): value
            for key, value in lowered.items()
            if key.startswith("training.")
        }
    return preset


def lowered_values(name: str) -> dict[str, int]:
    """Return the keys of a user's question that `scale=smoke` lowers, with their new values."""
    defaults = option_folders.read_yaml(option_folders.CONF / "config.yaml")
    layers = [*option_folders.read_option_layers(f"experiment/{name}"), defaults]
    own: dict[str, Any] = {"n_seeds": first_value(layers, "n_seeds")}
    sections = [each.get("training") for each in layers]
    trainings = [each for each in sections if isinstance(each, Mapping)]
    own |= {f"training.{key}": first_value(trainings, key) for key in SMOKE_TRAINING}
    smoke = {"n_seeds": SMOKE_SEEDS, **{f"training.{k}": v for k, v in SMOKE_TRAINING.items()}}
    return {
        key: value
        for key, value in smoke.items()
        if isinstance(own[key], int) and own[key] > value  # `${key}` stays as it is
    }


def first_value(layers: Sequence[Mapping[str, Any]], key: str) -> Any:
    """Return the value of a key in the first layer that has it."""
    return next(layer[key] for layer in layers if key in layer)


def check_scale_exists(study: Study, overrides: Sequence[str]) -> None:
    """Raise ConfigError where an experiment of ablab lacks a preset, such as `moe_long`.

    A user's question needs no presets; `note_missing_preset` says so.
    """
    name = chosen_name(overrides)
    folder = option_folders.CONF / "preset"
    if name is None or option_folders.user_file(f"experiment/{name}"):
        return
    scales = [each.value for each in Scale if (folder / f"{name}_{each.value}.yaml").exists()]
    if scales and study.scale.value not in scales:
        raise ConfigError(
            f"scale={study.scale.value}: experiment={name} has no such scale; it has "
            f"{', '.join(scales)}"
        )


def note_missing_preset(study: Study, overrides: Sequence[str]) -> list[str]:
    """Return a note that a user's question has no preset for the scale, and on the effect.

    There is none if the scale is the default.
    """
    name = chosen_name(overrides)
    option = f"{PREFIX}{name}_{study.scale.value}"
    is_typed = any(text.startswith("scale=") for text in overrides)
    if (
        not (is_typed and name)
        or option_folders.user_file(f"experiment/{name}") is None
        or option_folders.user_file(option)
    ):
        return []
    start = f"there is no {truncate_middle(option, 80)}.yaml, so that scale={study.scale.value}"
    if study.scale is not Scale.smoke:
        return [f"{start} changes nothing"]
    lowered = lowered_values(name)
    values = [f"n_seeds={lowered['n_seeds']}"] if "n_seeds" in lowered else []
    training = [f"{k.partition('.')[2]}: {v}" for k, v in lowered.items() if "." in k]
    values += [f"training={{{', '.join(training)}}}"] if training else []
    changes = f"sets {', '.join(values)} and " if values else ""
    return [f"{start} {changes}judges no claims; it computes the same arms and sizes"]
