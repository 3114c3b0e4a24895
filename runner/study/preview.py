"""`plan=only`: print the arms, trials, time, memory and disk of a command. Writes nothing."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace

from runner.config import MatchCost
from runner.plan import estimates, matching, memory
from runner.plan.plan import Plan, PlannedArm, count_workers
from runner.study import forecast
from runner.study.entries import Entry
from runner.study.opening import experiment_name
from runner.wording.durations import format_duration
from runner.wording.names import format_count

COLUMNS = (
    "arm",
    "parameters",
    "active",
    "FLOPs/token",
    "missing",
    "reused",
    "time",
)
LINE_WIDTH = 80  # characters of the table of arms
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def format_preview(
    plan: Plan,
    entries: Sequence[Entry],
    tuning: tuple[Plan, Sequence[Entry]] | None = None,
) -> str:
    """Return the text that `plan=only` prints.

    `tuning` is the plan of the tuning trials, and these trials. Without the tuned values the
    signatures of the study's trials are unknown. So the text shows all of them as missing.
    """
    arms = [*plan.arms, *(tuning[0].arms if tuning else ())]
    past_trials = forecast.load_past_trials(plan.outputs, plan.experiment, arms)
    heading = [f"tuning {plan.study.tune.key} over {len(plan.study.tune.grid)} values:"]
    seeds = format_count(len(plan.seeds), "seed")
    lines = [f"plan of {experiment_name(plan)} at scale={plan.study.scale}, {seeds}"]
    all_entries = list(entries)
    if tuning is not None:
        lines += [*heading, *format_arm_table(*tuning, past_trials)]
        lines.append("then, with the chosen values:")
        entries = [replace(entry, reused=False) for entry in entries]
        all_entries = [*entries, *tuning[1]]
    lines += format_arm_table(plan, entries, past_trials, reused_known=tuning is None)
    lines += format_totals(plan, [entry for entry in all_entries if not entry.reused], past_trials)
    notes = [f"note: {note}" for note in plan.notes]
    return "\n".join([*lines, *notes, "plan=only: nothing was computed or written"])


def format_arm_table(
    plan: Plan,
    entries: Sequence[Entry],
    past_trials: list[forecast.PastTrial],
    *,
    reused_known: bool = True,
) -> list[str]:
    """Return the lines of the table of arms; without `reused_known` that column has dashes."""
    rows = [COLUMNS, *(format_row(arm, entries, past_trials) for arm in plan.arms)]
    if not reused_known:
        reused_column = COLUMNS.index("reused")
        rows[1:] = [(*line[:reused_column], "-", *line[reused_column + 1 :]) for line in rows[1:]]
    widths = [max(len(line[column]) for line in rows) for column in range(len(COLUMNS))]
    room = LINE_WIDTH - 2 * len(COLUMNS) - sum(widths[1:])
    name_width = min(widths[0], room)
    lines = []
    for name, *cells in rows:
        if len(name) > name_width:  # it has a line of its own
            lines.append(f"  {name}")
        padded = zip(["" if len(name) > name_width else name, *cells], widths, strict=True)
        line = [c.ljust(name_width if i == 0 else w) for i, (c, w) in enumerate(padded)]
        lines.append(f"  {'  '.join(line)}".rstrip())
    return [*lines, *format_matched_widths(plan.arms)]


def format_matched_widths(arms: Sequence[PlannedArm]) -> list[str]:
    """Return lines that name the arms of each matched width, and the arm and cost they match."""
    names: dict[str, list[str]] = {}
    for arm in arms:
        if text := format_matched_width(arm, arms):
            names.setdefault(text, []).append(arm.name)
    lines = []
    for text, group in names.items():
        line = f"matched: {text}: {', '.join(group)}"
        lines += textwrap.wrap(
            line, LINE_WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False
        )
    return lines


def format_row(
    arm: PlannedArm, entries: Sequence[Entry], past_trials: list[forecast.PastTrial]
) -> tuple[str, ...]:
    """Return the cells of one arm, in the order of `COLUMNS`."""
    missing = len({e.slot for e in entries if e.arm is arm and not e.reused})
    reused = len({e.slot for e in entries if e.arm is arm and e.reused})
    seconds = forecast.predict_seconds(arm, past_trials)
    return (
        arm.name,
        *(
            abbreviate_count(forecast.arm_cost(arm, by))
            for by in ("params", "active_params", "flops")
        ),
        str(missing),
        str(reused),
        "unknown" if seconds is None else format_duration(missing * seconds),
    )


def format_matched_width(arm: PlannedArm, arms: Sequence[PlannedArm]) -> str:
    """Return the matched width of an arm as an override with its reason, or "" without a match.

    For example `ffn.d_ff=170 (as dense in params)`. If an arm's cost is not that of its target, a
    note of the plan says so, and the result is "".
    """
    match = arm.config.match
    if match.by is MatchCost.none or match.to == arm.name:
        return ""
    if any(each.name == match.to and not is_cost_matched(arm, each) for each in arms):
        return ""
    solved = matching.solved_key(arm.config)
    group, _, key = (solved or "").partition(".")
    width = getattr(getattr(arm.config.parts, group, None), key, None)
    return "" if width is None else f"{solved}={width} (as {match.to} in {match.by})"


def is_cost_matched(arm: PlannedArm, target: PlannedArm) -> bool:
    """Return whether an arm's cost is that of its target, within its tolerance."""
    match = arm.config.match
    cost, goal = (forecast.arm_cost(each, match.by.value) for each in (arm, target))
    return abs(cost - goal) <= match.tolerance * goal


def format_totals(
    plan: Plan, missing: Sequence[Entry], past_trials: list[forecast.PastTrial]
) -> list[str]:
    """Return lines on the time, memory and disk space that the missing trials need."""
    trials = {entry.slot: entry.arm for entry in missing}
    if not trials:
        return ["all trials exist: only the report is written, in seconds"]
    seconds = [forecast.predict_seconds(arm, past_trials) for arm in trials.values()]
    n_workers = min(max_workers(plan), len(trials))
    largest = max(estimates.least_memory(arm.config).total for arm in trials.values())
    sizes = sum(forecast.predict_bytes(arm, past_trials) for arm in trials.values())
    running = n_workers * max(forecast.predict_running_bytes(arm) for arm in trials.values())
    known_seconds = [s for s in seconds if s is not None]
    if len(known_seconds) == len(seconds):
        total_time = format_duration(max(sum(known_seconds) / n_workers, max(known_seconds)))
        time = f"about {total_time} with {n_workers} at a time, estimated from earlier trials"
    else:
        preset_duration = (
            f"the preset says: {plan.study.duration}"
            if plan.study.duration
            else "the preset gives no time"
        )
        time = f"time unknown: no similar trial was computed here ({preset_duration})"
    return [
        f"to compute: {format_count(len(trials), 'trial')}; {time}",
        f"memory: at least {format_bytes(largest)} for a trial, plus about 0.3 GiB for Python and "
        f"torch{describe_available_memory(plan)}",
        f"disk: about {format_bytes(sizes)} in {plan.outputs}, and {format_bytes(running)} of "
        "checkpoints while trials run",
    ]


def max_workers(plan: Plan) -> int:
    """Return the number of trials that run at a time, if enough are missing."""
    return count_workers(plan.study, 1 << 30, plan.arms)


def describe_available_memory(plan: Plan) -> str:
    """Return a clause on the memory that a trial may take, or "" if it is unknown.

    It is the free memory, or the limit that the user sets (`device.memory_gib`).
    """
    n_bytes, arm = min(
        ((memory.available_memory(arm.config.device, arm.device), arm) for arm in plan.arms),
        key=lambda pair: pair[0],
    )
    if not math.isfinite(n_bytes):
        return ""
    return f"; {memory.describe_free_memory(arm.config.device, n_bytes)}"


def abbreviate_count(number: float) -> str:
    """Return a count in three digits: 1234567 is 1.23M."""
    for size, unit in UNITS:
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def format_bytes(size: float) -> str:
    """Return a number of bytes in MiB or GiB."""
    if size >= memory.GIB:
        return f"{memory.format_gib(size)} GiB"
    return f"{max(1, round(size / 2**20))} MiB"
