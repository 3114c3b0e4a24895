"""The hash covers users' parts too; a machine is told with its GPUs."""

import sys
from pathlib import Path

import pytest

from runner import registry
from runner.records import provenance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plug-in `mine_abc.parts.attention` that imports a sibling, relatively, and one by name."""
    folder = tmp_path / "mine_abc"
    (folder / "parts").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "parts" / "__init__.py").write_text("from .. import constants\n")
    (folder / "parts" / "attention.py").write_text("import json\nfrom .kernel import run\n")
    (folder / "parts" / "kernel.py").write_text("from mine_abc.more import x\nrun = x\n")
    for name in ("constants", "more", "unrelated"):
        (folder / f"{name}.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("mine_abc")]:
        del sys.modules[name]


def test_the_code_behind_numbers_includes_plugins_and_what_they_import(package: Path):
    plugins = ["mine_abc.parts.attention"]
    without, before = provenance.code_hash("moe"), provenance.code_hash("moe", plugins)
    assert before != without
    assert provenance.code_hash("moe", []) == without
    for changed in package.rglob("*.py"):
        text = changed.read_text()
        changed.write_text(f"{text}# changed\n")
        same = provenance.code_hash("moe", plugins) == before
        assert same == (changed.name == "unrelated.py"), changed
        changed.write_text(text)
    assert provenance.code_hash("moe", plugins) == before


def test_the_driver_tells_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "DRIVER", tmp_path)
    monkeypatch.setattr("runner.device.may_have_cuda", lambda: False)
    assert "gpus" not in provenance.machine()
    for index in "01":
        (tmp_path / "gpus" / index).mkdir(parents=True)
        information = f"Model: \t\t NVIDIA H{index}\nIRQ:   \t\t 1\n"
        (tmp_path / "gpus" / index / "information").write_text(information)
    assert provenance.machine()["gpus"] == ["NVIDIA H0", "NVIDIA H1"]


def test_our_version_is_known_in_a_checkout():
    assert provenance.checkout_version() == provenance.version("ablab")
    assert provenance.version("no-such-package") is None


def test_a_machine_is_told_from_an_equal_one_and_not_by_its_kernel(monkeypatch, tmp_path):
    (tmp_path / "id").write_text("0123\n")
    real = Path

    def redirected(name: str) -> Path:
        return tmp_path / "id" if name == "/etc/machine-id" else real(name)

    monkeypatch.setattr(provenance, "Path", redirected)
    here = provenance.machine()
    monkeypatch.setattr("platform.release", lambda: "99.0")
    assert provenance.machine() == here
    (tmp_path / "id").write_text("4567\n")
    assert provenance.machine() == here | {"id": provenance.machine_id()} != here
    (tmp_path / "id").unlink()
    assert "id" not in provenance.machine()


def test_the_file_of_a_module_is_found_without_importing_it(monkeypatch, tmp_path: Path):
    (tmp_path / "loud").mkdir()
    (tmp_path / "loud" / "__init__.py").write_text("raise RuntimeError('loud was imported')")
    (tmp_path / "loud" / "inner.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.source("loud.inner") == tmp_path / "loud" / "inner.py"
    assert registry.source("loud") == tmp_path / "loud" / "__init__.py"
    for none in ("loud.inner.name", "loud.nothing", "no_such_package", "sys"):
        assert registry.source(none) is None
