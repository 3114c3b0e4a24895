"""Comments in the hard functions: a line before each step says why."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.prose.python import Module
from tests.prose.texts import COMMENTS, Finding

HARD = {
    "runner/plan/composition.py": ("compose_arm",),
    "runner/study/pool.py": ("run_jobs",),
    "runner/trial/compute.py": ("compute_stage",),
    "runner/plan/matching.py": ("match_widths",),
    "runner/plan/planning.py": ("make_plan",),
    "runner/trial/checkpoint.py": ("load_newest",),
    "runner/trial/measure.py": ("time_interleaved", "calibrate_repeats"),
    "runner/trial/training.py": ("train", "advance", "train_step"),
    "runner/claims/verdicts.py": ("judge", "_examine", "_decide"),
    "runner/figures/layout.py": ("arrange",),
    "runner/figures/labels.py": ("label_points", "label_line_ends", "separate_labels"),
    "experiments/nn/kernels/tiled.py": ("_Tiled.forward", "_Tiled.backward"),
    "experiments/probes/heads/scores.py": ("row_scores",),
    "experiments/tasks/batch.py": ("Batch.split",),
    "experiments/tasks/corpora/user_text.py": ("split_held_out",),
    "experiments/tasks/corpora/windows.py": ("unseen_windows", "report_windows", "tuning_windows"),
}
"""Files and their hard functions, a method as `Class.method`."""

LINES_A_COMMENT = 8
"""A function has at least one comment line for this number of lines of code."""

LONGEST_GAP = 10
"""Lines of code that may follow each other without a comment line."""


def findings(root: Path) -> Iterator[Finding]:
    """Yield a finding for each step without a comment, and for each function that is missing."""
    for path, names in HARD.items():
        file = root / path
        module = Module(path, file.read_text(encoding="utf-8")) if file.is_file() else None
        for name in names:
            function = named(module.tree, name) if module else None
            if module is None or function is None:
                message = f"function {name} not found in {path}; update HARD in tests/prose/hard.py"
                yield Finding(path, 1, COMMENTS, "hard", message)
            else:
                yield from uncommented(module, function, name)


def named(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    """Return the function or method of a name."""
    node: ast.AST | None = tree
    for part in name.split("."):
        body = getattr(node, "body", [])
        node = next((child for child in body if getattr(child, "name", None) == part), None)
    return node if isinstance(node, ast.FunctionDef) else None


def uncommented(module: Module, function: ast.FunctionDef, name: str) -> Iterator[Finding]:
    """Yield a finding for each long gap between comment lines; else one where they are too few."""

    def finding(line: int, message: str) -> Finding:
        return Finding(module.path, line, COMMENTS, "hard", f"{name}: {message}")

    n_code = n_comments = gap = 0
    start, long_gaps = 0, 0
    for number, line in body_lines(module, function):
        if line.startswith("#"):
            n_comments, gap = n_comments + 1, 0
            continue
        n_code, gap = n_code + 1, gap + 1
        start = number if gap == 1 else start
        if gap == LONGEST_GAP + 1:
            long_gaps += 1
            yield finding(start, f"more than {LONGEST_GAP} lines without a comment from here on")
    needed = n_code // LINES_A_COMMENT
    if not long_gaps and n_comments < needed:
        message = f"{n_comments} comment lines for {n_code} lines of code, at least {needed}"
        yield finding(function.lineno, message)


def body_lines(module: Module, function: ast.FunctionDef) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines of code and the comment lines of a body."""
    docstring = ast.get_docstring(function, clean=False) is not None
    opening = function.body[0].lineno if not docstring else (function.body[0].end_lineno or 0) + 1
    # Comments before the first statement belong to the body, too.
    while not docstring and module.lines[opening - 2].lstrip().startswith("#"):
        opening -= 1
    for number in range(opening, (function.end_lineno or opening) + 1):
        line = module.lines[number - 1].strip()
        if line.strip("()[]{},:"):
            yield number, line
