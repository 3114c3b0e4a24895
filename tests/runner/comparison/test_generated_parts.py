"""The generated modules of a comparison: their names, their fields and the code that they count."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from runner.comparison.arms import read_arms
from runner.comparison.extraction import ExtractedSource
from runner.comparison.origin import find_origin
from runner.comparison.parts import generate_parts
from runner.comparison.session import study_session

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, d_model, int=4):
        super().__init__()
        self.layer = nn.Linear(d_model, d_model)
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[type[nn.Module]]:
    """Return two classes of one name, from two modules."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("first_nets", "second_nets"):
        (tmp_path / f"{name}.py").write_text(NET)
        monkeypatch.delitem(sys.modules, name, raising=False)
    return [__import__(name).Net for name in ("first_nets", "second_nets")]


def kinds(arms: dict[str, Any]) -> dict[str, str]:
    parts = generate_parts(read_arms(arms, "ffn"), "ffn", [])
    return {name: part.kind for name, part in parts.items()}


def test_kinds_do_not_depend_on_the_order_of_arms(nets: list[type[nn.Module]]) -> None:
    first, second = nets
    expected = {"a": "first_nets_Net", "b": "second_nets_Net"}
    assert kinds({"a": first, "b": second}) == expected
    assert kinds({"b": second, "a": first}) == expected
    assert kinds({"a": first, "same": first}) == {"a": "Net", "same": "Net"}


def test_a_field_hides_no_name_of_the_generated_class(nets: list[type[nn.Module]]) -> None:
    arms = read_arms({"relu": "ffn=relu", "a": nets[0]}, "ffn")
    text = generate_parts(arms, "ffn", [])["a"].files()["compared_Net.py"]
    assert "    n_int: int = 4\n" in text
    assert "int=self.n_int" in text


def test_installed_packages_of_a_copied_class_are_not_hashed(
    nets: list[type[nn.Module]], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = ExtractedSource("class Net: ...", (np.__name__, "first_nets"))
    monkeypatch.setattr("runner.comparison.origin.extract_source", lambda *_: copied)
    monkeypatch.setattr(nets[0], "__module__", "__main__")
    assert find_origin("a", nets[0]).imports == ("first_nets",)


def test_a_module_of_the_user_outlives_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "compared_results.py").write_text("value = 3\n")
    own = __import__("compared_results")
    with study_session() as folder:
        (folder / "compared_Net.py").write_text("value = 4\n")
        __import__("compared_Net")
    assert sys.modules["compared_results"] is own
    assert "compared_Net" not in sys.modules
