"""The TensorBoard data of a run, read back with TensorBoard's own application and reader."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runner.metric_names import Metric
from runner.report.dashboard import curve_tag, select_arms, write_dashboard
from runner.report.hparams_table import arm_hparams
from runner.report.study_record import StudyRecord
from runner.stats.comparison import summarise_arms
from runner.stats.intervals import mean_interval
from tests.support.sample_study import ARMS, make_study
from tests.support.tensorboard_app import TensorBoardApp

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080600000"
    + "01f15c4890000000049454e44ae426082"
)
LOSS = "1 headlines/1 val/loss"
METRICS = ("val/loss", "moe/load_max_violation")
NAMES = ("moe/x/10", "moe/x/2", "train/loss")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "tb"
    write_dashboard(folder, make_study(), texts={"answer": "**yes**: 日本語"}, images={"loss": PNG})
    return folder


@pytest.fixture(scope="module")
def app(folder: Path) -> TensorBoardApp:
    return TensorBoardApp(folder)


def read(folder: Path) -> Any:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def table_tags(*parts: str) -> list[str]:
    return [f"~ HParams/{metric} {part}" for metric in METRICS for part in parts]


def with_many_arms(n: int) -> StudyRecord:
    """The sample study with copies of the arm `moe_top2` under other names, before `dense`."""
    study = make_study(figures={})
    few = {key: getattr(study, key).query("seed < 2") for key in ("results", "history", "trials")}
    few |= {key: few[key].query("metric == 'val/loss'") for key in ("results", "history")}
    names = [f"arm{number}" for number in range(n - len(ARMS))]
    rows = {
        key: pd.concat(
            [
                frame,
                *(frame[frame["arm"] == "moe_top2"].assign(arm=name) for name in names),
            ]
        )
        for key, frame in few.items()
    }
    hparams = {name: study.hparams["moe_top2"] | {"ffn.width": name} for name in names}
    arms = {name: ["ffn=moe"] for name in names} | study.arms
    changed: StudyRecord = replace(study, **rows, hparams=study.hparams | hparams, arms=arms)
    return changed


def test_a_run_per_arm_and_one_for_the_study(app: TensorBoardApp) -> None:
    assert app.runs() == sorted([".", *ARMS])


def test_curves_are_means_with_t_intervals(folder: Path) -> None:
    arm, study = read(folder / "moe_top2"), make_study()
    rows = study.history.query("arm == 'moe_top2' and metric == 'val/loss' and step == 150")
    expected = mean_interval(rows["value"])
    for tag, value in (
        (LOSS, expected.mean),
        ("~ bands/val/loss low", expected.low),
        ("~ bands/val/loss high", expected.high),
    ):
        found = [point.value for point in arm.Scalars(tag) if point.step == 150]
        assert found == pytest.approx([value], rel=1e-6)


def test_steps_that_only_one_seed_reached_have_no_band(tmp_path: Path) -> None:
    study = make_study()
    history = study.history[(study.history["step"] < 200) | (study.history["seed"] == 0)]
    write_dashboard(tmp_path, replace(study, history=history), texts={}, images={})
    assert max(p.step for p in read(tmp_path / "dense").Scalars(LOSS)) < 200


def test_every_margin_chart_names_tags_that_exist(app: TensorBoardApp) -> None:
    tags = {tag for arm in ARMS for tag in app.tags()[arm]}
    layout = app.layout()
    series = [s for charts in layout.values() for c in charts for s in c["margin"]["series"]]
    assert LOSS in {s["value"] for s in series}
    assert {tag for s in series for tag in (s["value"], s["lower"], s["upper"])} <= tags
    assert layout["headlines"][-1]["title"] == "validation loss (val/loss)"


def test_headlines_come_first_in_every_tab() -> None:
    """Time Series sorts tags, digits first; Custom Scalars keeps the order of the layout."""
    study = make_study()
    names = ["val/loss", "moe/load_max_violation", "moe/entropy", "train/loss", "val/other"]
    tags = [curve_tag(study, name) for name in names]
    assert tags == [
        *(LOSS, "3 claims/2 moe/load_max_violation"),
        *("moe/entropy", "5 train/loss", "4 val/other"),
    ]
    first, *rest = sorted([*tags, "2 figures/1 loss", "~ HParams/x", "~ bands/x"])
    assert first == LOSS
    assert rest[0] == "2 figures/1 loss"
    assert [tag[0] for tag in rest[-2:]] == ["~", "~"]


def test_categories_of_bands_have_the_order_of_the_charts(tmp_path: Path) -> None:
    study = make_study(figures={})
    rows = study.history[study.history["metric"] == "val/loss"]
    history = [rows.assign(metric=name) for name in (*NAMES, *METRICS)]
    write_dashboard(tmp_path, replace(study, history=pd.concat(history)), texts={}, images={})
    layout = TensorBoardApp(tmp_path).layout()
    assert list(layout) == ["headlines", "claims", "train", "moe"]
    # TensorBoard shows the charts of a category from the last to the first.
    assert [chart["title"] for chart in reversed(layout["moe"])] == ["moe/x/2", "moe/x/10"]


@pytest.mark.parametrize("declared", ["x/load", "x/load/layer0/expert3"])
def test_a_single_expert_has_no_mean_over_seeds(tmp_path: Path, declared: str) -> None:
    study = make_study(figures={})
    rows = study.history[study.history["metric"] == "val/loss"]
    names = ("x/load/layer0", "x/load/layer0/expert3")
    history = pd.concat([rows, *(rows.assign(metric=name) for name in names)])
    study.metric_declarations[declared] = Metric(exchangeable="expert")
    write_dashboard(tmp_path, replace(study, history=history), texts={}, images={})
    tags = TensorBoardApp(tmp_path).tags()["moe_top2"]
    assert {"x/load/layer0", LOSS} <= tags
    assert not [tag for tag in tags if "expert" in tag]


def test_the_table_has_a_row_for_each_arm(app: TensorBoardApp) -> None:
    study, rows = make_study(), app.rows()
    assert set(rows) == set(ARMS)
    assert {arm: row["arm.role"] for arm, row in rows.items()} == {
        "dense": "baseline",
        "moe_top2": "under study",
        "moe_no_balance": "under study",
        "moe_top2_copy": "A/A pair with moe_top2",
    }
    assert {row["arm.seeds"] for row in rows.values()} == {8}
    assert rows["moe_no_balance"]["ffn.balance"] == "none"
    summary = summarise_arms(study.results).set_index(["arm", "metric"])
    for arm in ARMS:
        for metric in METRICS[: 1 if arm == "dense" else 2]:
            for part in ("mean", "low", "high"):
                value = rows[arm][f"~ HParams/{metric} {part}"]
                assert value == pytest.approx(summary.loc[(arm, metric)][part], rel=1e-6)


def test_columns_are_what_differs_and_have_labels(app: TensorBoardApp) -> None:
    columns = app.columns()
    assert columns == {
        "arm.role": "role",
        "arm.seeds": "n seeds",
        **{name: name for name in ("ffn.balance", "ffn.kind", "seed_offset")},
    }
    assert list(columns)[:2] == ["arm.role", "arm.seeds"]
    assert list(app.metrics()) == table_tags("mean", "low", "high")
    assert app.metrics()["~ HParams/val/loss low"] == "validation loss: low"


def test_a_control_is_named_so_and_one_seed_has_no_limits(tmp_path: Path) -> None:
    study = make_study(figures={}, controls=["moe_no_balance"])
    one = {
        key: (frame := getattr(study, key))[frame["seed"] == 0]
        for key in ("results", "history", "trials")
    }
    write_dashboard(tmp_path, replace(study, **one), texts={}, images={})
    app = TensorBoardApp(tmp_path)
    assert app.rows()["moe_no_balance"]["arm.role"] == "control"
    assert app.rows()["dense"]["arm.seeds"] == 1
    assert list(app.metrics()) == table_tags("mean")
    assert LOSS in app.tags()["dense"]
    assert app.layout() == {}


def test_never_more_than_40_runs_and_a_text_names_the_arms_without_one(tmp_path: Path) -> None:
    study = with_many_arms(45)
    assert select_arms(with_many_arms(39)) == list(with_many_arms(39).arms)
    write_dashboard(tmp_path, study, texts={}, images={})
    app = TensorBoardApp(tmp_path)
    assert len(app.runs()) == 40
    assert set(app.runs()) >= {*ARMS}  # they are baseline or arms of claims, behind all the others
    assert set(app.rows()) == {*app.runs()} - {"."}
    text = app.texts()["arms without a run"]
    assert "only 39 arms of 45 have a run here" in text
    assert [name for name in study.arms if f" {name}," in text or f" {name}." in text] == [
        arm for arm in study.arms if arm not in app.runs()
    ]


def test_texts_and_images_are_there(folder: Path, app: TensorBoardApp) -> None:
    root = read(folder)
    assert root.Images("2 figures/1 loss")[0].encoded_image_string == PNG
    assert root.Tensors("answer")[0].tensor_proto.string_val[0].decode() == "**yes**: 日本語"
    assert app.texts() == {"answer": "<p><strong>yes</strong>: 日本語</p>"}


def test_hparams_come_from_overrides_where_nothing_else_is_known() -> None:
    rows = arm_hparams(make_study(hparams={}))
    names = {name for row in rows.values() for name in row} - {"arm.role", "arm.seeds"}
    assert names == {"ffn", "ffn.balance", "ffn.top_k", "seed_offset"}


def test_characters_that_utf_8_lacks_are_written_as_escapes(tmp_path: Path) -> None:
    study = make_study(figures={})
    hparams = {
        arm: {"x\udce9": f"caf\udce9 {arm}", "mixed": i or "none"}
        for i, arm in enumerate(study.arms)
    }
    write_dashboard(tmp_path, replace(study, hparams=hparams), texts={}, images={})
    app = TensorBoardApp(tmp_path)
    assert app.rows()["dense"]["x\\udce9"] == "caf\\udce9 dense"
    assert [app.rows()[arm]["mixed"] for arm in study.arms] == ["none", 1, 2, 3]
    assert {"x\\udce9", "mixed"} < set(app.columns())


def test_an_arm_without_a_result_has_a_failed_row(tmp_path: Path) -> None:
    study = make_study(figures={})
    lost = {
        key: (frame := getattr(study, key))[frame["arm"] != "moe_top2"]
        for key in ("results", "history")
    }
    write_dashboard(tmp_path, replace(study, **lost), texts={}, images={})
    app = TensorBoardApp(tmp_path)
    assert app.rows()["moe_top2"]["arm.seeds"] == 0
    assert "moe_top2" not in app.tags()
    json.dumps(app.rows(), allow_nan=False)
