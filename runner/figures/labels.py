"""Labels beside what they name, kept apart: no reader has to match colours with a legend."""

import numpy as np

from runner.figures.mpl import Axes

LINE_HEIGHT = 1.3  # of the font size
EARLY = 0.9  # of the axes' width: a line that ends before it is named there
CHARACTER = 0.62  # mean width of a character, of the font size
Label = tuple[str, str, float, float]  # text, colour, x, y


def label_line_ends(
    axes: Axes, ends: list[Label], *, height: float, font_size: float = 11.5
) -> None:
    """Name each line at the right edge, or where it ends if that is well before the edge.

    Labels stand apart as the axes' `height` (inches) asks. A line that ends early has its name
    there: one at the edge would have to be led to it, as if the line went on.
    """
    gap = font_size * LINE_HEIGHT / 72 / height
    ends_x = _fractions(axes, [end[2] for end in ends], "x")
    for early in (False, True):
        chosen = [(end, x) for end, x in zip(ends, ends_x, strict=True) if (x < EARLY) == early]
        places = separate_labels(_fractions(axes, [end[3] for end, _ in chosen], "y"), gap)
        for ((text, colour, end_x, end_y), x), place in zip(chosen, places, strict=True):
            axes.annotate(
                text,
                (end_x, end_y),
                xytext=(x + 0.015 if early else 1.03, place),
                textcoords="axes fraction",
                color=colour,
                fontsize=font_size,
                fontweight="bold",
                va="center",
                arrowprops={
                    "arrowstyle": "-",
                    "color": colour,
                    "alpha": 0.5,
                    "linewidth": 0.8,
                    "relpos": (0, 0.5),
                },
                annotation_clip=False,
            )


def label_points(
    axes: Axes, labels: list[Label], *, size: np.ndarray, font_size: float = 11.5
) -> None:
    """Name each point at the first place around it that no point and no earlier label takes.

    `size` is the width and height of the axes in inches.
    """
    x = np.array(_fractions(axes, [label[2] for label in labels], "x")) * size[0] * 72
    y = np.array(_fractions(axes, [label[3] for label in labels], "y")) * size[1] * 72
    boxes = [(a - 7, b - 7, a + 7, b + 7) for a, b in zip(x, y, strict=True)]
    bounds = (-20.0, 0.0, size[0] * 72 + 20, size[1] * 72)
    for i, (text, colour, data_x, data_y) in enumerate(labels):
        width, height = len(text) * CHARACTER * font_size, font_size * LINE_HEIGHT
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

        def cost(
            place: tuple[float, float], i: int = i, w: float = width, h: float = height
        ) -> float:
            box = (x[i] + place[0], y[i] + place[1], x[i] + place[0] + w, y[i] + place[1] + h)
            outside = (
                box[0] < bounds[0] or box[1] < bounds[1] or box[2] > bounds[2] or box[3] > bounds[3]
            )
            return 2 * outside + sum(_overlap(box, other) for other in boxes)

        best = min(places, key=cost)
        boxes.append(
            (x[i] + best[0], y[i] + best[1], x[i] + best[0] + width, y[i] + best[1] + height)
        )
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
    """Where data values lie along an axis, 0 to 1, linear or logarithmic."""
    low, high = axes.get_ylim() if which == "y" else axes.get_xlim()
    scale = axes.get_yscale() if which == "y" else axes.get_xscale()
    if scale == "log":
        return [float(np.log(v / low) / np.log(high / low)) if v > 0 else 0.0 for v in values]
    return [float((v - low) / (high - low)) for v in values]


def separate_labels(positions: list[float], gap: float) -> list[float]:
    """Move labels apart to at least `gap`, as little as possible and in the same order.

    Blocks of labels that touch are centred on the mean of where they want to be (pool adjacent
    violators).
    """
    order = np.argsort(positions, kind="stable")
    blocks: list[list[float]] = []  # sum of (wish - offset within the block), size
    for index in order:
        blocks.append([positions[index], 1.0])
        while len(blocks) > 1:
            (sum_a, n_a), (sum_b, n_b) = blocks[-2], blocks[-1]
            if sum_a / n_a + n_a * gap <= sum_b / n_b:
                break
            blocks[-2:] = [[sum_a + sum_b - n_b * n_a * gap, n_a + n_b]]
    moved = [0.0] * len(positions)
    k = 0
    for total, size in blocks:
        for i in range(int(size)):
            moved[order[k]] = total / size + i * gap
            k += 1
    return moved
