"""The script of a report page in Chromium: values of points, sorted tables, copied commands."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.figures.draw import HoverPoint, Picture
from runner.report import page
from runner.report.headlines import compare_headlines
from runner.stats.comparison import summarise_arms
from tests.browser.chromium import Chromium
from tests.browser.tab import PHONE, Tab
from tests.support.sample_study import make_study

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="400" height="200"/>'
POINTS = (HoverPoint(0.25, 0.5, "dense: 2.05"), HoverPoint(0.75, 0.25, "moe_top2: 2.02"))

pytestmark = pytest.mark.xdist_group("browser")  # one Chromium and one page


@pytest.fixture(scope="session")
def simple_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page with one figure of two points."""
    study = make_study(claims=[])
    name = next(iter(study.figures))
    html = page.render(
        study,
        answer=["The answer."],
        comparisons=compare_headlines(study, study.results),
        summary=summarise_arms(study.results),
        findings=[],
        pictures={name: Picture(b"png", SVG, "Two points.", POINTS)},
        text_tables={},
        warnings=[],
    )
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(html, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def simple_tab(chromium: Chromium) -> Iterator[Tab]:
    with Tab(chromium) as opened:
        yield opened


def tip(tab: Tab) -> str:
    """Return the text next to a point; "" if it is hidden."""
    return str(
        tab.evaluate("(() => { const t = $('.tip'); return t.hidden ? '' : t.innerText })()")
    )


def test_arrow_keys_step_through_the_values(simple_tab: Tab, simple_page: Path):
    simple_tab.open(simple_page)
    simple_tab.evaluate("$('.plot').focus()")
    texts = []
    for key, code in (("ArrowRight", 39), ("ArrowRight", 39), ("ArrowRight", 39), ("End", 35)):
        simple_tab.press(key, code)
        texts.append(tip(simple_tab))
    assert texts == ["dense: 2.05", "moe_top2: 2.02", "dense: 2.05", "moe_top2: 2.02"]
    assert simple_tab.evaluate("$('.live').textContent") == "moe_top2: 2.02"
    simple_tab.press("Escape", 27)
    assert tip(simple_tab) == ""


@pytest.mark.parametrize("width", [1280, PHONE])
def test_the_mouse_shows_the_nearest_value(width: int, simple_tab: Tab, simple_page: Path):
    simple_tab.open(simple_page, width=width)
    simple_tab.evaluate("$('.plot').scrollIntoView({block: 'center'})")
    box = simple_tab.evaluate("JSON.parse(JSON.stringify($('.plot img').getBoundingClientRect()))")
    simple_tab.move_mouse(box["x"] + 0.25 * box["width"] + 9, box["y"] + 0.5 * box["height"] - 9)
    assert tip(simple_tab) == "dense: 2.05"
    dot = simple_tab.evaluate("JSON.parse(JSON.stringify($('.point').getBoundingClientRect()))")
    middle = (dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
    place = (box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    assert middle == pytest.approx(place, abs=1.5)
    simple_tab.move_mouse(box["x"] + 0.5 * box["width"], box["y"] + 0.9 * box["height"])
    assert tip(simple_tab) == ""


def column(tab: Tab, number: int) -> list[str]:
    """Return the texts of a column of the first table, without rows of the groups' heads."""
    rows = "[...$('table.sortable').querySelectorAll('tbody tr')]"
    cells = f"{rows}.filter(r => r.cells.length > 1).map(r => r.cells[{number}].innerText)"
    return [text.strip() for text in tab.evaluate(cells)]


def test_tables_sort_by_value_and_keep_copies_apart(simple_tab: Tab, simple_page: Path):
    simple_tab.open(simple_page)
    arms = ["dense", "moe_top2", "moe_no_balance", "moe_top2_copy"]
    assert column(simple_tab, 0) == arms
    order = "$('table.sortable th:nth-child(2)').getAttribute('aria-sort')"
    seen = []
    for _ in range(3):
        simple_tab.evaluate("$('table.sortable th:nth-child(2) button').click()")
        values = [float(text.split(" ")[0]) for text in column(simple_tab, 1)[:3]]
        seen.append((simple_tab.evaluate(order), values))
        assert column(simple_tab, 0)[-1] == "moe_top2_copy"
    assert [state for state, _ in seen] == ["ascending", "descending", None]
    assert seen[0][1] == sorted(seen[0][1])
    assert seen[1][1] == sorted(seen[1][1], reverse=True)
    assert column(simple_tab, 0) == arms


def test_commands_are_copied(simple_tab: Tab, simple_page: Path):
    simple_tab.open(simple_page)
    simple_tab.evaluate(
        "navigator.clipboard.writeText = async (text) => { document.title = text }; "
        "$('.copy').click()"
    )
    assert simple_tab.evaluate("document.title") == "tensorboard --logdir outputs/moe/latest/tb"
    assert simple_tab.evaluate("$('.copy').textContent") == "Copied"
    names = simple_tab.evaluate("$$('.copy').map(b => b.getAttribute('aria-label'))")
    assert sum(name.startswith("Copy the command python -m runner") for name in names) >= 5
    assert all(name.startswith("Copy the command ") for name in names)


def test_folds_are_open_on_paper_and_closed_again(simple_tab: Tab, simple_page: Path):
    simple_tab.open(simple_page, folded=True)
    closed = "$$('details:not([open])').length"
    before = simple_tab.evaluate(closed)
    assert before == 3
    assert simple_tab.evaluate(f"(dispatchEvent(new Event('beforeprint')), {closed})") == 0
    assert simple_tab.evaluate(f"(dispatchEvent(new Event('afterprint')), {closed})") == before
