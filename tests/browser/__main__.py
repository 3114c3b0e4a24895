"""`python -m tests.browser PAGE.html --out DIR`: pictures of a page, its PDF, and its faults.

The pictures show the whole page at 1280 and 390 pixels, with light and dark colours. CJK fonts of
this machine are hidden, as many readers have none; `--cjk-fonts` shows them. The exit code is 1 if
the page has faults.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.browser.checks import find_page_faults
from tests.browser.chromium import MISSING, Chromium, find_chromium
from tests.browser.tab import DESKTOP, PHONE, Tab


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw and check the pages; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.browser",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE.html")
    parser.add_argument("--out", type=Path, help="folder of the pictures; without it, only checks")
    parser.add_argument("--folded", action="store_true", help="leave folds closed in the pictures")
    parser.add_argument("--height", type=int, help="draw this many pixels from the top")
    parser.add_argument("--slice", type=int, help="cut pictures into parts of this many pixels")
    parser.add_argument("--cjk-fonts", action="store_true", help="use the CJK fonts of the machine")
    parser.add_argument("--no-checks", action="store_true", help="only draw the pictures")
    typed = parser.parse_args(arguments)
    if find_chromium() is None:
        print(MISSING)
        return 2
    n_faults = 0
    with Chromium(cjk_fonts=typed.cjk_fonts) as chromium:
        for page in typed.pages:
            if typed.out:
                for path in draw(chromium, page, typed):
                    print(path)
            faults = [] if typed.no_checks else find_page_faults(chromium, page)
            if not typed.no_checks:
                print(f"{page}: {len(faults)} faults")
            for fault in faults:
                print(f"  {fault}")
            n_faults += len(faults)
    return int(n_faults > 0)


def draw(chromium: Chromium, page: Path, typed: argparse.Namespace) -> list[Path]:
    """Write four pictures of a page and its PDF, named after the page and its folder."""
    typed.out.mkdir(parents=True, exist_ok=True)
    name = page.stem if len(typed.pages) == 1 else f"{page.absolute().parent.name}-{page.stem}"
    paths = []
    with Tab(chromium) as tab:
        for width in (DESKTOP, PHONE):
            for colours in ("light", "dark"):
                tab.open(page, width=width, dark=colours == "dark", folded=typed.folded)
                picture = tab.picture()
                height = min(typed.height or picture.height, picture.height)
                step = typed.slice or height
                for top in range(0, height, step):
                    part = f"-{1 + top // step:02d}" if typed.slice else ""
                    paths.append(typed.out / f"{name}-{width}-{colours}{part}.png")
                    box = (0, top, picture.width, min(top + step, height))
                    picture.crop(box).save(paths[-1], optimize=True)
        tab.open(page, medium="print", folded=typed.folded)
        paths.append(typed.out / f"{name}.pdf")
        paths[-1].write_bytes(tab.pdf())
    return paths


if __name__ == "__main__":
    sys.exit(main())
