"""docs/licences.md lists every source of text and every font, with the installed licence."""

import importlib.metadata
import re

import pytest

from experiments.tasks.corpora import package_text
from runner.figures.texts import FONTS
from runner.plan.option_folders import CONF
from runner.report import page_font
from tests.support.environment import ROOT

PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")


def table(heading: str) -> dict[str, list[str]]:
    """Return the rows of the table below a heading, by their first cell."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows[2:]}


def installed_licence(package: str) -> str:
    """Return all that the metadata of a package says on its licence."""
    about = importlib.metadata.metadata(package)
    words = [about.get("License-Expression") or "", about.get("License") or ""]
    return " ".join([*words, *(about.get_all("Classifier") or [])])


def test_every_task_has_a_row_on_the_source_of_its_text() -> None:
    named = {name for cell in table("Texts of each task") for name in re.findall(r"`(\w+)`", cell)}
    assert named == {path.stem for path in (CONF / "task").glob("*.yaml")}


def test_every_package_that_is_read_for_text_is_listed() -> None:
    listed = {name.partition(" ")[0].lower() for name in table("Packages that texts come from")}
    assert listed == {*package_text.package_versions()}


@pytest.mark.parametrize("package", sorted({*package_text.package_versions()} - {"python"}))
def test_the_licence_of_a_package_is_that_of_its_metadata(package: str) -> None:
    licence = table("Packages that texts come from")[package][0]
    family = re.split(r"[-\s;,]", licence)[0]  # BSD, PSF or LGPL
    installed = installed_licence(package)
    names = {"PSF": "Python Software Foundation", "BSD": "BSD", "LGPL": "LGPL"}
    assert names[family] in installed, installed


def test_every_font_is_listed_with_its_licence_and_package() -> None:
    fonts = table("Fonts")
    assert {*fonts} == {*FONTS}
    assert "IPA" in installed_licence("matplotlib-fontja")
    assert "IPA Font License" in page_font.LICENCE
    assert "IPA Font License" in fonts["IPAexGothic"][1]
