"""The work of a report on many trials: how often records are read, and how curves are parsed."""

import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from runner.figures import draw
from runner.figures.data import Records
from runner.figures.kinds.curve import Curve
from runner.records import schemas
from runner.records.arm_folders import write_signature
from runner.records.store import Slot, Store
from runner.report import collection, records_archive
from runner.study.entries import list_trials

LINES = [
    *("0,a,1.5", "1,b,nan", "2,a,-inf", "3,é,1e3", "4,a\u2028b,2", "01,a,0.5", "12,nan,1"),
    *("-1,a,2", "5,a,", '6,"q,x",1', "7,a,1,2", "", " ", "8, a ,1", "9,a, 1", "+1,a,1", "10,,1"),
    *("11,a,1_0", "1.0,a,1", "15,a,x", "17,a,1\r", "18,\x0b,4", "20,#,1", "²,a,1"),
]
"""Lines of curves: the first row is plain, the others are unusual or wrong."""


def test_plain_curves_have_the_values_that_pandas_reads() -> None:
    draw_lines = random.Random(0)
    n_plain = 0
    for _ in range(300):
        lines = draw_lines.choices(LINES[:7] if draw_lines.random() < 0.5 else LINES, k=3)
        content = "\n".join(["step,metric,value", *lines, ""]).encode()
        columns = records_archive.split_plain_curves(content)
        if columns is None:
            continue
        n_plain += 1
        frame = records_archive.parse_curves(content)
        assert repr(columns) == repr(tuple(frame[name].tolist() for name in frame.columns))
    assert n_plain > 100


def test_curves_with_and_without_quotes_are_one_frame() -> None:
    curves = records_archive.CurveColumns()
    curves.add("a", 0, b"step,metric,value\n0,x,1.5\n")
    curves.add("b", 1, b'step,metric,value\n0,"x,y",2\n1,x,nan\n')
    frame = curves.to_frame()
    assert list(frame.columns) == records_archive.HISTORY_COLUMNS
    assert frame["arm"].tolist() == ["a", "b", "b"]
    assert frame["metric"].tolist() == ["x", "x,y", "x"]
    assert frame["step"].dtype == "int64"
    assert frame["value"].dtype == "float64"


def test_each_finished_trial_is_read_once_for_the_plan_and_once_for_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = [SimpleNamespace(name=name, signature=name * 16, code="c") for name in "ab"]
    store = Store(tmp_path, "moe")
    for arm in arms:
        for seed in range(3):
            slot = store.slot(arm.name, arm.signature, seed)
            slot.folder.mkdir(parents=True)
            slot.write_result({"code": "c", "results": []})
            slot.write_status("done")
        write_signature(slot.arm_folder, arm.signature)
    plan: Any = SimpleNamespace(
        outputs=tmp_path,
        experiment="moe",
        seeds=range(3),
        arms=arms,
        notes=[],
        study=SimpleNamespace(reuse="strict"),
    )
    reads: Counter[Path] = Counter()
    read_records = Slot.read_records

    def count_read(slot: Slot) -> Any:
        reads[slot.folder] += 1
        return read_records(slot)

    monkeypatch.setattr(Slot, "read_records", count_read)
    entries = list_trials(plan)
    assert all(entry.reused for entry in entries)
    assert set(reads.values()) == {1}
    collection.snapshot_trials(entries)
    assert len(reads) == 6
    assert set(reads.values()) == {2}


def test_a_result_is_checked_once_and_again_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Any] = []
    is_result = schemas.is_result
    monkeypatch.setattr(schemas, "is_result", lambda one: checked.append(one) or is_result(one))
    slot = Slot(tmp_path)

    def write(value: float | None) -> None:
        rows = [{"metric": "m", "unit": "1", "value": value}]
        slot.write_result({"code": "c", "results": rows})
        slot.write_status("done")

    def read() -> float:
        result = slot.result()
        assert result is not None
        return float(result["results"][0]["value"])

    write(0.123456)  # a value of no other test: equal results are checked once in a process
    assert [read(), read()] == [0.123456] * 2
    assert len(checked) == 1
    write(None)
    assert str(read()) == "nan"
    assert len(checked) == 2


def test_each_figure_is_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.figures.sheet import start_sheet  # imports matplotlib

    laid_out: list[Any] = []
    monkeypatch.setattr(draw, "arrange", laid_out.append)
    figure: Any = SimpleNamespace(is_picture=True, draw=lambda _: start_sheet("title", [], [1.0]))
    records: Any = None
    pictures, _, warnings = draw.draw_all({"one": figure, "two": figure}, records)
    assert not warnings
    assert [*pictures] == ["one", "two"]
    assert len(laid_out) == 2


@pytest.mark.parametrize(("n_seeds", "alpha"), [(4, 0.28), (16, 0.28), (64, 0.07)])
def test_thin_lines_of_many_seeds_are_paler(n_seeds: int, alpha: float) -> None:
    history = pd.DataFrame(
        [
            {"arm": "a", "seed": seed, "step": step, "metric": "m", "value": float(seed + step)}
            for seed in range(n_seeds)
            for step in range(20)
        ]
    )
    results = pd.DataFrame(columns=["arm", "seed", "metric", "value", "unit"])
    sheet = Curve(title="t", caption="c", metric="m").draw(Records(results, history, ["a"]))
    thin = [line for line in sheet.panels[0].axes.lines if line.get_linewidth() < 1]
    assert [line.get_alpha() for line in thin] == [pytest.approx(alpha)]
