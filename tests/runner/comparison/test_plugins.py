"""`runner.compare` with tasks and questions of plug-ins, as on the command line."""

import json
import textwrap
from pathlib import Path

import pytest

from tests.runner.comparison.test_origins import python
from tests.support.compared import write

TASK = """
from dataclasses import dataclass

import numpy as np

from experiments.tasks import task


@task("{name}")
@dataclass
class Letters:
    n: int = 5

    def sample(self, rng, n):
        return rng.integers(self.n, size=(n, 17))
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """Return a folder with an installed plug-in, and with a plug-in package that is named."""
    site = tmp_path / "my_pkg-1.0.dist-info"
    for folder in (site, tmp_path / "my_pkg", tmp_path / "my_lab"):
        folder.mkdir()
    write(site / "METADATA", "Metadata-Version: 2.1\nName: my_pkg\nVersion: 1.0")
    write(site / "entry_points.txt", "[ablab.plugins]\nmy_pkg = my_pkg")
    write(tmp_path / "my_pkg" / "__init__.py", TASK.format(name="installed_task"))
    write(tmp_path / "my_lab" / "__init__.py", TASK.format(name="lab_task"))
    conf = tmp_path / "my_lab" / "conf"
    for group in ("task", "experiment"):
        (conf / group).mkdir(parents=True)
    write(conf / "task" / "lab_yaml.yaml", "kind: lab_task\nn: 7")
    experiment = """
    # @package _global_
    # Is one network better than another?
    defaults:
      - ffn
      - _self_
    code: ffn
    question: Is one network better than another?
    """
    write(conf / "experiment" / "lab_question.yaml", textwrap.dedent(experiment).strip())
    return tmp_path


@pytest.mark.slow
def test_tasks_and_questions_of_plug_ins_are_known(lab: Path) -> None:
    cases = [
        {"task": "installed_task"},
        {"task": "lab_yaml", "plugins": ["my_lab"]},
        {"task": "domains", "experiment": "lab_question", "plugins": ["my_lab"]},
        {"task": "lab_yaml"},
        {"task": "domains", "experiment": "lab_question"},
    ]
    script = f"""
import json, runner
results = []
for case in {cases!r}:
    plugins = case.pop("plugins", [])
    overrides = ["plan=only", *([f"plugins=[{{','.join(plugins)}}]"] if plugins else [])]
    try:
        runner.compare({{"relu": "ffn=relu", "gelu": "ffn=gelu"}}, group="ffn", n_seeds=1,
                       scale="smoke", overrides=overrides, **case)
        results.append("")
    except runner.ConfigError as error:
        results.append(str(error))
print("RESULT", json.dumps(results))
"""
    process = python(lab, str(write(lab / "go.py", script)))
    assert process.returncode == 0, process.stderr
    (line,) = [each for each in process.stdout.splitlines() if each.startswith("RESULT ")]
    *known, task, experiment = json.loads(line.removeprefix("RESULT "))
    assert known == ["", "", ""]
    assert task.startswith("task='lab_yaml': there is no such task")
    assert experiment.startswith("experiment='lab_question': there is no such experiment")
    assert not (lab / "outputs").exists()
