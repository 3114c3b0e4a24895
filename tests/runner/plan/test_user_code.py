"""Errors of users' code: the plan says in one line which option, file and method is at fault."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from experiments.parts import Cost, Part
from runner import registry
from runner.config import ConfigError, StudyError
from runner.plan import user_code
from runner.plan.error_messages import explain
from runner.plan.member_checks import MEMBER_TYPES, check_cost, is_of_type
from runner.plan.user_code import describe_user_error
from runner.wording.output import describe_error
from tests.support.user_plugin import (
    BUILD,
    IMPORT,
    IMPORTS,
    QUESTION,
    RUN,
    SAMPLE,
    TASK,
    Attempt,
    Words,
    planned_plugins,
    write_class,
    write_part,
    write_question,
    write_task,
)

FAILURES = {
    "sys.exit(0)": "called sys.exit",
    "raise SystemExit": "called sys.exit",
    "return len(3)": "failed with TypeError: object of type 'int' has no len()",
    "return [][4]": "failed with IndexError: list index out of range",
    "return self.nothing": "failed with AttributeError: 'Mine' object has no attribute 'nothing'",
    "return int('abc')": "failed with ValueError: invalid literal for int() with base 10: 'abc'",
}
BRIEF = ("sys.exit(0)", "return len(3)")
"""Two kinds of failure, where a test need not try all."""


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attempt]:
    with planned_plugins(tmp_path, monkeypatch) as plan_with:
        yield plan_with


@pytest.mark.parametrize(("statement", "end"), FAILURES.items())
def test_an_error_of_a_method_is_quoted(attempt: Attempt, statement: str, end: str):
    message = attempt(write_part(f"def cost(self, d_model, length):\n    {statement}"))
    assert message.startswith("ffn=NAME (__init__.py, line ")
    assert f"): cost() {end} (in arm mine)" in message


@pytest.mark.parametrize("statement", BRIEF)
@pytest.mark.parametrize(
    ("header", "write", "words"),
    [
        ("def check(self, d_model)", write_part, ()),
        ("@property\ndef writes_to_residual(self)", write_part, ()),
        ("def check(self, groups)", write_question, QUESTION),
        ("def __post_init__(self)", write_task, TASK),
        ("def __post_init__(self)", write_part, ()),
    ],
)
def test_an_error_of_a_method_names_option_file_and_method(
    attempt: Attempt, statement: str, header: str, write: Callable[..., str], words: Words
):
    message = attempt(write(f"{header}:\n    {statement}"), *words)
    group = {write_part: "ffn", write_task: "task", write_question: "experiment"}[write]
    method = header.partition("def ")[2].partition("(")[0]
    assert message.startswith(f"{group}=NAME (__init__.py, line ")
    assert f"): {method}() {FAILURES[statement]}" in message
    assert "correct it in" not in message  # the YAML file is not at fault


@pytest.mark.parametrize("statement", BRIEF)
@pytest.mark.parametrize(
    "header", ["sample(self, rng, n)", "split(self, sequences)", "fingerprint(self)"]
)
def test_an_error_of_a_task_names_the_method(attempt: Attempt, statement: str, header: str):
    message = attempt(write_task(f"def {header}:\n    {statement}"), *TASK)
    method = header.partition("(")[0]
    assert message.startswith(f"task=NAME: {method}() {FAILURES[statement]} (__init__.py, line ")


@pytest.mark.parametrize("statement", BRIEF)
@pytest.mark.parametrize("method", ["build", "forward"])
def test_an_error_of_a_module_is_quoted(attempt: Attempt, statement: str, method: str):
    body = statement
    if method == "forward":
        body = (
            "from torch import nn\n    class Net(nn.Module):\n        def forward(self, x):\n"
            f"            {statement}\n    return Net()"
        )
    build = f"def build(self, d_model):\n    {body}"
    message = attempt(write_class('@part("ffn", "NAME")', "", build))
    assert message.startswith("ffn=NAME")
    assert method in message
    assert FAILURES[statement].removeprefix("failed with ") in message


@pytest.mark.parametrize("header", ["check(self, d_model)", "__post_init__(self)"])
def test_a_broken_rule_without_a_field_is_no_failure(attempt: Attempt, header: str):
    message = attempt(write_part(f"def {header}:\n    raise ValueError('sizes must be even')"))
    method = header.partition("(")[0]
    assert f"): {method}() refuses the values: sizes must be even" in message
    assert "failed" not in message


def test_a_broken_rule_of_a_field_keeps_its_words(attempt: Attempt):
    rule = (
        "def __post_init__(self):\n    if self.hidden < 8:\n"
        "        raise ValueError(f'hidden={self.hidden} must be 8')"
    )
    assert attempt(write_part("hidden: int = 4", rule)) == "ffn.hidden=4 must be 8 (in arm mine)"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("None", "cost() returned None; return Cost(parameters"),
        ("(1, 2, 3)", "cost() returned (1, 2, 3); return Cost("),
        ("Cost(-5, -5, 1.0)", "parameters=-5; it must be a finite number of at least 0"),
        ("Cost(5, 5, float('nan'))", "flops_per_token=nan; it must be a finite number"),
        ("Cost(5, 5, 1.0, float('inf'))", "kv_bytes_per_token=inf; it must be a finite"),
        ("Cost('5', 5)", "parameters='5'; it must be a finite number"),
        ("Cost(5.5, 5)", "parameters=5.5; it must be whole"),
        ("Cost(5, 9)", "9 active parameters of 5"),
    ],
)
def test_a_cost_that_cannot_be_is_refused(value: str, words: str):
    @dataclass
    class Mine(Part):
        def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
            result: Cost = eval(value)
            return result

        def build(self, d_model: int): ...

    with pytest.raises(ConfigError) as caught:
        check_cost("ffn=mine (NAME)", Mine("mine"), 8, 4)
    assert str(caught.value).startswith("ffn=mine (NAME): cost() ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "is_right"),
    [
        ("residual_writers", {"proj"}, True),
        ("residual_writers", ["proj"], True),
        ("residual_writers", {3}, False),
        ("heads", np.int64(4), True),
        ("heads", np.int64(-4), False),
        ("heads", True, False),
    ],
)
def test_the_type_of_a_member(name: str, value: object, is_right: bool):
    assert is_of_type(value, MEMBER_TYPES[name][0]) == is_right


def test_a_plan_checks_costs(attempt: Attempt):
    message = attempt(write_part("def cost(self, d_model, length):\n    return Cost(-5, -5)"))
    assert message.startswith("ffn=NAME (NAME): cost() has parameters=-5; it must be a finite")


@pytest.mark.parametrize(
    ("source", "words", "message"),
    [
        (write_part("d_ff: int"), (), "Mine in NAME has no default for d_ff; write one in the"),
        (
            write_class('@task("NAME")', "", "mode: str", SAMPLE),
            TASK,
            "no default for mode; write one in the class, as in size: int = 8, or a file task/",
        ),
        (write_question() + "# no yaml", QUESTION, "the question of NAME has no YAML file; write"),
        (
            write_class("@task", "", SAMPLE),
            IMPORT,
            '@task on Mine has no name; write @task("mine")',
        ),
        (
            write_class("@part", "", BUILD),
            IMPORT,
            '@part on Mine has no name; write @part("ffn", "',
        ),
        (
            write_class('@part("ffn")', "", BUILD),
            IMPORT,
            '@part has no name; write @part("ffn", "mine")',
        ),
        (write_class("@question", "(Question)"), IMPORT, "@question on Mine has no name"),
        (f"{IMPORTS}\n@part\ndef build(d): ...", IMPORT, "@part on build has no name"),
        (
            f'{IMPORTS}\n@part("ffn", "NAME")\ndef net(d): ...',
            IMPORT,
            "on the function net: a part is a class; write @part('ffn', 'NAME'), @dataclass and "
            "class Mine with build(self, d_model)",
        ),
        (
            f'{IMPORTS}\ntask("NAME")(lambda rng, n: rng)',
            IMPORT,
            "on the function <lambda>: a task is a class; write @task('NAME'), @dataclass and ",
        ),
        (
            f'{IMPORTS}\nquestion("NAME")(Question())',
            IMPORT,
            "on a Question object: a question is a class; write @question('NAME'), @dataclass ",
        ),
        (
            write_class("@task(3)", "", SAMPLE),
            IMPORT,
            "@task: 3 is not a name; write @",
        ),
    ],
)
def test_an_option_that_does_not_exist_has_a_reason(attempt: Attempt, source, words, message: str):
    assert message in attempt(source, *words)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("run = 3", "run is of type int and not a function; write def run(trial)"),
        ("def run():\n    pass", "run takes other arguments; write def run(trial)"),
        ("def run(trial, more):\n    pass", "run takes other arguments; write def run(trial)"),
        ("async def run(trial):\n    pass", "run is a coroutine, which ablab does not await"),
        ("def run(trial):\n    yield", "run has a yield, so that a call runs nothing"),
    ],
)
def test_the_function_of_a_page_is_checked(attempt: Attempt, run: str, words: str):
    message = attempt(write_question(run=run), *QUESTION)
    assert message.startswith("experiment=NAME: its module NAME: ")
    assert words in message


def test_the_timing_function_of_a_page_is_checked(attempt: Attempt):
    source = write_question("timed: ClassVar[bool] = True", run=f"{RUN}\ntiming = 3\n")
    assert "timing is of type int and not a function" in attempt(source, *QUESTION)


@pytest.mark.parametrize(
    "header", ["__post_init__(self)", "cost(self, d_model, length)", "check(self, d_model)"]
)
def test_a_method_that_computes_without_end_is_named(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, header: str
):
    monkeypatch.setattr(user_code, "MOST_SECONDS", 0.3)
    monkeypatch.setattr(user_code, "CHECK_SECONDS", 0.1)
    message = attempt(write_part(f"def {header}:\n    while True: pass"))
    method = header.partition("(")[0]
    assert f"): {method}() failed with TimeoutError: no result after 0.3 s" in message


def test_only_the_time_of_the_own_thread_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(user_code, "MOST_SECONDS", 0.2)
    monkeypatch.setattr(user_code, "CHECK_SECONDS", 0.02)
    is_done = threading.Event()

    def compute() -> None:
        start = time.thread_time()
        while time.thread_time() - start < 0.4:
            pass
        is_done.set()

    timer = signal.getitimer(signal.ITIMER_VIRTUAL)
    with user_code.limited_time():
        threading.Thread(target=compute).start()
        assert is_done.wait(60)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == timer


def test_an_error_of_ablab_itself_is_not_of_a_user():
    with pytest.raises(KeyError) as caught:
        registry.options_class("nothing")
    assert describe_user_error(caught.value) == ""


def test_a_finished_message_keeps_the_error_that_it_quotes():
    text = "ffn=mine: forward raised TypeError: unhashable type: 'list' (input of shape (2, 3))"
    assert explain(ConfigError(text)) == (text, 2)
    assert explain(StudyError(text)) == (text, 1)
    assert "unhashable" not in explain(TypeError("unhashable type: 'list'"), planning=True)[0]


def test_an_exit_of_a_trial_is_an_error_with_words():
    assert describe_error(SystemExit(0)) == "SystemExit: the code called sys.exit"
    assert describe_error(SystemExit("bye")) == "SystemExit: the code called sys.exit('bye')"
