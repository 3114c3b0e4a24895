"""The font that a page carries for characters that a reader's machine may lack.

It is a subset of IPAex Gothic from the package matplotlib_fontja, with exactly the characters of
the page. The IPA Font License permits this as an embedded font: it serves the page alone. It has a
name of its own, keeps the copyright record, and the page names the font and its licence.
"""

import base64
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FAMILY = "report-cjk"
LICENCE = (
    "Japanese characters have an embedded subset of the font IPAex Gothic, which serves this page "
    "only. Copyright: Information-technology Promotion Agency, Japan (IPA), 2003-2019. Licence: "
    "IPA Font License Agreement v1.0 (https://opensource.org/licenses/IPA/). "
    "The original font is at https://moji.or.jp/ipafont/."
)
PORTABLE_BLOCKS = ((0x0000, 0x058F), (0x1E00, 0x2BFF))
"""Latin, Greek, Cyrillic and Armenian letters, punctuation, arrows, mathematics and symbols, for
which every machine has a font."""
KEPT_NAMES = (0, 13, 14)  # records of a font: copyright, licence and its address
MAX_LISTED = 10  # characters that a note names


@dataclass(frozen=True)
class EmbeddedFont:
    """The font of a page.

    woff      the subset as WOFF in base64; "" if the page needs none
    covered   characters that it has
    missing   characters of the page that neither it nor every machine has
    """

    woff: str = ""
    covered: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()

    @property
    def note(self) -> str:
        """A line on characters that may show as boxes; "" if there are none."""
        if not self.missing:
            return ""
        listed = " ".join(sorted(self.missing)[:MAX_LISTED])
        more = (
            f" and {len(self.missing) - MAX_LISTED} more" if len(self.missing) > MAX_LISTED else ""
        )
        return f"characters that this page has no font for, but your machine may: {listed}{more}"


def font_for(text: str) -> EmbeddedFont:
    """Return the font that a page with this text needs; without a subset if it needs none."""
    needed = frozenset(filter(needs_font, {*text}))
    if not needed:
        return EmbeddedFont()
    path = source_font()
    if path is None:
        return EmbeddedFont(missing=needed)
    content, covered = _subset(path, needed)
    woff = base64.b64encode(content).decode() if covered else ""
    return EmbeddedFont(woff, covered, needed - covered)


def needs_font(character: str) -> bool:
    """Return whether a machine may have no font for a printable character."""
    code = ord(character)
    portable = any(first <= code <= last for first, last in PORTABLE_BLOCKS)
    return not portable and character.isprintable()


@cache
def source_font() -> Path | None:
    """Return the path of IPAex Gothic; None if its package is not installed."""
    from importlib.util import find_spec

    spec = find_spec("matplotlib_fontja")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "fonts" / "ipaexg.ttf"
    return path if path.is_file() else None


def _subset(path: Path, characters: frozenset[str]) -> tuple[bytes, frozenset[str]]:
    """Return the WOFF of the font's glyphs for some characters, and the characters it has."""
    from fontTools.subset import Options, Subsetter
    from fontTools.ttLib import TTFont

    options = Options()
    options.layout_features = []
    options.hinting = False
    options.name_IDs = [*KEPT_NAMES]
    options.drop_tables += ["vhea", "vmtx", "VORG", "GSUB", "GPOS", "GDEF", "BASE"]
    subsetter, content = Subsetter(options=options), io.BytesIO()
    with TTFont(path, lazy=True, recalcTimestamp=False) as font:
        covered = frozenset(c for c in characters if ord(c) in font.getBestCmap())
        subsetter.populate(unicodes=[ord(c) for c in covered])
        subsetter.subset(font)
        # A derived font must not bear the name of the original.
        for number, name in ((1, FAMILY), (2, "Regular"), (4, FAMILY), (6, FAMILY)):
            font["name"].setName(name, number, 3, 1, 0x409)
        font.flavor = "woff"
        font.save(content)
    return content.getvalue(), covered
