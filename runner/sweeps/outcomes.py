"""The outcomes of a sweep's points, and the lines that end the command. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.sweeps.points import SweepPoint
from runner.sweeps.task import STOPPED, JobOutcome
from runner.wording.names import format_count
from runner.wording.output import escape_unprintable, truncate_middle

LEFT_OUT = JobOutcome("not run", message=STOPPED)
NO_LOG = "no failed trial has written a log"
"""The text in place of a failed point's log, e.g. if its trials ended too early."""


@dataclass(frozen=True)
class PointOutcome:
    """A point with the outcome of its report, or of the jobs that failed before it."""

    point: SweepPoint
    outcome: JobOutcome

    @property
    def line(self) -> str:
        """One line on the point: its settings, its trials and its report, or what went wrong."""
        outcome, label = self.outcome, self.point.label
        if outcome.state == "done":
            name, _, rest = outcome.summary.partition(": ")
            return f"{label or name}: {rest or name}"
        message = outcome.message.splitlines()[0] if outcome.message else ""
        log = f"; log: {outcome.log}" if outcome.log else ""
        if outcome.state == "failed" and not outcome.log:
            log = f"; {NO_LOG}"
        where = f"; report of its other trials: {outcome.folder}" if outcome.folder else ""
        state = "" if outcome.state == "not run" else f"{outcome.state}: "
        text = f"{label or outcome.experiment or 'the study'}: {state}"
        return escape_unprintable(f"{text}{truncate_middle(message, 160)}{log}{where}")


def find_exit_code(outcomes: Sequence[PointOutcome]) -> int:
    """Return the exit code of a sweep.

    It is 0 if no point failed, 2 if all that failed are bad input, and otherwise 1.
    """
    codes = {one.outcome.exit_code for one in outcomes} - {0}
    return min(codes, default=0)


def describe_points(outcomes: Sequence[PointOutcome], page: Path | None) -> str:
    """Return the last lines of a sweep: its points, and the path of its page."""
    states = [one.outcome.state for one in outcomes]
    n_done, n_left_out = states.count("done"), states.count("not run")
    n_planned = sum(one.outcome.is_plan_only for one in outcomes)
    counts = [f"{format_count(n_planned, 'point')} planned"] if n_planned else []
    if n_done > n_planned or not n_planned:
        counts.append(f"{format_count(n_done - n_planned, 'point')} done")
    counts.append(f"{len(states) - n_done - n_left_out} failed")
    if n_left_out:
        counts.append(f"{n_left_out} not run")
    heads = [f"{', '.join(counts)}:"] if len(outcomes) > 1 else []
    lines = ["", *heads, *(one.line for one in outcomes)]
    if page is not None:
        lines.append(f"table and figures over the points: {page}")
    return "\n".join(lines)
