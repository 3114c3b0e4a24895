"""Each published metric has a complete declaration, and docs/metrics.md contains it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.estimates.expected_metrics import ExpectedMetrics
from experiments.metrics import METRICS
from runner import registry
from runner.metric_names import TEXTS, Metric, find_metric
from runner.plan.option_folders import CONF
from runner.trial.metrics import ENGINE_METRICS
from tests import metrics_page
from tests.metrics_page import questions, recorded
from tests.support.finished_study import finished_outputs, finished_study_folder  # noqa: F401 (fixtures)
from tests.support.units import check_units

OURS = {name: metric for *_, owned in metrics_page.owners() for name, metric in owned.items()}
LOGGED = ["train/loss", "train/aux_loss", "train/grad_norm", "train/lr", "norm/grad/layer*"]
"""Curves that have no final value."""
RECORDED = [*LOGGED, *dict.fromkeys(name for each in questions() for name in recorded(each))]
OF_PLUGINS = {"time", "cost"}
COUNTED = {"norm/diverged", "time"}
"""Metrics without a formula that are not deterministic counts."""
MANY = dict.fromkeys(("layer", "head", "expert"), 10**9)
PREFIXES = "|".join({name.partition("/")[0] for name in OURS})


def declared(name: str) -> Metric | None:
    """Return the declaration of a name; `*` in it becomes a number, as in the names of trials."""
    return find_metric(name.replace("*", "0"), OURS)


def named(content: Any) -> Iterator[str]:
    """Yield the metrics and templates in a YAML file: strings that begin like a metric's name."""
    if isinstance(content, dict):
        content = [*content.keys(), *content.values()]
    if isinstance(content, list):
        for each in content:
            yield from named(each)
    elif isinstance(content, str) and re.fullmatch(rf"({PREFIXES})/[\w/{{}}]+", content):
        yield content


IN_CONF = sorted(
    {
        (path.name, metric)
        for path in CONF.rglob("*.yaml")
        for metric in named(yaml.safe_load(path.read_text(encoding="utf-8")))
    }
)


def test_the_page_is_what_the_declarations_give():
    page = metrics_page.PAGE.read_text(encoding="utf-8")
    assert page == metrics_page.text(), "run python -m tests.metrics_page"


def test_the_page_shows_all_declarations_of_ours():
    assert {**METRICS, **ENGINE_METRICS}.items() >= OURS.items()
    others = {name for name in METRICS if name not in OURS}
    owners = {name.partition("/")[0] for name in OURS}
    assert not {name for name in others if name.partition("/")[0] in owners}


@pytest.mark.parametrize("name", OURS)
def test_a_declaration_says_what_a_reader_needs(name: str):
    metric = OURS[name]
    assert metric.meaning.endswith(".")
    for sentence in re.split(r"(?<=\.) (?=[A-Z])", metric.meaning):
        assert len(sentence.split()) <= 25, sentence
    assert metric.unit
    assert metric.formula or metric.deterministic or name in COUNTED
    texts = [text for text in (getattr(metric, name) for name in TEXTS) if isinstance(text, str)]
    assert texts == [text.strip() for text in texts]


def test_every_recorded_name_is_declared():
    assert len(RECORDED) > 100
    assert [name for name in RECORDED if declared(name) is None] == []


def test_no_declaration_is_unused():
    used = {id(declared(name)) for name in RECORDED}
    assert {name for name, metric in OURS.items() if id(metric) not in used} == OF_PLUGINS


def test_metrics_of_claims_headlines_and_figures_are_declared():
    assert len(IN_CONF) > 60
    for file, metric in IN_CONF:
        meant = [name for name in RECORDED if ExpectedMetrics((name,), MANY).may_match(metric)]
        assert meant, f"{file}: nothing records {metric}"
        assert None not in map(declared, meant), f"{file}: {metric}"


def test_headlines_and_declarations_agree_on_what_is_better():
    for path in (CONF / "experiment").glob("*.yaml"):
        for headline in yaml.safe_load(path.read_text(encoding="utf-8"))["headline"]:
            metric = declared(headline["metric"])
            assert metric is not None
            assert (metric.better or "none") == headline["direction"], headline["metric"]


def test_a_finished_study_records_declared_units(finished_outputs: Path):  # noqa: F811
    files = list(finished_outputs.rglob("result.json"))
    assert len(files) == 2
    for file in files:
        rows = json.loads(file.read_text(encoding="utf-8"))["results"]
        assert rows
        check_units((row["metric"], row["unit"]) for row in rows)


def test_a_text_decides_nothing():
    assert Metric(meaning="One.", unit="1", formula="x", source="y", better="less") == Metric()
    with pytest.raises(ValueError, match="must be less, greater or empty"):
        Metric(better="more")  # type: ignore[arg-type]
    assert registry.metric("val/loss") is ENGINE_METRICS["val/loss"]
