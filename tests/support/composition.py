"""Compose a config as the command line does, with Hydra initialised."""

from collections.abc import Sequence
from pathlib import Path

from hydra import compose
from omegaconf import DictConfig

from runner.plan import arguments


def compose_config(folder: Path, overrides: Sequence[str]) -> tuple[DictConfig, list[str]]:
    """Return a composed config and its overrides."""
    mended = arguments.check_arguments([*overrides, f"outputs={folder / 'outputs'}"])
    return compose("config", overrides=mended), mended
