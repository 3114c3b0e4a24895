"""The aggregated run, read back with TensorBoard's own reader."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.hparams import metadata

from runner.report.dashboard import differing_hparams, write_dashboard
from runner.stats.intervals import mean_interval
from tests.support.sample_study import ARMS, make_study

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080600000"
    + "01f15c4890000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "tb"
    write_dashboard(folder, make_study(), texts={"answer": "**yes**: 日本語"}, images={"loss": PNG})
    return folder


def read(folder: Path) -> Any:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def test_a_run_per_arm_and_one_for_the_study(folder: Path) -> None:
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(ARMS)


def test_curves_are_means_with_t_intervals(folder: Path) -> None:
    arm, study = read(folder / "moe_top2"), make_study()
    rows = study.history.query("arm == 'moe_top2' and metric == 'val/loss' and step == 150")
    expected = mean_interval(rows["value"])
    for tag, value in (
        ("val/loss", expected.mean),
        ("val/loss_low", expected.low),
        ("val/loss_high", expected.high),
    ):
        found = [point.value for point in arm.Scalars(tag) if point.step == 150]
        assert found == pytest.approx([value], rel=1e-6)


def test_steps_that_only_one_seed_reached_have_no_band(tmp_path: Path) -> None:
    study = make_study()
    history = study.history[(study.history["step"] < 200) | (study.history["seed"] == 0)]
    write_dashboard(tmp_path, replace(study, history=history), texts={}, images={})
    assert max(p.step for p in read(tmp_path / "dense").Scalars("val/loss")) < 200


def test_every_margin_chart_names_tags_that_exist(folder: Path) -> None:
    tensor = read(folder).Tensors(layout_metadata.CONFIG_SUMMARY_TAG)[0].tensor_proto
    layout = layout_pb2.Layout.FromString(tensor.string_val[0])
    tags = {tag for arm in ARMS for tag in read(folder / arm).Tags()["scalars"]}
    series = [s for c in layout.category for chart in c.chart for s in chart.margin.series]
    assert "val/loss" in {s.value for s in series}
    assert {tag for s in series for tag in (s.value, s.lower, s.upper)} <= tags


def test_hparams_table_has_what_differs_and_leaves_its_rows_to_trials(folder: Path) -> None:
    contents = read(folder).PluginTagToContent("hparams")
    table = metadata.parse_experiment_plugin_data(contents[metadata.EXPERIMENT_TAG])
    assert {info.name for info in table.hparam_infos} == {
        *("arm", "seed", "seed_offset", "ffn.kind", "ffn.balance")
    }
    shown = {info.name.tag: info.display_name for info in table.metric_infos}
    assert shown["final/val/loss"] == "validation loss"
    for arm in ARMS:
        tags = read(folder / arm).Tags()["scalars"]
        assert tags
        assert not any(tag.startswith("final/") for tag in tags)
        with pytest.raises(KeyError):
            read(folder / arm).PluginTagToContent("hparams")


def test_texts_and_images_are_there(folder: Path) -> None:
    root = read(folder)
    assert root.Images("figures/loss")[0].encoded_image_string == PNG
    assert root.Tensors("answer")[0].tensor_proto.string_val[0].decode() == "**yes**: 日本語"


def test_hparams_come_from_overrides_where_nothing_else_is_known() -> None:
    differing = differing_hparams(make_study(hparams={}))
    assert differing == ["ffn", "ffn.balance", "ffn.top_k", "seed_offset"]
