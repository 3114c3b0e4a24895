"""The texts of a board's row, for the page and for Markdown."""

from collections.abc import Sequence

from runner.board.record import RunRecord
from runner.board.rows import BoardRow, Judgement, count_standings
from runner.wording.names import format_count

TITLE = "The board: what of the published findings holds here"


def summary_line(rows: Sequence[BoardRow]) -> str:
    """Return the numbers of claims by standing, in one sentence."""
    counts = [f"{number} {standing}" for standing, number in count_standings(rows)]
    return f"{format_count(len(rows), 'claim')}: {', '.join(counts)}."


def runs_line(runs: Sequence[RunRecord]) -> str:
    """Return the number of recorded runs, and the days that they come from."""
    days = sorted({run.day for run in runs})
    if not days:
        return "No run is recorded yet."
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    machines = sorted({run.machine_text for run in runs})
    return f"{format_count(len(runs), 'run')} of {span}, on {'; '.join(machines)}."


def measured_text(judgement: Judgement) -> str:
    """Return our estimate with its interval and seeds, and the smallest detectable effect."""
    claim = judgement.claim
    seeds = format_count(claim.n, "seed")
    measured = f"{claim.estimate_text}, {seeds}" if claim.estimate_text else f"no estimate, {seeds}"
    detectable = f"; detectable: {claim.detectable_text}" if claim.detectable_text else ""
    return f"{measured}{detectable}"


def study_text(judgement: Judgement) -> str:
    """Return scale, day, machine and commit of the study, and the caveats."""
    run = judgement.run
    parts = [run.scale, run.day, run.machine_text, run.commit_text, *judgement.caveats]
    return ", ".join(parts)


def disagreement_text(judgement: Judgement) -> str:
    """Return a study with another verdict in one line."""
    claim, run = judgement.claim, judgement.run
    value = f" ({claim.estimate_text})" if claim.estimate_text else ""
    caveats = "".join(f", {text}" for text in judgement.caveats)
    return f"{run.scale}, {run.day}: {judgement.standing}{value}{caveats}"


def published_text(row: BoardRow) -> str:
    """Return the published value of a claim."""
    return row.claim.published or "no value"


def time_text(row: BoardRow) -> str:
    """Return the time of the study to run next; "" without one."""
    return row.next_study.duration if row.next_study else ""
