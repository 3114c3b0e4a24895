"""Checks of a report page as a reader meets it: each returns the page's faults as sentences."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.browser.chromium import Chromium
from tests.browser.printing import read_pdf
from tests.browser.tab import DESKTOP, PAPER_WIDTH, PHONE, Tab, count_colours

INSIDE = ("about", "blob", "data")
TAB = ("Tab", 9)
LEAST_PRINTED = 0.9  # of the characters that are not spaces


def find_page_faults(chromium: Chromium, path: Path) -> list[str]:
    """Check a page at two widths, with light and dark colours, and on paper."""
    with Tab(chromium) as tab:
        return [f"{check.__name__}: {fault}" for check in CHECKS for fault in check(tab, path)]


def overflow(tab: Tab, path: Path) -> Iterator[str]:
    """On a phone and on paper nothing is cut off, and the page does not scroll sideways."""
    for width, medium in ((PHONE, "screen"), (PAPER_WIDTH, "print")):
        tab.open(path, width=width, medium=medium)
        yield from tab.probe("findOverflow", width)


def figures(tab: Tab, path: Path) -> Iterator[str]:
    """Each figure is drawn, has more than one colour, and has a text for who does not see it."""
    for width in (DESKTOP, PHONE):
        tab.open(path, width=width)
        for figure in tab.probe("readFigures"):
            if figure["broken"]:
                yield f"{figure['name']} is not an image"
            elif count_colours(tab.part(figure)) < 2:
                yield f"{figure['name']} has one colour"
            if not figure["label"] and not figure["hidden"]:
                yield f"{figure['name']} has no alternative text"


def glyphs(tab: Tab, path: Path) -> Iterator[str]:
    """The page and its fonts have a glyph for each character."""
    tab.open(path)
    yield from tab.probe("findMissingGlyphs")


def contrast(tab: Tab, path: Path) -> Iterator[str]:
    """Text is readable in light colours, in dark ones, and on paper."""
    for name, dark, medium in (
        ("light", False, "screen"),
        ("dark", True, "screen"),
        ("print", False, "print"),  # Chromium prints in light colours only
    ):
        tab.open(path, dark=dark, medium=medium)
        for fault in tab.probe("findLowContrast"):
            yield f"{name}: {fault}"


def keyboard(tab: Tab, path: Path) -> Iterator[str]:
    """The Tab key reaches each interactive element, and each shows that it has the focus."""
    tab.open(path)
    n_elements = tab.probe("watchFocus")
    for number in range(2 * n_elements + 50):  # regions that scroll have the focus too
        tab.press(*TAB)
        if number % 20 == 19 and not tab.probe("countUnreached"):
            break
    yield from tab.probe("findUnreached")


def scripts(tab: Tab, path: Path) -> Iterator[str]:
    """Neither loading the page nor using it logs an error or asks for another file."""
    tab.open(path)
    number = 0
    while points := tab.probe("pointsOf", number):
        for x, y in points:
            tab.move_mouse(x, y)
        number += 1
    tab.probe("pressButtons")
    tab.probe("settle", False)
    page = path.absolute()
    for event in tab.events:
        yield from read_event(event, page)


def read_event(event: dict, page: Path) -> Iterator[str]:
    """Yield the fault that an event of the browser reports."""
    method, values = event["method"], event["params"]
    if method == "Network.requestWillBeSent":
        url = urlsplit(values["request"]["url"])
        own = url.scheme == "file" and unquote(url.path) == str(page)
        if url.scheme not in INSIDE and not own:
            yield f"asks for {values['request']['url'][:200]}"
    elif method == "Runtime.exceptionThrown":
        details = values["exceptionDetails"]
        message = details.get("exception", {}).get("description", details["text"])
        yield f"a script fails: {message[:300]}"
    elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
        words = [str(one.get("value", one.get("description"))) for one in values["args"]]
        yield f"console.{values['type']}: {' '.join(words)[:300]}"
    elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
        yield f"the browser logs: {values['entry']['text'][:300]}"


def printing(tab: Tab, path: Path) -> Iterator[str]:
    """The page prints, and its text is on the paper."""
    tab.open(path, medium="print")
    text = "".join(tab.evaluate("document.body.innerText").split())
    printed = read_pdf(tab.pdf())
    if printed.n_pages < 1:
        yield "the PDF has no page"
    if printed.n_glyphs < LEAST_PRINTED * len(text):
        yield f"{printed.n_glyphs} glyphs are printed of {len(text)} characters"
    heading = set("".join(tab.evaluate("document.querySelector('h1')?.innerText ?? ''").split()))
    if missing := heading - printed.characters:
        yield f"the fonts on paper lack {sorted(missing)} of the heading"


CHECKS: tuple[Callable[[Tab, Path], Iterator[str]], ...] = (
    overflow,
    figures,
    glyphs,
    contrast,
    keyboard,
    scripts,
    printing,
)
