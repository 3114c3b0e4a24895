"""Further timing passes: time the trials of a study again while their times are too noisy.

The speed of a machine changes over seconds to minutes. One trial is timed in a slow period, the
next one in a fast period. More rounds within a trial fall into the same period and add no
information. A further pass times every trial again, later and in another order. A trial's median is
then over the samples of all its passes.

Only noise decides on a further pass, never which arm is faster. Noise is the spread over the trials
of one arm, which do the same work under different seeds.
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

MIN_SEEDS = 3  # fewer give a poor estimate of the spread

Samples = Mapping[str, Sequence[float]]


def timing_noise(trials: Iterable[tuple[str, Samples]]) -> tuple[float, str]:
    """Return the noise of the noisiest timed quantity, and its name; (0.0, "") without any.

    `trials` are pairs of an arm and one trial's samples, {quantity: seconds}.

    - A trial's time is the median of its samples.
    - An arm's noise is the standard error of its mean time, divided by that mean: SD / (√n · mean).
    - The noise of a quantity is the root mean square over the arms.
    - Arms with fewer than `MIN_SEEDS` trials do not count.
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
            if len(times) >= MIN_SEEDS and fmean(times) > 0
        ]
        if squares:
            worst = max(worst, (math.sqrt(fmean(squares)), quantity))
    return worst


def further_pass_jobs(
    plan: Plan,
    entries: Sequence[Entry],
    all_entries: Sequence[Entry],
    note: Callable[[str], None],
    seconds_per_trial: float,
) -> Iterator[list[Job]]:
    """Yield the jobs of each further timing pass, while the times are too noisy; see `Timing`.

    The noise is that of all timed trials of the plan. A pass times the candidates with the fewest
    passes. Candidates are the trials that this run computes, and those of an earlier run that was
    stopped within a pass. Other finished trials keep their times.

    Args:
        plan: the plan of the trials.
        entries: the trials that this run computes.
        all_entries: all trials of the plan.
        note: prints a line.
        seconds_per_trial: the mean time of a trial in the previous pass.
    """
    timing, spent_seconds = plan.study.timing, 0.0
    passes_before = passes_by_slot(all_entries)
    max_passes = max(passes_before.values(), default=0)
    own_slots = {entry.slot for entry in entries}
    candidates = [
        entry
        for entry in all_entries
        if (entry.slot in own_slots or passes_before.get(entry.slot, max_passes) < max_passes)
        and entry.slot in passes_before
        and entry.slot.is_finished(entry.arm.code)
    ]
    while noise_text := describe_timing_noise(plan, all_entries):
        counts = passes_by_slot(candidates)
        if not counts:
            plan.notes.append(f"{noise_text}: no trial is left to be timed again")
            return
        passes = min(counts.values())
        due_now = [entry for entry in candidates if counts.get(entry.slot) == passes]
        seconds = seconds_per_trial * len(due_now)
        exceeds_minutes = spent_seconds + seconds > 60 * timing.minutes
        if exceeds_minutes or passes >= timing.passes:
            limit = f"minutes={timing.minutes:g}" if exceeds_minutes else f"passes={timing.passes}"
            plan.notes.append(f"{noise_text}: timing.{limit} allows no further pass")
            return
        note(f"{noise_text}: {count_with_verb(len(due_now))} timed again")
        start_time = time.monotonic()
        order = shuffle_within_seeds(due_now, passes)
        yield [replace(make_job(plan, entry, Stage.timing), passes=passes) for entry in order]
        pass_seconds = time.monotonic() - start_time
        seconds_per_trial, spent_seconds = pass_seconds / len(due_now), spent_seconds + pass_seconds
        # A trial whose pass has failed keeps its earlier times and is not timed again.
        passes_after = passes_by_slot(due_now)
        failed = {entry.slot for entry in due_now if passes_after.get(entry.slot, 0) <= passes}
        candidates = [entry for entry in candidates if entry.slot not in failed]


def shuffle_within_seeds(entries: Sequence[Entry], passes: int = 0) -> list[Entry]:
    """Return trials seed by seed, the arms of a seed in a random order that differs by pass."""
    order = {
        entry.slot: random.Random(f"{entry.seed}/{entry.arm.signature}/{passes}").random()
        for entry in entries
    }
    return sorted(entries, key=lambda entry: (entry.seed, order[entry.slot]))


def count_with_verb(trials: int) -> str:
    """Return "1 trial is" or "n trials are"."""
    return "1 trial is" if trials == 1 else f"{trials} trials are"


def timed_results(entries: Sequence[Entry]) -> dict[Slot, tuple[Entry, dict[str, Any]]]:
    """Return the timed trials and their results, by slot."""
    return {
        entry.slot: (entry, result)
        for entry in entries
        if (result := entry.slot.result()) and result.get("samples")
    }


def passes_by_slot(entries: Sequence[Entry]) -> dict[Slot, int]:
    """Return the number of timing passes of each timed trial."""
    return {slot: result["passes"] for slot, (_, result) in timed_results(entries).items()}


def describe_timing_noise(plan: Plan, entries: Sequence[Entry]) -> str:
    """Return a sentence on the noise of a plan's times; "" if it is within `timing.steady`."""
    results = timed_results(entries).values()
    error, quantity = timing_noise((entry.arm.name, result["samples"]) for entry, result in results)
    steady = plan.study.timing.steady
    if error <= steady:
        return ""
    passes = sorted({result["passes"] for _, result in results})
    pass_count = f"{passes[0]}" if len(passes) == 1 else f"{passes[0]} to {passes[-1]}"
    return (
        f"after {pass_count} timing {'pass' if passes == [1] else 'passes'} the standard error of "
        f"an arm's mean time ({quantity}) is {error:.1%} of it, above {steady:.1%}"
    )
