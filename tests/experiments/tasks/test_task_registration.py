"""A task is one Python file: its registration is planned, trained and in its fingerprint."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from experiments.tasks import TASKS, Sizes, TaskOptions, base, load, task
from experiments.tasks.values import Predict
from experiments.tasks.waves import Waves
from runner.plan import code_hash
from tests.support.environment import ROOT, child_environment
from tests.support.tiny import TINY

DOCS = (ROOT / "docs" / "bring_your_own.md").read_text(encoding="utf-8")
_, ECHO, _ = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)


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

    with pytest.raises(ValueError, match=r"experiments\.tasks\.waves has this kind already"):
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
