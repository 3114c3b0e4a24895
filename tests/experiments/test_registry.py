"""One name per experiment in all places, and the arms and seeds of each scale."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from experiments.tasks.text import Tokenizer
from runner import registry
from tests.support.environment import ROOT

EIGHT = {
    "compare",
    "head_analysis",
    "gqa_vs_mha",
    "ffn",
    "moe",
    "norm_stability",
    "translation",
    "flash_attention",
}
NO_QUESTION = {"__init__", "class_rules", "questions", "rules", "trial_setup"}


def stems(folder: Path, pattern: str) -> set[str]:
    return {path.stem for path in folder.glob(pattern)}


def test_the_same_eight_everywhere():
    modules = stems(ROOT / "experiments", "*.py")
    helpers = modules & NO_QUESTION
    tests = {name.removeprefix("test_") for name in stems(ROOT / "tests/experiments", "test_*.py")}
    assert set(registry.experiment_names()) == EIGHT
    assert stems(ROOT / "conf/experiment", "*.yaml") == EIGHT
    assert modules - helpers == EIGHT
    assert (
        tests
        - {"registry", "option_combinations", "diverged_trials", "metrics", "trial_setup"}
        - {"class_rules"}
        == EIGHT
    )
    assert stems(ROOT / "experiments/metrics", "*.py") - {"__init__"} == EIGHT


HAS_DEFAULT = {"Text.tokenizer", "Text.vocabulary"}
"""Keys that a user's own YAML file of task=text may lack: bytes were the only tokens at first."""


def test_no_option_has_a_silent_default():
    schemas = [*registry.kinds("model").values(), *registry.all_options()]
    schemas += [
        schema for group in registry.group_names() for schema in registry.kinds(group).values()
    ]
    for schema in schemas:
        for field in dataclasses.fields(schema):
            defaults = (field.default, field.default_factory)
            if f"{schema.__name__}.{field.name}" in HAS_DEFAULT:
                assert defaults[0] in (Tokenizer.bytes, None)  # the data of bytes, as always
                continue
            assert defaults == (dataclasses.MISSING,) * 2, f"{schema.__name__}.{field.name}"


@pytest.mark.parametrize("name", sorted(EIGHT))
def test_an_experiment_says_what_it_asks_and_what_each_scale_takes(name: str):
    experiment = ROOT / "conf/experiment" / f"{name}.yaml"
    text = experiment.read_text()
    assert text.startswith("# @package _global_\n# ")
    assert f"python -m runner experiment={name}" in text.split("defaults:")[0]
    options = yaml.safe_load(text)
    assert options["question"].endswith("?")
    assert options["experiment"] == name
    assert options["baseline"] in options["arms"]
    for scale in ("smoke", "quick", "full"):
        preset = yaml.safe_load((ROOT / "conf/preset" / f"{name}_{scale}.yaml").read_text())
        assert preset["duration"], scale
        assert preset["n_seeds"] >= 1
        assert set(preset.get("arm", [])) <= set(options["arms"])


@pytest.mark.parametrize("path", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_config_file_opens_with_what_it_is(path: Path):
    lines = [x for x in path.read_text().splitlines() if x != "# @package _global_"]
    assert lines[0].startswith("# ")
    if path.parent.name != "preset":
        head = "\n".join(lines[: next(i for i, x in enumerate(lines) if not x.startswith("#"))])
        assert "python -m runner" in head, f"{path.name} does not say how to use it"
