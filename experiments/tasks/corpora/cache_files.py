"""The files of corpora: `<cache>/<kind>-<fingerprint>.npz`.

One holds training bytes and evaluation windows of all labels:

    labels        (n_labels,)            names of the domains
    train         (bytes,) uint8         training text, label after label
    bounds        (n_labels + 1,)        where each label's part of `train` begins and ends
    windows       (n_eval, length + 1)   uint8, held-out sequences, labels taking turns
    window_label  (n_eval,)              the label of each
    tuning_windows, tuning_window_label  as many others, by which tuning chooses; none if the
                                         held-out text is too short for them
    tuning_free   (n_labels,)            how many of them each label could have, up to its share
    fingerprint   ()                     again, so that a renamed file is not taken for another
"""

import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ARRAYS: dict[str, tuple[int, str]] = {
    "labels": (1, "U"),
    "train": (1, "u"),
    "bounds": (1, "i"),
    "windows": (2, "u"),
    "window_label": (1, "i"),
    "tuning_windows": (2, "u"),
    "tuning_window_label": (1, "i"),
    "tuning_free": (1, "i"),
}
"""The dimensions and the kind of numbers of each array, but for the fingerprint."""


def cache_path(cache: Path, kind: str, fingerprint: str) -> Path:
    """Return where a corpus lies."""
    return cache / f"{kind}-{fingerprint}.npz"


def load_arrays(path: Path, names: Sequence[str] = ()) -> dict[str, NDArray[Any]] | None:
    """Read the arrays of a file (`names`: these alone); None if it is missing or damaged."""
    fingerprint = path.stem.rpartition("-")[2]
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            return None
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["fingerprint"]) != fingerprint:
                return None
            found = {name: arrays[name] for name in names or ARRAYS}
    except Exception:  # whatever numpy, zipfile and zlib say of a file that is not ours
        return None
    return found if all(map(_fits, found.items())) else None


def _fits(item: tuple[str, NDArray[Any]]) -> bool:
    """Tell whether an array has the form that `ARRAYS` says."""
    (name, array) = item
    return isinstance(array, np.ndarray) and (array.ndim, array.dtype.kind) == ARRAYS[name]


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write beside, then rename: whoever reads or builds at the same time sees a whole file.

    Raises:
        ValueError: nothing can be written there.
    """
    fingerprint = np.array(path.stem.rpartition("-")[2])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".building-") as folder:
            part = Path(folder, path.name)
            np.savez(part, allow_pickle=False, fingerprint=fingerprint, **arrays)
            part.replace(path)
    except OSError as error:
        raise ValueError(
            f"the data of the task cannot be written to {path.parent} "
            f"({error.strerror or error}); give another folder by outputs="
        ) from error
