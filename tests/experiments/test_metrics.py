"""Each published metric has a complete declaration, and docs/metrics.md contains it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from experiments.estimates.expected_metrics import ExpectedMetrics
from experiments.metrics import METRICS
from runner import registry
from runner.metric_names import (
    STEP_ALONE,
    TEXTS,
    Metric,
    find_metric,
    has_exchangeable_part,
    metric_label,
)
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
OF_PLUGINS = {"time", "cost", "task"}
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
    unused = {name for name, metric in OURS.items() if id(metric) not in used}
    assert unused == {*OF_PLUGINS, STEP_ALONE}  # step times are measured after the trials


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


@pytest.mark.parametrize("name", OURS)
def test_a_label_is_a_few_plain_words(name: str):
    label = OURS[name].label
    assert 1 <= len(label.split()) <= 8
    assert not re.search(r"[/_{}.]", label), label
    assert label == label.strip()
    acronyms = ("(RMS)", "KV", "FLOPs", "(MaxVio)", "(chrF)")
    assert not [word for word in label.split() if word != word.lower() and word not in acronyms]


def test_a_recorded_metric_is_named_in_words():
    for name in RECORDED:
        label = metric_label(name.replace("*", "3"), OURS)
        assert label != name
        assert not re.search(r"[/_{}*]", label), f"{name}: {label}"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("val/loss", "held-out loss"),
        ("moe/load/layer0/expert3", "share of assignments, layer 0, expert 3"),
        ("moe/load/layer{layer}/expert{expert}", "share of assignments, by layer and expert"),
        ("moe/load/layer0/expert{expert}", "share of assignments, layer 0, by expert"),
        (
            "norm/grad_last/depth{depth}",
            "gradient norm of the last layer before training, by depth",
        ),
        ("norm/grad/depth8/layer{layer}", "gradient norm before training, depth 8, by layer"),
        ("flash/error_grad_q/length512", "largest error of a gradient, q, length 512"),
        ("flash/error_grad_{input}", "largest error of a gradient, by input"),
        ("heads/planted_initial/long_range", f"initial {OURS['heads/planted'].label}, long range"),
        (
            "heads/offset_periodic_spread_initial",
            f"initial spread over heads: {OURS['heads/offset_*'].label}, periodic",
        ),
        ("heads/entropy/layer1/uniform", "entropy of uniform attention, layer 1"),
        (
            "heads/previous/layer1/uniform",
            f"under uniform attention: {OURS['heads/previous'].label}, layer 1",
        ),
        ("ffn/mine_init", "initial mine"),
        (
            "translation/exact_match_digits/6",
            f"{OURS['translation/exact_match_digits'].label}, 6 digits",
        ),
        ("mine/score", "mine/score"),
        ("time/mine", "time, mine"),
    ],
)
def test_a_label_has_the_rest_of_a_finer_name(name: str, label: str):
    assert metric_label(name, OURS) == label


def test_without_a_label_the_declared_name_takes_its_place():
    assert metric_label("mine/score/layer2", {"mine/score": Metric()}) == "mine/score, layer 2"


def test_limits_are_in_order():
    for name, metric in OURS.items():
        assert metric.lowest < metric.highest, name
        if metric.unit == "1" and metric.label.startswith("share"):
            assert (metric.lowest, metric.highest) == (0, 1), name


def test_recorded_values_lie_within_the_limits(finished_outputs: Path):  # noqa: F811
    (run,) = (finished_outputs / "moe" / "runs").iterdir()
    results = pd.read_csv(run / "results.csv")
    assert len(results) > 50
    for row in results.itertuples():
        metric = find_metric(str(row.metric), OURS)
        assert metric is not None
        assert metric.lowest <= row.value <= metric.highest, row


def test_exchangeable_metrics_are_those_with_experts_or_heads():
    for stem in ("expert", "head"):
        numbered = {id(declared(name)) for name in RECORDED if re.search(rf"/{stem}\*(/|$)", name)}
        assert {id(metric) for metric in OURS.values() if metric.exchangeable == stem} == numbered
    expert = find_metric("moe/load/layer0/expert3", OURS)
    assert expert is not None
    assert has_exchangeable_part("moe/load/layer0/expert3", expert)
    assert not has_exchangeable_part("moe/load/layer0", expert)


def headlines() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each headline of an experiment or a preset, with the name of its file."""
    for path in CONF.rglob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for headline in content.get("headline") or []:
            yield path.name, headline


def test_a_headline_has_the_words_of_the_declared_label():
    labels = [(file, each["metric"], each["label"]) for file, each in headlines()]
    assert len(labels) > 15
    for file, name, label in labels:
        declaration = declared(name)
        assert declaration is not None
        words = {word.strip(",") for word in label.split()}
        assert {*declaration.label.split()} <= words, f"{file}: {label}: {declaration.label}"


def test_a_question_of_yes_or_no_names_the_arm_that_it_asks_about():
    for path in (CONF / "experiment").glob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        asks_yes_or_no = re.match(r"(Is|Are|Does|Do) ", content["question"])
        subjects = [each for each in content["headline"] if "subject" in each]
        assert bool(asks_yes_or_no) == bool(subjects), path.name


def test_a_text_decides_nothing():
    assert Metric(meaning="One.", unit="1", formula="x", source="y", better="less") == Metric()
    with pytest.raises(ValueError, match="must be less, greater or empty"):
        Metric(better="more")  # type: ignore[arg-type]
    assert registry.metric("val/loss") is ENGINE_METRICS["val/loss"]
