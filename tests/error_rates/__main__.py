"""Print the tables; exit with 1 where a required rule does not hold."""

import argparse
import datetime
import sys
import time
from pathlib import Path

from .answers import coverage_cells, false_answer_cells, power_cells, repeated_look_cells
from .cells import simulate
from .presets import preset_cells
from .verdicts import claim_cells, claim_power_cells, family_cells

TABLES = (
    *(false_answer_cells, repeated_look_cells, claim_cells, family_cells, coverage_cells),
    *(power_cells, claim_power_cells),
)
BEGIN, END = "<!-- tests.error_rates begins -->", "<!-- tests.error_rates ends -->"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.error_rates", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few cells, for CI: under a minute")
    parser.add_argument("--studies", type=int, help="a cell; 5000, with --quick 1000")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--write", type=Path, help="a file whose marked block the tables replace")
    asked = parser.parse_args()
    studies = asked.studies or (1000 if asked.quick else 5000)
    began = time.monotonic()
    cells = [cell for make in TABLES for cell in make(quick=asked.quick)] + preset_cells()
    tables = simulate(cells, studies, asked.workers)
    today = datetime.datetime.now(datetime.UTC).date()
    head = (
        f"Simulated on {today}: {studies:,} studies a cell. A star marks a cell above its level "
        "(5 %), or below the coverage or power it should have, by more than three standard errors."
    )
    text = "\n\n".join([head, *(table.markdown() for table in tables.values())])
    print(text)  # noqa: T201
    if asked.write:
        replace_block(asked.write, text)
    failed = [line for table in tables.values() for line in table.failures]
    took = f"{time.monotonic() - began:.0f} s, {len(cells)} cells"
    print("\n".join([took, *failed]), file=sys.stderr)  # noqa: T201
    return 1 if failed else 0


def replace_block(path: Path, text: str) -> None:
    """Put the text between the two marks of a file."""
    page = path.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise ValueError(f"{path} has no block between {BEGIN!r} and {END!r}.")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
