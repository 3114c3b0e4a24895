"""Labels next to lines and points, without overlaps, in place of a legend."""

import numpy as np

from runner.figures.canvas import TEXT_SIZE
from runner.figures.mpl import Axes

LINE_HEIGHT = 1.3  # as a share of the font size
EARLY_END = 0.9  # share of the axes' width; a line that ends before it has its label at its end
CHARACTER_WIDTH = 0.62  # mean width of a character, as a share of the font size
Label = tuple[str, str, float, float]  # text, colour, x, y


def label_line_ends(
    axes: Axes, ends: list[Label], *, height: float, font_size: float = TEXT_SIZE
) -> None:
    """Label each line at the right edge, or at its end if that is well before the edge.

    `height` is the height of the axes in inches; labels keep the distance of one text line.
    """
    # Positions are shares of the axes, so the gap of one text line is, too.
    gap = font_size * LINE_HEIGHT / 72 / height
    ends_x = _fractions(axes, [end[2] for end in ends], "x")
    # A line that ends early gets its label there: a leader to the edge would look like the line.
    for early in (False, True):
        chosen = [(end, x) for end, x in zip(ends, ends_x, strict=True) if (x < EARLY_END) == early]
        # Labels in one column must not overlap, so move them apart vertically.
        places = separate_labels(_fractions(axes, [end[3] for end, _ in chosen], "y"), gap)
        for ((text, colour, end_x, end_y), x), place in zip(chosen, places, strict=True):
            # The label's place is a share of the axes; its leader points to the end in the data.
            axes.annotate(
                text,
                (end_x, end_y),
                xytext=(x + 0.015 if early else 1.03, place),
                textcoords="axes fraction",
                color=colour,
                fontsize=font_size,
                fontweight="bold",
                va="center",
                # A moved label is not at the height of its line, so a thin leader connects them.
                arrowprops={
                    "arrowstyle": "-",
                    "color": colour,
                    "alpha": 0.5,
                    "linewidth": 0.8,
                    "relpos": (0, 0.5),
                },
                # The label may lie outside the axes, where matplotlib would hide it.
                annotation_clip=False,
            )


def label_points(
    axes: Axes, labels: list[Label], *, size: np.ndarray, font_size: float = TEXT_SIZE
) -> None:
    """Label each point at the first place around it without a point or an earlier label.

    `size` is the width and height of the axes in inches.
    """
    # Overlaps depend on distances on paper, so convert the data to points (1/72 inch).
    x = np.array(_fractions(axes, [label[2] for label in labels], "x")) * size[0] * 72
    y = np.array(_fractions(axes, [label[3] for label in labels], "y")) * size[1] * 72
    # All points block space before the first label, so that no label covers a later point.
    boxes = [(a - 7, b - 7, a + 7, b + 7) for a, b in zip(x, y, strict=True)]
    # A label may reach a little beyond the left and right edges, where there is white space.
    bounds = (-20.0, 0.0, size[0] * 72 + 20, size[1] * 72)
    for i, (text, colour, data_x, data_y) in enumerate(labels):
        width, height = len(text) * CHARACTER_WIDTH * font_size, font_size * LINE_HEIGHT
        # Offsets in order of preference: the upper right is where readers expect a label.
        places = [
            (10.0, 8.0),
            (-10.0 - width, 8.0),
            (10.0, -8.0 - height),
            (-10.0 - width, -8.0 - height),
            (10.0, 8.0 + height),
            (10.0, -8.0 - 2 * height),
            (-width / 2, 12.0),
            (-width / 2, -12.0 - height),
        ]

        # A place outside the axes costs as much as two overlaps: it may be cut off.
        def cost(
            place: tuple[float, float], i: int = i, w: float = width, h: float = height
        ) -> float:
            box = (x[i] + place[0], y[i] + place[1], x[i] + place[0] + w, y[i] + place[1] + h)
            outside = (
                box[0] < bounds[0] or box[1] < bounds[1] or box[2] > bounds[2] or box[3] > bounds[3]
            )
            return 2 * outside + sum(_overlap(box, other) for other in boxes)

        # The first of equally good places wins; the label then blocks its space for later ones.
        best = min(places, key=cost)
        boxes.append(
            (x[i] + best[0], y[i] + best[1], x[i] + best[0] + width, y[i] + best[1] + height)
        )
        # An offset in points keeps the label at its place when the layout changes the axes.
        axes.annotate(
            text,
            (data_x, data_y),
            xytext=best,
            textcoords="offset points",
            color=colour,
            fontsize=font_size,
            fontweight="bold",
            zorder=6,
        )


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return bool(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def _fractions(axes: Axes, values: list[float], which: str) -> list[float]:
    """Return the positions of data values on a linear or logarithmic axis, from 0 to 1."""
    low, high = axes.get_ylim() if which == "y" else axes.get_xlim()
    scale = axes.get_yscale() if which == "y" else axes.get_xscale()
    if scale == "log":
        return [float(np.log(v / low) / np.log(high / low)) if v > 0 else 0.0 for v in values]
    return [float((v - low) / (high - low)) for v in values]


def separate_labels(positions: list[float], gap: float) -> list[float]:
    """Move labels apart to at least `gap`, in the same order and as little as possible.

    The sum of squared moves is least: labels that touch form a block, centred on the mean of their
    own positions (pool adjacent violators).
    """
    # Work from the lowest label up; a stable sort keeps labels at one position in their order.
    order = np.argsort(positions, kind="stable")
    # A block is [sum of (position - offset within the block), number of labels].
    blocks: list[list[float]] = []
    for index in order:
        blocks.append([positions[index], 1.0])
        # A new label may overlap the block below it, and the merged block the one below that.
        while len(blocks) > 1:
            (sum_a, n_a), (sum_b, n_b) = blocks[-2], blocks[-1]
            if sum_a / n_a + n_a * gap <= sum_b / n_b:
                break
            # Labels of the upper block now have n_a more gaps below them within the merged block.
            blocks[-2:] = [[sum_a + sum_b - n_b * n_a * gap, n_a + n_b]]
    # Within a block, labels are one gap apart, from the block's start upwards.
    moved = [0.0] * len(positions)
    k = 0
    for total, size in blocks:
        for i in range(int(size)):
            moved[order[k]] = total / size + i * gap
            k += 1
    return moved
