"""The code hash covers the user's modules of every folder, and versions of installed packages."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest

from experiments import Question
from experiments.parts import PARTS, part
from experiments.tasks import TASKS, task
from runner import registry
from runner.config import ConfigError
from runner.plan import code_hash, user_modules
from runner.plan.user_modules import Owner

PLUGIN = "lab_plugin"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Return a function that writes a file; the folders `own` and `other` are on the path."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "own"), str(tmp_path / "other"), *sys.path])

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        sys.path_importer_cache.clear()
        return path

    return write_file


def hashed(*modules: str) -> str:
    return code_hash.hash_modules(frozenset(modules or {PLUGIN}))


@pytest.mark.parametrize(
    "text",
    [
        "import lab_nets",
        "from lab_nets import x",
        "from lab_nets import *",
        "def build(self, d_model):\n    from lab_nets import x\n    return x",
        "try:\n    import lab_nets\nexcept ImportError:\n    lab_nets = None",
        "import sys\nif sys.version_info > (3,):\n    import lab_nets",
        "import importlib\nlab = importlib.import_module('lab_nets')",
        "from importlib import import_module\nlab = import_module(name='lab_nets')",
        "def build(self, d_model):\n    return __import__('lab_nets').x",
    ],
)
@pytest.mark.parametrize("file", ["lab_nets.py", "lab_nets/__init__.py"])
def test_a_module_of_another_folder_counts(write: Callable[..., Path], text: str, file: str):
    write(f"own/{PLUGIN}.py", text)
    write(f"other/{file}", "x = 1")
    before = hashed()
    write(f"other/{file}", "x = 1  # a comment")
    assert hashed() == before
    write(f"other/{file}", "x = 2")
    assert hashed() != before


def test_imports_are_followed_through_several_folders_and_namespace_packages(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(tmp_path / "third"))
    write(f"own/{PLUGIN}.py", "from lab_space.nets import x")
    write("other/lab_space/nets.py", "from . import more\nfrom .deep.inner import y\nx = y")
    write("other/lab_space/more.py", "import importlib\nimportlib.import_module('.last', 'z')")
    write("other/lab_space/last.py", "x = 1")
    write("third/lab_space/deep/inner.py", "import lab_end\ny = lab_end.x")
    write("third/lab_end.py", "x = 1")
    files = [path for path in tmp_path.rglob("*.py") if path.name != "inner.py"]
    before = hashed()
    for path in files:
        old = path.read_text()
        path.write_text(f"{old}\nz = 3")
        assert hashed() != before, path
        path.write_text(old)


def test_an_editable_install_with_a_finder_counts(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from importlib.util import spec_from_file_location

    file = write("checkout/src/lab_edited/__init__.py", "x = 1")

    class Finder:  # as setuptools installs it
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> Any:  # noqa: ARG004
            return spec_from_file_location(name, file) if name == "lab_edited" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    write(f"own/{PLUGIN}.py", "import lab_edited")
    assert user_modules.find_owner("lab_edited") is Owner.user
    assert code_hash.find_user_modules([PLUGIN]) == ["lab_edited", PLUGIN]
    assert str(tmp_path) not in code_hash.hash_modules(frozenset({PLUGIN}))


def test_an_installed_package_counts_by_its_version(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site-packages")])
    user_modules._packages_by_module.cache_clear()
    write(f"own/{PLUGIN}.py", "import lab_named\nfrom lab_other_name import x\nimport torch, json")
    for name in ("lab_named", "lab_other_name"):
        write(f"site-packages/{name}/__init__.py", "x = 1")
    metadata = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n"
    info = "site-packages/{}-1.0.dist-info/METADATA"
    for name in ("lab_named", "lab_distribution"):
        write(info.format(name), metadata.format(name, "1.0"))
    write("site-packages/lab_distribution-1.0.dist-info/top_level.txt", "lab_other_name\n")
    try:
        packages = code_hash.search_imports([PLUGIN])[1]
        assert packages >= {"lab_named", "lab_other_name"}
        assert "json" not in packages
        before = hashed()
        write("site-packages/lab_named/__init__.py", "x = 2")
        assert hashed() == before
        for name in ("lab_named", "lab_distribution"):
            write(info.format(name), metadata.format(name, "2.0"))
            assert hashed() != before, name
            write(info.format(name), metadata.format(name, "1.0"))
        assert hashed() == before
    finally:
        user_modules._packages_by_module.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import lab_absent\nexcept ImportError:\n    pass",
        "def build():\n    import lab_absent.part",
        "import lab_absent\nimport other_nets.gone",
        "try:\n    from . import sibling\nexcept ImportError:\n    import sibling",
        "import __main__",
        "from importlib import import_module as load\nload('')\nload(f'{__name__}')",
        "import importlib\nimportlib.import_module('not a name')",
        "import importlib\nimportlib.import_module()",
        "print 'for another Python'",
        "x = '\0'",
    ],
)
def test_what_cannot_be_followed_stops_nothing(write: Callable[..., Path], text: str):
    write(f"own/{PLUGIN}.py", "import lab_nets")
    write("other/lab_nets.py", text)
    before = hashed()
    write("other/lab_nets.py", f"{text}\nz = 1")
    assert hashed() != before


@pytest.mark.parametrize(
    ("module", "owner"),
    [
        *((name, Owner.python) for name in ("sys", "os.path", "json", "test", "lib2to3")),
        *((name, Owner.installed) for name in ("torch.nn", "numpy", "yaml", "pytest")),
        *((name, Owner.nobody) for name in ("lab_absent", "", "__main__")),
        ("tests.conftest", Owner.user),
    ],
)
def test_each_module_has_an_owner(module: str, owner: Owner, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    if module in ("test", "lib2to3") and module not in sys.stdlib_module_names:
        pytest.importorskip(module)
    assert user_modules.find_owner(module) is owner


def test_a_file_that_hides_a_module_of_python_is_the_users(write: Callable[..., Path]):
    assert user_modules.find_owner("antigravity") is Owner.python
    write("own/antigravity.py", "x = 1")
    assert user_modules.find_owner("antigravity") is Owner.user


def test_a_folder_that_pip_has_filled_is_one_of_installed_packages(write: Callable[..., Path]):
    write("other/lab_target/__init__.py", "")
    write("other/lab_target-1.0.dist-info/RECORD", "lab_target/__init__.py,sha256=x,0\n")
    write("other/lab_mine.py", "")
    assert user_modules.find_owner("lab_target") is Owner.installed
    assert user_modules.find_owner("lab_mine") is Owner.user


def roots_of(experiment: str, **parts: object) -> frozenset[str]:
    arm: Any = SimpleNamespace(experiment=experiment, parts=SimpleNamespace(**parts))
    return code_hash.root_modules(arm, ())


def test_plain_options_name_modules_as_their_code(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    for name in ("lab_of_part", "lab_of_task", "lab_of_question"):
        write(f"other/{name}.py", "x = 1")

    @dataclass
    class Options(Question):
        code_modules: ClassVar = ("lab_of_question",)

    monkeypatch.setattr(registry, "options_class", lambda _: Options)
    try:

        @part("ffn", "lab_named_code")
        class Net:
            code_modules = ("lab_of_part",)

            def build(self, d_model: int) -> None: ...

        @task("lab_named_task")
        @dataclass
        class Letters:
            code_modules = ["lab_of_task"]  # noqa: RUF012

            def sample(self, rng: Any, n: int) -> Any: ...

        roots = roots_of("ffn", ffn=Net(), task=object.__new__(Letters))  # type: ignore[call-arg]
        assert roots >= {"lab_of_part", "lab_of_task", "lab_of_question"}
    finally:
        PARTS["ffn"].pop("lab_named_code", None)
        TASKS.pop("lab_named_task", None)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("my_modules", r"code_modules is 'my_modules'; write a tuple of modules, e\.g\. code_"),
        ((3,), r"code_modules is \(3,\); write a tuple"),
        (
            ("lab_absent",),
            "code_modules names 'lab_absent', which cannot be found; is its folder the current one",
        ),
    ],
)
def test_other_named_modules_are_one_line(named: Any, said: str):
    class Options(Question):
        code_modules = named

    with pytest.raises(ConfigError, match=rf"Options: {said}"):
        code_hash.named_modules(Options)
