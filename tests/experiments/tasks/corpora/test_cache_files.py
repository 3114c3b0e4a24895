"""A cached corpus that is damaged in any way is built again, to the same arrays."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.tasks.text import Text


def of_text(folder: Path) -> Text:
    """Return a task of a small text in a folder."""
    (folder / "a.txt").write_text("".join(f"word {i * i} " for i in range(400)))
    return Text(kind="text", path=str(folder / "a.txt"), length=16, n_eval=6, eval_share=0.3)


def with_array(name: str, array: Any) -> Callable[[Path], object]:
    """Write a whole archive in which one array is another."""

    def change(path: Path) -> None:
        arrays = dict(np.load(path))
        np.savez(path, allow_pickle=True, **{**arrays, name: array})

    return change


def plain_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "random bytes": lambda path: path.write_bytes(bytes(range(256)) * 99),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "a flipped byte": flipped,
    "text": lambda path: path.write_text("no archive"),
    "a folder": lambda path: (path.unlink(), path.mkdir(), (path / "x").touch()),
    "a circle": lambda path: (path.unlink(), path.symlink_to(path.name)),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "zeros": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "a plain array": plain_array,
    "objects": with_array("labels", np.array([{"a": 1}], dtype=object)),
    "floats": with_array("train", np.zeros(9)),
    "a row": with_array("windows", np.zeros(9, np.uint8)),
    "of other data": with_array("fingerprint", np.array("0123456789abcdef")),
}


@pytest.mark.some(5)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_built_again(tmp_path: Path, damage: str):
    options = of_text(tmp_path)
    cache = tmp_path / "out" / "corpora"
    fingerprint = options.prepare(cache).fingerprint
    whole = options.load(cache, fingerprint)
    (path,) = cache.iterdir()
    content = path.read_bytes()
    DAMAGES[damage](path)
    for read in (options.prepare, lambda _: options.load(cache, fingerprint)):
        read(cache)
    again = options.load(cache, fingerprint)
    assert again.keys() == whole.keys()
    assert all(np.array_equal(again[name], whole[name]) for name in whole)
    assert len(path.read_bytes()) == len(content)
    assert [entry.name for entry in cache.iterdir()] == [path.name]


def test_a_cache_that_cannot_be_written_is_said_in_one_line(tmp_path: Path):
    options = of_text(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "corpora").write_text("a file")
    with pytest.raises(ValueError, match=r"cannot be written to .*corpora \(.*\); give another fo"):
        options.prepare(tmp_path / "out" / "corpora")


def test_text_that_repeats_itself_needs_other_text(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"The quick brown fox jumps over the lazy dog. " * 3000)
    options = Text(kind="text", path=str(tmp_path / "a.txt"), length=16, n_eval=6, eval_share=0.3)
    with pytest.raises(ValueError, match="repeats the training text, so give other text"):
        options.prepare(tmp_path / "out" / "corpora")
