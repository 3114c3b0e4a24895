"""Files of token ids: `.bin` without a header, or `.npy`. They are read in place, never as a whole.

A trial reads only the windows that it needs. The first command reads each file once, in chunks, for
its content hash and the range of its ids. An index in the cache folder keeps both, by path, size
and time of modification.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.tasks.corpora.labels import printable_name
from runner.config import INTEGER_LIMIT
from runner.records.files import read_json, write_json

CHUNK_BYTES = 2**24
INDEX = "tokens-index.json"
LARGEST_HIGH_WORD = 15
"""The largest high half of ids below 2**20, which includes all vocabularies in use."""
LEAST_LARGE_ID = 256
"""The largest id at even positions from which small ids at odd positions are remarkable."""
LEAST_PAIRS = 32
"""Pairs of ids from which the type of a file is judged."""
LLM_C_MAGIC = 20240520
"""The first number of a `.bin` of llm.c, which has a header of 256 numbers."""


@dataclass(frozen=True)
class TokenFile:
    """A file of token ids.

    Attributes:
        path: the file.
        dtype: the type of its ids, as a name of numpy.
        offset: the number of bytes before the first id.
        n: the number of ids.
        stamp: its size in bytes, time of modification and inode when it was opened.
    """

    path: str
    dtype: str
    offset: int
    n: int
    stamp: tuple[int, int, int]

    @property
    def name(self) -> str:
        """The path as it is printed."""
        return printable_name(self.path)

    def check_unchanged(self) -> None:
        """Raise ValueError if the file was written to since it was opened."""
        if stamp_of(self.path) != self.stamp:
            raise ValueError(
                f"{self.name} has changed since this command began; run the command again without "
                "changing the file"
            )

    def read(self, first: int, n: int) -> NDArray[Any]:
        """Return `n` ids from the position `first` on.

        Raises:
            ValueError: the file is shorter now.
        """
        dtype = np.dtype(self.dtype)
        with Path(self.path).open("rb", buffering=0) as file:
            file.seek(self.offset + first * dtype.itemsize)
            data = file.read(n * dtype.itemsize)
        if len(data) != n * dtype.itemsize:
            self.check_unchanged()
            raise ValueError(f"{self.name} cannot be read at token {first}")
        return np.frombuffer(data, dtype)

    def chunks(self, first: int, last: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the ids from `first` up to `last` in chunks, each with its position."""
        step = CHUNK_BYTES // np.dtype(self.dtype).itemsize
        for start in range(first, last, step):
            yield start, self.read(start, min(step, last - start))


@dataclass(frozen=True)
class FileContent:
    """The facts on a file's content that take a pass over it.

    Attributes:
        digest: the SHA-256 of its ids.
        smallest, largest: the range of its ids.
        at_smallest, at_largest: the first positions of these ids.
        largest_even, largest_odd: the largest ids at even and at odd positions; -1 without one.
    """

    digest: str
    smallest: int
    largest: int
    at_smallest: int
    at_largest: int
    largest_even: int
    largest_odd: int


def stamp_of(path: str) -> tuple[int, int, int]:
    """Return size, time of modification and inode of a file; zeros if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return 0, 0, 0
    return status.st_size, status.st_mtime_ns, status.st_ino


def leave_out(paths: Sequence[Path], others: Sequence[Path]) -> list[Path]:
    """Return the paths without those of the files in `others`, also under another name."""
    excluded = {_identity(path) for path in others}
    return [path for path in paths if _identity(path) not in excluded]


def _identity(path: Path) -> object:
    """Return device and inode of a file, which identify it; its path if it cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return path
    return status.st_dev, status.st_ino


def open_token_file(path: Path, dtype: str) -> TokenFile:
    """Check the form of a file of ids; `dtype` is the type of the ids of a `.bin`.

    Raises:
        ValueError: it is neither `.bin` nor `.npy`, is empty, or has no list of whole numbers.
    """
    name = printable_name(str(path))
    stamp = stamp_of(str(path))
    if path.suffix not in (".bin", ".npy"):
        raise ValueError(f"{name} is neither .bin nor .npy; token ids come in these")
    if not stamp[0]:
        raise ValueError(f"{name} is empty")
    try:
        offset, kind = (0, np.dtype(dtype)) if is_bin(path) else _read_header(path, name, stamp[0])
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise ValueError(f"{name} cannot be read ({error.strerror})") from error
    if is_bin(path) and len(head) == 4 and int.from_bytes(head, "little") == LLM_C_MAGIC:
        raise ValueError(
            f"{name} has the header of llm.c; remove it: tail -c +1025 {name} > headless.bin"
        )
    n_bytes = stamp[0] - offset
    if n_bytes % kind.itemsize:
        raise ValueError(
            f"{name} has {n_bytes} bytes, but each {kind} has {kind.itemsize}; set another "
            "task.dtype, or write the file again"
        )
    return TokenFile(str(path.absolute()), kind.name, offset, n_bytes // kind.itemsize, stamp)


def is_bin(path: str | Path) -> bool:
    """Return whether a file is a `.bin`, which does not name the type of its ids."""
    return Path(path).suffix == ".bin"


def _read_header(path: Path, name: str, size: int) -> tuple[int, np.dtype[Any]]:
    """Return the length of the header of a `.npy` file of `size` bytes, and the type of its ids."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.memmap):
            array.close()
            raise ValueError("it is an archive of several arrays, .npz; save one with numpy.save")
    except (ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        if "Object arrays" in reason or "Python objects" in reason:
            reason = "it has Python objects, which are not read"
        # NumPy takes other content for a pickle, and its advice on pickles is of no use here.
        why = "" if "pickle" in reason else f" ({reason})"
        raise ValueError(f"{name} is no .npy file of token ids{why}") from error
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} has numbers of {array.dtype}; token ids are whole numbers")
    if array.dtype.byteorder == ">":
        raise ValueError(
            f"{name} has big-endian numbers; save it with .astype({array.dtype.name!r})"
        )
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; token ids have one axis")
    if not len(array):
        raise ValueError(f"{name} is empty")
    if more := size - array.offset - array.nbytes:
        raise ValueError(
            f"{name} has {more} bytes after its array; save it again with numpy.save, one array a "
            "file"
        )
    return int(array.offset), array.dtype


def read_content(file: TokenFile, cache: Path, *, keep: bool) -> FileContent:
    """Return facts on the content of a file, from the index or from a pass over the file.

    The pass takes memory for one chunk. With `keep` its result is added to the index.

    Raises:
        ValueError: the file changes meanwhile.
    """
    key = f"{file.path}\0{file.stamp}\0{file.dtype}\0{file.offset}"
    index = read_json(cache / INDEX) or {}
    for known in (_READ.get(key), index.get(key)):
        if isinstance(known, dict) and {*known} == {*FileContent.__dataclass_fields__}:
            return FileContent(**known)
    content = _scan(file)
    file.check_unchanged()
    _READ[key] = asdict(content)
    if keep:
        cache.mkdir(parents=True, exist_ok=True)
        write_json(cache / INDEX, {**index, key: asdict(content)})
    return content


_READ: dict[str, dict[str, Any]] = {}
"""Contents that this process has read, for commands that write no index."""


def _scan(file: TokenFile) -> FileContent:
    """Read a file once, in chunks."""
    digest = hashlib.sha256()
    smallest, largest = (2**64, 0), (-1, 0)
    of_parity = [-1, -1]
    for start, ids in file.chunks(0, file.n):
        digest.update(ids.data)
        low, high = int(ids.min()), int(ids.max())
        if low < smallest[0]:
            smallest = low, start + int(ids.argmin())
        if high > largest[0]:
            largest = high, start + int(ids.argmax())
        for offset in range(min(2, len(ids))):
            parity = (start + offset) % 2
            of_parity[parity] = max(of_parity[parity], int(ids[offset::2].max()))
    values, places = (smallest[0], largest[0]), (smallest[1], largest[1])
    return FileContent(digest.hexdigest(), *values, *places, *of_parity)


def check_ids(file: TokenFile, content: FileContent, vocabulary: int) -> None:
    """Raise ValueError if an id of a file is outside the vocabulary, or the type is wrong."""
    check_type(file, content, vocabulary)
    for value, place in (
        (content.smallest, content.at_smallest),
        (content.largest, content.at_largest),
    ):
        if not 0 <= value < vocabulary:
            is_possible = 0 <= value < INTEGER_LIMIT
            repair = f"set task.vocabulary={value + 1}" if is_possible else "correct the file"
            if is_bin(file.path):
                repair += ", or another task.dtype"
            raise ValueError(
                f"{file.name} has the id {value} (token {place}), but with task.vocabulary="
                f"{vocabulary} ids are 0 to {vocabulary - 1}; {repair}"
            )


def check_type(file: TokenFile, content: FileContent, vocabulary: int) -> None:
    """Raise ValueError if the ids of a `.bin` seem to have a wider type than the chosen one.

    Each wide id then counts as two, and those at odd positions are the high halves. The rule, for
    `LEAST_PAIRS` pairs or more: all ids at odd positions are 0 and some other id is not, or all are
    at most `LARGEST_HIGH_WORD` and an id at an even position is `LEAST_LARGE_ID` or more. Text has
    large ids at both. A `.npy` names its type and is not judged.
    """
    if not is_bin(file.path):
        return
    if file.dtype == "uint16" and vocabulary > 2**16:
        raise ValueError(
            f"task.vocabulary={vocabulary}: ids of uint16 end at 65535; give task.dtype=uint32"
        )
    even, odd = content.largest_even, content.largest_odd
    is_wider = (odd == 0 and even > 0) or (odd <= LARGEST_HIGH_WORD and even >= LEAST_LARGE_ID)
    if file.n >= 2 * LEAST_PAIRS and is_wider:
        size = f"is at most {odd}" if odd else "is 0"
        correction = "write them as uint32" if file.dtype == "uint32" else "give task.dtype=uint32"
        raise ValueError(
            f"{file.name} does not look like ids of {file.dtype}: every second one "
            f"{size}, as in halves of wider numbers; {correction}, or save the ids as .npy"
        )
