"""How noisy a study's timings are, which decides whether its trials are timed in another pass.

What slows a machine down comes and goes over seconds to minutes: one trial is timed in a slow
stretch and the next one in a quick one. More rounds inside a trial fall into the same stretch and
tell nothing new. A further pass times every trial again, later and in another order, and a trial's
median is then over the samples of all its passes.

Only noise decides on a further pass, never which arm is quicker. Noise is how much the trials of
one arm differ, which do the same work under different seeds.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median, variance
from typing import Any

from runner.plan.plan import Plan
from runner.records.job import Job, Stage
from runner.records.store import Slot
from runner.study.entries import Entry, make_job

LEAST_SEEDS = 3  # fewer tell too little of the spread

Samples = Mapping[str, Sequence[float]]


def timing_noise(trials: Iterable[tuple[str, Samples]]) -> tuple[float, str]:
    """Return the noise of the least steady timed quantity, and its name; 0 and "" without any.

    `trials` are pairs of an arm and one trial's samples, quantity -> seconds. The noise of a
    quantity is the standard error of an arm's mean time as a share of that mean, the root mean
    square over the arms. A trial's time is the median of its samples. Arms with fewer than
    `LEAST_SEEDS` trials do not count.
    """
    medians: dict[str, dict[str, list[float]]] = {}
    for arm, samples in trials:
        for quantity, seconds in samples.items():
            medians.setdefault(quantity, {}).setdefault(arm, []).append(median(seconds))
    worst = (0.0, "")
    for quantity, arms in medians.items():
        squares = [
            variance(times) / len(times) / fmean(times) ** 2
            for times in arms.values()
            if len(times) >= LEAST_SEEDS and fmean(times) > 0
        ]
        if squares:
            worst = max(worst, (math.sqrt(fmean(squares)), quantity))
    return worst


def further_pass_jobs(
    plan: Plan,
    entries: Sequence[Entry],
    everything: Sequence[Entry],
    note: Callable[[str], None],
    each: float,
) -> Iterator[list[Job]]:
    """The jobs of each further pass over what was timed, while it is too noisy; see `Timing`.

    The noise is that of all timed trials of the plan. Those with the fewest passes are timed again,
    of `entries`, which this run computes, and of an earlier run that was stopped within a pass. All
    other trials that were finished before stay as they are.

    Args:
        plan: what the trials belong to.
        entries: the trials that this run computes.
        everything: all trials of the plan.
        note: what tells the user a line.
        each: seconds that a trial took in the pass before.
    """
    timing, spent = plan.study.timing, 0.0
    before = passes_of(everything)
    most = max(before.values(), default=0)
    own = {entry.slot for entry in entries}
    candidates = [
        entry
        for entry in everything
        if (entry.slot in own or before.get(entry.slot, most) < most)
        and entry.slot in before
        and entry.slot.is_finished(entry.arm.code)
    ]
    while noisy := describe_timing_noise(plan, everything):
        counts = passes_of(candidates)
        if not counts:
            plan.notes.append(f"{noisy}: no trial is left to be timed again")
            return
        passes = min(counts.values())
        due_now = [entry for entry in candidates if counts.get(entry.slot) == passes]
        seconds = each * len(due_now)
        late = spent + seconds > 60 * timing.minutes
        if late or passes >= timing.passes:
            limit = f"minutes={timing.minutes:g}" if late else f"passes={timing.passes}"
            plan.notes.append(f"{noisy}: timing.{limit} allows no further pass")
            return
        note(f"{noisy}: {count_with_verb(len(due_now))} timed once more")
        began = time.monotonic()
        order = shuffle_within_seeds(due_now, passes)
        yield [replace(make_job(plan, entry, Stage.timing), passes=passes) for entry in order]
        taken = time.monotonic() - began
        each, spent = taken / len(due_now), spent + taken
        # A trial whose pass has failed keeps its earlier times and is not tried again.
        after = passes_of(due_now)
        failed = {entry.slot for entry in due_now if after.get(entry.slot, 0) <= passes}
        candidates = [entry for entry in candidates if entry.slot not in failed]


def shuffle_within_seeds(entries: Sequence[Entry], passes: int = 0) -> list[Entry]:
    """Trials seed by seed, the arms of a seed in random order, which differs between passes."""
    order = {
        entry.slot: random.Random(f"{entry.seed}/{entry.arm.signature}/{passes}").random()
        for entry in entries
    }
    return sorted(entries, key=lambda entry: (entry.seed, order[entry.slot]))


def count_with_verb(trials: int) -> str:
    """How many trials, with the verb that follows."""
    return "1 trial is" if trials == 1 else f"{trials} trials are"


def timed_results(entries: Sequence[Entry]) -> dict[Slot, tuple[Entry, dict[str, Any]]]:
    """The trials that have timings, and their results."""
    return {
        entry.slot: (entry, result)
        for entry in entries
        if (result := entry.slot.result()) and result.get("samples")
    }


def passes_of(entries: Sequence[Entry]) -> dict[Slot, int]:
    """In how many passes each timed trial was timed."""
    return {slot: result["passes"] for slot, (_, result) in timed_results(entries).items()}


def describe_timing_noise(plan: Plan, entries: Sequence[Entry]) -> str:
    """Say how noisy the timings of a plan's trials are; "" where they are steady enough."""
    results = timed_results(entries).values()
    error, quantity = timing_noise((entry.arm.name, result["samples"]) for entry, result in results)
    steady = plan.study.timing.steady
    if error <= steady:
        return ""
    passes = sorted({result["passes"] for _, result in results})
    count = f"{passes[0]}" if len(passes) == 1 else f"{passes[0]} to {passes[-1]}"
    return (
        f"after {count} timing {'pass' if passes == [1] else 'passes'} the standard error of an "
        f"arm's mean time ({quantity}) is {error:.1%} of it, above {steady:.1%}"
    )
