"""Every figure has the page's width and the same text sizes, and nothing sticks out of it."""

from collections import Counter

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from runner.figures.canvas import TEXT_SIZE, TITLE_SIZE, WIDTH
from runner.figures.data import Records
from tests.support import sample_figures, sample_tables
from tests.support.drawing import draw_figure, draw_sheet
from tests.support.sample_study import ARMS, make_history, make_results


@pytest.fixture(scope="module")
def records() -> Records:
    return Records(make_results(), make_history(), list(ARMS))


def sticks_out(figure: Figure) -> list[str]:
    """Return the axes whose ticks, labels or titles reach beyond the picture."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    page, outside = figure.bbox, []
    for axes in figure.axes:
        box = axes.get_tightbbox(renderer)
        assert box is not None
        if box.x0 < -1 or box.y0 < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1:
            outside.append(f"{axes.get_label()}: {box.extents} in {page.extents}")
    return outside


@pytest.mark.parametrize("key", list(sample_figures.FIGURES))
def test_figures_of_metrics_have_one_width_and_size_of_text(records: Records, key: str) -> None:
    figure = draw_figure(records, **sample_figures.FIGURES[key])
    check(figure)


@pytest.mark.parametrize("key", sorted({*sample_tables.FIGURES} - {"sentences"}))
def test_figures_of_tables_have_one_width_and_size_of_text(key: str) -> None:
    figure = draw_figure(sample_tables.make_records(), **sample_tables.FIGURES[key])
    check(figure)


def check(figure: Figure) -> None:
    assert figure.get_figwidth() == WIDTH
    assert figure.get_suptitle() != ""
    sizes = Counter(axes.xaxis.label.get_fontsize() for axes in figure.axes)
    assert set(sizes) == {TEXT_SIZE}
    (title,) = (text for text in figure.texts if text.get_text() == figure.get_suptitle())
    assert title.get_fontsize() == TITLE_SIZE
    assert not sticks_out(figure)


def test_panels_never_overlap_and_axes_are_in_line(records: Records) -> None:
    sheet = draw_sheet(records, **sample_figures.FIGURES["selection"])
    boxes = [panel.axes.get_position() for panel in sheet.panels]
    for i, one in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert not one.overlaps(other)
    for panel, box in zip(sheet.panels, boxes, strict=True):
        above = next(
            b for p, b in zip(sheet.panels, boxes, strict=True) if p.column == panel.column
        )
        assert box.x0 == pytest.approx(above.x0)
        assert box.width == pytest.approx(boxes[0].width)


def test_many_panels_start_rows_instead_of_a_wider_figure() -> None:
    rows = [
        (f"arm{i}", seed, f"z/layer{layer}/{unit}", 1.0 + unit, "1")
        for i in range(9)
        for seed in range(2)
        for layer in range(2)
        for unit in range(4)
    ]
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    history = pd.DataFrame(columns=["arm", "seed", "step", "metric", "value"])
    sheet = draw_sheet(
        Records(results, history, [f"arm{i}" for i in range(9)]),
        kind="heatmap",
        metric="z/layer{layer}/{unit}",
        x="unit",
        y="layer",
        panel=["arm"],
    )
    assert len(sheet.panels) == 9
    assert max(panel.column for panel in sheet.panels) < 4
    assert sheet.figure.get_figwidth() == WIDTH


def test_panels_of_different_depths_each_fill_their_width() -> None:
    rows = [
        ("a", seed, f"g/depth{depth}/layer{layer}", 1.0 + layer + seed, "1")
        for seed in range(2)
        for depth in (4, 32)
        for layer in range(depth)
    ]
    results = pd.DataFrame(rows, columns=["arm", "seed", "metric", "value", "unit"])
    history = pd.DataFrame(columns=["arm", "seed", "step", "metric", "value"])
    figure = draw_figure(
        Records(results, history, ["a"]),
        kind="lines",
        metric="g/depth{depth}/layer{layer}",
        x="layer",
        panel=["depth"],
    )
    shallow, deep = (axes.get_xlim() for axes in figure.axes)
    assert shallow[1] < 4
    assert deep[1] > 30
    assert all(float(tick).is_integer() for tick in figure.axes[0].get_xticks())


def test_panels_of_equal_depths_share_their_axis(records: Records) -> None:
    figure = draw_figure(
        records, kind="curve", metric="moe/load/layer{layer}/expert0", panel=["layer"]
    )
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
