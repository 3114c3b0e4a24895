"""Copies of classes of scripts and notebooks, as source text with everything that they need."""

import linecache
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runner.comparison.extraction import extract_source, global_names
from runner.comparison.origin import find_origin, is_importable
from runner.config import ConfigError

HEAD = """
import math
import xml.etree.ElementTree
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.functional import gelu as act

"""


@pytest.fixture(autouse=True)
def _forget_scripts() -> Iterator[None]:
    before = {*sys.modules}
    yield
    for name in {*sys.modules} - before:
        if name.startswith("script_"):
            del sys.modules[name]
    linecache.clearcache()


def run_script(folder: Path, body: str, head: str = HEAD) -> dict[str, Any]:
    """Run a script, and return its names."""
    path = folder / "script.py"
    path.write_text(head + textwrap.dedent(body))
    module = ModuleType("__main__")
    module.__file__ = str(path)
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), vars(module))
    return vars(module)


def copied(folder: Path, body: str, name: str = "Net") -> str:
    """Return the copy of a class or function of a script."""
    target = run_script(folder, body)[name]
    return extract_source("mine", target, is_importable).text


def rebuild(text: str, name: str = "Net") -> Any:
    """Return the class of a copy, which needs nothing else."""
    names: dict[str, Any] = {"__name__": "copy"}
    exec(compile(text, "copy.py", "exec", dont_inherit=True), names)
    return names[name]


NET = """
class Net(nn.Module):
    def forward(self, x):
        return {}
"""


@pytest.mark.parametrize(
    ("before", "expression", "expected"),
    [
        ("WIDTH = 4 * 64", "WIDTH", 256),
        ("import os\nWIDTH = int('7') + os.getpid() * 0", "WIDTH", 7),
        ("SIZES = {'a': (1, 2.5), 'b': [None, True, b'x'], 'c': {3}}", "SIZES['a'][1]", 2.5),
        ("INF = float('-inf')", "INF", float("-inf")),
        ("DTYPE = torch.float32", "DTYPE.is_floating_point", True),
        ("ACTS = {'relu': F.relu, 'gelu': act}", "ACTS['relu'](torch.tensor(-1)).item()", 0),
        ("def helper(x):\n    return other(x)\ndef other(x):\n    return x + 1", "helper(x)", 4),
        ("def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n and even(n - 1)",
         "even(4)", True),
        ("class Base(nn.Module):\n    SIZE = 5", "Base.SIZE", 5),
        ("try:\n    def helper(x):\n        return 2 * x\nexcept OSError: ...", "helper(x)", 6),
        ("", "math.floor(2.5)", 2),
        ("import os", "os.sep.join('ab')", "a/b"),
        ("", "xml.etree.ElementTree.fromstring('<a/>').tag", "a"),
        ("", "sum(each for each in [x, x])", 6),
        ("", "(lambda y: y + x)(1)", 4),
        ("Alias = partial", "Alias(max, x)(1)", 3),
    ],
)  # fmt: skip
def test_a_copy_computes_the_same_as_the_script(
    tmp_path: Path, before: str, expression: str, expected: object
) -> None:
    text = copied(tmp_path, f"{before}\n{NET.format(expression)}\nLEFT_OUT = print('run')")
    assert rebuild(text)().forward(3) == expected
    assert "LEFT_OUT" not in text


@pytest.mark.parametrize(
    ("before", "name", "reason"),
    [
        ("TABLE = torch.ones(3)", "TABLE", "of type Tensor that was computed at run time"),
        ("helper = lambda x: x", "helper", "of type function that was computed at run time"),
        ("def make():\n    def inner(x):\n        return x\n    return inner\nhelper = make()",
         "helper", "of type function that was computed at run time"),
        ("ACTS = {'relu': F.relu}\nACTS['gelu'] = act", "ACTS", "of type dict that was computed"),
        ("", "missing", "which does not exist (yet) where compare is called"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_copied_is_named(
    tmp_path: Path, before: str, name: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        copied(tmp_path, f"{before}\n{NET.format(name)}")
    assert f"Net uses {name}, " in str(caught.value)
    assert reason in str(caught.value)


FULL = """
class Net(nn.Module):
    scale = 1.0
    acts = {'relu': F.relu}
    weight = torch.ones(2)

    def __init__(self, d_model, p=LOW, *, q=0.5):
        super().__init__()

    @staticmethod
    def twice(x):
        return 2 * x

    @property
    def size(self):
        return 3

    def forward(self, x):
        return self.twice(x) + helper(x)
"""
BEFORE = """
import functools
LOW = 0.1

def logged(function):
    level = 1
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) + 0 * level
    return wrapper

@logged
def helper(x, y=1):
    return x + y
"""


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ("Net.scale = 100.0", "Net.scale"),
        ("Net.added = 1", "Net.added"),
        ("del Net.size", "Net.size"),
        ("Net.acts['gelu'] = act", "Net.acts"),
        ("Net.weight[0] = 5", "Net.weight"),
        ("def patch(self, x):\n    return x\nNet.forward = patch", "Net.forward"),
        ("Net.twice = staticmethod(lambda x: 3 * x)", "Net.twice"),
        ("Net.size = property(lambda self: 4)", "Net.size"),
        ("LOW = 0.9", "Net.__init__.__defaults__"),
        ("Net.__init__.__kwdefaults__['q'] = 0.9", "Net.__init__.__kwdefaults__['q']"),
        ("Net.__bases__ = (nn.Identity,)", "Net.__bases__"),
        ("helper.__closure__[0].cell_contents.__defaults__ = (2,)", "helper.__defaults__"),
        ("helper.__closure__[1].cell_contents = 2", "helper"),
    ],
)
def test_a_class_that_was_changed_after_its_definition_is_refused(
    tmp_path: Path, change: str, place: str
) -> None:
    copied(tmp_path, f"{BEFORE}\n{FULL}")
    with pytest.raises(ConfigError) as caught:
        copied(tmp_path, f"{BEFORE}\n{FULL}\n{change}")
    message = str(caught.value)
    assert message.startswith(f"the arm mine: {place} differs from its source, which trials use")
    assert len(message.splitlines()) == 1


def test_a_value_that_differs_in_each_run_of_the_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Net\.noise differs from its source"):
        copied(tmp_path, f"{NET.format('x')}\n    noise = torch.rand(2)")


def test_source_that_does_not_run_alone_is_refused(tmp_path: Path) -> None:
    body = """
    import os
    os.environ["ABLAB_TEST_WIDTH"] = "3"
    class Net(nn.Module):
        width = int(os.environ["ABLAB_TEST_WIDTH"])
        def forward(self, x):
            return x
    del os.environ["ABLAB_TEST_WIDTH"]
    """
    with pytest.raises(ConfigError, match=r"does not run without the rest .* \(KeyError: "):
        copied(tmp_path, body)


GENERATED = """
    import enum
    from dataclasses import dataclass, field
    from typing import NamedTuple

    class Kind(enum.Enum):
        A = 1

    @dataclass(frozen=True)
    class Config:
        kind: Kind = Kind.A
        sizes: list[int] = field(default_factory=lambda: [5])

    class Pair(NamedTuple):
        left: int = 2

    class Net(nn.Module):
        def forward(self, x):
            return Config().sizes[0] + Pair().left + Kind.A.value
"""


def test_generated_methods_are_copied_with_their_class(tmp_path: Path) -> None:
    assert rebuild(copied(tmp_path, GENERATED))().forward(3) == 8
    changed = f"{textwrap.dedent(GENERATED)}\nConfig.__init__.__defaults__ = (3, [])"
    with pytest.raises(
        ConfigError, match=r"Config\.__init__\.__defaults__ differs from its source"
    ):
        copied(tmp_path, changed)


@pytest.mark.parametrize("head", ["if True:", "try:"])
def test_a_class_below_a_condition_keeps_texts_of_several_lines(tmp_path: Path, head: str) -> None:
    lines = [
        head,
        "    class Net(nn.Module):",
        '        """A network,',
        'with a line at the margin."""',
        '        text = """a',
        "   b",
        '        c"""',
        "        def forward(self, x):",
        "            return x",
        *(["except OSError: ..."] if head == "try:" else []),
    ]
    assert rebuild(copied(tmp_path, "\n".join(["", *lines]))).text == "a\n   b\n        c"


def test_a_counter_of_the_script_is_copied(tmp_path: Path) -> None:
    body = "def Net():\n    global count\n    count += 1\n    return globals()['count']\ncount = 4"
    assert rebuild(copied(tmp_path, body))() == 5


def test_a_name_that_a_helper_uses_is_named_with_the_helper(tmp_path: Path) -> None:
    body = f"TABLE = torch.ones(3)\ndef helper(x):\n    return TABLE\n{NET.format('helper(x)')}"
    with pytest.raises(ConfigError, match=r"Net \(in helper\) uses TABLE"):
        copied(tmp_path, body)


def test_a_file_that_has_changed_since_the_start_is_refused(tmp_path: Path) -> None:
    target = run_script(tmp_path, NET.format("x + 1"))["Net"]
    linecache.clearcache()
    (tmp_path / "script.py").write_text(HEAD + NET.format("x + 2"))
    with pytest.raises(ConfigError, match="has changed since it was started; start it again"):
        extract_source("mine", target, is_importable)


def test_code_of_a_prompt_has_no_source() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(f"{HEAD}{NET.format('x')}", names)
    with pytest.raises(ConfigError, match="cannot be read, because it was typed at a prompt"):
        extract_source("mine", names["Net"], is_importable)


def test_a_cell_is_copied_with_imports_and_helpers_of_other_cells() -> None:
    names: dict[str, Any] = {"__name__": "__main__", "get_ipython": None, "In": [""]}

    def run_cell(text: str) -> None:
        file = f"<cell {len(names['In'])}>"
        names["In"].append(text)
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec", dont_inherit=True), names)

    run_cell(HEAD)
    run_cell("def helper(x):\n    return x + 1")
    run_cell(NET.format("act(torch.tensor(0.)).item() + helper(x)"))
    run_cell("def helper(x):\n    return x + 2")
    text = extract_source("mine", names["Net"], is_importable).text
    assert "from torch.nn.functional import gelu as act" in text
    assert rebuild(text)().forward(3) == 5


def test_annotations_stay_unevaluated(tmp_path: Path) -> None:
    head = f"from __future__ import annotations\n{HEAD}"
    body = "class Net(nn.Module):\n    def forward(self, x: Unknown) -> Unknown:\n        return x"
    target = run_script(tmp_path, body, head)["Net"]
    text = extract_source("mine", target, is_importable).text
    assert text.startswith("from __future__ import annotations")
    assert rebuild(text)().forward(3) == 3


def test_global_names_are_those_of_every_scope() -> None:
    text = """
    @decorate
    class A(Base):
        size = WIDTH
        def f(self, x, y=DEFAULT):
            global COUNT
            local = x
            COUNT = [OUTER for each in local if each]
            return lambda: (FREE, local, __class__)
    """
    expected = ["Base", "DEFAULT", "FREE", "OUTER", "WIDTH", "decorate"]
    assert global_names(textwrap.dedent(text)) == expected


def test_the_class_of_a_module_is_imported_from_there() -> None:
    from torch import nn

    from tests.runner.comparison.test_request import Mine

    origin = find_origin("mine", Mine)
    assert (origin.module, origin.source) == (Mine.__module__, "")
    assert origin.imports == (Mine.__module__,)
    assert find_origin("mine", nn.GELU).imports == ()  # torch's version is recorded already


def test_a_module_that_another_process_cannot_import_is_copied(tmp_path: Path) -> None:
    module = ModuleType("script_of_mine")
    path = tmp_path / "elsewhere.py"
    path.write_text(HEAD + NET.format("x + 1"))
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(compile(path.read_text(), str(path), "exec", dont_inherit=True), vars(module))
    assert not is_importable("script_of_mine")
    origin = find_origin("mine", module.Net)
    assert origin.module == ""
    assert rebuild(origin.source)().forward(3) == 4
