"""A trial's records survive a kill, and say the same in both files."""

import math
import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata

from runner.records.tracking import Tracker, read_curves

HPARAMS = {"lr": 1e-3, "ffn.kind": "moe", "bias": True}
Points = set[tuple[str, int, float]]


def points(folder: Path) -> Points:
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        (tag, point.step, point.value)
        for tag in events.Tags()["scalars"]
        for point in events.Scalars(tag)
    }


def train(tracker: Tracker, steps: range) -> None:
    for step in steps:
        tracker.log({"train/loss": 1 / (step + 1), "grad,norm": math.sqrt(step)}, step)


def whole(folder: Path) -> Tracker:
    tracker = Tracker(folder, HPARAMS)
    train(tracker, range(10))
    tracker.close("done")
    return tracker


def test_the_csv_keeps_every_digit_and_the_event_file_has_the_same_points(tmp_path: Path) -> None:
    whole(tmp_path)
    rows = read_curves(tmp_path)
    assert rows[2] == (1, "train/loss", 0.5)
    assert (3, "grad,norm", math.sqrt(3)) in rows
    assert len(points(tmp_path)) == len(rows) == 20


@pytest.mark.parametrize("reached", [5, 6, 9], ids=["at it", "one behind", "far behind"])
def test_a_resumed_trial_has_the_points_of_one_never_stopped(tmp_path: Path, reached: int) -> None:
    whole(tmp_path / "whole")
    killed = Tracker(tmp_path / "resumed", HPARAMS)
    train(killed, range(reached + 1))
    killed.flush()
    resumed = Tracker(tmp_path / "resumed", HPARAMS, resume_step=5)
    train(resumed, range(6, 10))
    resumed.close("done")
    assert read_curves(tmp_path / "resumed") == read_curves(tmp_path / "whole")
    assert points(tmp_path / "resumed") == points(tmp_path / "whole")


def test_a_line_torn_by_a_kill_is_not_read(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, HPARAMS)
    train(tracker, range(3))
    tracker.flush()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("3,train/loss,0.2")
    assert [step for step, _, _ in read_curves(tmp_path)] == [0, 0, 1, 1, 2, 2]
    Tracker(tmp_path, HPARAMS, resume_step=9).close("done")
    assert len(points(tmp_path)) == 6


@pytest.mark.parametrize("odd", ["\u2028", "\x85", "\n", "\r", "\r\n", "\x1c", ",", '"', "\0"])
def test_names_come_back_as_they_were_written(tmp_path: Path, odd: str) -> None:
    name = f"moe/selection/layer0/a{odd}b/expert0"
    tracker = Tracker(tmp_path, HPARAMS)
    tracker.log({name: 0.5, "loss": 1.0}, 1)
    tracker.flush()
    assert read_curves(tmp_path) == [(1, name, 0.5), (1, "loss", 1.0)]
    whole = (tmp_path / "metrics.csv").read_bytes()
    for end in range(len(whole)):  # wherever a kill cuts it, no part of a row is read
        (tmp_path / "metrics.csv").write_bytes(whole[:end])
        assert read_curves(tmp_path) in ([], [(1, name, 0.5)])


def test_without_resume_step_an_old_trial_is_forgotten(tmp_path: Path) -> None:
    whole(tmp_path)
    Tracker(tmp_path, HPARAMS).close("done")
    assert read_curves(tmp_path) == []
    assert points(tmp_path) == set()


def test_values_that_are_not_finite_and_metrics_logged_twice_are_kept(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, HPARAMS)
    tracker.log({"loss": math.inf}, 0)
    tracker.log({"loss": math.nan}, 0)
    tracker.close("failed")
    values = [value for _, _, value in read_curves(tmp_path)]
    assert values[0] == math.inf
    assert math.isnan(values[1])
    resumed = Tracker(tmp_path, HPARAMS, resume_step=0)
    resumed.close("done")
    assert len(EventAccumulator(str(tmp_path)).Reload().Scalars("loss")) == 2


@pytest.mark.parametrize(
    ("status", "expected"), [("done", api_pb2.STATUS_SUCCESS), ("failed", api_pb2.STATUS_FAILURE)]
)
def test_hparams_session_starts_and_ends(tmp_path: Path, status: str, expected: int) -> None:
    folder = tmp_path / "moe-12ab" / "seed-3"
    tracker = Tracker(folder, HPARAMS)
    train(tracker, range(4))
    tracker.close(status, final={"val/loss": 2.0, "train/loss": 1 / 4})
    events = EventAccumulator(str(folder)).Reload()
    contents = events.PluginTagToContent("hparams")
    start = metadata.parse_session_start_info_plugin_data(contents[metadata.SESSION_START_INFO_TAG])
    assert start.hparams["lr"].number_value == 1e-3
    assert start.hparams["bias"].bool_value is True
    end = metadata.parse_session_end_info_plugin_data(contents[metadata.SESSION_END_INFO_TAG])
    assert end.status == expected
    assert start.group_name == ""  # the row has the name of the run, such as moe_top2/seed-3
    assert [(p.step, p.value) for p in events.Scalars("~ HParams/val/loss")] == [(3, 2.0)]
    assert {metric for _, metric, _ in read_curves(folder)} == {"train/loss", "grad,norm"}


def test_a_final_value_gets_a_point_only_if_no_curve_ends_with_it(tmp_path: Path) -> None:
    """Curves show every trained metric; `final/*` would be a chart of one dot for each."""
    final = {"train/loss": 1 / 10, "grad,norm": 7.0, "cost": 3.0, "lost": math.nan}
    expected = {"train/loss", "grad,norm"} | {
        f"~ HParams/{n}" for n in ("grad,norm", "cost", "lost")
    }
    for name, reached in (("whole", 9), ("resumed", 6)):
        tracker = Tracker(tmp_path / name, HPARAMS)
        train(tracker, range(reached + 1))
        if name == "resumed":
            tracker.flush()
            tracker = Tracker(tmp_path / name, HPARAMS, resume_step=5)
            train(tracker, range(6, 10))
        tracker.close("done", final=final)
        assert {tag for tag, _, _ in points(tmp_path / name)} == expected


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    tracker = whole(tmp_path)
    before = points(tmp_path)
    tracker.close("failed", final={"val/loss": 2.0})
    assert points(tmp_path) == before


def test_rows_come_to_disk_by_themselves_after_a_while(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, HPARAMS, flush_seconds=0.05)
    tracker.log({"loss": 1.0}, 0)
    assert read_curves(tmp_path) == []
    time.sleep(0.06)
    tracker.log({"loss": 0.5}, 1)
    assert len(read_curves(tmp_path)) == 2
    tracker.close("done")
