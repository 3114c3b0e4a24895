"""The files that `task.path` names: a file, a folder or a pattern, and how many it leaves out.

Results are no text of the user's: neither those of the outputs folder in use, nor those of another
one, whose folders are known by what lies in them.
Links to folders are never followed, so that no walk runs in a circle; a link to a file is, unless
that file is read anyway.
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
OF_THE_SYSTEM = (("proc",), ("sys",), ("dev",))


@dataclass
class FoundFiles:
    """Files in order, whether the user named the only one itself, and what was left out."""

    files: list[Path]
    is_named_directly: bool = False
    skipped: Counter[str] = field(default_factory=Counter)


def find_files(path: str, results: Path | None = None) -> FoundFiles:
    """The files that `path` names; nothing in the folder `results` or other results is among them.

    Args:
        path: a file; a folder, or `folder/**`: all files below it that are not hidden; or a
            pattern, in which `**` stands for folders of any depth, of which hidden ones are entered
            only where the pattern has a part with a dot at its start. What exists is taken as it is
            written, though it may have a `[` in its name. `~` is the home folder.
        results: a folder of results, in which no text of the user's is looked for.

    Raises:
        ValueError: no file is found, or a folder cannot be read.
    """
    try:
        whole = Path(path).expanduser()
        if results is not None and _is_below(os.path.realpath(whole), results):
            raise ValueError(
                f"task.path={path!r} lies in {printable_name(str(results))}, where results are kept and "
                f"no text is read; move the text, or set outputs to another folder"
            )
        if (kept := _results_around(Path(os.path.realpath(whole)))) is not None:
            raise ValueError(
                f"task.path={path!r} lies in {printable_name(str(kept))}, which holds results of an "
                f"experiment, and no text is read there; move the text"
            )
        if Path(os.path.realpath(whole)).parts[1:2] in OF_THE_SYSTEM:
            raise ValueError(
                f"task.path={path!r} leads to {printable_name(os.path.realpath(whole))}, where the system "
                "shows its own state, and no text is read there; give a text of your own"
            )
        if whole.is_file():
            return FoundFiles([whole], is_named_directly=True)
        base, pattern = _base_and_pattern(whole)
        found = FoundFiles([])
        walk = _Walk(pattern, results, found.skipped)
        plain = [Path(file) for file in walk.files(base)]
        found.files = sorted(plain + _worth_following(walk.links, plain, results, found.skipped))
    except OSError as error:
        place = printable_name(os.fsdecode(error.filename))[:200] if error.filename else "it"
        raise ValueError(
            f"task.path={path!r}: {place} cannot be read ({error.strerror}); "
            f"mend its rights or leave it out"
        ) from error
    except RuntimeError as error:  # ~somebody
        raise ValueError(f"task.path={path!r}: {error}") from error
    if not found.files:
        raise ValueError(_nothing(path, found.skipped, pattern))
    return found


def _nothing(path: str, left_out: Counter[str], pattern: tuple[str, ...]) -> str:
    told = f" ({describe_skipped(left_out)} left out)" if left_out else ""
    cure = "give a file, a folder or a glob, e.g. 'notes/**/*.md'"
    if left_out[FOLDER]:
        cure = "add /** to read the files below them"
    elif any("[" in part for part in pattern):
        cure = "[ begins a set of characters there; write [[] for the character itself"
    return f"task.path={path!r} matches no file{told}; {cure}"


def describe_skipped(left_out: Counter[str]) -> str:
    """What was left out, in words: "1 link, 2 copies"; links, which come first, are least seen."""
    ordered = sorted(left_out, key=lambda word: (word != LINK, word))
    counted = ((left_out[word], word) for word in ordered if left_out[word])
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
    """The part of a path that exists, and the pattern behind it; () for a folder."""
    base = Path(whole.anchor)
    parts = whole.parts[1:] if whole.anchor else whole.parts
    for index, part in enumerate(parts):
        if not os.path.lexists(base / part):
            return base, parts[index:]
        base /= part
    return base, ()


class _Walk:
    """One walk down a folder, guided by a pattern whose parts are matched folder by folder.

    A state is an index into the pattern: what the names so far have matched. Folders in which no
    state is left are not entered.
    """

    def __init__(
        self, pattern: tuple[str, ...], results: Path | None, left_out: Counter[str]
    ) -> None:
        self.hide = not pattern or pattern[-1] == "**"  # a whole folder
        self.pattern = (*(pattern or ("**",)), "*") if self.hide else pattern
        self.left_out, self.links = left_out, list[str]()
        self._matches: list[Callable[[str], object]] = [
            re.compile(fnmatch.translate(part)).match for part in self.pattern
        ]
        self._results = _identity(results)

    def files(self, base: Path) -> Iterator[str]:
        """The files that match, in no order; links to be looked at are kept in `links`."""
        if not base.is_dir() or not (self.hide or any(map(MAGIC.search, self.pattern))):
            return
        todo = [(str(base), self._closed({0}))]
        while todo:
            folder, states = todo.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    below = self._closed(self._step(states, entry.name))
                    last = self._ends(states, entry.name)
                    if not (below or last) or self._passed_over(entry):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if inside := self._entered(states, entry.name):
                            todo.append((entry.path, inside))
                        else:
                            self.left_out[HIDDEN if below else FOLDER] += 1
                    elif last and entry.is_file(follow_symlinks=False):
                        yield entry.path
                    elif last:
                        self.left_out[SPECIAL] += 1

    def _passed_over(self, entry: os.DirEntry[str]) -> bool:
        """Whether an entry is hidden, a link to be looked at later, or a folder of results."""
        if self.hide and entry.name.startswith("."):
            self.left_out[HIDDEN] += 1
        elif entry.is_symlink():
            self.links.append(entry.path)
        elif entry.is_dir() and self._has_results(entry.path):
            self.left_out[RESULTS] += 1
        else:
            return False
        return True

    def _has_results(self, folder: str) -> bool:
        known = self._results is not None and _identity(Path(folder)) == self._results
        return known or _is_experiment(folder)

    def _entered(self, states: set[int], name: str) -> set[int]:
        """The states in a folder of this name; a hidden one is entered by a part with a dot."""
        if name.startswith("."):
            states = {state for state in states if self.pattern[state].startswith((".", "[.]"))}
        return self._closed(self._step(states, name))

    def _closed(self, states: set[int]) -> set[int]:
        """The states, and those behind a `**` that stands for no folder."""
        found = set(states)
        for state in sorted(states):
            while state < len(self.pattern) - 1 and self.pattern[state] == "**":
                state += 1
                found.add(state)
        return found

    def _step(self, states: set[int], name: str) -> set[int]:
        """The states below a folder of this name."""
        stay = {state for state in states if self.pattern[state] == "**"}
        return stay | {
            state + 1
            for state in states - stay
            if state + 1 < len(self.pattern) and self._matches[state](name)
        }

    def _ends(self, states: set[int], name: str) -> bool:
        """Whether a file of this name matches the whole pattern."""
        last = len(self.pattern) - 1
        return last in states and bool(self._matches[last](name))


def _worth_following(
    links: list[str], files: list[Path], results: Path | None, left_out: Counter[str]
) -> list[Path]:
    """Links to files that are not read anyway; the others are counted as left out."""
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
            left_out[LINK] += 1
            continue
        read.add(target)
        followed.append(Path(link))
    return followed


def _identity(path: Path | None) -> tuple[int, int] | None:
    """What tells a file or folder from all others; None where there is none."""
    try:
        found = os.stat(path) if path else None  # noqa: PTH116
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found else None


def _is_experiment(folder: str) -> bool:
    """Whether a folder has the layout of an experiment's results: trials, with a lock or an arm."""
    trials = f"{folder}/trials"
    if os.path.exists(f"{trials}/.lock"):  # noqa: PTH110
        return True
    try:
        with os.scandir(trials) as entries:
            return any(os.path.exists(f"{entry.path}/arm.json") for entry in entries)  # noqa: PTH110
    except OSError:
        return False


def _results_around(path: Path) -> Path | None:
    """The folder of an experiment's results that a path lies in, if any."""
    return next((p for p in (path, *path.parents) if _is_experiment(str(p))), None)


def _is_below(path: str, folder: Path) -> bool:
    """Whether a path without links is a folder or lies in it."""
    return Path(path).is_relative_to(os.path.realpath(folder))
