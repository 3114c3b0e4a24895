"""`runner.compare` in a notebook: classes of cells, progress, and the shown result."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.compared import CALL, CLASS
from tests.support.environment import child_environment

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")


def run_notebook(folder: Path, monkeypatch: pytest.MonkeyPatch, *cells: str) -> list[Any]:
    """Run a notebook in a folder, and return its executed cells."""
    for name, value in child_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", ":".join([child_environment()["PYTHONPATH"], *sys.path]))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "", "language": "python"}
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(book, timeout=300, resources=resources).execute()
    return list(book.cells)


def printed(cell: Any) -> str:
    """Return the text that a cell has printed."""
    return "".join(one.get("text", "") for one in cell.outputs if one.output_type == "stream")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Jupyter's packages
def test_a_class_of_a_cell_is_compared_and_a_changed_class_makes_its_trials_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    imports, _, class_text = CLASS.partition("\n\n\n")
    helper = "def activate(x):\n    return torch.tanh(x)"
    class_text = class_text.replace("torch.tanh", "activate")
    cells = run_notebook(
        tmp_path,
        monkeypatch,
        f"import runner\n{imports}",
        helper,
        class_text,
        f"study = {CALL}",
        "study",
        helper.replace("tanh", "relu"),
        f"study = {CALL}",
    )
    first, result, second = cells[3], cells[4], cells[6]
    assert "4 trials: 0 reused" in printed(first)
    assert "[4/4]" in printed(first)
    assert "4 trials: 2 reused, 2 to compute" in printed(second)
    (output,) = result.outputs
    html = output.data["text/html"]
    assert "A smoke run only shows that everything runs." in html
    assert "data:image/png;base64," in html
    assert "http" not in html
    assert len(list(tmp_path.glob("outputs/ffn/sources/*/compared_Mine_source.py"))) == 2
