"""`plan=only`: what a command would compute, how long, how large; nothing is written. No torch."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import replace

from runner.config import MatchCost
from runner.plan import estimates, memory
from runner.plan.plan import Plan, PlannedArm, count_workers
from runner.study import forecast
from runner.study.entries import Entry
from runner.wording.names import format_count

COLUMNS = (
    "arm",
    "matched width",
    "parameters",
    "active",
    "FLOPs/token",
    "missing",
    "reused",
    "time",
)
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def format_preview(
    plan: Plan,
    entries: Sequence[Entry],
    tuning: tuple[Plan, Sequence[Entry]] | None = None,
) -> str:
    """The whole of it; with `tuning`, the trials by which values are chosen first.

    Which trials of a tuned study are there already is known only once its values are.
    """
    before = forecast.load_past_trials(plan.outputs, plan.experiment)
    heading = [f"tuning {plan.study.tune.key} over {len(plan.study.tune.grid)} values:"]
    seeds = format_count(len(plan.seeds), "seed")
    lines = [f"plan of {typed_name(plan)} at scale={plan.study.scale}, {seeds}"]
    everything = list(entries)
    if tuning is not None:
        lines += [*heading, *arm_table(*tuning, before), "then, with the values that were chosen:"]
        entries = [replace(entry, reused=False) for entry in entries]
        everything = [*entries, *tuning[1]]
    lines += arm_table(plan, entries, before, reused_known=tuning is None)
    lines += totals(plan, [entry for entry in everything if not entry.reused], before)
    notes = [f"note: {note}" for note in plan.notes]
    return "\n".join([*lines, *notes, "plan=only: nothing was computed or written"])


def typed_name(plan: Plan) -> str:
    """The experiment as it was typed; a user's own has the name of its file."""
    typed = [text for text in shlex.split(plan.command) if text.startswith("experiment=")]
    return typed[-1].partition("=")[2] if typed else plan.experiment


def arm_table(
    plan: Plan,
    entries: Sequence[Entry],
    before: list[forecast.PastTrial],
    *,
    reused_known: bool = True,
) -> list[str]:
    """A line for each arm, its columns aligned."""
    rows = [COLUMNS, *(row(arm, entries, before) for arm in plan.arms)]
    if not reused_known:
        place = COLUMNS.index("reused")
        rows[1:] = [(*line[:place], "-", *line[place + 1 :]) for line in rows[1:]]
    widths = [max(len(line[column]) for line in rows) for column in range(len(COLUMNS))]
    return [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in rows
    ]


def row(
    arm: PlannedArm, entries: Sequence[Entry], before: list[forecast.PastTrial]
) -> tuple[str, ...]:
    """What is told of one arm: its overrides (a solved width last), costs, trials, minutes."""
    missing = len({e.slot for e in entries if e.arm is arm and not e.reused})
    reused = len({e.slot for e in entries if e.arm is arm and e.reused})
    seconds = forecast.predict_seconds(arm, before)
    return (
        arm.name,
        matched_width(arm) or "-",
        *(
            abbreviate_count(forecast.arm_cost(arm, by))
            for by in ("params", "active_params", "flops")
        ),
        str(missing),
        str(reused),
        "unknown" if seconds is None else duration(missing * seconds),
    )


def matched_width(arm: PlannedArm) -> str:
    """The width that was solved for an arm, as one would type it; "" where none was."""
    match = arm.config.match
    if match.by is MatchCost.none or match.to == arm.name:
        return ""
    section, _, key = match.solve.partition(".")
    width = getattr(getattr(arm.config.parts, section, None), key, None)
    return f"{match.solve}={width} (as {match.to} in {match.by})"


def totals(plan: Plan, missing: Sequence[Entry], before: list[forecast.PastTrial]) -> list[str]:
    """Lines on the time, memory and disk of what is missing."""
    trials = {entry.slot: entry.arm for entry in missing}
    if not trials:
        return ["all trials are there: only the report is written, in seconds"]
    seconds = [forecast.predict_seconds(arm, before) for arm in trials.values()]
    at_once = min(workers_of(plan), len(trials))
    largest = max(estimates.least_memory(arm.config).total for arm in trials.values())
    sizes = sum(forecast.predict_bytes(arm, before) for arm in trials.values())
    known = [s for s in seconds if s is not None]
    if len(known) == len(seconds):
        whole = duration(max(sum(known) / at_once, max(known)))
        time = f"about {whole} with {at_once} at a time, going by earlier trials"
    else:
        said = (
            f"the preset says: {plan.study.duration}" if plan.study.duration else "no preset says"
        )
        time = f"time unknown here, nothing like it has been computed yet ({said})"
    return [
        f"to compute: {format_count(len(trials), 'trial')}; {time}",
        f"memory: at least {format_bytes(largest)} for a trial, besides about 0.3 GiB for Python and "
        f"torch{describe_available_memory(plan)}",
        f"disk: about {format_bytes(sizes)} in {plan.outputs}",
    ]


def workers_of(plan: Plan) -> int:
    """How many trials are computed at a time, if there are enough."""
    return count_workers(plan.study, 1 << 30)


def describe_available_memory(plan: Plan) -> str:
    """What a trial may take: what is free, where that is known, or what the user allows."""
    there, arm = min(
        ((memory.available_memory(arm.config.device, arm.device), arm) for arm in plan.arms),
        key=lambda pair: pair[0],
    )
    return (
        f"; {memory.describe_free_memory(arm.config.device, there)}" if math.isfinite(there) else ""
    )


def abbreviate_count(number: float) -> str:
    """A count in three digits: 1234567 is 1.23M."""
    for size, unit in UNITS:
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """Seconds in words: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def format_bytes(size: float) -> str:
    """Bytes, as MiB or GiB."""
    if size >= memory.GIB:
        return f"{memory.format_gib(size)} GiB"
    return f"{max(1, round(size / 2**20))} MiB"
