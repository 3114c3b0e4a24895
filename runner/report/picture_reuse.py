"""Reuse of pictures: a run takes the pictures of an earlier run that were drawn from the same data.

Drawing takes most of the time of a run whose trials all exist. So each run keeps an index in
`figures/index.json`. It has for each picture a key, the digests of its files, its alternative text
and its hover texts. The key is a hash of the figure's settings, of the records, of the code that
draws, and of the versions of its libraries.

The index is signed with a secret of this user. So a run folder from another person never
supplies a picture, nor does a folder that was edited.
"""

import contextlib
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import pandas as pd

import runner
from runner.figures.data import Records
from runner.figures.draw import HoverPoint, Picture
from runner.figures.figure import Figure
from runner.figures.seeds import TRIAL_COLUMNS
from runner.records import private_folders
from runner.records.files import list_names, read_bytes, read_json

INDEX = "figures/index.json"
SECRET, SECRET_BYTES = "pictures.key", 32  # a file in the user's private folder
CODE = ("figures", "stats", "wording", "metric_names.py")
"""Files and folders of the package `runner` that decide how a picture looks."""
LIBRARIES = ("matplotlib", "matplotlib-fontja", "numpy", "pandas", "scipy")
N_RUNS = 5  # earlier runs that are searched, the newest first


@dataclass(frozen=True)
class PictureReuse:
    """The reuse of pictures in one report: the key of each figure, and the user's secret."""

    keys: Mapping[str, str]
    secret: bytes

    @classmethod
    def prepare(cls, figures: Mapping[str, Figure], records: Records) -> Self:
        """Compute the keys of a study's figures.

        Raises:
            OSError: the user has no private folder for the secret.
        """
        return cls(_keys(figures, records), _read_secret())

    def find(self, run: Path) -> dict[str, Picture]:
        """Return the pictures of earlier runs, in the folder of `run`, that have these keys."""
        pictures: dict[str, Picture] = {}
        earlier = sorted((name for name in list_names(run.parent) if name < run.name), reverse=True)
        for folder in (run.parent / name for name in earlier[:N_RUNS]):
            index = read_json(folder / INDEX) or {}
            for name in self.keys.keys() - pictures.keys():
                if picture := self._load(folder, name, index.get(name)):
                    pictures[name] = picture
            if pictures.keys() == self.keys.keys():
                break
        return pictures

    def index(self, pictures: Mapping[str, Picture]) -> dict[str, Any]:
        """Return the content of a run's index."""
        return {name: self._entry(name, picture) for name, picture in pictures.items()}

    def _entry(self, name: str, picture: Picture) -> dict[str, Any]:
        content = {
            "key": self.keys[name],
            "png": hashlib.sha256(picture.png).hexdigest(),
            "svg": hashlib.sha256(picture.svg).hexdigest(),
            "alt": picture.alt,
            "points": [[point.x, point.y, point.text] for point in picture.points],
        }
        text = json.dumps(content, sort_keys=True)
        return content | {"signature": hmac.new(self.secret, text.encode(), "sha256").hexdigest()}

    def _load(self, folder: Path, name: str, entry: Any) -> Picture | None:
        """Return the picture of an entry that this user has signed for this key, else None."""
        if not isinstance(entry, dict) or entry.get("key") != self.keys[name]:
            return None
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
            figures = folder / "figures"
            png, svg = (read_bytes(figures / f"{name}.{kind}") for kind in ("png", "svg"))
            points = tuple(HoverPoint(float(x), float(y), str(t)) for x, y, t in entry["points"])
            picture = Picture(png, svg, str(entry["alt"]), points)
            if hmac.compare_digest(self._entry(name, picture)["signature"], entry["signature"]):
                return picture
        return None


def _keys(figures: Mapping[str, Figure], records: Records) -> dict[str, str]:
    """Return a key for each figure: figures with equal keys have equal pictures."""
    common = hashlib.sha256()
    for field in fields(records):
        value = getattr(records, field.name)
        if field.name == "trials":
            value = value[TRIAL_COLUMNS]  # the other columns, such as times, are not drawn
        common.update(f"\0{field.name}\0".encode())
        _add(common, value)
    for path in _code_files():
        common.update(f"\0{path.name}\0".encode())
        common.update(path.read_bytes())
    for library in LIBRARIES:
        common.update(f"\0{library} {metadata.version(library)}".encode())
    return {
        name: hashlib.sha256(f"{common.hexdigest()}\0{name}\0{figure!r}".encode()).hexdigest()
        for name, figure in figures.items()
    }


def _add(digest: Any, value: Any) -> None:
    """Add a value to a digest: frames by their values, mappings item by item, others by repr."""
    if isinstance(value, pd.DataFrame):
        digest.update(repr((list(value.columns), list(value.dtypes), len(value))).encode())
        digest.update(pd.util.hash_pandas_object(value, index=False).to_numpy().tobytes())
    elif isinstance(value, Mapping):
        for key, item in value.items():
            digest.update(f"\0{key}\0".encode())
            _add(digest, item)
    elif isinstance(value, frozenset | set):
        digest.update(repr(sorted(value)).encode())
    else:
        digest.update(repr(value).encode())


def _code_files() -> list[Path]:
    root = Path(runner.__file__).parent
    paths = [root / name for name in CODE]
    return [file for path in paths for file in (sorted(path.rglob("*.py")) or [path])]


def _read_secret() -> bytes:
    """Return the user's secret; create it if it is missing or damaged."""
    path = private_folders.lock_folder() / SECRET
    with contextlib.suppress(OSError):
        secret = read_bytes(path, SECRET_BYTES)
        if len(secret) == SECRET_BYTES:
            return secret
    secret = secrets.token_bytes(SECRET_BYTES)
    path.write_bytes(secret)
    return secret
