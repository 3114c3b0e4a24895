"""The installed project: the command, its metadata, and other packages of the same names."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ablab
from runner import plugins
from runner.plan import launchers, plugin_packages
from tests.support.environment import ROOT, child_environment
from tests.support.tiny import TINY

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = {
    name: Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
    for name in [line.partition("=")[0].lower()]
}
STRANGE = 'print("STRANGER")\n'


def requirements(*extras: str) -> list[Requirement]:
    more = PROJECT["optional-dependencies"]
    return [
        Requirement(text) for text in PROJECT["dependencies"] + [t for e in extras for t in more[e]]
    ]


def test_the_command_is_declared_and_torch_has_no_upper_bound():
    assert PROJECT["scripts"] == {"ablab": "ablab:main"}
    (torch,) = [one for one in requirements() if one.name == "torch"]
    assert str(torch.specifier) == ">=2.10"
    assert not any("joblib" in one.name for one in requirements())
    assert set(PROJECT["optional-dependencies"]) == {"bpe", "cluster", "dev", "ray"}


def test_each_requirement_has_a_tested_version_that_is_allowed():
    for one in requirements("dev", "cluster", "ray"):
        pinned = CONSTRAINTS[one.name.lower()]
        (version,) = [spec.version for spec in pinned.specifier]
        assert str(pinned.specifier).startswith("==")
        assert one.specifier.contains(version), f"{one} does not allow {pinned}"


def test_the_readme_and_ci_type_the_same_commands():
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    assert "pip install -c constraints.txt -e . && python -m runner experiment=moe" in readme
    assert "pip install -c constraints.txt -e '.[dev]' && pytest" in readme
    for command in ("-c constraints.txt -e .\n", "-c constraints.txt -e '.[dev]'"):
        assert command in ci
    assert "pip install -c constraints.txt -e '.[dev]'" in (ROOT / "Makefile").read_text()


def test_versions_of_python_are_those_that_were_tried():
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)}
    log = (ROOT / "docs" / "testing.md").read_text()
    assert all(f"Python {version}" in log for version in named)


def strangers(folder: Path) -> Path:
    folder.joinpath("runner.py").write_text(STRANGE)
    for name in ("experiments", "conf"):
        folder.joinpath(name).mkdir()
        folder.joinpath(name, "__init__.py").write_text(STRANGE)
    return folder


def test_another_conf_is_named_and_not_used(monkeypatch, tmp_path: Path, capsys):
    tmp_path.joinpath("conf.py").write_text(STRANGE)
    monkeypatch.syspath_prepend(tmp_path)
    tmp_path.joinpath("work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # `check_arguments` sets it
    ablab.check()
    assert f"another conf hides ablab's and is not used: {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["runner", "experiments"])
def test_a_stranger_before_ours_is_named_with_the_cure(monkeypatch, tmp_path: Path, name: str):
    strangers(tmp_path)
    for other in {"runner.py", "experiments", "conf"} - {name, f"{name}.py"}:
        tmp_path.joinpath(other).rename(tmp_path / f"no_{other}")
    monkeypatch.syspath_prepend(tmp_path)
    for module in [m for m in sys.modules if m.partition(".")[0] == name]:
        monkeypatch.delitem(sys.modules, module)
    said = ablab.find_foreign_package()
    assert said.startswith(f"another package {name} hides ablab's: {tmp_path}")
    assert len(said.splitlines()) == 2
    assert "PYTHONPATH" in said


def test_a_folder_without_code_harms_nothing(monkeypatch, tmp_path: Path):
    (tmp_path / "conf").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert ablab.find_foreign_package() == ""


@pytest.mark.parametrize("damage", ["another's", "gone"])
def test_a_file_that_another_package_has_replaced_is_named(
    monkeypatch, tmp_path: Path, damage: str
):
    for name in ablab.SEALED:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    path = tmp_path / "runner" / "__main__.py"
    path.write_text(STRANGE)
    content = b"ours"
    import base64
    import hashlib

    value = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()

    class File(str):
        hash = SimpleNamespace(mode="sha256", value=value)

        def locate(self) -> Path:
            return tmp_path / self

    monkeypatch.setattr(ablab, "HOME", tmp_path)
    monkeypatch.setattr(importlib.metadata, "files", lambda _: [File("runner/__main__.py")])
    if damage == "gone":
        path.unlink()
    assert ablab.find_replaced_files() == ["runner/__main__.py"]
    path.write_bytes(content)
    assert ablab.find_replaced_files() == []


@pytest.mark.slow
def test_nothing_of_the_current_folder_is_imported_but_plug_ins(tmp_path: Path):
    """In the command itself, in the server that forks trials, and in trials."""
    strangers(tmp_path)
    (tmp_path / "my_part.py").write_text("import json  # ours\n")
    words = [sys.executable, "-m", "ablab", *TINY, "arm=dense", "n_seeds=1", "plugins=[my_part]"]
    done = subprocess.run(
        words,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=child_environment(),
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    logs = [path.read_text() for path in tmp_path.rglob("log.txt")]
    assert logs
    assert not any("STRANGER" in text for text in [done.stdout, done.stderr, *logs])


def test_plug_ins_are_looked_for_in_the_current_folder_at_last(monkeypatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    plugins.import_plugins([])
    assert str(tmp_path) not in sys.path
    (tmp_path / "a_part_of_mine.py").write_text("")
    (tmp_path / "json.py").write_text("raise SystemExit")
    plugins.import_plugins(["a_part_of_mine", "json"])
    assert sys.path[-1] == os.path.realpath(tmp_path)


def test_no_plug_in_has_the_name_of_a_required_package():
    modules = importlib.metadata.packages_distributions()
    for text in PROJECT["dependencies"]:
        package = canonicalize_name(Requirement(text).name)
        names = [top for top, of in modules.items() if package in map(canonicalize_name, of)]
        assert {*names} & {*plugin_packages.NEEDED_PACKAGES}, package


@pytest.mark.parametrize("engine", launchers.Engine)
def test_the_extra_of_a_launcher_installs_its_plug_in(engine: launchers.Engine):
    package = engine.module.rpartition(".")[2].replace("_", "-")
    assert any(text.startswith(package) for text in PROJECT["optional-dependencies"][engine.extra])


def test_a_module_that_is_absent_is_not_installed():
    assert not launchers.is_installed("no_such_package.at_all")
