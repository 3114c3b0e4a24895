"""Whether the experiment of a command is there: its YAML file and the code that it names."""

from collections.abc import Sequence

from runner import registry
from runner.config import ConfigError
from runner.names import near
from runner.output import shortened
from runner.plan import folders
from runner.plan.overrides import parse


def no_experiment(named: str | None, overrides: Sequence[str]) -> str:
    """Why no experiment can run: none is typed, or its YAML file names no code.

    `named` is what `experiment:` of the composed config says.
    """
    known = ", ".join(registry.names())
    typed = [o.value() for o in map(parse, overrides) if o.key_or_group == "experiment"]
    path = folders.own_file(f"experiment/{typed[-1]}") if typed else None
    if path is not None:
        keep = f"{path}: `experiment:` names the code, one of {known}"
        if named is None:
            return f"{keep}; it is missing; add e.g. experiment: ffn"
        return f"{keep}, and not {shortened(named, 60)}; keep e.g. experiment: ffn"
    if named is not None:
        return f"experiment={shortened(named, 80)}: {near(named, registry.names())}"
    own = sorted(folders.options("experiment") - set(registry.names()))
    return f"no experiment is chosen; type experiment=<name>, one of {', '.join([*own, known])}"


def check_code(experiment: str) -> None:
    """Refuse a question of a plug-in without the module that computes its trials.

    Raises:
        ConfigError: with the file that is missing.
    """
    if registry.source(f"experiments.{experiment}") is None:
        raise ConfigError(
            f"experiment={experiment}: there is no module experiments.{experiment}; a question "
            "of your own needs one, with a function run(trial)"
        )
