"""What a YAML says of a figure is checked before anything runs."""

from typing import Any

import pandas as pd
import pytest

from runner.figures.draw import DRAWN
from runner.figures.rules import KINDS
from runner.figures.spec import figure_spec
from runner.figures.templates import select
from runner.metric_names import fill, placeholders

MATRIX = {"kind": "matrix", "table": "a", "metric": "w", "x": "key", "y": "query"}


def test_every_kind_can_be_drawn() -> None:
    assert {*DRAWN, "samples"} == set(KINDS)


def test_a_number_that_64_bits_may_not_hold_stays_text():
    long = "9" * 20
    metrics = [f"a/{long}", "a/7"]
    rows = pd.DataFrame({"arm": "m", "seed": 0, "metric": metrics, "value": 1.0})
    assert list(select(rows, "a/{label}", ["m"])["label"]) == [long, "7"]
    assert list(select(rows[1:], "a/{label}", ["m"])["label"]) == [7]


def test_templates_become_columns() -> None:
    metrics = [f"a/layer{i}/{kind}/expert{j}" for i in (0, 10, 9) for kind in "xy" for j in (2, 1)]
    rows = pd.DataFrame({"arm": "m", "seed": 0, "metric": [*metrics, "a/layer1"], "value": 1.0})
    found = select(rows, "a/layer{layer}/{kind}/expert{expert}", ["m"])
    assert len(found) == 12
    assert set(found["layer"]) == {0, 9, 10}
    assert set(found["kind"]) == {"x", "y"}


def test_a_template_takes_no_regular_expressions() -> None:
    rows = pd.DataFrame({"arm": "m", "seed": 0, "metric": ["a.b", "axb"], "value": 1.0})
    assert list(select(rows, "a.b", ["m"])["metric"]) == ["a.b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "pie", "metric": "a"}, "is none of"),
        ({"kind": "curve"}, "needs the key metric"),
        ({"kind": "curve", "metric": 3}, "must be text"),
        ({"kind": "curve", "metric": "a/{b}"}, "averaged away"),
        ({"kind": "curve", "metric": "a/{b}", "x": "b"}, "does not use .'x'."),
        ({"kind": "curve", "metric": "a", "reference": "high"}, "must be a number"),
        ({"kind": "curve", "metric": "a", "arms": "dense"}, "must be a list"),
        ({"kind": "curve", "metric": "a", "hue": "b"}, "not placeholders"),
        ({"kind": "curve", "metric": "a", "log": "z"}, "must be one of"),
        ({"kind": "heatmap", "metric": "a/{b}", "x": "b"}, "needs the key y"),
        ({"kind": "heatmap", "metric": "a/{b}", "x": "b", "y": "arm", "log": "x"}, "one of"),
        ({"kind": "scatter", "metric": "a"}, "needs the key x"),
        ({"kind": "lines", "metric": "a/{b}"}, "needs the key x"),
        ({"kind": "lines", "metric": "a", "x": "step"}, "not placeholders"),
        ({"kind": "bars", "metric": "a", "seeds": "last"}, "mean or first"),
        ({"kind": "matrix", "metric": "w", "x": "key", "y": "query"}, "needs the key table"),
        ({**MATRIX, "arms": ["a", "b"]}, "needs panel: .arm."),
        ({**MATRIX, "panel_metrics": {"H": "a/layer{layer}"}}, "not in panel"),
        ({**MATRIX, "panel_metrics": ["H"]}, "must map"),
        ({"kind": "radar", "axes": {"a": "x", "b": "y"}}, "three axes"),
        ({"kind": "radar", "axes": {"a": "x/{i}", "b": "y/{i}", "c": "z/{i}"}}, "averaged away"),
        (
            {"kind": "radar", "hue": "i", "axes": {"a": "x/{i}", "b": "y/{i}", "c": "z"}},
            "not place",
        ),
        ({"kind": "samples", "table": "s"}, "needs the key columns"),
        ({"kind": "samples", "table": "s", "columns": ["a"], "rows": 0}, "at least 1"),
        ({"kind": "samples", "table": "s", "columns": ["a"], "metric": "m"}, "does not use"),
        ({"kind": "curve", "metric": "a", "colour": "red"}, "unknown figure keys"),
        ({"kind": "curve", "metric": "a/{b}/{c}/{d}", "panel": ["b", "c", "d"]}, "more than two"),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figure_spec({"title": "t", **options})


def test_every_key_that_kinds_name_is_a_key() -> None:
    for shape in KINDS.values():
        assert {*shape.needs, *shape.uses} <= set(figure_spec({**MATRIX, "title": "t"}).__dict__)


def test_a_template_is_filled_with_what_is_known() -> None:
    assert placeholders("a/layer{layer}/{kind}") == ["layer", "kind"]
    assert fill("a/layer{layer}/{kind}", {"layer": 3}) == "a/layer3/{kind}"
