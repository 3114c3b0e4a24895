"""A plan refuses a plain task whose own loss or metrics have a fault."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.tasks import TASKS, load
from runner.config import ConfigError
from runner.plan import task_inspection
from runner.plan.error_messages import explain
from runner.plan.helper_process import HelperProcess
from runner.records.private_cache import cache_path

PLUGIN = "inspected_tasks_plugin"
SOURCE = """
from dataclasses import dataclass
from experiments.tasks import task


@dataclass
class Base:
    length: int = 6
    vocabulary: int = 9

    def sample(self, rng, n):
        return rng.integers(self.vocabulary, size=(n, self.length + 1))


@task("plain_default")
@dataclass
class Default(Base):
    pass


@task("tried_good")
@dataclass
class Good(Base):
    factor: float = 1.0

    def loss(self, prediction, target):
        return self.factor * prediction.square()


@task("tried_bad")
@dataclass
class Bad(Base):
    def metrics(self, prediction, target):
        return 3
"""
WORDS = ("experiment=moe", "scale=smoke", f"plugins=[{PLUGIN}]", "arm=[dense]", "n_seeds=1")


class ServerHere(HelperProcess):
    """The server's answers from this process, so that no process starts."""

    requests: list[str] = []  # noqa: RUF012 - a fixture replaces it

    def load(self, *_: object) -> None: ...

    def ask(self, request, seconds=0.0):  # noqa: ARG002
        from runner.plan import helper_server

        self.requests.append(request["kind"])
        return helper_server.answer_request(dict(request))


@pytest.fixture(autouse=True)
def requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    (tmp_path / f"{PLUGIN}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    load()  # before it is patched: a second call would add nothing
    monkeypatch.setattr("experiments.tasks.TASKS", dict(TASKS))
    cache_path(task_inspection.CACHE_FILE).unlink(missing_ok=True)
    real, helper = task_inspection.check_tasks, ServerHere()
    helper.requests = []
    monkeypatch.setattr(
        task_inspection, "check_tasks", lambda arms, plugins: real(arms, plugins, helper)
    )
    yield helper.requests
    sys.modules.pop(PLUGIN, None)


def test_a_fault_is_one_line_with_its_arm(plan):
    with pytest.raises(ConfigError) as caught:
        plan(*WORDS, "task=tried_bad")
    message, code = explain(caught.value)
    assert message == (
        "task=tried_bad: metrics() returned int; it must return a mapping of names to numbers "
        "(in arm dense)"
    )
    assert code == 2


def test_a_good_task_is_tried_once_for_each_source_and_each_value(plan, requests, tmp_path: Path):
    for expected, words in ((1, ()), (1, ()), (2, ("task.factor=2",))):
        plan(*WORDS, "task=tried_good", *words)
        assert len(requests) == expected
    (tmp_path / f"{PLUGIN}.py").write_text(SOURCE.replace("square()", "abs()"))
    plan(*WORDS, "task=tried_good")
    assert len(requests) == 3


def test_a_task_with_the_default_loss_is_not_tried(plan, requests):
    plan(*WORDS, "task=plain_default")
    plan(*WORDS, "task=waves")
    assert requests == []
