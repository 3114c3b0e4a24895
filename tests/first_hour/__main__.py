"""`python -m tests.first_hour`: every command of the README in order, in a fresh environment.

The commands run as they stand, in a new clone of the committed state with a new venv. Lines that
read `task.path` find text files there, which are written before. The default run takes about an
hour; `--scale smoke` adds `scale=smoke` to each study and takes some minutes.
The exit code is 1 if a step failed, and 2 if the README has a line that cannot be run.
"""

import argparse
import json
import re
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.first_hour.environment import Environment
from tests.first_hour.readme import ReadmeError, Step, read_steps
from tests.first_hour.running import StepResult, run_step
from tests.support.environment import ROOT

README = ROOT / "README.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the README's steps, print a line for each, and return the exit code."""
    typed = parse(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job of `nohup` ignores
    try:
        steps = read_steps(typed.readme.read_text(encoding="utf-8"), skip=typed.skip)
    except ReadmeError as error:
        print(f"{typed.readme.name} has lines that cannot be run as they stand:\n{error}")
        return 2
    if typed.list:
        for number, step in enumerate(steps, 1):
            print(
                f"{number:2d} line {step.line:3d} {step.kind}: {one_line(step.path or step.text)}"
            )
        return 0
    with ExitStack() as stack:
        if typed.folder is None:
            temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(temporary))
        else:
            folder = typed.folder.absolute()
        results = run_steps(Environment(folder), steps, typed)
        print_failures(results)
    return int(not all(result.passed for result in results))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.first_hour",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--scale", default="", help="add scale=SCALE to each study without one")
    parser.add_argument("--skip", metavar="PATTERN", help="leave out lines that match a pattern")
    parser.add_argument("--from", dest="first", type=int, default=1, metavar="N")
    parser.add_argument("--to", dest="last", type=int, default=sys.maxsize, metavar="N")
    parser.add_argument("--folder", type=Path, help="keep clone, venv and logs there; reuse them")
    parser.add_argument("--json", type=Path, help="write the results there after each step")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds of each step")
    parser.add_argument("--list", action="store_true", help="print the steps, and run none")
    parser.add_argument("--readme", type=Path, default=README, help="another README")
    typed = parser.parse_args(arguments)
    if typed.first > 1 and not (typed.folder and (typed.folder / "ablab").is_dir()):
        parser.error("--from needs the --folder of an earlier run, which has the installation")
    return typed


def run_steps(
    environment: Environment, steps: Sequence[Step], typed: argparse.Namespace
) -> list[StepResult]:
    """Run steps in order, also after one that failed."""
    began = time.monotonic()
    fresh = not environment.clone.is_dir()
    commit = environment.create() if fresh else environment.commit()
    print(f"{'new' if fresh else 'earlier'} clone of {commit[:12]} in {environment.folder}")
    results: list[StepResult] = []
    for number, step in enumerate(steps, 1):
        if not typed.first <= number <= typed.last:
            continue
        result = run_step(
            environment, step, number=number, scale=typed.scale, timeout=typed.timeout
        )
        results.append(result)
        print(row(result), flush=True)
        if typed.json:
            write_json(typed.json, commit, typed.scale, results)
    print(f"{len(results)} steps, {time.monotonic() - began:.0f} s")
    return results


def row(result: StepResult) -> str:
    """Return one line for a step, and its note below."""
    ending = "ok" if result.passed else f"FAILED ({result.code})"
    note = f"\n     {result.note}" if result.note else ""
    return f"{result.number:2d} {result.seconds:7.1f} s  {ending:11} {one_line(result.text)}{note}"


def one_line(text: str) -> str:
    """Return the first characters of a text, with single spaces."""
    return re.sub(r"\s+", " ", text)[:90]


def print_failures(results: Sequence[StepResult]) -> None:
    """Print the end of the output of each step that failed."""
    for result in results:
        if not result.passed:
            print(f"\n--- {result.number}, line {result.line}: {result.text}")
            print("\n".join(result.tail))


def write_json(path: Path, commit: str, scale: str, results: Sequence[StepResult]) -> None:
    """Write the results so far."""
    report = {"commit": commit, "scale": scale, "steps": [result.as_json() for result in results]}
    path.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
