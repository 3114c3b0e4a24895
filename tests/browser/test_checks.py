"""Each check sees a planted fault and passes a good page; each picture is of the page."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.browser.__main__ import main
from tests.browser.checks import CHECKS, find_page_faults
from tests.browser.chromium import MISSING, Chromium, ProtocolError, find_chromium, list_fonts
from tests.browser.printing import read_pdf
from tests.browser.tab import DESKTOP, PHONE, Tab

pytestmark = pytest.mark.xdist_group("browser")  # one Chromium
CHECK = {check.__name__: check for check in CHECKS}

PICTURE = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='60' height='40'>{}</svg>"
)
TWO = PICTURE.format("<rect width='30' height='40' fill='red'/>")
ONE = PICTURE.format("<rect width='60' height='40' fill='red'/>")
WIDE = "<div class='wide'>wide</div>"
HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>:root { color-scheme: light dark; --i: #222; --b: #fff }
@media (prefers-color-scheme: dark) { :root { --i: #ddd; --b: #111 } }
body { color: var(--i); background: var(--b); font-family: sans-serif }
.wide { width: 900px } .scroll { overflow-x: auto } img { padding: 8px }</style></head><body>"""
GOOD = f"""<h1>A good page: Größe → ½ ±</h1><p>Some words of text.</p>
<img alt="a red half" src="{TWO}"><div class="scroll">{WIDE}</div>
<details><summary>More</summary><p>Unseen at first. <a href="#top">Up</a></p></details>
<table><tr><th tabindex="0" onclick="0">sorted</th></tr></table>
<button onclick="this.textContent = 'Done'">Do it</button>"""


def write(folder: Path, body: str, head: str = HEAD) -> Path:
    path = folder / "a page.html"
    path.write_text(f"{head}{body}</body></html>", encoding="utf-8")
    return path


def test_a_good_page_has_no_faults(chromium: Chromium, tmp_path: Path):
    assert find_page_faults(chromium, write(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("name", "body", "fault"),
    [
        ("overflow", WIDE, "the page scrolls sideways: 9"),
        ("overflow", f"<div style='overflow: hidden'>{WIDE}</div>", "<div.wide> "),
        ("figures", f'<img alt="all red" src="{ONE}">', "<img> all red has one colour"),
        ("figures", f'<img src="{TWO}">', "no alternative text"),
        ("figures", "<img alt='words' src='data:image/png;base64,AAAA'>", "is not an image"),
        ("figures", "<svg width='50' height='50' aria-label='none'></svg>", "has one colour"),
        ("glyphs", "<p>数 and text</p>", "no glyph for 数 in"),
        ("glyphs", "<details><p style='font-weight: 700'>x\U0010fffe", "no glyph for"),
        ("glyphs", "<style>p::after { content: '語' }</style><p>text</p>", "no glyph for 語"),
        ("glyphs", f'<img alt="a" src="{PICTURE.format("<text>a</text>")}">', "<img> a is drawn"),
        ("contrast", "<p style='color: #777'>grey</p>", "light: contrast 4.48 of <p>"),
        ("contrast", "<p style='color: #333'>dark</p>", "dark: contrast 1."),
        ("contrast", "<style>@media print { p { color: #999 } }</style><p>a</p>", "print: "),
        ("contrast", "<div style='opacity: .4'><p>faint</p></div>", "light: contrast 2."),
        ("keyboard", "<button tabindex='-1'>a</button>", "does not reach <button>"),
        ("keyboard", "<b onclick='0'>sort</b>", "a mouse can use <b>"),
        ("keyboard", "<b style='cursor: pointer'>sort</b>", "a mouse can use <b>"),
        ("keyboard", "<style>a { outline: none }</style><a href='#a'>a</a>", "not seen on <a>"),
        ("scripts", "<script>nothing.there()</script>", "ReferenceError"),
        ("scripts", "<script>console.error('oh', 1)</script>", "console.error: oh 1"),
        ("scripts", "<button onclick='nothing()'>a</button>", "ReferenceError"),
        ("scripts", "<svg onmousemove='nothing()' width='90' height='90'></svg>", "Reference"),
        ("scripts", "<script>eval('1')</script>", "unsafe-eval"),
        ("printing", "<style>@media print { body { display: none } }</style>", "paper lack"),
        ("printing", "<style>@media print { p { font-size: 0 } }</style><p>word" * 9, "glyphs are"),
    ],
)
def test_a_planted_fault_is_seen(
    chromium: Chromium, tmp_path: Path, name: str, body: str, fault: str
):
    page = write(tmp_path, f"<h1>Page</h1>{body}")
    with Tab(chromium) as tab:
        faults = list(CHECK[name](tab, page))
    assert any(fault in one for one in faults), faults


@pytest.mark.parametrize(
    "body",
    [
        "<img alt='a' src='other.png'>",
        "<img alt='a' src='http://127.0.0.1:9/a.png'>",
        "<script>fetch('https://example.org/').catch(() => 0)</script>",
        "<style>@font-face { font-family: x; src: url(https://example.org/x) } p { font: 1em x }"
        "</style><p>a</p>",
    ],
)
def test_a_request_of_another_file_is_seen(chromium: Chromium, tmp_path: Path, body: str):
    head = HEAD.replace("default-src 'none'; img-src data:;", "default-src *; img-src *;")
    with Tab(chromium) as tab:
        faults = list(CHECK["scripts"](tab, write(tmp_path, body, head)))
    assert any(fault.startswith("asks for") for fault in faults), faults


def test_a_page_without_a_viewport_is_seen(chromium: Chromium, tmp_path: Path):
    page = write(tmp_path, "<p>text</p>", HEAD.replace("viewport", "nothing"))
    with Tab(chromium) as tab:
        assert "no meta viewport?" in next(iter(CHECK["overflow"](tab, page)))


def test_glyphs_are_seen_where_the_machine_has_them(
    chromium_with_cjk_fonts: Chromium, tmp_path: Path
):
    """Without this test, a check that finds no glyph for any Japanese would pass the others."""
    if shutil.which("fc-list") is None or not list_fonts("ja"):
        pytest.skip("this machine has no font for Japanese")
    page = write(tmp_path, "<p>数</p>")
    with Tab(chromium_with_cjk_fonts) as tab:
        assert list(CHECK["glyphs"](tab, page)) == []


def test_a_picture_is_of_the_whole_page(chromium: Chromium, tmp_path: Path):
    tall = "<p style='height: 17000px; margin: 0'></p><div style='height: 9px; background: #f00'>"
    head = HEAD.replace("body {", "body { margin: 0;")
    with Tab(chromium) as tab:
        tab.open(write(tmp_path, tall, head), width=PHONE)
        picture = tab.picture()
    assert picture.size == (PHONE, 17009)
    assert [picture.getpixel((200, y)) for y in (16990, 17005)] == [(255, 255, 255), (255, 0, 0)]


def test_a_pdf_has_its_pages_and_letters(chromium: Chromium, tmp_path: Path):
    page = write(tmp_path, "<p style='break-after: page'>First</p><p>Zweite Größe</p>")
    with Tab(chromium) as tab:
        tab.open(page)
        printed = read_pdf(tab.pdf())
    assert printed.n_pages == 2
    assert printed.characters >= set("FirstZweiteGröße")
    assert printed.n_glyphs in (16, 17)  # with the space


def test_the_command_draws_pictures_and_names_faults(tmp_path: Path, capsys):
    if find_chromium() is None:
        pytest.skip(MISSING)
    page, out = write(tmp_path, f"<h1>A page</h1>{WIDE}"), tmp_path / "out"
    assert main([str(page), "--out", str(out), "--slice", "600"]) == 1
    assert "overflow: the page scrolls sideways" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    pictures = {f"a page-{w}-{c}-01.png" for w in (DESKTOP, PHONE) for c in ("light", "dark")}
    assert names >= {*pictures, "a page.pdf"}
    with Image.open(out / "a page-1280-dark-01.png") as picture:
        assert picture.getpixel((5, 5)) == (17, 17, 17)
        assert picture.width == DESKTOP


def test_no_chromium_is_a_clear_line(monkeypatch, tmp_path: Path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["page.html"]) == 2
    assert "no Chromium on this machine" in capsys.readouterr().out
    with pytest.raises(ProtocolError, match="no Chromium"):
        Chromium()
