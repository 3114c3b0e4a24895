"""Report pages in Chromium: nothing cut off, unreadable, out of reach, or fetched from elsewhere.

The default tier looks at a page of made-up data. The slow one looks at a page of each experiment.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from runner import registry
from runner.report.index_page import INDEX_FILE, renew_index
from runner.report.report_files import write_report
from tests.browser.checks import CHECKS, find_page_faults
from tests.browser.chromium import Chromium
from tests.browser.tab import Tab
from tests.support.environment import ROOT
from tests.support.made_store import make_run
from tests.support.sample_study import make_study


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, chromium: Chromium) -> Path:  # noqa: ARG001
    """Write the page of a made-up study with two of its figures."""
    study = make_study()
    few = make_study(figures={name: study.figures[name] for name in list(study.figures)[:2]})
    return write_report(tmp_path_factory.mktemp("runs") / "one", few).report_path


@pytest.fixture(scope="session")
def tab(chromium: Chromium) -> Iterator[Tab]:
    """One tab for all checks."""
    with Tab(chromium) as opened:
        yield opened


@pytest.mark.xdist_group("browser")  # one Chromium and one page
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_page_of_made_up_data_has_no_faults(check: Callable, tab: Tab, page: Path):
    assert list(check(tab, page)) == []


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of all runs for a few made-up runs and a sweep."""
    outputs = tmp_path_factory.mktemp("outputs")
    for number, experiment in enumerate(["moe", "ffn", "translation"]):
        make_run(
            outputs,
            f"2026-11-26_04-5{number}-00_quick",
            [("a", 0)],
            experiment=experiment,
            sentence="By held-out loss (nats/byte): "
            + "a long answer of arm_with_a_long_name " * 6,
            verdicts=["reproduced", "invalid", "inconclusive", "contradicted"],
        )
    (outputs / "sweeps" / "2026-11-26_05-00-00").mkdir(parents=True)
    assert renew_index(outputs) == ""
    return outputs / INDEX_FILE


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_page_of_all_runs_has_no_faults(check: Callable, tab: Tab, index: Path):
    assert list(check(tab, index)) == []


@pytest.mark.xdist_group("browser")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_board_has_no_faults(check: Callable, tab: Tab):
    assert list(check(tab, ROOT / "docs" / "board.html")) == []


@pytest.mark.slow
@pytest.mark.parametrize("experiment", sorted(registry.experiment_names()))
def test_the_page_of_a_smoke_run_has_no_faults(
    experiment: str,
    chromium: Chromium,
    runner: Callable[..., CompletedProcess[str]],
    tmp_path: Path,
):
    done = runner(f"experiment={experiment}", "scale=smoke", "outputs=outputs", timeout=300)
    assert done.returncode == 0, done.stderr
    (report,) = (tmp_path / "outputs" / experiment / "runs").glob("*/report.html")
    assert find_page_faults(chromium, report) == []
