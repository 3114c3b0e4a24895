"""A config names options and never code: what could run code or read the environment is refused.

Values are looked at as they are parsed, so that no way of writing them hides what they say.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from runner.config import ConfigError

FORBIDDEN = ("_target_", "${oc.", "oc.env", "oc.decode", "oc.create")
PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)
OF_HYDRA = re.compile(r"(^|[/@\s])hydra([/.@:\s]|$)")


def refuse_code(text: str) -> None:
    """Raise ConfigError for text that could make a config run code or read the environment."""
    for word in FORBIDDEN:
        if word in text:
            raise ConfigError(
                f"{word} is not allowed in a config: a config names options, it never runs code"
            )


def refuse_values(value: Any) -> None:
    """Raise ConfigError where a parsed value, or a key or value within it, could run code."""
    if isinstance(value, dict):
        for key, item in value.items():
            refuse_code(str(key))
            refuse_values(item)
    elif isinstance(value, list | tuple):
        for item in value:
            refuse_values(item)
    elif value is not None:
        refuse_code(str(value))


def scan_folder(folder: Path) -> None:
    """Check a user's folder of YAML files before Hydra reads it.

    Raises:
        ConfigError: it is no folder, or a file is unreadable, sets Hydra's own settings, or could
            run code.
    """
    if not folder.is_dir():
        raise ConfigError(f"--config-dir {folder} is not a folder")
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".yml")):
        try:
            text = path.read_text(encoding="utf-8")
            documents = list(yaml.safe_load_all(text))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"{path} cannot be read as YAML: {reason}") from error
        if path.relative_to(folder).parts[0] == "hydra" or any(map(sets_hydra, documents)):
            raise_hydra(path)
        if any(package.startswith("hydra") for package in PACKAGE.findall(text)):
            raise_hydra(path)
        refuse_values(documents)


def sets_hydra(document: Any) -> bool:
    """Whether a YAML document has the key `hydra`, or chooses one of its options by default."""
    if not isinstance(document, dict):
        return False
    defaults = document.get("defaults") or []
    entries = [
        str(part) for entry in defaults for part in (entry if isinstance(entry, dict) else [entry])
    ]
    return any(OF_HYDRA.search(str(name)) for name in [*document, *entries])


def raise_hydra(path: Path) -> None:
    """Raise ConfigError for a file that sets Hydra's own settings."""
    raise ConfigError(
        f"{path} sets Hydra's own settings; only the command line may choose hydra/launcher or "
        "hydra/sweeper"
    )
