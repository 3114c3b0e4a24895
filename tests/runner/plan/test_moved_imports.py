"""Hints about imports that have moved name modules and names that exist."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

from experiments.parts import Part
from experiments.tasks import TaskOptions
from runner.plan.moved_imports import MOVED_IMPORTS, explain_import_error, find_new_location

MOST_CHARACTERS = 250  # of a hint; the whole message has at most 300


def is_importable(name: str) -> bool:
    """Return whether a dotted name is a module, or a name in one."""
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return (
            bool(module)
            and is_importable(module)
            and hasattr(importlib.import_module(module), attribute)
        )
    return True


def test_each_hint_names_importable_modules_and_existing_names():
    for old, new in MOVED_IMPORTS.items():
        modules = re.findall(r"(?:experiments|runner)(?:\.\w+)*", new)
        assert modules, old
        objects = [*map(importlib.import_module, modules), Part, TaskOptions]
        for name in re.findall(r"`(\w+)`", new):
            assert any(hasattr(each, name) for each in objects), (old, name)
        assert len(find_new_location(old)) <= MOST_CHARACTERS, old


def test_former_names_cannot_be_imported():
    assert [old for old in MOVED_IMPORTS if is_importable(old)] == []


def test_an_old_name_in_a_module_that_stays_names_the_new_one():
    with pytest.raises(ImportError) as caught:
        exec("from experiments.rules import at_least")
    assert explain_import_error(caught.value) == (
        "experiments.rules.at_least no longer exists: use `check_at_least` from experiments.rules "
        "(docs/bring_your_own.md)"
    )


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "from experiments.metrics import DivergedValue",
            "cannot import name 'DivergedValue' from experiments.metrics; it is in "
            "runner.metric_names",
        ),
        (
            "from experiments.parts import plural",
            "cannot import name 'plural' from experiments.parts; it has no such name",
        ),
        (
            "from experiments.tasks import split_by_hsh",
            "cannot import name 'split_by_hsh' from experiments.tasks; did you mean split_by_hash?",
        ),
        (
            "import experiments.metrix",
            "ablab has no module experiments.metrix; did you mean experiments.metrics?",
        ),
        ("import not_there", "No module named 'not_there'; is it installed?"),
    ],
)
def test_a_failed_import_names_the_right_module_or_name(statement: str, said: str):
    with pytest.raises(ImportError) as caught:
        exec(statement)
    assert explain_import_error(caught.value) == said


@pytest.mark.parametrize("cycle", [1, 2, 3])
def test_modules_that_import_each_other_are_told_so(
    cycle: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for index in range(cycle):
        other = f"cycle{cycle}_{(index + 1) % cycle}"
        (tmp_path / f"cycle{cycle}_{index}.py").write_text(f"from {other} import NAME\nNAME = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError) as caught:
        importlib.import_module(f"cycle{cycle}_0")
    said = explain_import_error(caught.value)
    path = tmp_path / f"cycle{cycle}_0.py"
    assert said.startswith(
        f"cannot import name 'NAME' from cycle{cycle}_0 ({path}); it is imported"
    )
    assert "modules import each other" in said


def test_a_file_that_hides_a_module_of_python_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "colorsys.py"
    path.write_text("from colorsys import rgb_to_hsv\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with pytest.raises(ImportError) as caught:
        importlib.import_module("colorsys")
    assert explain_import_error(caught.value) == (
        f"cannot import name 'rgb_to_hsv' from colorsys ({path}); this file hides Python's own "
        "module colorsys; rename it"
    )


def test_a_missing_name_of_another_module_has_the_path_of_its_file():
    with pytest.raises(ImportError) as caught:
        exec("from json import lods")
    assert explain_import_error(caught.value) == (
        f"cannot import name 'lods' from json ({json.__file__}); did you mean loads or load or "
        "codecs?"
    )
