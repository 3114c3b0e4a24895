"""`python -m runner` alone lists the experiments: question, arms, time.

Reads the YAML files and needs no Hydra.
"""

from pathlib import Path

import yaml

from runner.config import ConfigError
from runner.output import shortened
from runner.plan.folders import CONF, read
from runner.plan.refusal import check_file

SCALES = ("smoke", "quick", "full")
FOLDER_FLAGS = ("--config-dir", "-cd")


def listing(own: Path | None = None) -> str:
    """The list of experiments as text: ours, then those of a user's own folder.

    Raises:
        ConfigError: the folder is none, or a file of it must not be read.
    """
    command = "python -m runner" + (f" --config-dir={own}" if own else "")
    lines = [f"Experiments ({command} experiment=<name> [scale=smoke|quick|full]):", ""]
    if own is not None and not own.is_dir():
        raise ConfigError(f"--config-dir {own} is not a folder")
    for folder in (CONF, own):
        for path in sorted((folder / "experiment").glob("*.yaml") if folder else ()):
            lines += [*described(path), ""]
    lines.append("See python -m runner --help for every option, README.md for the rest.")
    return "\n".join(lines)


def described(path: Path) -> list[str]:
    """The lines of one experiment: name, question, arms and time at each scale."""
    if not path.is_relative_to(CONF):
        check_file(path)
    try:
        experiment = read(path)
        lines = [path.stem, f"  {shortened(experiment.get('question', ''))}"]
        for scale in SCALES:
            preset = read(path.parents[1] / "preset" / f"{path.stem}_{scale}.yaml")
            if preset:
                arms = preset.get("arm") or list(experiment.get("arms", {}))
                seeds = preset.get("n_seeds", 1)
                time = f"; {preset['duration']}" if preset.get("duration") else ""
                lines.append(
                    f"  {scale:<6} {seeds} {'seed' if seeds == 1 else 'seeds'} of "
                    f"{', '.join(map(str, arms))}{time}"
                )
    except (AttributeError, TypeError, OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is no experiment; README has one of ten lines") from error
    return lines


def alone(arguments: list[str]) -> tuple[bool, Path | None]:
    """Whether a command asks for the list, and the user's own folder that it names."""
    if not arguments:
        return True, None
    flag, equals, folder = arguments[0].partition("=")
    if flag not in FOLDER_FLAGS:
        return False, None
    rest = arguments[1:] if equals else arguments[2:]
    folder = folder if equals else "".join(arguments[1:2])
    return not rest and bool(folder), Path(folder)
