"""Rows -> figures. Never touches a model, so a picture can be drawn again from the records of an old run.

A kind of figure is one function from a spec and the records to a `Figure`, under its name in `KINDS`.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from runner import canvas
from runner.bands import mean_bands
from runner.canvas import Paint
from runner.figures import FigureSpec, levels, select
from runner.plot_labels import label_line_ends, label_points

DPI = 130


class NothingToDrawError(ValueError):
    """No row matches the spec; the message says what was looked for."""


@dataclass(frozen=True)
class Records:
    """What figures are drawn from: tidy frames as the report has them, and the arms in their order."""

    results: pd.DataFrame
    history: pd.DataFrame
    arms: list[str]

    def matching(self, frame: pd.DataFrame, template: str, spec: FigureSpec) -> pd.DataFrame:
        """The finite rows of a template; NothingToDrawError if there are none."""
        rows = select(frame, template, [a for a in spec.arms or self.arms if a in self.arms])
        rows = rows[np.isfinite(rows["value"])]
        if rows.empty:
            raise NothingToDrawError(
                f"no finite value of a metric like {template!r} in arms {spec.arms or self.arms}"
            )
        return rows

    def paint(self, rows: pd.DataFrame, hue: str) -> Paint:
        """Colours by level; an arm's colour depends on the whole study, not on what one figure shows."""
        return Paint(self.arms if hue == "arm" else levels(rows, hue))

    def axis(self, template: str, rows: pd.DataFrame) -> str:
        """A default label: what stands before the placeholders, and the unit if all matches share one."""
        same = self.results[self.results["metric"].isin(rows["metric"].unique())]
        units = set(same["unit"]) - {"", "1"}
        stem = template.partition("/{")[0].partition("{")[0]
        unit = units.pop() if len(units) == 1 else ""
        return stem if not unit or stem.endswith(f"/{unit}") else f"{stem} ({unit})"


def curve(spec: FigureSpec, records: Records) -> Figure:
    """Means over seeds as lines with their 95 % band and a thin line per seed.

    x is the training step (history), or a placeholder of the metric whose values are numbers (final results).
    """
    x, hue = spec.x or "step", spec.hue or "arm"
    frame = records.history if x == "step" else records.results
    rows = records.matching(frame, spec.metric, spec)
    if not pd.api.types.is_numeric_dtype(rows[x]):
        raise NothingToDrawError(f"x={x!r} of {spec.metric!r} must be numbers to draw a curve")
    figure, made = canvas.panels(rows, spec, size=(7.6, 4.6))
    paint = records.paint(rows, hue)
    for panel in made:
        axes, shown = panel.axes, levels(panel.rows, hue)
        ends = []
        for _, thin in panel.rows.groupby([hue, "arm", "seed"], sort=False):
            thin = thin.sort_values(x)
            level = thin[hue].iloc[0]
            axes.plot(thin[x], thin["value"], color=paint.colour(level), alpha=0.28, linewidth=0.7)
        for level in shown:
            band = mean_bands(panel.rows[panel.rows[hue] == level], [x]).sort_values(x)
            colour = paint.colour(level)
            axes.fill_between(
                band[x], band["low"], band["high"], color=colour, alpha=0.16, linewidth=0
            )
            axes.plot(band[x], band["mean"], color=colour, linestyle=paint.line(level), linewidth=2)
            ends.append((canvas.name(hue, level), colour, band[x].iloc[-1], band["mean"].iloc[-1]))
        axes.margins(x=0.015)
        canvas.log_axes(axes, spec.log)
        canvas.reference_line(axes, spec, labelled=panel is made[0])
        if len(made) == 1:
            label_line_ends(axes, ends, height=figure.get_figheight() * 0.75)
    if len(made) > 1:
        _legend(figure, paint, levels(rows, hue), hue)
    label = spec.x_label or ("training step" if x == "step" else x)
    canvas.axis_labels(figure, made, label, spec.y_label or records.axis(spec.metric, rows))
    return figure


def bars(spec: FigureSpec, records: Records) -> Figure:
    """Final results: a group per x category, a bar per arm from zero, its 95 % interval, a dot per seed."""
    return _grouped(spec, records, from_zero=True)


def points(spec: FigureSpec, records: Records) -> Figure:
    """As `bars`, without bars: the axis need not start at zero, so small differences of losses show."""
    return _grouped(spec, records, from_zero=False)


def _grouped(spec: FigureSpec, records: Records, *, from_zero: bool) -> Figure:
    rows = records.matching(records.results, spec.metric, spec)
    hue, x = spec.hue or "arm", spec.x or spec.hue or "arm"
    paint, shown, categories = records.paint(rows, hue), levels(rows, hue), levels(rows, x)
    n_bars = 1 if x == hue else len(shown)
    inches = min(14.0, max(7.0, 1.6 + len(categories) * (0.34 * n_bars + 0.35)))
    figure, made = canvas.panels(rows, spec, size=(inches, 4.4))
    width = 0.8 / n_bars
    for panel in made:
        for i, category in enumerate(categories):
            for j, level in enumerate(shown):
                if x == hue and level != category:
                    continue
                chosen = panel.rows[(panel.rows[x] == category) & (panel.rows[hue] == level)]
                centre = i if x == hue else i + (j - (n_bars - 1) / 2) * width
                if len(chosen):
                    _one_bar(panel.axes, chosen, centre, width, paint.colour(level), from_zero)
        canvas.log_axes(panel.axes, spec.log if spec.log == "y" else "none")
        canvas.reference_line(panel.axes, spec, labelled=panel is made[0])
        panel.axes.grid(visible=False, axis="x")
        texts = [str(category) for category in categories]
        crowded = sum(len(text) + 2 for text in texts) > 10 * inches
        turn = {"rotation": 30, "ha": "right"} if crowded else {}
        panel.axes.set_xticks(range(len(texts)), texts, **turn)
    if x != hue:
        _legend(figure, paint, shown, hue, patches=True)
    label = spec.x_label if spec.x_label is not None else ("" if x == "arm" else x)
    canvas.axis_labels(figure, made, label, spec.y_label or records.axis(spec.metric, rows))
    return figure


def _one_bar(
    axes: Axes, rows: pd.DataFrame, centre: float, width: float, colour: str, from_zero: bool
) -> None:
    band = mean_bands(rows.assign(all=0), ["all"]).iloc[0]
    if from_zero:
        axes.bar(centre, band["mean"], width * 0.88, color=colour, alpha=0.55, zorder=2)
    # Steps of the golden ratio spread any number of dots evenly, and not in the order of the seeds.
    jitter = (np.arange(1, len(rows) + 1) * 0.6180339887 % 1 - 0.5) * width * 0.5
    axes.scatter(
        centre + jitter,
        rows["value"],
        s=14,
        color=colour,
        edgecolor="white",
        linewidth=0.4,
        zorder=3,
    )
    if not from_zero:
        axes.plot(
            [centre - width * 0.3, centre + width * 0.3],
            [band["mean"]] * 2,
            color=colour,
            linewidth=2.5,
        )
    if np.isfinite(band["low"]):
        error = [[band["mean"] - band["low"]], [band["high"] - band["mean"]]]
        axes.errorbar(
            centre, band["mean"], error, color="#222222", capsize=3, linewidth=1.3, zorder=4
        )


def heatmap(spec: FigureSpec, records: Records) -> Figure:
    """Means over seeds as colours on one scale for all panels; x is the step (history) or a placeholder (final)."""
    assert spec.x is not None
    assert spec.y is not None
    frame = records.history if spec.x == "step" else records.results
    rows = records.matching(frame, spec.metric, spec)
    if "arm" not in spec.panel and "arm" not in (spec.x, spec.y) and rows["arm"].nunique() > 1:
        raise NothingToDrawError(
            f"a heat map of {rows['arm'].nunique()} arms needs panel: [arm], or arms: [one]"
        )
    xs, ys = levels(rows, spec.x), levels(rows, spec.y)
    figure, made = canvas.panels(rows, spec, size=(5.4, 1.6 + 0.28 * min(len(ys), 14)))
    tables = []
    for panel in made:
        cells = mean_bands(panel.rows, [spec.x, spec.y]).pivot(
            index=spec.y, columns=spec.x, values="mean"
        )
        tables.append(cells.reindex(index=ys, columns=xs).to_numpy(float))
    everything = np.concatenate([table.ravel() for table in tables])
    lowest, highest = float(np.nanmin(everything)), float(np.nanmax(everything))
    from matplotlib.colors import LogNorm, Normalize

    scale = LogNorm if spec.log in ("y", "both") and lowest > 0 else Normalize
    norm = scale(lowest, highest if highest > lowest else lowest + 1e-12)
    for panel, table in zip(made, tables, strict=True):
        axes = panel.axes
        drawn = axes.imshow(
            table, aspect="auto", cmap="viridis", norm=norm, interpolation="nearest"
        )
        axes.grid(visible=False)
        _ticks(axes.xaxis, xs)
        _ticks(axes.yaxis, ys)
        if len(xs) * len(ys) <= 60:
            _write_cells(axes, table, norm, small=len(made) > 2 or len(xs) > 8)
    bar = figure.colorbar(drawn, ax=[panel.axes for panel in made], shrink=0.9, pad=0.02)
    bar.set_label(spec.y_label or records.axis(spec.metric, rows))
    x_label = spec.x_label or ("training step" if spec.x == "step" else spec.x)
    canvas.axis_labels(figure, made, x_label, spec.y)
    return figure


def _ticks(axis: Any, values: list[Any]) -> None:
    every = max(1, -(-len(values) // 9))
    axis.set_ticks(range(0, len(values), every), [str(v) for v in values[::every]])


def _write_cells(axes: Axes, table: np.ndarray, norm: Any, *, small: bool) -> None:
    """Write each cell's value on it, in the ink that shows on its colour."""
    largest = float(np.nanmax(np.abs(table))) if np.isfinite(table).any() else 1.0
    decimals = max(0, 1 - int(np.floor(np.log10(largest)))) if largest > 0 else 0
    for (i, j), value in np.ndenumerate(table):
        if np.isfinite(value):
            ink = "white" if norm(value) < 0.6 else "black"
            text = f"{value:.{decimals}f}" if 1e-4 < largest < 1e5 else f"{value:.1e}"
            axes.text(j, i, text, ha="center", va="center", color=ink, fontsize=8 if small else 10)


def scatter(spec: FigureSpec, records: Records) -> Figure:
    """Two final metrics against each other: a point per arm with both intervals, and a dot per seed."""
    assert spec.x is not None
    ys = records.matching(records.results, spec.metric, spec)
    xs = records.matching(records.results, spec.x, spec)
    pairs = ys.merge(xs[["arm", "seed", "value"]], on=["arm", "seed"], suffixes=("", "_x"))
    if pairs.empty:
        raise NothingToDrawError(f"no trial has both {spec.metric!r} and {spec.x!r}")
    figure, made = canvas.panels(pairs, spec, size=(7.6, 5.0))
    paint = records.paint(pairs, "arm")
    for panel in made:
        axes = panel.axes
        centres = mean_bands(panel.rows, ["arm"]).merge(
            mean_bands(panel.rows.assign(value=panel.rows["value_x"]), ["arm"]),
            on="arm",
            suffixes=("", "_x"),
        )
        labels = []
        for row in centres.itertuples():
            colour, seeds = paint.colour(row.arm), panel.rows[panel.rows["arm"] == row.arm]
            axes.scatter(
                seeds["value_x"], seeds["value"], s=16, color=colour, alpha=0.45, linewidth=0
            )
            half_x, half_y = row.high_x - row.mean_x, row.high - row.mean
            axes.errorbar(
                row.mean_x,
                row.mean,
                yerr=half_y if np.isfinite(half_y) else None,
                xerr=half_x if np.isfinite(half_x) and half_x > 0 else None,
                fmt="o",
                markersize=9,
                color=colour,
                capsize=4,
                linewidth=1.6,
            )
            labels.append((str(row.arm), colour, row.mean_x, row.mean))
        axes.margins(0.14)
        canvas.log_axes(axes, spec.log)
        canvas.reference_line(axes, spec, labelled=panel is made[0])
        label_points(axes, labels, size=figure.get_size_inches() * 0.8)
    x_label = spec.x_label or records.axis(spec.x, xs)
    canvas.axis_labels(figure, made, x_label, spec.y_label or records.axis(spec.metric, ys))
    return figure


def _legend(
    figure: Figure, paint: Paint, shown: list[Any], hue: str, *, patches: bool = False
) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=paint.colour(level),
            linestyle="none" if patches else paint.line(level),
            marker="s" if patches else None,
            markersize=10,
            linewidth=2.5,
            label=canvas.name(hue, level),
        )
        for level in shown
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4))


KINDS: dict[str, Callable[[FigureSpec, Records], Figure]] = {
    "curve": curve,
    "bars": bars,
    "points": points,
    "heatmap": heatmap,
    "scatter": scatter,
}


@dataclass(frozen=True)
class Picture:
    """One figure, encoded."""

    spec: FigureSpec
    png: bytes
    svg: bytes


def draw(spec: FigureSpec, records: Records) -> Figure:
    """Build one figure, inside `canvas.style()`. ValueError for an unknown kind or when no row matches."""
    if spec.kind not in KINDS:
        raise ValueError(f"figure {spec.title!r}: kind={spec.kind!r} is none of {sorted(KINDS)}")
    return KINDS[spec.kind](spec, records)


def draw_all(
    specs: Mapping[str, FigureSpec], records: Records
) -> tuple[dict[str, Picture], list[str]]:
    """Every figure as PNG and SVG, and one warning line for each that had nothing to show."""
    pictures, warnings = {}, []
    for key, spec in specs.items():
        try:
            with canvas.style():
                pictures[key] = _encode(key, spec, draw(spec, records))
        except NothingToDrawError as nothing:
            warnings.append(f"figure {key} was skipped: {nothing}")
    return pictures, warnings


def _encode(key: str, spec: FigureSpec, figure: Figure) -> Picture:
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    # The layout is solved once: solving it again for the SVG would take as long as drawing it.
    figure.set_layout_engine("none")
    import matplotlib as mpl

    # Names inside the SVG depend on the figure only, so the same records give the same file.
    with mpl.rc_context({"svg.hashsalt": key}):
        figure.savefig(svg, format="svg", metadata={"Date": None})
    return Picture(spec, png.getvalue(), svg.getvalue())
