"""The setting of a study in one line, and the commands that a reader may want to type next."""

import shlex
from collections.abc import Sequence

from runner.report.study_record import StudyRecord

OUTPUTS = "outputs"  # the folder of trials and runs, and the key that changes it


def describe_setting(study: StudyRecord) -> str:
    """Return the size of the baseline's model and training, such as "2 layers of width 64, ...".

    It is "" for a study that trains nothing.
    """
    values = study.settings.get(study.baseline, {})
    if not is_trained(study):
        return ""
    parts = []
    if {"model.n_layers", "model.d_model"} <= {*values}:
        parts.append(f"{values['model.n_layers']} layers of width {values['model.d_model']}")
    if {"training.steps", "training.batch_size"} <= {*values}:
        length = f" of length {values['task.length']}" if "task.length" in values else ""
        batch = f"{values['training.batch_size']} sequences{length}"
        parts.append(f"{values['training.steps']} training steps of {batch}")
    if "training.lr" in values:
        parts.append(f"learning rate {values['training.lr']}")
    if "task.kind" in values:
        parts.append(f"task {values['task.kind']}")
    return f"Setting of {study.baseline}: {', '.join(parts)}." if parts else ""


def is_trained(study: StudyRecord) -> bool:
    """Return whether the study's trials train models."""
    return any(name.startswith("train/") for name in study.results["metric"].unique())


def next_commands(study: StudyRecord) -> list[tuple[str, str]]:
    """Return the commands that continue this study, each after a sentence on its purpose."""
    words = shlex.split(study.command)
    outputs = next((w.partition("=")[2] for w in words if w.startswith(f"{OUTPUTS}=")), OUTPUTS)
    tensorboard = shlex.join(["tensorboard", "--logdir", f"{outputs}/{study.experiment}/latest/tb"])
    steps = [("The curves of the newest run, with bands, in TensorBoard:", tensorboard)]
    if study.scale == "smoke":
        return [("The study itself, which gives an answer:", _with(words, "scale=quick")), *steps]
    if study.scale not in ("full", "long"):
        command = _with(words, "scale=full", "plan=only")
        text = "All arms and claims in longer trainings. This shows their number and time:"
        steps.append((text, command))
    n_seeds = int(study.trials.groupby("arm")["seed"].nunique().max())
    text = "One more seed. All trials are reused, and it counts as a second look:"
    steps.append((text, _with(words, f"n_seeds={n_seeds + 1}")))
    if is_trained(study) and not study.tuned:
        text = "The same question, with learning rates that are tuned for each arm:"
        steps.append((text, _with(words, "tune=lr")))
    return steps


def _with(words: Sequence[str], *overrides: str) -> str:
    """Return a command with overrides in place of its own ones of the same keys."""
    keys = {override.partition("=")[0] for override in overrides}
    others = [word for word in words if word.partition("=")[0] not in keys]
    return shlex.join([*others, *overrides])
