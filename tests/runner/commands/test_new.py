"""`python -m runner new`: files that work at once, and commands that work as printed."""

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments import tasks
from experiments.parts import PARTS, load
from experiments.tasks import TASKS
from runner.commands.new import KINDS, class_name, write_new
from runner.config import ConfigError
from tests.support.environment import ROOT, child_environment


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    load()
    tasks.load()
    tables = {**PARTS, "task": TASKS}
    before = {group: dict(table) for group, table in tables.items()}
    yield tmp_path
    for group, table in before.items():
        tables[group].clear()
        tables[group].update(table)


@pytest.mark.parametrize("group", ["attention", "ffn", "norm", "task"])
def test_the_tests_of_a_new_part_pass(group: str, empty_folder: Path):
    name = f"fresh_{group}"
    write_new([group, name])
    assert {path.name for path in empty_folder.iterdir()} == {f"{name}.py", f"test_{name}.py"}
    module = importlib.import_module(f"test_{name}")
    tests = [getattr(module, each) for each in dir(module) if each.startswith("test_")]
    assert len(tests) == 4
    for test in tests:
        test()
    assert {**PARTS, "task": TASKS}[group][name].__name__ == class_name(name)


@pytest.mark.parametrize(
    ("edit", "failing"),
    [
        (("return self.down(", "return x.mean(1, keepdim=True) + self.down("), "later_input"),
        (("return self.down(", "return x + 0 * self.down("), "training_step"),
        (("nn.functional.gelu", "1 / 0 * nn.functional.gelu"), "shape"),
    ],
)
def test_the_test_finds_a_faulty_module(edit: tuple[str, str], failing: str, empty_folder: Path):
    name = f"faulty_{failing}"
    write_new(["ffn", name])
    file = empty_folder / f"{name}.py"
    text = file.read_text()
    assert text.count(edit[0]) == 1
    file.write_text(text.replace(*edit))
    module = importlib.import_module(f"test_{name}")
    (test,) = (getattr(module, each) for each in dir(module) if failing in each)
    with pytest.raises((AssertionError, ZeroDivisionError)):
        test()


def test_what_is_written_has_the_style_of_the_project(empty_folder: Path):
    for group in KINDS:
        write_new([group, f"styled_{group}"])
    config = str(ROOT / "pyproject.toml")
    for command in (["check", "--ignore=D103"], ["format", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--config", config, "--no-cache", "."],
            cwd=empty_folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.some(2)
@pytest.mark.slow
@pytest.mark.parametrize("group", list(KINDS))
def test_the_printed_commands_work_as_printed(runner, group: str, tmp_path: Path):
    done = runner("new", group, f"made_{group}")
    assert done.returncode == 0, done.stderr
    commands = re.findall(r"^  (python .*)$", done.stdout, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(
            [sys.executable, *shlex.split(command)[1:]],
            cwd=tmp_path,
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


BAD = {
    "": "name a group and your option",
    "ffn": "name a group and your option",
    "fnn mine": "fnn: new cannot write it; did you mean ffn?",
    "language_model mine": 'pass your class to runner.compare(..., group="model")',
    "ffn swiglu": "ablab has its own ffn=swiglu",
    "ffn moe": "ablab has its own ffn=moe",
    "norm translation": "ablab has an experiment of this name",
    "ffn json": "a module of this name is installed",
    "ffn runner": "a module of this name is installed",
    "ffn class": "another meaning for it; try my_class",
    "ffn off": "another meaning for it; try my_off",
    "ffn Mine": "a name has at most 40 characters",
    "ffn ../mine": "a name has at most 40 characters",
    f"ffn {'a' * 41}": "a name has at most 40 characters",
    "ffn taken": "taken.py exists already, and is left as it is",
    "ffn tested": "test_tested.py exists already",
    "ffn linked": "linked.py exists already",
    "ffn a b": "b is too much; type python -m runner new",
    "ffn a in=lab": "there is no such key; type python -m runner new",
}


@pytest.mark.parametrize("arguments", list(BAD))
def test_bad_arguments_are_one_clear_line_and_write_nothing(arguments: str, empty_folder: Path):
    (empty_folder / "taken.py").write_text("mine\n")
    (empty_folder / "test_tested.py").write_text("mine\n")
    (empty_folder / "linked.py").symlink_to("nowhere")
    before = {path.name for path in empty_folder.iterdir()}
    with pytest.raises(ConfigError, match=re.escape(BAD[arguments])) as caught:
        write_new(arguments.split())
    assert len(str(caught.value).splitlines()) == 1
    assert {path.name for path in empty_folder.iterdir()} == before
    assert (empty_folder / "taken.py").read_text() == "mine\n"


def test_nothing_is_left_where_a_file_cannot_be_written(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    real = Path.open

    def full_disk(path: Path, *more, **others):
        if path.name == "test_mine.py":
            raise OSError(28, "No space left on device")
        return real(path, *more, **others)

    monkeypatch.setattr(Path, "open", full_disk)
    with pytest.raises(ConfigError, match=r"test_mine\.py cannot be written: .*No space left"):
        write_new(["ffn", "mine"])
    assert list(empty_folder.iterdir()) == []
