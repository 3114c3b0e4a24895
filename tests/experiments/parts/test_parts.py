"""Parts: one Python file adds one, planning needs no torch, and errors have hints."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from experiments.parts import PARTS, Cost, Part, load, part
from runner import registry
from runner.commands.redraw import redraw
from runner.config import ConfigError
from runner.plan import code_hash, moved_imports, option_folders
from tests.same_bits import OF_PAIRS, task_arm
from tests.support.environment import child_environment
from tests.support.guide import write_guide
from tests.support.tiny import TINY


def python(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


def results(folder: Path, experiment: str, arm: str) -> dict[str, float]:
    (path,) = folder.glob(f"outputs/{experiment}/trials/{arm}/seed-0/result.json")
    return {row["metric"]: row["value"] for row in json.loads(path.read_text())["results"]}


@pytest.mark.slow
def test_one_python_file_adds_a_part(tmp_path: Path):
    """A part needs no YAML file if its fields have defaults; it is composed, matched, trained."""
    write_guide(tmp_path, "lowrank.py")
    arms = [f"+arms.{name}=[{words}]" for name, words in ARMS.items()]
    chosen = (f"arm=[{','.join(ARMS)}]", "baseline=mine", "n_seeds=1")
    python("-m", "runner", *TINY, *chosen, *arms, "plugins=[lowrank]", cwd=tmp_path)
    d_model = 16
    for arm, d_ff in {"mine": 4, "wide": 8, "matched": 4}.items():
        values = results(tmp_path, "moe", arm)
        norms, attention = (2 + 1) * 2 * d_model, 4 * d_model**2
        assert values["cost/parameters"] == norms + attention + 2 * d_model * d_ff
        assert values["cost/active_parameters"] == values["cost/parameters"]
        assert values["cost/flops_per_token"] > 2 * (attention + 2 * d_model * d_ff)


ARMS = {
    "mine": '"ffn=lowrank","match.by=none"',
    "wide": '"ffn=lowrank","match.by=none","ffn.d_ff=8"',
    "matched": '"ffn=dense","match.by=params","match.to=mine"',
}


@pytest.mark.slow
def test_a_question_of_a_plug_in_is_computed_by_its_module(tmp_path: Path):
    write_guide(tmp_path, "my_lab/__init__.py", "my_lab/conf/experiment/simple.yaml")
    words = ("experiment=simple", "plugins=[my_lab]", "scale=smoke")
    arms = ('+arms.often=["options.n_looks=5"]', "arm=[mha,often]")
    headline = "headline=[{metric:simple/looks,label:looks,direction:less}]"
    python("-m", "runner", *words, *arms, headline, cwd=tmp_path)
    assert results(tmp_path, "simple", "often")["simple/looks"] == 5
    (run,) = tmp_path.glob("outputs/simple/runs/*")
    names = ("answer.json", "comparison.csv", "report.html")
    before = {name: (run / name).read_bytes() for name in names}
    (compared,) = re.findall(rb"(?m)^often,mha,simple/looks,.*$", before["comparison.csv"])
    assert compared.endswith(b",worse")
    # This process has not imported the plug-in: its declarations are in the run's records.
    assert "simple" not in registry.experiment_names()
    redraw([str(run)])
    assert {name: (run / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_every_option_is_planned_without_torch(tmp_path: Path):
    """Each option of each group is planned in a process in which torch cannot be imported."""
    (tmp_path / "text.txt").write_text("".join(f"{i} squared is {i * i}\n" for i in range(600)))
    np.random.default_rng(0).integers(90, size=20_000).astype(np.uint16).tofile(
        tmp_path / "tokens.bin"
    )
    commands = {}
    for group in registry.group_names():
        for name in sorted(option_folders.option_names(group)):
            words = task_arm(name) if group == "task" else [f"{group}={name}"]
            arm = json.dumps([*words, "match.by=none"])
            experiment = "translation" if name in OF_PAIRS else "ffn"
            experiment = "compare" if group == "language_model" else experiment
            commands[f"{group}={name}"] = [
                *(f"experiment={experiment}", f"+arms.x={arm}", "arm=x", "baseline=x"),
                *("scale=smoke", "~claims", "headline=[]", "outputs=outputs"),
            ]
    planned = python("-c", PLANS, json.dumps(commands), cwd=tmp_path).stdout.split()
    assert planned == list(commands)
    assert len(planned) > 20


PLANS = """
import builtins, json, sys

real = builtins.__import__

def without_torch(name, *more, **others):
    assert name.partition(".")[0] != "torch", "a plan imports torch"
    return real(name, *more, **others)

builtins.__import__ = without_torch
from hydra import compose, initialize_config_dir
from runner.plan import arguments, hydra_loader, option_folders, planning

hydra_loader.install_checked_loader()
with initialize_config_dir(str(option_folders.CONF), version_base="1.3"):
    for name, words in json.loads(sys.argv[1]).items():
        mended = arguments.check_arguments(words)
        (arm,) = planning.make_plan(compose("config", overrides=mended), mended).arms
        assert arm.code, arm
        assert "torch" not in sys.modules
        print(name)
"""


@pytest.mark.parametrize(
    ("group", "lacks", "said"),
    [
        ("fnn", "", "there is no such group; choose one of attention, ffn, norm"),
        ("ffn", "cost", "it has no cost"),
        ("ffn", "build", "it has no build"),
        ("ffn", "Part and build", r"it has no build; write def build\(self, d_model\)"),
    ],
)
def test_a_class_that_is_no_part_is_refused(group: str, lacks: str, said: str):
    base = object if "Part" in lacks else Part
    methods = {"cost": lambda *_: Cost(), "build": lambda *_: None}
    members = {name: method for name, method in methods.items() if name not in lacks}
    with pytest.raises(ValueError, match=rf"@part\('{group}', 'mine'\) on Mine: .*{said}"):
        part(group, "mine")(dataclass(type("Mine", (base,), members)))
    assert "mine" not in PARTS["ffn"]


def test_a_kind_that_is_taken_is_refused():
    load()

    @dataclass
    class Other(Part):
        kind: str

        def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
            return Cost()

        def build(self, d_model: int):  # noqa: ARG002
            return None

    with pytest.raises(ValueError, match=r"experiments\.parts\.ffn has this kind already"):
        part("ffn", "dense")(Other)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from experiments.config import option", "use `part` from experiments.parts"),
        ("from experiments.config.registering import option", "`question` from experiments"),
        ("from experiments.config.parts import Kernel", "`task` from experiments.tasks"),
        ("from experiments.cost import part_cost", "a part has a method `cost`"),
        ("from experiments.nn.build import builder", "a part has a method `build`"),
        ("from experiments.config.tasks import Waves", "`task` from experiments.tasks"),
        ("import experiments.tasks.build", "`build_task` of experiments.trial_setup"),
        ("from experiments import corpora", "options have `prepare`"),
        ("import experiments.corpora", "options have `prepare`"),
    ],
)
def test_an_old_decorator_names_the_new_form(tmp_path: Path, monkeypatch, line: str, said: str):
    name = f"old_{len(line)}"
    (tmp_path / f"{name}.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=said) as caught:
        moved_imports.load_plugins([name])
    assert len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)


def test_a_part_that_an_arm_does_not_use_is_not_behind_its_numbers():
    reached = code_hash.find_imported_modules(
        {"experiments.moe", "experiments.parts.ffn", code_hash.ENGINE_ENTRY}
    )
    others = {"experiments.parts.moe", "experiments.parts.attention", "experiments.nn.moe.mixture"}
    assert "experiments.nn.ffn" in reached
    assert not others & reached
    assert not {name for name in reached if name.startswith("experiments.estimates")}
