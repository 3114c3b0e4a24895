"""The command line that repeats a comparison: its overrides, and the folders to import from."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from runner.comparison.arms import ComparedArm
from runner.comparison.origin import import_folder
from runner.comparison.parts import GeneratedPart
from runner.comparison.request import Request
from runner.comparison.widths import width_overrides
from runner.plan.overrides import quoted
from runner.wording.phrases import join_with_and

NOUNS = {
    "attention": "attention",
    "ffn": "feed-forward network",
    "model": "language model",
    "norm": "norm",
}


def list_overrides(request: Request, parts: Mapping[str, GeneratedPart]) -> list[str]:
    """Return the overrides of a study that has only the arms of a request."""
    names = [arm.name for arm in request.arms]
    arms = ",".join(
        f"{arm.name}:[{','.join(map(quoted, arm_overrides(request, arm, parts.get(arm.name))))}]"
        for arm in request.arms
    )
    plugins = [*request.plugins, *dict.fromkeys(part.module for part in parts.values())]
    return [
        f"experiment={request.experiment}",
        f"scale={request.scale}",
        f"task={request.task}",
        *([f"plugins=[{','.join(plugins)}]"] if plugins else []),
        f"n_seeds={request.n_seeds}",
        f"outputs={as_value(request.outputs)}",
        f"question={quoted(question_of(request))}",
        f"++arms={{{arms}}}",
        f"arm=[{','.join(names)}]",
        f"baseline={request.baseline}",
        "controls=[]",
        "claim=[]",
        "not_tested=[]",
        f"match.by={request.match}",
        *([f"match.to={request.baseline}"] if request.match != "none" else []),
        *request.overrides,
    ]


def as_value(text: str) -> str:
    """Return a text as a value of Hydra's grammar, in quotes only if it needs them."""
    return text if re.fullmatch(r"[A-Za-z_./][\w./-]*", text, re.ASCII) else quoted(text)


def arm_overrides(request: Request, arm: ComparedArm, part: GeneratedPart | None) -> list[str]:
    """Return the overrides of one arm: its option, the width to match, and its own ones."""
    widths = width_overrides(request, arm, part)
    if part is None:
        return [*arm.overrides, *widths]
    return [f"{part.group}={part.kind}", *widths, *arm.overrides]


def question_of(request: Request) -> str:
    """Return the question of a comparison, which is the title of its report."""
    names = [arm.name for arm in request.arms]
    matched = "" if request.match == "none" else f", matched by {request.match}"
    return f"Which {NOUNS[request.group]} is better: {join_with_and(names)}{matched}?".replace(
        " and ", " or "
    )


def format_call_as_command(
    request: Request, overrides: Sequence[str], sources: Path | None, modules: Iterable[str]
) -> str:
    """Return the command that repeats a comparison from the current folder.

    Args:
        request: the arguments of the call.
        overrides: the overrides of the study.
        sources: the folder of its generated modules; None without any.
        modules: the modules of the user that they import.
    """
    folders = [] if sources is None else [str(sources)]
    current = Path.cwd().resolve()
    own = [*modules, *request.plugins, "runner"]
    import_folders = dict.fromkeys(import_folder(each) for each in own)
    folders += [str(folder) for folder in import_folders if folder not in (None, current)]
    words = ["python", "-m", "runner", *overrides]
    if folders:
        words = ["env", f"PYTHONPATH={os.pathsep.join(folders)}", *words]
    return shlex.join(words)
