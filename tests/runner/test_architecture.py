"""The rooms of the engine: no circle of imports, few files at the top."""

import re
from graphlib import TopologicalSorter

import grimp
import pytest

from tests.support.environment import ROOT


def test_no_circle_of_imports():
    """Modules, not only packages; imports inside functions and for type checkers count too."""
    graph = grimp.build_graph("runner", "experiments")
    imports = {
        module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules
    }
    TopologicalSorter(imports).prepare()  # raises CycleError with the circle


def test_few_files_stand_at_the_top():
    assert len(list((ROOT / "runner").glob("*.py"))) <= 8


WALKS = (ROOT / "docs" / "architecture.md").read_text()


@pytest.mark.parametrize("walk", WALKS.split("\n## ")[1:], ids=lambda text: text.split(",")[0])
def test_walks_through_the_code_are_short_and_name_files_that_exist(walk: str):
    steps = re.findall(r"^\d+\. .*", walk, re.MULTILINE)
    assert 3 <= len(steps) <= 10
    files = re.findall(r"`((?:runner|experiments|conf)/[\w/.]+)`", walk)
    assert len(files) >= len(steps)
    assert [name for name in files if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("package", ["runner", "experiments"])
def test_folders_of_tests_are_those_of_the_code(package: str):
    folders = {path.parent for path in (ROOT / "tests" / package).rglob("test_*.py")}
    code = {folder.relative_to(ROOT / "tests") for folder in folders}
    assert [str(folder) for folder in code if not (ROOT / folder).is_dir()] == []
