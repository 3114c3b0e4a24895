"""A figure's YAML is checked before anything runs."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runner.figures import kinds
from runner.figures.kinds import KINDS, read_figure
from runner.figures.templates import select_metric_rows
from runner.metric_names import fill_template, placeholders

MATRIX = {"kind": "matrix", "table": "a", "metric": "w", "x": "key", "y": "query"}


LONGEST_MESSAGE = 300  # the length of every error


def test_every_kind_has_a_file_of_its_own() -> None:
    files = {path.stem for path in Path(kinds.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(KINDS)
    assert {cls.__module__.rpartition(".")[2]: cls for cls in KINDS.values()} == KINDS


def test_a_number_that_64_bits_may_not_hold_stays_text():
    long = "9" * 20
    metrics = [f"a/{long}", "a/7"]
    rows = pd.DataFrame({"arm": "m", "seed": 0, "metric": metrics, "value": 1.0})
    assert list(select_metric_rows(rows, "a/{label}", ["m"])["label"]) == [long, "7"]
    assert list(select_metric_rows(rows[1:], "a/{label}", ["m"])["label"]) == [7]


def test_templates_become_columns() -> None:
    metrics = [f"a/layer{i}/{kind}/expert{j}" for i in (0, 10, 9) for kind in "xy" for j in (2, 1)]
    rows = pd.DataFrame({"arm": "m", "seed": 0, "metric": [*metrics, "a/layer1"], "value": 1.0})
    selected = select_metric_rows(rows, "a/layer{layer}/{kind}/expert{expert}", ["m"])
    assert len(selected) == 12
    assert set(selected["layer"]) == {0, 9, 10}
    assert set(selected["kind"]) == {"x", "y"}


def test_a_template_takes_no_regular_expressions() -> None:
    rows = pd.DataFrame({"arm": "m", "seed": 0, "metric": ["a.b", "axb"], "value": 1.0})
    assert list(select_metric_rows(rows, "a.b", ["m"])["metric"]) == ["a.b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"kind": "donut", "metric": "a"},
            "kind=donut: there is no such kind; there are: bars, curve, ",
        ),
        ({"kind": "curv", "metric": "a"}, "kind=curv: there is no such kind; did you mean curve"),
        ({"kind": ["curve"], "metric": "a"}, "there is no such kind"),
        ({"metric": "a"}, "missing key kind, one of curve, lines, "),
        ({"kind": "curve"}, "missing key metric"),
        ({"kind": "curve", "metric": None}, "missing key metric"),
        ({"kind": "curve", "metric": 3}, "must be text"),
        ({"kind": "curve", "metric": "a/{b}"}, "would be averaged over"),
        ({"kind": "curve", "metric": "a/{b}", "x": "b"}, "no key 'x'; .* hue, "),
        ({"kind": "curve", "metric": "a", "reference": "high"}, "must be a number"),
        ({"kind": "curve", "metric": "a", "arms": "dense"}, "must be a list"),
        ({"kind": "curve", "metric": "a", "hue": "b"}, "not placeholders"),
        ({"kind": "curve", "metric": "a", "log": "z"}, "must be one of"),
        ({"kind": "heatmap", "metric": "a/{b}", "x": "b"}, "missing key y"),
        ({"kind": "heatmap", "metric": "a/{b}", "x": "b", "y": "arm", "log": "x"}, "one of"),
        ({"kind": "scatter", "metric": "a"}, "missing key x"),
        ({"kind": "lines", "metric": "a/{b}"}, "missing key x"),
        ({"kind": "lines", "metric": "a", "x": "step"}, "not placeholders"),
        ({"kind": "bars", "metric": "a", "seeds": "last"}, "one of mean, first"),
        ({"kind": "bars", "metric": "a", "rank": True}, "rank=True needs x"),
        ({"kind": "bars", "metric": "a/{b}", "x": "b", "rank": "yes"}, "must be true or false"),
        ({"kind": "matrix", "metric": "w", "x": "key", "y": "query"}, "missing key table"),
        ({**MATRIX, "arms": ["a", "b"]}, "needs panel: .arm."),
        ({**MATRIX, "panel_metrics": {"H": "a/layer{layer}"}}, "not in panel"),
        ({**MATRIX, "panel_metrics": ["H"]}, "must be a mapping"),
        ({"kind": "profile", "axes": {"a": "x"}}, "at least two axes"),
        (
            {"kind": "profile", "axes": {"a": "x/{i}", "b": "y/{i}", "c": "z/{i}"}},
            "would be averaged over",
        ),
        (
            {"kind": "profile", "hue": "i", "axes": {"a": "x/{i}", "b": "y/{i}", "c": "z"}},
            "not place",
        ),
        ({"kind": "samples", "table": "s"}, "missing key columns"),
        ({"kind": "samples", "table": "s", "columns": ["a"], "rows": 0}, "at least 1"),
        ({"kind": "samples", "table": "s", "columns": ["a"], "rows": 1.5}, "whole number"),
        ({"kind": "samples", "table": "s", "columns": ["a"], "rows": True}, "whole number"),
        ({"kind": "samples", "table": "s", "columns": ["a"], "metric": "m"}, "no key .metric."),
        (
            {"kind": "curve", "metric": "a", "colour": "red"},
            "no key 'colour'; there are: arms, caption, hue, kind, ",
        ),
        (
            {"kind": "curve", "metric": "a", "y_lable": "red"},
            "no key 'y_lable'; did you mean y_label",
        ),
        ({"kind": "profile", "log": "x", "axes": {"a": "x"}}, "no key 'log'"),
        ({"kind": "curve", "metric": "a", 3: 4}, "no key 3"),
        ({"kind": "curve", "metric": "a", "hoe": None}, "no key 'hoe'; did you mean hue"),
        ({"kind": "curve", "metric": "a/{b}/{c}/{d}", "panel": ["b", "c", "d"]}, "more than two"),
    ],
)
def test_a_wrong_figure_says_what_is_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^figures.mine.*{message}") as caught:
        read_figure("mine", {"title": "t", **options})
    assert len(str(caught.value)) <= LONGEST_MESSAGE


def test_an_error_about_a_figure_is_short_whatever_it_is_about() -> None:
    name, long = "n" * 80, "x" * 5000
    for kind in KINDS:
        with pytest.raises(ValueError, match="there is no key") as caught:
            read_figure(name, {"kind": kind, "title": "t", long: 1})
        assert len(str(caught.value)) <= LONGEST_MESSAGE + len(name)
    for options in ({"kind": long}, {"kind": "curve", "title": "t", "metric": "a", "log": long}):
        with pytest.raises(ValueError, match=name) as caught:
            read_figure(name, options)
        assert len(str(caught.value)) <= LONGEST_MESSAGE + len(name)


def test_a_kind_of_an_earlier_version_is_still_read() -> None:
    axes = {"a": "x", "b": "y"}
    former = read_figure("f", {"kind": "radar", "title": "t", "axes": axes})
    assert former == read_figure("f", {"kind": "profile", "title": "t", "axes": axes})


def test_a_key_without_a_value_is_as_if_it_were_absent() -> None:
    plain = {"kind": "curve", "title": "t", "metric": "a"}
    assert read_figure("f", plain | {"hue": None, "panel": None, "x": None}) == read_figure(
        "f", plain
    )


def test_reading_figures_imports_no_matplotlib() -> None:
    code = (
        "import sys, runner.plan.planning\n"
        "from runner.figures.kinds import read_figure\n"
        "read_figure('f', {'kind': 'curve', 'title': 't', 'metric': 'a'})\n"
        "print([name for name in sys.modules if name.startswith('matplotlib')])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_template_is_filled_with_what_is_known() -> None:
    assert placeholders("a/layer{layer}/{kind}") == ["layer", "kind"]
    assert fill_template("a/layer{layer}/{kind}", {"layer": 3}) == "a/layer3/{kind}"
