"""Figures without passages of the data, for `report.samples=false`."""

import dataclasses
from collections.abc import Mapping

from runner.figures.figure import Figure
from runner.figures.kinds.matrix import Matrix
from runner.figures.kinds.samples import Samples

KEY = "report.samples=false"


def without_passages(figures: Mapping[str, Figure]) -> tuple[dict[str, Figure], list[str]]:
    """Return the figures that show no passage of the data, and a line for each change.

    Tables of samples are left out. Matrices have numbers instead of texts at their positions.
    """
    shown_figures, lines = {}, []
    for name, figure in figures.items():
        if isinstance(figure, Samples):
            lines.append(f"{figure.title}: this table of texts is left out ({KEY}).")
            continue
        if isinstance(figure, Matrix) and figure.tick_columns:
            lines.append(f"{figure.title}: positions have numbers instead of texts ({KEY}).")
            figure = dataclasses.replace(figure, x_ticks=None, y_ticks=None)
        shown_figures[name] = figure
    return shown_figures, lines
