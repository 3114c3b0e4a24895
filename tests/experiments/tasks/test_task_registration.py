"""A task is one Python file: its registration is planned, trained and in its fingerprint."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from experiments.tasks import TASKS, Sizes, TaskOptions, base, load, task
from experiments.tasks.values import Predict
from experiments.tasks.waves import Waves
from runner.plan import code_hash
from tests.support.environment import child_environment
from tests.support.tiny import TINY

ECHO = '''from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from experiments.rules import check_at_least
from experiments.tasks import Sizes, TaskOptions, task
from experiments.tasks.symbols import SymbolsTask


@task("echo")
@dataclass
class Echo(TaskOptions):
    """Random symbols that repeat after `period` steps."""

    symbols: ClassVar[bool] = True  # and no real numbers

    length: int = 16
    vocabulary: int = 32
    period: int = 4
    n_eval: int = 64

    def __post_init__(self) -> None:
        check_at_least(1, period=self.period, n_eval=self.n_eval)
        check_at_least(2, vocabulary=self.vocabulary, length=self.length)

    def sizes(self) -> Sizes:
        return Sizes(self.length, n_outputs=self.vocabulary, n_eval=self.n_eval)

    def build(self, *, seed: int, batch_size: int, **_: object) -> "EchoTask":
        return EchoTask(self, seed, batch_size)


class EchoTask(SymbolsTask):  # which has the loss: cross-entropy of the next symbol
    """A sample (period 4): 12 7 7 30 12 7 7 30 ..."""

    labels = ("echo",)
    unit = "nats/token"

    def __init__(self, options: Echo, seed: int, batch_size: int) -> None:
        super().__init__(seed=seed, batch_size=batch_size)
        self.vocabulary, self.options = options.vocabulary, options
        self.held_out = self.draw([2], options.n_eval)  # the same for every seed

    def draw(self, key: list[int], n: int) -> tuple[np.ndarray, np.ndarray]:
        symbols = np.random.default_rng(key).integers(
            self.vocabulary, size=(n, self.options.period)
        )
        steps = np.arange(self.options.length + 1)  # the last one is only a target
        return symbols[:, steps % self.options.period], np.zeros(n, np.int64)

    def batch(self, step: int):
        return self.collate(*self.draw([1, self.seed, step], self.batch_size))
'''
"""A task in the full form, whose options and data are two classes."""


@pytest.mark.slow
def test_one_python_file_adds_a_task(tmp_path: Path):
    """A task needs no YAML file if its fields have defaults; it is planned and trains two steps."""
    (tmp_path / "echo.py").write_text(ECHO)
    words = [
        *(word for word in TINY if not word.startswith(("task", "training"))),
        *("training.steps=2", "training.eval_every=1", "training.warmup_steps=1"),
        '+arms.short=["ffn=dense","task=echo","task.n_eval=9","match.by=none"]',
        *("arm=[short]", "baseline=short", "n_seeds=1", "plugins=[echo]"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "runner", *words],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("outputs/moe/trials/short/seed-0/result.json")
    values = {row["metric"]: row["value"] for row in json.loads(path.read_text())["results"]}
    assert 2 < values["val/loss"] < 6  # near log(32) after two steps


def fingerprint_with(text: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the fingerprint of waves if their module had this text."""
    file.write_text(text)
    monkeypatch.setattr(sys.modules[Waves.__module__], "__file__", str(file))
    base._module_code_hash.cache_clear()
    options = Waves("waves", 20, 4, n_samples=30, n_eval=6, noise=0.1, predict=Predict.next)
    fingerprint = options.fingerprint(Path())
    assert replace(options, noise=0.2).fingerprint(Path()) != fingerprint
    base._module_code_hash.cache_clear()
    return fingerprint


def test_words_do_not_change_a_fingerprint_and_code_does(tmp_path: Path, monkeypatch):
    text = Path(sys.modules[Waves.__module__].__file__ or "").read_text(encoding="utf-8")
    reworded = text.replace("Three kinds of sequence", "3 sorts of series") + "\n# a comment\n"
    faster = text.replace("20 * np.pi", "30 * np.pi")
    assert text not in (reworded, faster)
    now, later, other = (
        fingerprint_with(each, tmp_path / "waves.py", monkeypatch)
        for each in (text, reworded, faster)
    )
    assert now == later != other


def test_a_task_of_sentences_is_known_by_what_all_of_them_share(monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(base, "module_code_hashes", lambda *modules: asked.extend(modules))
    load()
    for kind in ("numbers", "pairs15"):
        asked.clear()
        TASKS[kind].fingerprint_inputs(object.__new__(TASKS[kind]))
        assert asked == [f"experiments.tasks.{name}" for name in (kind, "translation")]


@pytest.mark.parametrize(
    ("parent", "lacks", "said"),
    [
        (object, "", r"write it as class Mine\(TaskOptions\)"),
        (TaskOptions, "sizes", "it has no sizes"),
        (TaskOptions, "build", "it has no build"),
    ],
)
def test_a_class_that_is_no_task_is_refused(parent: type, lacks: str, said: str):
    methods = {"sizes": lambda _: Sizes(length=2), "build": lambda *_, **__: None}
    members = {name: method for name, method in methods.items() if name != lacks}
    with pytest.raises(ValueError, match=rf"@task\('mine'\) on Mine: .*{said}"):
        task("mine")(type("Mine", (parent,), members))
    assert "mine" not in TASKS


def test_a_kind_that_is_taken_is_refused():
    load()

    @dataclass
    class Other(Waves):
        """Another task."""

    with pytest.raises(ValueError, match=r"tasks\.waves has a task of this name already; choose"):
        task("waves")(Other)


def test_a_task_that_an_arm_does_not_use_is_not_behind_its_numbers():
    load()
    files = {options.__module__ for options in TASKS.values()}
    for page in ("moe", "head_analysis", "translation"):
        reached = code_hash.find_imported_modules({f"experiments.{page}", code_hash.ENGINE_ENTRY})
        assert not files & reached
    reached = code_hash.find_imported_modules(
        {"experiments.moe", "experiments.tasks.patterns", code_hash.ENGINE_ENTRY}
    )
    assert files & reached == {"experiments.tasks.patterns"}
    assert "experiments.tasks.values" in reached
