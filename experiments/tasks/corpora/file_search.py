"""Find the files that `task.path` names, and count the entries that are skipped.

`task.path` is a file, a folder or a pattern. Results of experiments are not read as text. This
holds for the current outputs folder, and for other ones, which are recognised by their files.

Links to folders are not followed, so that no walk runs in a circle. A link to a file is followed
unless that file is read anyway.
"""

import fnmatch
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from experiments.tasks.corpora.labels import printable_name

MAGIC = re.compile(r"[*?[]")
LINK, HIDDEN, FOLDER, SPECIAL = "link", "hidden entry", "folder", "special file"
RESULTS = "folder of results"
SYSTEM_FOLDERS = (("proc",), ("sys",), ("dev",))


@dataclass
class FoundFiles:
    """The files that a path names.

    Attributes:
        files: in a fixed order.
        is_named_directly: whether the path is the only file itself.
        skipped: numbers of skipped entries, by kind.
    """

    files: list[Path]
    is_named_directly: bool = False
    skipped: Counter[str] = field(default_factory=Counter)


def find_files(path: str, results: Path | None = None) -> FoundFiles:
    """Return the files that `path` names, without results of experiments.

    A path is one of these; `~` is the home folder:

    - a file;
    - a folder, or `folder/**`, for all files below it that are not hidden;
    - a pattern, in which `**` stands for folders of any depth. Hidden folders are entered only by a
      part of the pattern that begins with a dot.

    A part of the path that exists is taken literally, even if it contains a `[`.

    Args:
        path: as above.
        results: a folder of results, which is skipped.

    Raises:
        ValueError: no file is found, or a folder cannot be read.
    """
    try:
        whole = Path(path).expanduser()
        if results is not None and _is_below(os.path.realpath(whole), results):
            raise ValueError(
                f"task.path={path!r} is in {printable_name(str(results))}, where results are kept "
                f"and no text is read; move the text, or set outputs to another folder"
            )
        if (folder := _results_around(Path(os.path.realpath(whole)))) is not None:
            raise ValueError(
                f"task.path={path!r} is in {printable_name(str(folder))}, which holds results of "
                f"an experiment, and no text is read there; move the text"
            )
        if Path(os.path.realpath(whole)).parts[1:2] in SYSTEM_FOLDERS:
            raise ValueError(
                f"task.path={path!r} is {printable_name(os.path.realpath(whole))}, a folder of the "
                "operating system, which is not read; give a path to your own text"
            )
        if whole.is_file():
            return FoundFiles([whole], is_named_directly=True)
        base, pattern = _base_and_pattern(whole)
        result = FoundFiles([])
        walk = _Walk(pattern, results, result.skipped)
        plain = [Path(file) for file in walk.files(base)]
        result.files = sorted(plain + _links_to_follow(walk.links, plain, results, result.skipped))
    except OSError as error:
        name = printable_name(os.fsdecode(error.filename))[:200] if error.filename else "it"
        raise ValueError(
            f"task.path={path!r}: {name} cannot be read ({error.strerror}); "
            f"correct its permissions or leave it out"
        ) from error
    except RuntimeError as error:  # the home folder of an unknown user, such as ~unknown
        raise ValueError(f"task.path={path!r}: {error}") from error
    if not result.files:
        raise ValueError(_no_file_message(path, whole, result.skipped, pattern))
    return result


def _no_file_message(
    path: str, whole: Path, skipped: Counter[str], pattern: tuple[str, ...]
) -> str:
    if os.path.lexists(whole) and not whole.is_dir():
        what = "a regular file" if whole.exists() else "a link to an existing file"
        return f"task.path={path!r} is not {what}; give a file, a folder or a glob"
    in_brackets = f" ({describe_skipped(skipped)} left out)" if skipped else ""
    hint = "give a file, a folder or a glob, e.g. 'notes/**/*.md'"
    if skipped[FOLDER]:
        hint = "add /** to read the files below them"
    elif any("[" in part for part in pattern):
        hint = "[ begins a set of characters there; write [[] for the character itself"
    return f"task.path={path!r} matches no file{in_brackets}; {hint}"


def describe_skipped(skipped: Counter[str]) -> str:
    """Return the counts in words, such as "1 link, 2 copies"; links come first."""
    ordered = sorted(skipped, key=lambda word: (word != LINK, word))
    counted = ((skipped[word], word) for word in ordered if skipped[word])
    return ", ".join(f"{n} {_plural(word) if n > 1 else word}" for n, word in counted)


def _plural(word: str) -> str:
    head, space, rest = word.partition(" that is ")
    if space:
        return f"{_plural(head)} that are {rest}"
    head, space, rest = word.partition(" of ")
    if space:
        return f"{_plural(head)} of {rest}"
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def _base_and_pattern(whole: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the part of a path that exists, and the parts after it; () for a folder."""
    base = Path(whole.anchor)
    parts = whole.parts[1:] if whole.anchor else whole.parts
    for index, part in enumerate(parts):
        if not os.path.lexists(base / part):
            return base, parts[index:]
        base /= part
    return base, ()


class _Walk:
    """One walk down a folder that matches the parts of a pattern folder by folder.

    A state is an index into the pattern: the number of parts that the names so far have matched.
    Several states are possible after a `**`. Folders without a state are not entered.
    """

    def __init__(
        self, pattern: tuple[str, ...], results: Path | None, skipped: Counter[str]
    ) -> None:
        self.skip_hidden = not pattern or pattern[-1] == "**"  # the user named a whole folder
        self.pattern = (*(pattern or ("**",)), "*") if self.skip_hidden else pattern
        self.skipped, self.links = skipped, list[str]()
        self._matches: list[Callable[[str], object]] = [
            re.compile(fnmatch.translate(part)).match for part in self.pattern
        ]
        self._results = _identity(results)

    def files(self, base: Path) -> Iterator[str]:
        """Yield the files that match, in no order, and collect links in `links`."""
        if not base.is_dir() or not (self.skip_hidden or any(map(MAGIC.search, self.pattern))):
            return
        folders = [(str(base), self._closed({0}))]
        while folders:
            folder, states = folders.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    below = self._closed(self._step(states, entry.name))
                    is_match = self._ends(states, entry.name)
                    if not (below or is_match) or self._skips(entry):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if inside := self._states_inside(states, entry.name):
                            folders.append((entry.path, inside))
                        else:
                            self.skipped[HIDDEN if below else FOLDER] += 1
                    elif is_match and entry.is_file(follow_symlinks=False):
                        yield entry.path
                    elif is_match:
                        self.skipped[SPECIAL] += 1

    def _skips(self, entry: os.DirEntry[str]) -> bool:
        """Return whether an entry is hidden, a folder of results, or a link, which is collected."""
        if self.skip_hidden and entry.name.startswith("."):
            self.skipped[HIDDEN] += 1
        elif entry.is_symlink():
            self.links.append(entry.path)
        elif entry.is_dir() and self._has_results(entry.path):
            self.skipped[RESULTS] += 1
        else:
            return False
        return True

    def _has_results(self, folder: str) -> bool:
        is_results = self._results is not None and _identity(Path(folder)) == self._results
        return is_results or _is_experiment(folder)

    def _states_inside(self, states: set[int], name: str) -> set[int]:
        """Return the states in a folder of this name; only parts with a dot enter hidden ones."""
        if name.startswith("."):
            states = {state for state in states if self.pattern[state].startswith((".", "[.]"))}
        return self._closed(self._step(states, name))

    def _closed(self, states: set[int]) -> set[int]:
        """Return the states, and the states after each `**`, which may stand for no folder."""
        closed = set(states)
        for state in sorted(states):
            while state < len(self.pattern) - 1 and self.pattern[state] == "**":
                state += 1
                closed.add(state)
        return closed

    def _step(self, states: set[int], name: str) -> set[int]:
        """Return the states after a folder of this name."""
        stay = {state for state in states if self.pattern[state] == "**"}
        return stay | {
            state + 1
            for state in states - stay
            if state + 1 < len(self.pattern) and self._matches[state](name)
        }

    def _ends(self, states: set[int], name: str) -> bool:
        """Return whether a file of this name matches the whole pattern."""
        last = len(self.pattern) - 1
        return last in states and bool(self._matches[last](name))


def _links_to_follow(
    links: list[str], files: list[Path], results: Path | None, skipped: Counter[str]
) -> list[Path]:
    """Return the links to files that are not in `files`; count the others as skipped."""
    read = {_identity(file) for file in files} if links else set()
    followed = []
    for link in sorted(links):
        target = _identity(Path(link))
        real = os.path.realpath(link)
        if (
            target is None
            or target in read
            or not stat.S_ISREG(os.stat(link).st_mode)  # noqa: PTH116
            or (results is not None and _is_below(real, results))
            or _results_around(Path(real)) is not None
        ):
            skipped[LINK] += 1
            continue
        read.add(target)
        followed.append(Path(link))
    return followed


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Return device and inode of a file or folder, which identify it; None if it does not exist."""
    try:
        status = os.stat(path) if path else None  # noqa: PTH116
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status else None


def _is_experiment(folder: str) -> bool:
    """Return whether a folder holds an experiment's results: `trials` with a lock or an arm."""
    trials = f"{folder}/trials"
    if os.path.exists(f"{trials}/.lock"):  # noqa: PTH110
        return True
    try:
        with os.scandir(trials) as entries:
            return any(os.path.exists(f"{entry.path}/arm.json") for entry in entries)  # noqa: PTH110
    except OSError:
        return False


def _results_around(path: Path) -> Path | None:
    """Return the folder of an experiment's results that contains a path, or None."""
    return next((p for p in (path, *path.parents) if _is_experiment(str(p))), None)


def _is_below(path: str, folder: Path) -> bool:
    """Return whether a path without links is this folder or is inside it."""
    return Path(path).is_relative_to(os.path.realpath(folder))
