"""Rules for the classes and metrics of plug-ins: each broken rule is one line of the import."""

import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.metrics import METRICS
from experiments.questions import Question, check_members
from tests.support.user_plugin import (
    IMPORT,
    IMPORTS,
    Attempt,
    planned_plugins,
    write_part,
    write_question,
    write_task,
)


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attempt]:
    with planned_plugins(tmp_path, monkeypatch) as plan_with:
        yield plan_with


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("norm_slots: int", "norm_slots cannot be a field"),
        ("heads: str = 'two'", "heads='two' must be a whole number, 0 or more"),
        ("experts: int = -1", "experts=-1 must be a whole number, 0 or more"),
        ("writes_to_residual: int = 7", "writes_to_residual=7 must be True or False"),
        ("residual_writers: str = 'up'", "residual_writers='up' must be a tuple of names"),
        ("check: int = 3", "so check cannot be another member; rename it"),
        ("async def build(self, d_model):\n    return 3", "build is a coroutine"),
        ("def cost(self, d_model, length):\n    yield 3", "cost has a yield"),
    ],
)
def test_a_member_of_another_kind_is_refused(attempt: Attempt, member: str, words: str):
    is_plan = " must be " in words
    assert words in attempt(write_part(member), *(() if is_plan else IMPORT))


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("sinusoids: bool", "Part has a member sinusoids; rename the field"),
        ("check: int = 3", "so check cannot be another member; rename it"),
        ("def cost(self, d_model, length):\n    yield 3", "cost has a yield"),
    ],
)
def test_a_member_of_the_full_form_is_checked(attempt: Attempt, member: str, words: str):
    assert words in attempt(write_part(member, base="(Part)"), *IMPORT)


@pytest.mark.parametrize(
    "source", [write_part(), write_task(), write_question()], ids=["part", "task", "question"]
)
def test_two_classes_of_one_name_in_a_file_are_refused(attempt: Attempt, source: str):
    message = attempt(source + source.replace(IMPORTS, ""), *IMPORT)
    assert "NAME has" in message
    assert re.search(r" in line \d+ already; choose another in NAME", message)


def test_a_module_may_be_imported_again(attempt: Attempt):
    assert attempt(write_part()) == ""
    name = next(name for name in sys.modules if name.startswith("user_code_"))
    importlib.reload(sys.modules[name])
    del sys.modules[name]
    importlib.import_module(name)


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("async def sample(self, rng, n):\n    return 3", "sample is a coroutine"),
        ("def sample(self, rng, n):\n    yield 3", "sample has a yield"),
        ("loss = 3", "loss is of type int and not a function"),
        ("split = 'train'", "split is of type str and not a function"),
        ("def sample(self, *, rng, n):\n    return 3", "sample takes other arguments"),
        ("unit = 's'", "unit = 's' is for measurements of the machine"),
        ("unit = 3", "unit = 3 must be a short text"),
        ("labels = 'odd'", "labels = 'odd' must be a tuple of texts, such as ('odd',)"),
        ("labels = ('a', 'a')", "labels has 'a' twice"),
        ("labels = (1, 2)", "labels = (1, 2) must be a tuple of texts"),
        ("labels = ('a/b',)", "labels has 'a/b'; use letters"),
        ("labels: tuple = ('a',)", "labels belongs to the class, so that it cannot be a field"),
        ("code_modules: str = 'a'", "code_modules belongs to the class, so that"),
    ],
)
def test_a_member_of_a_task_is_checked(attempt: Attempt, member: str, words: str):
    assert words in attempt(write_task(member), *IMPORT)


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("parts = 'ffn'", "parts = 'ffn' must be a tuple of texts, such as ('ffn',)"),
        ("parts = ('ffm',)", "parts has 'ffm', and there are only attention, ffn"),
        ("parts: tuple = ('ffn',)", "parts belongs to the class, so that it cannot be a field"),
        ("timed = 1", "timed = 1 must be True or False"),
        ("timed: bool = True", "timed belongs to the class, so that it cannot be a field"),
        ("check: int = 3", "check is of type int and not a function"),
    ],
)
def test_a_member_of_a_question_is_checked(attempt: Attempt, member: str, words: str):
    assert words in attempt(write_question(member), *IMPORT)


def test_the_check_of_a_question_may_be_static():
    @dataclass
    class Mine(Question):
        @staticmethod
        def check(groups: object) -> None: ...

    @dataclass
    class Other(Question):
        @classmethod
        def check(cls, groups: object) -> None: ...

    @dataclass
    class Wrong(Question):
        @staticmethod
        def check() -> None: ...

    check_members("", Mine)
    check_members("", Other)
    with pytest.raises(ValueError, match=r"write def check\(groups\)"):
        check_members("", Wrong)


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("w: int = field(default=3, init=False)", "the field w has init=False"),
        ("w: object = None", "a config cannot hold the type of w"),
        ("w: bytes = b'a'", "a config cannot hold the type of w"),
        ("w: list[bytes] = field(default_factory=list)", "a config cannot hold the type of w"),
        ("w: int = 'a'", "a default has the wrong type: w = 'a'"),
        ("w: list[int] = field(default_factory=lambda: 1 / 0)", "the default_factory of w fails"),
    ],
)
@pytest.mark.parametrize("write", [write_part, write_task, write_question])
def test_a_field_that_no_config_holds_is_refused(attempt: Attempt, write, member: str, words: str):
    assert words in attempt(write(member), *IMPORT)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("METRICS['NAME/x'] = 3", "METRICS['NAME/x'] is 3; write a Metric or COUNT"),
        ("METRICS['NAME/x'] = None", "METRICS['NAME/x'] is None; write a Metric"),
        ("METRICS[3] = COUNT", "METRICS has the name 3; write words"),
        ("METRICS['a b'] = COUNT", "METRICS has the name 'a b'; write words"),
        ("METRICS.clear()", "from METRICS"),
        ("METRICS['NAME/x'] = Metric('kept')", "diverged='kept' must be such as Div"),
        ("METRICS['NAME/x'] = Metric(unit=3)", "unit=3 must be a text"),
        ("METRICS['NAME/x'] = Metric(lowest='0')", "lowest='0' must be a number"),
        ("METRICS['NAME/x'] = Metric(lowest=2, highest=1)", "lowest=2 is above highest=1"),
        ("METRICS['NAME/x'] = Metric(exchangeable='layer')", "must be expert, head or empty"),
    ],
)
def test_a_metric_of_a_plug_in_is_checked(attempt: Attempt, statement: str, words: str):
    before = dict(METRICS)
    assert words in attempt(f"{write_part()}{statement}\n", *IMPORT)
    assert before == METRICS
