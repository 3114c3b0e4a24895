"""The cache files of corpora: `<cache>/<kind>-<fingerprint>.npz`.

A file has the training bytes and evaluation windows of all labels:

    labels        (n_labels,)            names of the domains
    train         (bytes,) uint8         training text, label after label
    bounds        (n_labels + 1,)        start and end of each label's part of `train`
    windows       (n_eval, length + 1)   uint8, held-out sequences, labels taking turns
    window_label  (n_eval,)              the label of each window
    tuning_windows, tuning_window_label  the same number of other windows, for tuning; none if the
                                         held-out text is too short for them
    tuning_free   (n_labels,)            the windows that each label has for tuning, up to its share
    fingerprint   ()                     stored too, so that a renamed file is detected

With a learned vocabulary, `train` and windows are ids (uint16), and a file also has:

    token_text    (bytes,) uint8         the bytes of all tokens, token after token
    token_ends    (vocabulary,)          the end of each token in `token_text`
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
"""The number of dimensions and the dtype kind of each array, except for the fingerprint."""
TOKEN_ARRAYS = ARRAYS | {"token_text": (1, "u"), "token_ends": (1, "i")}
"""The arrays of a corpus with a learned vocabulary."""
KNOWN_ARRAYS = TOKEN_ARRAYS | {"counts": (1, "i")}
"""All arrays; `counts` belongs to files of token ids (`tasks.tokens`)."""


def cache_path(cache: Path, kind: str, fingerprint: str) -> Path:
    """Return the path of a corpus's cache file."""
    return cache / f"{kind}-{fingerprint}.npz"


def load_arrays(path: Path, names: Sequence[str] = ()) -> dict[str, NDArray[Any]] | None:
    """Read the arrays of a file, or only `names`; return None if it is missing or damaged."""
    fingerprint = path.stem.rpartition("-")[2]
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block
            return None
        with path.open("rb") as file, np.load(file, allow_pickle=False) as npz:
            if str(npz["fingerprint"]) != fingerprint:
                return None
            arrays = {name: npz[name] for name in names or ARRAYS}
    except Exception:  # numpy, zipfile and zlib raise many errors for damaged files
        return None
    return arrays if all(map(_fits, arrays.items())) else None


def _fits(item: tuple[str, NDArray[Any]]) -> bool:
    """Return whether an array has the dimensions and dtype kind in `KNOWN_ARRAYS`."""
    (name, array) = item
    return isinstance(array, np.ndarray) and (array.ndim, array.dtype.kind) == KNOWN_ARRAYS[name]


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the file in a temporary folder and rename it, so that readers see complete files.

    Raises:
        ValueError: the folder of the file cannot be written.
    """
    fingerprint = np.array(path.stem.rpartition("-")[2])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".building-") as folder:
            unfinished = Path(folder, path.name)
            np.savez(unfinished, allow_pickle=False, fingerprint=fingerprint, **arrays)
            unfinished.replace(path)
    except OSError as error:
        raise ValueError(
            f"the data of the task cannot be written to {path.parent} "
            f"({error.strerror or error}); give another folder by outputs="
        ) from error
