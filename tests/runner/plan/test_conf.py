"""conf/ reads in one look: short lines and files; each claim and figure stands in one place."""

from collections import Counter
from pathlib import Path

import pytest
import yaml

from runner import registry
from runner.plan.option_folders import CONF

WIDEST = 140
LONGEST = {"experiment": 90, "preset": 40}
ONCE = {
    "claims": ("statement", "kind", "direction", "source", "published"),
    "figures": ("kind", "metric", "table", "title", "caption"),
}
FILES = sorted(CONF.rglob("*.yaml"))


def content(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_a_file_is_read_in_one_look(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > WIDEST] == []
    assert len(lines) <= LONGEST.get(path.parent.name, len(lines))


@pytest.mark.parametrize("key", ONCE)
def test_every_question_has_one_file(key: str):
    assert {path.stem for path in (CONF / key).glob("*.yaml")} == set(registry.experiment_names())


@pytest.mark.parametrize("key", ONCE)
def test_a_claim_or_figure_stands_in_its_questions_file_alone(key: str):
    homes = {path.stem: content(path) for path in (CONF / key).glob("*.yaml")}
    for question, whole in homes.items():
        for name, written in whole.items():
            assert written["kind"], f"{question}: {name} says what it is"
    if key == "claims":  # figures of several questions have the same name, e.g. loss
        ids = Counter(name for whole in homes.values() for name in whole)
        assert set(ids.values()) == {1}
    for folder in ("experiment", "preset"):
        for path in (CONF / folder).glob("*.yaml"):
            question = path.stem if folder == "experiment" else path.stem.rpartition("_")[0]
            for name, changes in content(path).get(key, {}).items():
                assert name in homes[question], f"{path.name}: {name} has no home"
                assert not {*changes} & {*ONCE[key]} - {"metric"}, f"{path.name}: {name}"
                same = [k for k, value in changes.items() if homes[question][name].get(k) == value]
                assert same == [], f"{path.name}: {name} repeats {same}"


def test_no_line_of_yaml_is_written_twice_among_options_of_a_group():
    for path in (CONF / "ffn").glob("*.yaml"):
        defaults = content(path).pop("defaults", None)
        for base in (name for name in defaults or () if name != "_self_"):
            whole, own = content(path.with_name(f"{base}.yaml")), content(path)
            assert [key for key in own if key in whole and own[key] == whole[key]] == [], path
