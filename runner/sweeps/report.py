"""Write the files of a sweep: its record, tables, verdicts, figures and page."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from runner.figures.draw import draw_all
from runner.records.files import write_atomically, write_json
from runner.report.index_page import renew_index
from runner.sweeps.collection import collect_sweep
from runner.sweeps.figures import draw_sweep_figures
from runner.sweeps.jobs import format_value
from runner.sweeps.outcomes import PointOutcome
from runner.sweeps.page import PAGE_FILE, render_sweep
from runner.sweeps.record import FORMAT, KEY_PREFIX, RECORD_FILE, SweepRecord
from runner.sweeps.wording import answer_paragraphs, certainty_lines
from runner.wording.output import escape_unprintable, first_lines

FRAMES = {"results.csv": "results", "comparison.csv": "comparison", "values.csv": "values"}
VERDICTS_FILE = "verdicts.json"


def report_sweep(
    folder: Path,
    title: str,
    command: str,
    outcomes: Sequence[PointOutcome],
    notes: Sequence[str],
) -> Path:
    """Write the report of a sweep into a new folder, print its answer, and return its page.

    `notes` are lines on the sweep that are printed already.
    """
    sweep = collect_sweep(
        outcomes, outputs=folder.parents[1], title=title, command=command, notes=notes
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_records(folder, sweep)
    page = write_page(folder, sweep)
    if line := renew_index(folder.parents[1]):
        print(f"note: {line}")  # noqa: T201
    paragraphs = [" ".join(sentences) for sentences in answer_paragraphs(sweep)]
    own_notes = [f"note: {note}" for note in sweep.notes if note not in notes]
    lines = [*paragraphs, *certainty_lines(sweep), *first_lines(own_notes)]
    print(escape_unprintable("\n".join(["", *lines])))  # noqa: T201
    return page


def write_records(folder: Path, sweep: SweepRecord) -> None:
    """Write the tables, the verdicts, and sweep.json, which is written last."""
    for name, attribute in FRAMES.items():
        frame = getattr(sweep, attribute)
        if attribute != "values":
            frame = with_keys(frame, sweep)
        write_atomically(folder / name, frame.to_csv(index=False).encode("utf-8", "replace"))
    verdicts = [
        {"point": verdict["point"], "settings": dict(sweep.point(verdict["point"]).settings)}
        | dict(verdict)
        for verdict in sweep.verdicts
    ]
    write_json(folder / VERDICTS_FILE, verdicts)
    frames = {*FRAMES.values(), "verdicts"}
    content = {
        name: value
        for name, value in (
            (field.name, getattr(sweep, field.name)) for field in dataclasses.fields(sweep)
        )
        if name not in frames
    }
    content["points"] = [dataclasses.asdict(point) for point in sweep.points]
    content["headlines"] = [dataclasses.asdict(one) for one in sweep.headlines]
    write_json(folder / RECORD_FILE, {"format": FORMAT, **content})


def with_keys(frame: pd.DataFrame, sweep: SweepRecord) -> pd.DataFrame:
    """Return a table with a column for each swept key after the number of the point."""
    columns: dict[str, list[Any]] = {}
    if any(point.name for point in sweep.points):
        columns["point_name"] = [sweep.point(number).name for number in frame["point"]]
    for key in sweep.keys:
        if key == "experiment" and key in frame:
            continue  # the table has this column already
        name = f"{KEY_PREFIX}{key}" if key in frame else key
        columns[name] = [
            format_value(settings[key]) if key in settings else ""
            for settings in (sweep.point(number).settings for number in frame["point"])
        ]
    rest = frame.drop(columns="point")
    return pd.concat(
        [frame[["point"]], pd.DataFrame(columns, index=frame.index), rest], axis="columns"
    )


def write_page(folder: Path, sweep: SweepRecord) -> Path:
    """Draw the figures of a sweep, and write them and its page."""
    figures, records, notes = draw_sweep_figures(sweep)
    pictures, _, failures = draw_all(figures, records)
    (folder / "figures").mkdir(exist_ok=True)
    for name, picture in pictures.items():
        write_atomically(folder / "figures" / f"{name}.png", picture.png)
        write_atomically(folder / "figures" / f"{name}.svg", picture.svg)
    html = render_sweep(sweep, figures, pictures, [*notes, *failures])
    write_atomically(folder / PAGE_FILE, html.encode("utf-8", "backslashreplace"))
    return folder / PAGE_FILE
