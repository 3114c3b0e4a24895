"""`python -m runner` alone lists the experiments: question, arms, time.

Reads the YAML files and needs no Hydra.
"""

from pathlib import Path
from typing import Any

import yaml

CONF = Path(__file__).resolve().parents[2] / "conf"
SCALES = ("smoke", "quick", "full")


def read(path: Path) -> dict[str, Any]:
    """A YAML file as a dict; empty where there is none."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text(encoding="utf-8"), Loader=loader) or {} if path.exists() else {}


def listing() -> str:
    """The list of experiments as text."""
    lines = ["Experiments (python -m runner experiment=<name> [scale=smoke|quick|full]):", ""]
    for path in sorted((CONF / "experiment").glob("*.yaml")):
        experiment = read(path)
        lines += [path.stem, f"  {experiment.get('question', '')}"]
        for scale in SCALES:
            preset = read(CONF / "preset" / f"{path.stem}_{scale}.yaml")
            if preset:
                arms = preset.get("arm") or list(experiment.get("arms", {}))
                time = f"; {preset['duration']}" if preset.get("duration") else ""
                lines.append(
                    f"  {scale:<6} {preset.get('n_seeds', 1)} seeds of {', '.join(arms)}{time}"
                )
        lines.append("")
    lines.append("See python -m runner --help for every option, README.md for the rest.")
    return "\n".join(lines)
