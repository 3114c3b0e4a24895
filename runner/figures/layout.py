"""The places of panels, title, labels, legend and colour bar on a picture of the fixed width.

Every picture is as wide as a page's column, so no text is scaled down. Panels have a given height;
the height of the picture follows. matplotlib's own layouts take a given height and compute twice.
"""

from typing import Any, NamedTuple

from runner.figures.canvas import TEXT_SIZE, TITLE_SIZE, WIDTH
from runner.figures.mpl import Axes
from runner.figures.sheet import PAD, Sheet

GAP = 0.16  # inches between the parts of a picture
BAR_WIDTH = 0.16  # inches of a colour bar
MAX_BAR = 4.5  # inches of its height
LABEL_WIDTH = 0.26  # inches of the label that several panels share


class Sides(NamedTuple):
    """The inches by which labels and titles stick out of a pair of axes."""

    left: float
    bottom: float
    right: float
    top: float


def arrange(sheet: Sheet) -> None:
    """Place everything on the sheet's figure and set the figure's height."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, panels = sheet.figure, sheet.panels
    canvas = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    # Axes get nearly their final size first, since the number of ticks depends on it.
    n_columns = 1 + max(panel.column for panel in panels)
    n_rows = 1 + max(panel.row for panel in panels)
    height = sum(sheet.heights) + n_rows
    figure.set_size_inches(WIDTH, height)
    for panel in panels:
        width = 0.8 / n_columns
        panel.axes.set_position((0.1, 0.1, width, sheet.heights[panel.row] / height))
    # Labels in one column of panels share a margin, so that the axes are in line.
    sides = [_overhang(panel.axes, renderer) for panel in panels]
    pairs = list(zip(panels, sides, strict=True))
    left = [max(s.left for p, s in pairs if p.column == j) for j in range(n_columns)]
    right = [max(s.right for p, s in pairs if p.column == j) for j in range(n_columns)]
    bottom = [max(s.bottom for p, s in pairs if p.row == i) for i in range(n_rows)]
    top = [max(s.top for p, s in pairs if p.row == i) for i in range(n_rows)]
    # The panels share the width that margins and the colour bar leave.
    bar = _overhang(sheet.colour_bar, renderer) if sheet.colour_bar else Sides(0, 0, 0, 0)
    bar_block = bar.left + BAR_WIDTH + bar.right + GAP if sheet.colour_bar else 0.0
    start = PAD + (LABEL_WIDTH if sheet.shared_label else 0.0)
    free = WIDTH - start - PAD - bar_block - sum(left) - sum(right) - GAP * (n_columns - 1)
    width = free / n_columns
    # From the top down: title, notes, rows of panels, legend.
    title_height = sheet.n_title_lines * TITLE_SIZE * 1.25 / 72
    notes_height = sheet.n_note_lines * TEXT_SIZE * 1.35 / 72
    legends = [one.get_window_extent(renderer).height / figure.dpi for one in figure.legends]
    legend_height = sum(legends) + GAP if legends else 0.0
    # The height of the picture follows from the heights of its parts.
    above = PAD + title_height + notes_height + GAP
    body = sum(top) + sum(sheet.heights) + sum(bottom) + GAP * (n_rows - 1)
    total = above + body + legend_height + PAD
    figure.set_size_inches(WIDTH, total)
    tops = [
        total - above - sum(top[:i]) - sum(sheet.heights[:i]) - sum(bottom[:i]) - GAP * i
        for i in range(n_rows)
    ]
    # matplotlib takes places as shares of the picture, from its lower left corner.
    for panel in panels:
        j, i = panel.column, panel.row
        x = start + sum(left[: j + 1]) + sum(right[:j]) + j * (width + GAP)
        y = tops[i] - top[i] - sheet.heights[i]
        panel.axes.set_position((x / WIDTH, y / total, width / WIDTH, sheet.heights[i] / total))
    sheet.title_text.set_position((PAD / WIDTH, 1 - PAD / total))
    if sheet.note_text is not None:
        sheet.note_text.set_position((PAD / WIDTH, 1 - (PAD + title_height) / total))
    # The shared label and the colour bar are next to all rows of panels.
    middle = (tops[0] - top[0] + tops[-1] - top[-1] - sheet.heights[-1]) / 2
    if sheet.shared_label is not None:
        sheet.shared_label.set_position((PAD / WIDTH, middle / total))
    # A colour bar is at the upper end of many rows, where a reader begins.
    if sheet.colour_bar:
        length = min(MAX_BAR, tops[0] - top[0] - (tops[-1] - top[-1] - sheet.heights[-1]))
        x = WIDTH - PAD - bar.right - BAR_WIDTH
        bottom_of_bar = middle - length / 2 if n_rows == 1 else tops[0] - top[0] - length
        sheet.colour_bar.set_position(
            (x / WIDTH, bottom_of_bar / total, BAR_WIDTH / WIDTH, length / total)
        )
    for i, legend in enumerate(figure.legends):
        legend.set_bbox_to_anchor((0.5, (PAD + sum(legends[i + 1 :])) / total))


def _overhang(axes: Axes, renderer: Any) -> Sides:
    """Return the inches by which the axes' labels, ticks and titles stick out of them."""
    outer, inner = axes.get_tightbbox(renderer, for_layout_only=True), axes.bbox
    assert outer is not None
    dpi = axes.figure.dpi
    return Sides(
        max(0.0, inner.x0 - outer.x0) / dpi,
        max(0.0, inner.y0 - outer.y0) / dpi,
        max(0.0, outer.x1 - inner.x1) / dpi,
        max(0.0, outer.y1 - inner.y1) / dpi,
    )
