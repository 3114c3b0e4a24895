"""Plug-ins of a few lines for tests of error messages: they are written, and a plan uses them."""

import contextlib
import importlib
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from experiments.metrics import METRICS
from experiments.parts import PARTS
from experiments.parts.counted_cost import CostCounter
from experiments.questions import QUESTIONS
from experiments.tasks import TASKS
from runner.config import ConfigError
from runner.plan import part_inspection, plugin_packages, task_inspection
from runner.plan.error_messages import explain
from runner.plan.helper_process import HelperProcess
from tests.fuzz.command import CommandResult, run_in_process

NUMBERS = count()
IMPORTS = """
import sys
from dataclasses import dataclass, field
from typing import Any, ClassVar
from experiments import Question, question
from experiments.metrics import METRICS
from experiments.parts import Cost, NormSlots, Part, part
from experiments.tasks import Sizes, TaskOptions, task
from runner.metric_names import COUNT, DivergedValue, Metric
"""
BUILD = """
def build(self, d_model):
    from torch import nn
    return nn.Linear(d_model, d_model)
"""
COST = """
def cost(self, d_model, length):
    return Cost(8, 8, 16.0)
"""
SAMPLE = """
def sample(self, rng, n):
    return rng.integers(9, size=(n, 7))
"""
YAML = """# @package _global_
defaults:
  - override /attention: mha
  - override /norm: pre
  - override /task: waves
  - override /ffn: relu
question: Is it mine?
arms: {relu: []}
n_seeds: 1
training: {steps: 10, warmup_steps: 1}
"""
RUN = "def run(trial):\n    pass\n"
Attempt = Callable[..., str]
Words = tuple[str, ...]
IMPORT = ("import",)
TASK = ("experiment=moe", "arm=[dense]", "task=NAME")
QUESTION = ("experiment=NAME",)


class HelperHere(HelperProcess):
    """The server's answers from this process, so that no process starts."""

    def load(self, *_: object) -> None: ...

    def ask(self, request, seconds=0.0):  # noqa: ARG002
        from runner.plan import helper_server

        elsewhere, CostCounter.elsewhere = CostCounter.elsewhere, None
        try:
            return helper_server.answer_request(dict(request))
        finally:
            CostCounter.elsewhere = elsewhere


def forget_package(package: str) -> None:
    """Remove the parts, tasks and questions that the modules of a package have registered."""
    for options in (*PARTS.values(), TASKS, QUESTIONS):
        for name in [n for n in options if options[n].__module__.split(".")[0] == package]:
            del options[name]


def write_class(decorator: str, base: str, *members: str) -> str:
    """Return a module with one class."""
    body = textwrap.indent("\n".join(members) or "pass", "    ")
    return f"{IMPORTS}\n{decorator}\n@dataclass\nclass Mine{base}:\n{body}\n"


def write_part(*members: str, base: str = "") -> str:
    more = (BUILD, COST) if base else (BUILD,)
    return write_class('@part("ffn", "NAME")', base, *more, *members)


def write_task(*members: str) -> str:
    sizes = "length: int = 6\nvocabulary: int = 9"
    return write_class('@task("NAME")', "", sizes, SAMPLE, *members)


def write_question(*members: str, run: str = RUN) -> str:
    return write_class('@question("NAME")', "(Question)", *members) + run


@contextlib.contextmanager
def planned_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Attempt]:
    """Yield a function that writes a plug-in, plans with it and returns the message.

    The words `IMPORT` only import it, which is much faster. `NAME` stands for its name.
    """
    names: list[str] = []
    metrics = dict(METRICS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugin_packages.UsablePlugins, "installed", ())
    helper, inspector = HelperHere(), part_inspection.PartInspector
    monkeypatch.setattr(
        part_inspection, "PartInspector", lambda plugins: inspector(plugins, helper)
    )
    check_tasks = task_inspection.check_tasks
    monkeypatch.setattr(
        task_inspection, "check_tasks", lambda arms, plugins: check_tasks(arms, plugins, helper)
    )

    def plan_with(source: str, *words: str) -> str:
        name = f"user_code_{next(NUMBERS)}"
        names.append(name)
        folder = tmp_path / name
        (folder / "conf" / "experiment").mkdir(parents=True)
        (folder / "__init__.py").write_text(source.replace("NAME", name))
        if words == ("experiment=NAME",) and "no yaml" not in source:
            (folder / "conf" / "experiment" / f"{name}.yaml").write_text(YAML)
        importlib.invalidate_caches()
        if words == IMPORT:
            with pytest.raises(ConfigError) as caught:
                plugin_packages.import_all_plugins([name])
            return explain(caught.value)[0].replace(name, "NAME")
        typed = words or ("experiment=ffn", "arm=[mine]", '+arms.mine=["ffn=NAME"]', "task=waves")
        typed = (*typed, "scale=smoke", "plan=only", "plugins=[NAME]", "n_seeds=1")
        result: CommandResult = run_in_process([word.replace("NAME", name) for word in typed])
        assert result.code in (0, 2)
        assert (result.code == 2) == bool(result.message)
        assert "\n" not in result.message
        return result.message.replace(name, "NAME")

    yield plan_with
    for name in names:
        forget_package(name)
        sys.modules.pop(name, None)
    METRICS.clear()
    METRICS.update(metrics)
