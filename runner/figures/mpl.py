"""Matplotlib, imported on our terms, and only when something is drawn.

Planning a run reads its figures and draws none. Modules that planning loads take the two types from
here, and import the rest of matplotlib inside the functions that draw.
"""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MplFigure  # ours are `runner.figures.figure.Figure`
else:
    Axes = MplFigure = Any

__all__ = ["Axes", "MplFigure", "import_matplotlib"]


def import_matplotlib() -> None:
    """Import matplotlib so that neither the environment nor the current folder decides how.

    `MPLBACKEND` may name windows that are not there, and no window is ever opened here. A file
    `matplotlibrc`, which may lie in the current folder, is another program's; `canvas.style` says
    what figures look like. Whoever has imported matplotlib before keeps what it has read.
    """
    spec = None if "matplotlib" in sys.modules else importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return
    defaults = Path(spec.origin).parent / "mpl-data" / "matplotlibrc"
    with _environment(MPLBACKEND=None, MATPLOTLIBRC=str(defaults)), _beside(defaults):
        import matplotlib  # noqa: F401


@contextlib.contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Set (or, for None, remove) environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    try:
        _set(values)
        yield
    finally:
        _set(before)


def _set(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextlib.contextmanager
def _beside(defaults: Path) -> Iterator[None]:
    """Be in the folder of these defaults for a while, if the current one would be read first."""
    if os.path.lexists(defaults.name):
        with contextlib.chdir(defaults.parent):
            yield
    else:
        yield
