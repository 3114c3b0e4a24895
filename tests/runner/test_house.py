"""The rooms of the engine: no circle of imports, few files at the top."""

from graphlib import TopologicalSorter

import grimp
from tests_environment import ROOT


def test_no_circle_of_imports():
    """Modules, not only packages; imports inside functions and for type checkers count too."""
    graph = grimp.build_graph("runner", "experiments")
    imports = {
        module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules
    }
    TopologicalSorter(imports).prepare()  # raises CycleError with the circle


def test_few_files_stand_at_the_top():
    assert len(list((ROOT / "runner").glob("*.py"))) <= 8
