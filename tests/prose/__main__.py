"""`python -m tests.prose`: a table of the files whose prose has faults, and 1 as exit code."""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.prose.check import CATEGORIES, ZERO, check
from tests.prose.texts import KINDS, ROOT, Finding

WIDTH = 58  # of the column of names


def table(findings: Sequence[Finding]) -> list[str]:
    """Return a row for each file with a finding, grouped by category, and totals."""
    lines = [" " * WIDTH + "".join(f"   {kind}" for kind in KINDS)]
    for category, title in CATEGORIES.items():
        counts: dict[str, Counter[str]] = {}
        for finding in findings:
            if finding.category == category:
                counts.setdefault(finding.path, Counter())[finding.kind] += 1
        total = sum(counts.values(), Counter())
        goal = "must be 0" if category in ZERO else "for information"
        lines += ["", f"{category}: {title} ({goal})"]
        lines += [row(f"  {path}", counts[path]) for path in sorted(counts)]
        lines.append(row(f"  total of {category}", total))
    return lines


def row(name: str, counts: Counter[str]) -> str:
    """Return a name and the number of findings of each kind."""
    return name.ljust(WIDTH) + "".join(str(counts[kind]).rjust(len(kind) + 3) for kind in KINDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table or the list; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.prose", description=__doc__)
    parser.add_argument(
        "-v",
        "--list",
        nargs="*",
        metavar="PATH",
        help="print each finding of these files or folders, or of all",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=CATEGORIES,
        metavar="CATEGORY",
        help=f"check these: {', '.join(CATEGORIES)}",
    )
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="the project to check (default: this one)"
    )
    options = parser.parse_args(arguments)
    findings = check(options.root.resolve(), options.only or tuple(CATEGORIES))
    if options.list is None:
        print("\n".join(table(findings)))
    else:
        paths = tuple(path.removeprefix("./") for path in options.list)
        findings = [each for each in findings if not paths or each.path.startswith(paths)]
        print("\n".join(map(str, findings)))
    return int(any(finding.category in ZERO for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
