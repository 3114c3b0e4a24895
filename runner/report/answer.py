"""The answer of a report: sentences that are computed from the results, never written by hand."""

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import Any

from runner.claims.finding import Finding
from runner.claims.headline import Headline
from runner.metric_names import COSTS
from runner.report import timing_stability
from runner.report.headlines import HeadlineComparison, has_no_done_trial
from runner.report.study_record import StudyRecord
from runner.stats.comparison import summarise_arms
from runner.stats.intervals import clopper_pearson
from runner.stats.standing import ALPHA, Standing, alpha_at_look
from runner.wording import quantity

DIRECTION_WORDS = {
    "less": "lower is better",
    "greater": "higher is better",
    "none": "neither direction is better",
}
NO_HEADLINE = "The experiment names no headline metric, so the arms are not compared."
SMOKE = "A smoke run only shows that everything runs. It is not evidence for or against any arm."
VERBS = {
    Standing.better: ("is", "are", "better than"),
    Standing.different: ("is", "are", "different from"),
    Standing.worse: ("is", "are", "worse than"),
    Standing.not_distinguished: ("does not", "do not", "differ significantly from"),
    Standing.undecided: ("is", "are", "undecided against"),
}


def answer_lines(
    study: StudyRecord, compared: Sequence[HeadlineComparison], findings: Sequence[Finding]
) -> list[str]:
    """Return the answer, line by line.

    It has a line for each headline, lines on the uncertainty, and a count of the verdicts.
    """
    if study.scale == "smoke":
        return [SMOKE]
    lines = sentences(study, compared) or [NO_HEADLINE]
    lines += how_sure(study, compared)
    lines += verdict_counts(findings, study.typed)
    bad = Counter(status for status in study.trials["status"] if status != "done")
    if bad:
        counted = ", ".join(f"{n} {status}" for status, n in bad.most_common())
        lines.append(f"Trials that are not done: {counted} of {len(study.trials)}.")
    return lines


def answer_record(
    study: StudyRecord, compared: Sequence[HeadlineComparison], findings: Sequence[Finding]
) -> dict[str, Any]:
    """Return the answer as data, the content of answer.json."""
    smoke = study.scale == "smoke"
    return {
        "sentence": SMOKE if smoke else " ".join(sentences(study, compared) or [NO_HEADLINE]),
        "headlines": [] if smoke else [one.to_json() for one in compared],
        "looks": study.n_looks,
        "seeds_left_out": study.looks.left_out if study.looks else [],
        "late_claims": [f.claim.id for f in findings if f.written_after_results],
    }


def sentences(study: StudyRecord, compared: Sequence[HeadlineComparison]) -> list[str]:
    """Return a line for each headline: effects, intervals, costs and other differences."""
    return [
        _headline(study, [one for one in compared if one.headline is headline], headline)
        for headline in study.headline
    ]


def how_sure(study: StudyRecord, compared: Sequence[HeadlineComparison]) -> list[str]:
    """Return the lines that explain the numbers of the answer.

    They give the intervals, the level of the tests, tuning, repeated looks, seeds that are left
    out, and diverged trials.
    """
    lines = []
    tested = [one for one in compared if one.has_interval]
    if tested:
        n = _range([one.n for one in tested], "paired seed")
        lines.append(
            f"In parentheses: the mean difference between the two arms [95 % interval], over {n}."
        )
    family = sum(isfinite(one.decision.p) for one in compared)
    if family:
        correction = f", corrected for {family} comparisons" if family > 1 else ""
        lines.append(
            f"Better and worse require p < {alpha_at_look(study.n_looks):.3g}{correction}, and an "
            f"interval without 0."
        )
    if study.tuned:
        overrides = ", ".join(f"{arm} {override}" for arm, override in study.tuned.items())
        lines.append(f"Tuned for each arm, on separate seeds and held-out data: {overrides}.")
    if study.looks and study.looks.words:
        lines.append(
            f"This is the {study.looks.words} at these arms, so the threshold for p is "
            f"{ALPHA:g} / {study.n_looks}."
        )
    if study.looks and (words := study.looks.left_out_words):
        lines.append(f"{words[0].upper()}{words[1:]}.")
    if sentence := diverged_shares(study):
        lines.append(sentence)
    return lines


def diverged_shares(study: StudyRecord) -> str:
    """Return a sentence on each arm's diverged trials, with the upper limit of their true rate.

    It is "" for a study without training, in which no trial can diverge.
    """
    trained = study.results["metric"].str.startswith("train/").any()
    if not trained and not any(map(study.n_diverged, study.arms)):
        return ""
    counts: dict[tuple[int, int], list[str]] = {}
    for arm in study.arms:
        mine = study.trials[study.trials["arm"] == arm]
        n = int(mine["status"].isin(["done", "diverged"]).sum())
        if n:
            counts.setdefault((study.n_diverged(arm), n), []).append(arm)
    parts = []
    for (k, n), arms in sorted(counts.items(), reverse=True):
        names = "each arm" if len(counts) == 1 and len(arms) > 1 else _join_with_and(arms)
        upper_limit = 100 * clopper_pearson(k, n).high
        parts.append(
            f"{k} of {n} in {names} (95 % interval of the rate: up to {upper_limit:.0f} %)"
        )
    if not parts:
        return ""
    return f"Diverged trials: {'; '.join(parts)}."


def verdict_counts(findings: Sequence[Finding], settings: Sequence[str] = ()) -> list[str]:
    """Return a line that counts the verdicts on published claims, and one on the user's claims.

    `settings` are the overrides with which the user changed the experiment of the published claims.
    """
    lines = []
    for shipped, name in ((True, "published claim"), (False, "claim of your own")):
        mine = [finding for finding in findings if finding.shipped is shipped]
        if not mine:
            continue
        counts = Counter(str(finding.verdict) for finding in mine)
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        plural = name if len(mine) == 1 else name.replace("claim", "claims")
        under = (
            f", under settings that you changed ({', '.join(settings)})"
            if shipped and settings
            else ""
        )
        lines.append(f"Verdicts on {len(mine)} {plural}{under}: {verdicts}.")
    if late := [finding.claim.id for finding in findings if finding.written_after_results]:
        lines.append(f"Registered after their results, and therefore invalid: {', '.join(late)}.")
    return lines


def _list_means(study: StudyRecord, headline: Headline) -> str:
    """Return each arm's mean, for a headline without a comparison."""
    means = summarise_arms(study.results[study.results["metric"] == headline.metric])
    arms = set(means["arm"])
    lost = [arm for arm in study.arms if arm not in arms and has_no_done_trial(study, arm)]
    has = "has" if len(lost) == 1 else "have"
    without = f" {_join_with_and(lost)} {has} no result." if lost else ""
    if means.empty:
        return f"{_name(headline, '')}: no arm has a value.{without}"
    planned = study.trials.groupby("arm")["seed"].nunique()
    values = [
        f"{row['arm']} {quantity.format_mean(row['mean'], row['low'], row['high'], row['n'])}"
        + (
            f" ({row['n']} of {planned[row['arm']]} seeds)"
            if row["n"] < planned[row["arm"]]
            else ""
        )
        for row in means.to_dict("records")
    ]
    n = _range(means["n"].tolist(), "seed")
    note = "" if set(means["n"]) == {1} else f" (mean with a 95 % interval over {n})"
    name = _name(headline, str(means["unit"].iloc[0]))
    return f"{name}: {_join_with_and(values)}{note}.{without}"


def _headline(study: StudyRecord, rows: Sequence[HeadlineComparison], headline: Headline) -> str:
    if not rows:
        return _list_means(study, headline)
    baseline = rows[0].baseline
    clauses = []
    for standing, (singular, plural, words) in VERBS.items():
        mine = [row for row in rows if row.standing is standing]
        plain = [row for row in mine if not row.caveat]
        if plain:
            arms = _join_with_and([_with_difference(row) for row in plain])
            verb = singular if len(plain) == 1 else plural
            clauses.append(f"{arms} {verb} {words} {baseline}{_at_equal_cost(study, plain)}")
        clauses += [
            f"{_with_difference(row)} {singular} {words} {baseline}{row.caveat}"
            for row in mine
            if row.caveat
        ]
    if has_no_done_trial(study, baseline) and not any(row.n for row in rows):
        clauses.append(f"{baseline} has no result")
    sentence = f"{_name(headline, rows[0].unit)}: {'. '.join(clauses)}."
    return " ".join(
        [
            sentence,
            *timing_stability.aa_difference_lines(study.results, study.aa_pairs, headline.metric),
        ]
    )


def _at_equal_cost(study: StudyRecord, rows: Sequence[HeadlineComparison]) -> str:
    """Return ", at equal ..." with the cost in which these arms were matched; "" without one."""
    names = {
        COSTS[row.cost_by]
        for row in rows
        if study.conditions.get(row.arm, {}).get("match.by", "none") != "none"
    }
    return f", at equal {names.pop()}" if len(names) == 1 else ""


def _with_difference(row: HeadlineComparison) -> str:
    """Return the arm with its difference, and with the reason if it is undecided."""
    details = [row.difference] if row.decision.interval is not None else []
    if row.standing is Standing.undecided:
        details.append(row.decision.reason)
    return f"{row.arm} ({', '.join(details)})" if details else row.arm


def _name(headline: Headline, unit: str) -> str:
    """Return the headline's label with its unit, as the beginning of a sentence."""
    suffix = f" ({unit})" if unit not in ("", "1") else ""
    return f"By {headline.label}{suffix}"


def _range(counts: Sequence[int], noun: str) -> str:
    """Return counts with their noun: 8 seeds, 4 to 8 seeds, 1 seed."""
    low, high = min(counts), max(counts)
    number = f"{high}" if low == high else f"{low} to {high}"
    return f"{number} {noun}" if high == low == 1 else f"{number} {noun}s"


def _join_with_and(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
