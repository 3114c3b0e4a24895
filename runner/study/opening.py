"""The first lines of a study: trials to compute and to reuse, expected time, load."""

import os
import shlex

from runner import device
from runner.plan.plan import Plan
from runner.study.time_left import TimeLeft
from runner.wording.durations import format_estimate
from runner.wording.names import format_count

BUSY_SHARE = 1.5  # a load above this multiple of the cores is reported
_CHANGES_TIME = ("arm", "arms", "n_seeds", "tune", "workers", "device", "timing")


def describe_study(plan: Plan, title: str = "") -> str:
    """Return the name of a study with its scale: `moe (quick)`, `moe (quick), tuning`."""
    return f"{experiment_name(plan)} ({plan.study.scale.value}){title and f', {title}'}"


def experiment_name(plan: Plan) -> str:
    """Return the experiment's name as in the command, e.g. the file name of a user's own."""
    typed = [text for text in shlex.split(plan.command) if text.startswith("experiment=")]
    return typed[-1].partition("=")[2] if typed else plan.experiment


def describe_work(plan: Plan, total: int, missing: int, time_left: TimeLeft | None) -> str:
    """Return the numbers of trials to compute and to reuse, and the time on this machine."""
    n_arms, n_seeds = len(plan.arms), len(plan.seeds)
    product = f"{format_count(n_arms, 'arm')} x {format_count(n_seeds, 'seed')}"
    # Arms with the same configuration share their trials.
    equals = "=" if n_arms * n_seeds == total else "with"
    trials = f"{product} {equals} {format_count(total, 'trial')}"
    if not missing:
        return f"{trials}: all reused, only the report is written"
    duration = describe_duration(plan, time_left, is_whole=missing == total)
    return f"{trials}: {total - missing} reused, {missing} to compute, {duration}"


def describe_duration(plan: Plan, time_left: TimeLeft | None, *, is_whole: bool) -> str:
    """Return the expected time with its origin: earlier trials, or the preset's text."""
    seconds = time_left.seconds() if time_left and time_left.in_seconds else None
    if seconds is not None:
        return f"{format_estimate(seconds)} (from earlier trials here)"
    figure = plan.study.duration.partition(",")[0].partition(";")[0].strip()
    if not figure:
        return "time unknown here"
    if is_whole and not changes_time(plan):
        return f"{figure} on two idle cores (the preset's figure)"
    return f"time unknown here (the whole preset: {figure} on two idle cores)"


def changes_time(plan: Plan) -> bool:
    """Return whether the command changes how long the preset takes."""
    # A word without "=" is an override only if it deletes a key: `~arms.dense`.
    words = [text for text in shlex.split(plan.command) if "=" in text or text.startswith("~")]
    keys = {text.lstrip("+~").partition("=")[0].partition(".")[0] for text in words}
    return bool(plan.typed_settings or keys & set(_CHANGES_TIME))


def describe_load() -> str:
    """Return a sentence on a loaded machine; "" if the machine has time.

    Call it before a command computes its first trial: its own trials are part of the load.
    """
    try:
        load = os.getloadavg()[0]
    except (OSError, AttributeError):  # not every system has it
        return ""
    cores = device.cores()
    if load <= BUSY_SHARE * cores:
        return ""
    return (
        f"load {load:.1f} on {format_count(cores, 'core')}: "
        "times will be longer, and timings noisier"
    )
