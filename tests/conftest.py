"""Fixtures that tests of the whole engine share."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from tests_environment import ROOT, environment

from runner import arguments, planning

Plan = Callable[..., planning.Plan]


@pytest.fixture
def hydra() -> Iterator[None]:
    """Hydra, initialised as `python -m runner` does."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


@pytest.fixture
def plan(hydra: None, tmp_path: Path) -> Plan:  # noqa: ARG001
    """Plan a study from overrides as the command line would; outputs are temporary."""

    def make(*overrides: str) -> planning.Plan:
        mended = arguments.check([*overrides, f"outputs={tmp_path / 'outputs'}"])
        return planning.plan(compose("config", overrides=mended), mended)

    return make


@pytest.fixture
def runner(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python -m runner` from an empty folder; outputs are relative to it."""

    def run(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return command([sys.executable, "-m", "runner", *arguments], tmp_path, timeout)

    return run


def command(
    words: Sequence[str], folder: Path, timeout: float
) -> subprocess.CompletedProcess[str]:
    """A finished command with its text output."""
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=environment(),
    )
