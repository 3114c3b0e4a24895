"""The sources that a comparison stores: the generated modules and the user's own."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import runner
from runner.comparison import compare, stored_sources
from runner.comparison.arms import read_arms
from runner.comparison.parts import GeneratedPart, generate_parts

NET = """
from torch import nn
from lab_helpers.act import act

class Net(nn.Module):
    def __init__(self, d_model):
        super().__init__()
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[GeneratedPart]]:
    """Yield the part of a class whose module imports a package of another folder."""
    for folder in ("nets", "helpers"):
        (tmp_path / folder).mkdir()
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    package = tmp_path / "helpers" / "lab_helpers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "act.py").write_text("from torch import relu as act\n")
    (package / "unused.py").write_text("")
    (tmp_path / "nets" / "lab_nets.py").write_text(NET)
    before = {*sys.modules}
    net = __import__("lab_nets").Net
    yield list(generate_parts(read_arms({"a": net, "b": "ffn=relu"}, "ffn"), "ffn", []).values())
    for name in {*sys.modules} - before:
        del sys.modules[name]


def test_the_modules_behind_a_class_are_stored(parts: list[GeneratedPart], tmp_path: Path) -> None:
    modules = stored_sources.find_imported_sources(parts)
    assert modules == ["lab_nets", "lab_helpers", "lab_helpers.act"]
    files, left_out = stored_sources.read_sources(parts, modules)
    stored_sources.write_sources(tmp_path / "stored", files)
    assert {path.name for path in (tmp_path / "stored").iterdir()} == {
        "compared_Net.py",
        stored_sources.IMPORTED,
    }
    copies = tmp_path / "stored" / stored_sources.IMPORTED
    assert (copies / "lab_nets.py").read_text() == NET
    assert (copies / "lab_helpers" / "act.py").is_file()
    assert stored_sources.note_on_left_out(left_out) == []
    changed = {**files, f"{stored_sources.IMPORTED}/lab_nets.py": b""}
    assert stored_sources.digest_of(changed) != stored_sources.digest_of(files)


def test_the_stored_sources_are_bounded(
    parts: list[GeneratedPart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_sources, "MOST_BYTES", len(NET))
    files, left_out = stored_sources.read_sources(
        parts, ["lab_nets", "lab_helpers", "lab_helpers.act"]
    )
    assert f"{stored_sources.IMPORTED}/lab_nets.py" in files
    assert left_out == ["lab_helpers.act"]
    (note,) = stored_sources.note_on_left_out(left_out)
    assert note.startswith("sources: 1 imported module left out (no Python file, or beyond ")


def test_the_command_has_the_folders_of_all_modules(
    parts: list[GeneratedPart], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines: list[str] = []
    monkeypatch.setattr(
        compare,
        "run_study",
        lambda *given, on_plan: lines.append(given[2]) or 1 / 0,  # noqa: ARG005
    )
    net: type[nn.Module] = parts[0].builder.target  # type: ignore[assignment]
    arms: dict[str, Any] = {"a": net, "relu": "ffn=relu"}
    with pytest.raises(ZeroDivisionError):
        runner.compare(arms, group="ffn", task="waves")
    (path,) = [word for word in shlex.split(lines[0]) if word.startswith("PYTHONPATH=")]
    assert {str(tmp_path / "nets"), str(tmp_path / "helpers")} < {*path[11:].split(":")}
