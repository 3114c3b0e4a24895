"""The import of matplotlib, delayed until a figure is drawn and independent of user settings.

Planning a run reads figures without drawing. Modules that planning loads import the two types from
here, and the rest of matplotlib inside the functions that draw.
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
    from matplotlib.figure import Figure as MplFigure  # the project's own: `figures.figure.Figure`
else:
    Axes = MplFigure = Any

__all__ = ["Axes", "MplFigure", "import_matplotlib"]


def import_matplotlib() -> None:
    """Import matplotlib without reading the environment or a file of the current folder.

    - `MPLBACKEND` may name a window system that this machine does not have; no window is needed.
    - A file `matplotlibrc` in the current folder is for other programs; `canvas.style` sets the
      style.

    If matplotlib was imported before, its settings stay.
    """
    spec = None if "matplotlib" in sys.modules else importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return
    defaults = Path(spec.origin).parent / "mpl-data" / "matplotlibrc"
    with _environment(MPLBACKEND=None, MATPLOTLIBRC=str(defaults)), _in_folder_of(defaults):
        import matplotlib  # noqa: F401


@contextlib.contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Set environment variables (remove them for None) and restore them afterwards."""
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
def _in_folder_of(defaults: Path) -> Iterator[None]:
    """Change to the folder of the defaults if the current folder has a file of the same name."""
    if os.path.lexists(defaults.name):
        with contextlib.chdir(defaults.parent):
            yield
    else:
        yield
