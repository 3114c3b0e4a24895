"""`python -m tests.fuzz --cases 10000 --seed 0`: many cases of each kind, counted by stage.

`--kind commands --cases 200` runs the command itself, which takes some seconds a case.
The exit code is 1 if a case has a fault. The printed seed gives the same cases again.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.kinds import KINDS, STAGE_COUNTS

SHARES = {"overrides": 0.68, "folders": 0.25, "texts": 0.03, "stores": 0.02, "runs": 0.02}


def run_cases(kind: str, n_cases: int, start: int) -> list[tuple[Any, list[str]]]:
    """Run cases of a kind; return the faulty cases with their faults."""
    cases, check = KINDS[kind]
    faulty_cases: list[tuple[Any, list[str]]] = []

    @seed(start)
    @settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def run(case: Any) -> None:
        if faults := check(case):
            faulty_cases.append((case, faults))

    run()
    return faulty_cases


def run_kinds(n_cases: int, start: int, kinds: Sequence[str] = tuple(SHARES)) -> int:
    """Run cases of several kinds by their shares, print counts, and return the number of faults."""
    total = sum(SHARES.get(kind, 1.0) for kind in kinds)
    began, wrong = time.monotonic(), 0
    for kind in kinds:
        n_of_kind = max(1, round(n_cases * SHARES.get(kind, 1.0) / total))
        then = time.monotonic()
        faulty_cases = run_cases(kind, n_of_kind, start)
        print(
            f"{kind}: {n_of_kind} cases, {time.monotonic() - then:.0f} s, {len(faulty_cases)} wrong"
        )
        for case, faults in faulty_cases[:20]:
            print(f"  {'; '.join(faults)}\n    {str(case)[:500]!r}")
        wrong += len(faulty_cases)
    for stage, number in sorted(STAGE_COUNTS.items()):
        print(f"  {stage}: {number}")
    print(f"seed {start}, {time.monotonic() - began:.0f} s, {wrong} wrong")
    return wrong


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=[*KINDS], action="append")
    typed = parser.parse_args()
    sys.exit(run_kinds(typed.cases, typed.seed, typed.kind or tuple(SHARES)) > 0)


if __name__ == "__main__":
    main()
