"""The kinds of figures: which keys each needs, and which others it uses.

The functions that draw them are in `draw.DRAWN`; `samples` makes the one that is no picture.
"""

from dataclasses import dataclass

LABELS = ("x_label", "y_label", "log")
REFERENCE = ("reference", "reference_label")


@dataclass(frozen=True)
class Kind:
    """What figures of one kind have in common.

    needs        keys that must be given
    uses         keys that may be given
    x, hue       what these are where they are not given
    log          which axes may be logarithmic
    steps        `step` where it may be an axis, which makes the figure one of the history
    x_is_metric  x is a second metric
    dots         values of single seeds are drawn as dots
    single       the first seed only, and of the first arm where the arm is neither panel nor hue
    """

    needs: tuple[str, ...]
    uses: tuple[str, ...]
    x: str | None = None
    hue: str | None = None
    log: tuple[str, ...] = ("none", "x", "y", "both")
    steps: tuple[str, ...] = ()
    x_is_metric: bool = False
    dots: bool = False
    single: bool = False


GROUPED = Kind(
    needs=("metric",),
    uses=("table", "x", "panel", "hue", "seeds", *LABELS, *REFERENCE),
    hue="arm",
    log=("none", "y"),
    dots=True,
)
KINDS: dict[str, Kind] = {
    # over training steps, from the history
    "curve": Kind(
        needs=("metric",),
        uses=("panel", "hue", *LABELS, *REFERENCE),
        x="step",
        hue="arm",
        steps=("step",),
    ),
    # over a number, from the final results or a table
    "lines": Kind(
        needs=("metric", "x"),
        uses=("table", "panel", "hue", "seeds", *LABELS, *REFERENCE),
        hue="arm",
        dots=True,
    ),
    "bars": GROUPED,
    "points": GROUPED,
    "heatmap": Kind(
        needs=("metric", "x", "y"),
        uses=("table", "panel", "seeds", "colour_label", *LABELS),
        log=("none", "y"),
        steps=("step",),
    ),
    "scatter": Kind(
        needs=("metric", "x"),
        uses=("panel", *LABELS, *REFERENCE),
        hue="arm",
        x_is_metric=True,
        dots=True,
    ),
    "matrix": Kind(
        needs=("table", "metric", "x", "y"),
        uses=("panel", "x_ticks", "y_ticks", "panel_metrics", "colour_label", *LABELS),
        log=("none", "y"),
        single=True,
    ),
    "radar": Kind(needs=("axes",), uses=("panel", "hue"), log=("none",), single=True, dots=True),
    # `arms` may be several: each gets its rows
    "samples": Kind(needs=("table", "columns"), uses=("rows",), log=("none",)),
}
