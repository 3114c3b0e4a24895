"""`python -m tests.fuzz --cases 10000 --seed 0`: many cases of each kind; counts what they reach.

`--kind commands --cases 200` runs the command itself, at some seconds a case.
Ends with 1 where something is wrong; the printed seed gives the same cases again.
"""

import argparse
import sys
import time
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.kinds import KINDS, SEEN

SHARES = {"overrides": 0.6, "folders": 0.25, "texts": 0.05, "stores": 0.05, "runs": 0.05}


def examine(kind: str, n_cases: int, start: int) -> list[tuple[Any, list[str]]]:
    """Run cases of a kind; those with faults, and the faults."""
    cases, check = KINDS[kind]
    found: list[tuple[Any, list[str]]] = []

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
            found.append((case, faults))

    run()
    return found


def main() -> None:
    """Run the cases and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=[*KINDS], action="append")
    given_words = parser.parse_args()
    kinds = given_words.kind or list(SHARES)
    total = sum(SHARES.get(kind, 1.0) for kind in kinds)
    start, wrong = time.monotonic(), 0
    for kind in kinds:
        n_cases = max(1, round(given_words.cases * SHARES.get(kind, 1.0) / total))
        began = time.monotonic()
        found = examine(kind, n_cases, given_words.seed)
        print(f"{kind}: {n_cases} cases, {time.monotonic() - began:.0f} s, {len(found)} wrong")
        for case, faults in found[:20]:
            print(f"  {'; '.join(faults)}\n    {str(case)[:500]!r}")
        wrong += len(found)
    for stage, number in sorted(SEEN.items()):
        print(f"  {stage}: {number}")
    print(f"seed {given_words.seed}, {time.monotonic() - start:.0f} s, {wrong} wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
