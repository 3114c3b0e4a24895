"""The decorators' errors: one clear line each, before planning."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from experiments import Question, parts, question, tasks
from experiments.parts import Cost, Part, part
from experiments.questions import QUESTIONS
from experiments.tasks import Sizes, TaskOptions, task
from tests.support.environment import child_environment


class NoDataclassPart(Part):
    def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
        return Cost()

    def build(self, d_model: int):  # noqa: ARG002
        return None


class NoDataclassTask(TaskOptions):
    def sizes(self) -> Sizes:
        return Sizes(2)

    def build(self, **_: object):  # type: ignore[override]
        return None


class NoDataclassQuestion(Question): ...


@pytest.mark.parametrize(
    ("decorate", "options"),
    [
        (part("ffn", "mine"), NoDataclassPart),
        (task("mine"), NoDataclassTask),
        (question("mine"), NoDataclassQuestion),
    ],
)
def test_what_is_no_dataclass_is_refused(decorate: Callable[[type], type], options: type):
    with pytest.raises(ValueError, match="not a dataclass; write @dataclass below") as caught:
        decorate(options)
    assert "\n" not in str(caught.value)


def test_every_part_has_its_kind():
    named = dataclass(NoDataclassPart)
    assert [field.name for field in dataclasses.fields(named)] == ["kind"]


def test_a_page_has_one_question(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("experiments.questions.QUESTIONS", known := dict(QUESTIONS))

    @question("first_of_mine")
    @dataclass
    class First(Question): ...

    with pytest.raises(
        ValueError, match=r"already has the question 'first_of_mine', and a page has"
    ):

        @question("second_of_mine")
        @dataclass
        class Second(Question): ...

    assert known["first_of_mine"] is First
    assert "second_of_mine" not in known
    question("first_of_mine")(First)  # as when a module is imported again


def test_tuning_never_sees_the_data_of_the_report():
    @dataclass
    class Swallows(NoDataclassTask):
        has_tuning_data: ClassVar[bool] = True

    with pytest.raises(ValueError, match="has_tuning_data needs `evaluation` in build"):
        task("swallows")(Swallows)


def test_a_former_member_is_refused_with_its_new_name():
    @dataclass
    class OldTask(NoDataclassTask):
        def evidence(self) -> dict: ...

    with pytest.raises(ValueError, match=r"OldTask: evidence is now called fingerprint_inputs"):
        task("old")(OldTask)

    @dataclass
    class OldPart(NoDataclassPart):
        writes: ClassVar[bool] = False

    with pytest.raises(ValueError, match=r"OldPart: writes is now called writes_to_residual"):
        part("ffn", "old")(OldPart)


@pytest.mark.parametrize(
    ("base", "names"), [(Part, parts.FORMER_MEMBERS), (TaskOptions, tasks.FORMER_MEMBERS)]
)
def test_every_new_name_of_a_former_member_exists(base: type, names: dict[str, str]):
    assert all(hasattr(base, name) and not hasattr(base, former) for former, name in names.items())


TAKEN = {
    "part": (
        "from experiments.parts import Cost, Part, part\n@part('ffn', 'moe')\n@dataclass\n"
        "class Mine(Part):\n    def cost(self, d_model, length): return Cost()\n"
        "    def build(self, d_model): return None\n"
    ),
    "task": (
        "from experiments.tasks import Sizes, TaskOptions, task\n@task('waves')\n@dataclass\n"
        "class Mine(TaskOptions):\n    def sizes(self): return Sizes(2)\n"
        "    def build(self, **_): return None\n"
    ),
    "question": (
        "from experiments import Question, question\n@question('moe')\n@dataclass\n"
        "class Mine(Question): ...\n"
    ),
}


@pytest.mark.parametrize("what", TAKEN)
def test_a_name_of_ours_is_refused_where_it_is_taken(tmp_path: Path, what: str):
    """In a fresh process the error names the plug-in, not a file of the project."""
    name = f"takes_a_{what}"
    (tmp_path / f"{name}.py").write_text(f"from dataclasses import dataclass\n{TAKEN[what]}")
    done = subprocess.run(
        [sys.executable, "-c", f"from runner import plugins\nplugins.import_plugins([{name!r}])"],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.splitlines()[-1].removeprefix("runner.config.ConfigError: ")
    assert re.fullmatch(rf"plugins: {name}: @{what}\(.*on Mine: experiments\..* already.*", said)
    assert len(said) <= 300
