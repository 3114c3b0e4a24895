"""Fixtures that tests of the whole engine share."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from experiments.tasks.domains import Domains
from runner import invocation
from runner.plan import hydra_loader, planning
from runner.plan.plan import Plan
from runner.study import interrupts
from tests.support.composition import compose_config
from tests.support.environment import ROOT, child_environment

torch.set_num_threads(1)  # with two, an operation waits for a core that another process has
MakePlan = Callable[..., Plan]
SEED = "ABLAB_SEED"


@pytest.fixture(scope="session", autouse=True)
def _locks_of_our_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Studies outside need not wait for what tests time, nor these for them (`machine_lock`)."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("locks"))
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(autouse=True)
def _restored_signals() -> Iterator[None]:
    """Restore signal handlers: a command that runs in this process installs its own."""
    numbers = (*interrupts.SIGNALS, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    interrupts.ReceivedSignals.count = 0


@pytest.fixture
def hydra() -> Iterator[None]:
    """Hydra, initialised as `python -m runner` does."""
    GlobalHydra.instance().clear()
    hydra_loader.install_checked_loader()
    ours = initialize_config_dir(str(ROOT / "conf"), version_base="1.3")
    with ours, domains_built_once():
        yield


BUILT: dict[str, dict[str, Any]] = {}


@contextmanager
def domains_built_once() -> Iterator[None]:
    """Build each corpus of the domains once for all plans of a session: it takes seconds."""
    arrays, split = Domains.arrays, Domains.split

    def remembered(options: Domains, _: Any) -> dict[str, Any]:
        if repr(options) not in BUILT:
            BUILT[repr(options)] = arrays(options, split(options))
        return BUILT[repr(options)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Domains, "split", lambda _: {})
        patch.setattr(Domains, "arrays", remembered)
        yield


def pytest_configure() -> None:
    """Choose the seed of samples, once for all processes of a session."""
    os.environ.setdefault(SEED, str(Random().randrange(2**31)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seed that draws the same samples again."""
    terminalreporter.write_line(f"{SEED}={os.environ[SEED]} draws the same samples again")


def pytest_collection_finish() -> None:
    """Exclude modules and tests from garbage collection: they live to the end."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a random sample of the cases of a test marked `some` in its tier.

    Each session draws another sample. The remaining cases move to the long tier, which runs all.
    """
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("some"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for name, items_of_case in cases.items():
        marker = items_of_case[0].get_closest_marker("some")
        assert marker is not None
        drawn = Random(f"{os.environ[SEED]} {name}").sample(
            items_of_case, min(marker.args[0], len(items_of_case))
        )
        for item in items_of_case:
            if item not in drawn:
                item.add_marker(pytest.mark.long)


@pytest.fixture
def sample(request: pytest.FixtureRequest) -> Random:
    """Return the random generator of the session's samples in the slow tier."""
    return Random(f"{os.environ[SEED]} {request.node.nodeid}")


@pytest.fixture
def plan(hydra: None, tmp_path: Path) -> MakePlan:  # noqa: ARG001
    """Plan a study from overrides as the command line would; outputs are temporary."""

    def make(*overrides: str) -> Plan:
        return planning.make_plan(*compose_config(tmp_path, overrides))

    return make


@pytest.fixture
def run(hydra: None, tmp_path: Path) -> Callable[..., None]:  # noqa: ARG001
    """Run a study from overrides to its report as the command line would."""

    def make(*overrides: str) -> None:
        invocation.run_and_report(*compose_config(tmp_path, overrides))

    return make


@pytest.fixture
def runner(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python -m runner` from an empty folder; outputs are relative to it."""

    def launch(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return command([sys.executable, "-m", "runner", *arguments], tmp_path, timeout)

    return launch


def command(words: Sequence[str], folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """A finished command with its text output."""
    return subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=child_environment(),
    )
