"""The kinds of cases: each function runs a case and returns its faults."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from runner import invocation
from runner.commands.redraw import redraw
from runner.plan import planning
from runner.study.entries import list_trials
from tests.fuzz import cases
from tests.fuzz.command import (
    CommandResult,
    files_below,
    find_faults,
    find_message_faults,
    run_guarded,
    run_in_process,
)
from tests.support.environment import child_environment

STAGE_COUNTS: Counter[str] = Counter()
Kind = tuple[st.SearchStrategy[Any], Callable[[Any], list[str]]]


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Change to an empty folder, and delete it afterwards."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def ended(words: list[str], kind: str) -> CommandResult:
    """Run a command in the current folder, without its prints, and count its stage."""
    STAGE_COUNTS[kind] += 1
    # Planning takes long, so only one in `every` cases is planned.
    every = {"overrides": 2, "folders": 3, "texts": 1}[kind]
    then = planning.make_plan if STAGE_COUNTS[kind] % every == 0 else None
    with contextlib.redirect_stdout(io.StringIO()):
        ending = run_in_process(words, action=then)
    STAGE_COUNTS[f"{kind}: {ending.stage}"] += 1
    return ending


def overrides(words: list[str]) -> list[str]:
    """Run a command line."""
    with folder() as work_folder:
        ending = ended(words, "overrides")
        return find_faults(ending, words) + outside(work_folder, set())


def yaml_folder(text: str) -> list[str]:
    """Run an experiment in a folder of `--config-dir`."""
    with folder() as work_folder:
        path = work_folder / "mine" / "experiment" / "my.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8", errors="replace")
        words = ["--config-dir=mine", "experiment=my", *cases.SMALL_OVERRIDES, "arm=dense"]
        ending = ended(words, "folders")
        return find_faults(ending, [text]) + outside(work_folder, {path})


def own_text(files: dict[str, bytes]) -> list[str]:
    """Run a study on a folder of the user's own text."""
    with folder() as work_folder:
        paths = set()
        for name, content in files.items():
            path = work_folder / "notes" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            paths.add(path)
        words = ["experiment=moe", "scale=smoke", "arm=dense", "task=text", "task.path=notes"]
        words += ["task.length=16", "model.d_model=16"]
        ending = ended(words, "texts")
        return find_faults(ending, [*files]) + outside(work_folder, paths)


def outside(work_folder: Path, expected: set[Path]) -> list[str]:
    """Return a fault for each file that is neither expected nor below `outputs`."""
    unexpected = files_below(work_folder) - expected
    return [
        f"wrote {path}"
        for path in unexpected
        if path.relative_to(work_folder).parts[0] != "outputs"
    ]


def finished_study() -> Path:
    """Return a small study, computed once in a process; its folder is the user's current one."""
    if "folder" not in FINISHED:
        FINISHED["folder"] = place = Path(tempfile.mkdtemp(prefix="fuzz-study-"))
        os.chdir(place)
        with contextlib.redirect_stdout(io.StringIO()):
            run_in_process(STUDY, action=invocation.run_and_report)
    return FINISHED["folder"]


FINISHED: dict[str, Path] = {}
STUDY = [
    *(
        "experiment=moe",
        "arm=[dense,moe_top2]",
        *cases.SMALL_OVERRIDES,
        "task.n_eval=9",
        "task.n_samples=30",
    ),
    *(
        "training.steps=6",
        "training.eval_every=3",
        "training.checkpoint_every=2",
        "model.n_layers=1",
    ),
    *("options.n_permutations=5", "n_seeds=1", "~figures", "workers=1"),
]
DAMAGE = ("cut", "empty", "zeros", "gone", "folder", "list", "text", "letter")


def damages() -> st.SearchStrategy[list[tuple[int, str, int]]]:
    """Return the damaged files, the kinds of damage, and the positions."""
    one = st.tuples(st.integers(0, 10**6), st.sampled_from(DAMAGE), st.integers(0, 10**6))
    return st.lists(one, min_size=1, max_size=2)


def damage(path: Path, how: str, at: int) -> None:
    """Damage one file."""
    if not path.is_file():
        return
    content = path.read_bytes()
    at %= len(content) + 1
    new = {
        "cut": content[:at],
        "empty": b"",
        "zeros": bytes(len(content)),
        "list": b"[1, 2]",
        "text": b"hello, world\n",
        "letter": content[:at] + b"\xff{" + content[at + 1 :],
    }
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how in new:
        path.write_bytes(new[how])


def store(what: list[tuple[int, str, int]]) -> list[str]:
    """Damage trials: the same command must detect which ones to recompute."""
    return _damaged_study(
        "trials", what, STUDY, lambda *arguments: list_trials(planning.make_plan(*arguments))
    )


def run_folder(what: list[tuple[int, str, int]]) -> list[str]:
    """Damage a run folder and draw its report again."""
    return _damaged_study("runs", what, None, None)


def _damaged_study(
    part: str, what: list[tuple[int, str, int]], words: list[str] | None, then: Any
) -> list[str]:
    original = finished_study()
    with folder() as work_folder:
        shutil.copytree(original / "outputs", work_folder / "outputs")
        root = work_folder / "outputs" / "moe" / part
        files = sorted(files_below(root))
        for which, how, at in what:
            damage(files[which % len(files)], how, at)
        with contextlib.redirect_stdout(io.StringIO()):
            if words is None:
                run = next(path for path in sorted(root.iterdir()) if not path.is_symlink())
                ending = run_guarded(lambda: redraw([str(run)]))
            else:
                ending = run_in_process(words, action=then)
        STAGE_COUNTS[f"{part}: {'refused' if ending.code else 'done'}"] += 1
        return find_faults(ending, []) + outside(work_folder, set())


def by_command(words: list[str]) -> list[str]:
    """Run the command itself. A file is at the path of the outputs, so that nothing is trained."""
    with folder() as work_folder:
        (work_folder / "file").write_text("")
        done = subprocess.run(
            [sys.executable, "-m", "runner", *words, "outputs=file/below"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
            check=False,
            env=child_environment(),
        )
        STAGE_COUNTS[f"commands: exit code {done.returncode}"] += 1
        faults = outside(work_folder, {work_folder / "file"})
        if done.returncode not in (0, 2):
            faults.append(f"exit code {done.returncode}")
        if done.returncode == 2 and "-m" not in words:  # a sweep has a message for each point
            faults += find_message_faults(
                "\n".join(one[7:] for one in done.stderr.split("\n") if one), words
            )
        return faults


KINDS: dict[str, Kind] = {
    "overrides": (cases.commands(), overrides),
    "folders": (cases.documents(), yaml_folder),
    "texts": (cases.user_texts(), own_text),
    "stores": (damages(), store),
    "runs": (damages(), run_folder),
    "commands": (cases.commands(), by_command),
}
