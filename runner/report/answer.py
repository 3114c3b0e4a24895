"""The answer in computed sentences; no experiment writes its conclusion by hand."""

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
    "none": "neither way is better",
}
NO_HEADLINE = "No headline is named, so nothing is compared."
SMOKE = "A smoke run proves only that everything runs; it is no evidence for or against any arm."
VERBS = {
    Standing.better: ("is", "are", "better than"),
    Standing.different: ("is", "are", "different from"),
    Standing.worse: ("is", "are", "worse than"),
    Standing.not_distinguished: ("is", "are", "not told apart from"),
    Standing.undecided: ("is", "are", "undecided beside"),
}


def answer_lines(
    study: StudyRecord, compared: Sequence[HeadlineComparison], findings: Sequence[Finding]
) -> list[str]:
    """What each headline says, a line each; how sure that is; the verdicts in a sentence."""
    if study.scale == "smoke":
        return [SMOKE]
    lines = sentences(study, compared) or [NO_HEADLINE]
    lines += how_sure(study, compared)
    lines += verdict_counts(findings, study.typed)
    bad = Counter(status for status in study.trials["status"] if status != "done")
    if bad:
        counted = ", ".join(f"{n} {status}" for status, n in bad.most_common())
        lines.append(f"Not every trial ended well: {counted} of {len(study.trials)}.")
    return lines


def answer_record(
    study: StudyRecord, compared: Sequence[HeadlineComparison], findings: Sequence[Finding]
) -> dict[str, Any]:
    """The answer as data: what answer.json holds."""
    smoke = study.scale == "smoke"
    return {
        "sentence": SMOKE if smoke else " ".join(sentences(study, compared) or [NO_HEADLINE]),
        "headlines": [] if smoke else [one.to_json() for one in compared],
        "looks": study.n_looks,
        "seeds_left_out": study.looks.left_out if study.looks else [],
        "late_claims": [f.claim.id for f in findings if f.written_after_results],
    }


def sentences(study: StudyRecord, compared: Sequence[HeadlineComparison]) -> list[str]:
    """A line for each headline: effect, interval, cost, and what else differs."""
    return [
        _headline(study, [one for one in compared if one.headline is headline], headline)
        for headline in study.headline
    ]


def how_sure(study: StudyRecord, compared: Sequence[HeadlineComparison]) -> list[str]:
    """What stands in brackets, how often was looked, which seeds are left out, what diverged."""
    lines = []
    tested = [one for one in compared if one.has_interval]
    if tested:
        n = _range([one.n for one in tested], "paired seed")
        lines.append(f"In brackets: the mean difference and its 95 % interval, over {n}.")
    family = sum(isfinite(one.decision.p) for one in compared)
    if family:
        together = f" over all {family} comparisons together" if family > 1 else ""
        lines.append(f"Better and worse have p < {alpha_at_look(study.n_looks):.3g}{together}.")
    if study.tuned:
        told = ", ".join(f"{arm} {override}" for arm, override in study.tuned.items())
        lines.append(f"Tuned for each arm on seeds and held-out data of its own: {told}.")
    if study.looks and study.looks.words:
        lines.append(
            f"This is the {study.looks.words}: better and worse are judged at "
            f"{ALPHA:g} / {study.n_looks}."
        )
    if study.looks and (words := study.looks.left_out_words):
        lines.append(f"{words[0].upper()}{words[1:]}.")
    if told := diverged_shares(study):
        lines.append(told)
    return lines


def diverged_shares(study: StudyRecord) -> str:
    """How many trials of each arm diverged, with the upper limit of the true share.

    "" for a study that trains nothing, so that nothing can diverge.
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
        who = "each arm" if len(counts) == 1 and len(arms) > 1 else _together(arms)
        parts.append(f"{k} of {n} in {who} (at most {100 * clopper_pearson(k, n).high:.0f} %)")
    if not parts:
        return ""
    return f"Diverged trials, with the upper 95 % limit of the true share: {'; '.join(parts)}."


def verdict_counts(findings: Sequence[Finding], settings: Sequence[str] = ()) -> list[str]:
    """How the claims came out: those of the release first, then the user's own.

    `settings` are what a user has changed of the experiment that the release's claims are about.
    """
    lines = []
    for shipped, name in ((True, "published claim"), (False, "claim of your own")):
        mine = [finding for finding in findings if finding.shipped is shipped]
        if not mine:
            continue
        counts = Counter(str(finding.verdict) for finding in mine)
        told = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        plural = name if len(mine) == 1 else name.replace("claim", "claims")
        under = (
            f", under settings of your own ({', '.join(settings)})" if shipped and settings else ""
        )
        lines.append(f"Of {len(mine)} {plural} checked{under}: {told}.")
    if late := [finding.claim.id for finding in findings if finding.written_after_results]:
        lines.append(f"Written after their results, and so invalid: {', '.join(late)}.")
    return lines


def _alone(study: StudyRecord, headline: Headline) -> str:
    """What each arm reaches by a metric in which nothing is compared."""
    found = summarise_arms(study.results[study.results["metric"] == headline.metric])
    there = set(found["arm"])
    lost = [arm for arm in study.arms if arm not in there and has_no_done_trial(study, arm)]
    without = f" {_together(lost)} {'has' if len(lost) == 1 else 'have'} no result." if lost else ""
    if found.empty:
        return f"{_name(headline, '')}: there is nothing to compare.{without}"
    planned = study.trials.groupby("arm")["seed"].nunique()
    values = [
        f"{row['arm']} {quantity.format_mean(row['mean'], row['low'], row['high'], row['n'])}"
        + (
            f" ({row['n']} of {planned[row['arm']]} seeds)"
            if row["n"] < planned[row["arm"]]
            else ""
        )
        for row in found.to_dict("records")
    ]
    n = _range(found["n"].tolist(), "seed")
    how = "" if set(found["n"]) == {1} else f" (mean with a 95 % interval over {n})"
    return f"{_name(headline, str(found['unit'].iloc[0]))}: {_together(values)}{how}.{without}"


def _headline(study: StudyRecord, rows: Sequence[HeadlineComparison], headline: Headline) -> str:
    if not rows:
        return _alone(study, headline)
    baseline = rows[0].baseline
    clauses = []
    for standing, (one, many, verb) in VERBS.items():
        mine = [row for row in rows if row.standing is standing]
        plain = [row for row in mine if not row.caveat]
        if plain:
            arms = _together([_with_difference(row) for row in plain])
            is_are = one if len(plain) == 1 else many
            clauses.append(f"{arms} {is_are} {verb} {baseline}{_equal(study, plain)}")
        clauses += [
            f"{_with_difference(row)} {one} {verb} {baseline}{row.caveat}"
            for row in mine
            if row.caveat
        ]
    if has_no_done_trial(study, baseline) and not any(row.n for row in rows):
        clauses.append(f"{baseline} has no result")
    told = f"{_name(headline, rows[0].unit)}: {'. '.join(clauses)}."
    return " ".join(
        [
            told,
            *timing_stability.aa_difference_lines(study.results, study.aa_pairs, headline.metric),
        ]
    )


def _equal(study: StudyRecord, rows: Sequence[HeadlineComparison]) -> str:
    """That the cost is equal, where arms were matched in it."""
    names = {
        COSTS[row.cost_by]
        for row in rows
        if study.conditions.get(row.arm, {}).get("match.by", "none") != "none"
    }
    return f", at equal {names.pop()}" if len(names) == 1 else ""


def _with_difference(row: HeadlineComparison) -> str:
    """The arm with its difference, and why nothing is decided where it is not."""
    told = [row.difference] if row.decision.interval is not None else []
    if row.standing is Standing.undecided:
        told.append(row.decision.reason)
    return f"{row.arm} ({', '.join(told)})" if told else row.arm


def _name(headline: Headline, unit: str) -> str:
    """The headline's label with its unit, as the beginning of a sentence."""
    shown = f" ({unit})" if unit not in ("", "1") else ""
    return f"By {headline.label}{shown}"


def _range(counts: Sequence[int], noun: str) -> str:
    """A count with its noun: 8 seeds, 4 to 8 seeds, 1 seed."""
    low, high = min(counts), max(counts)
    number = f"{high}" if low == high else f"{low} to {high}"
    return f"{number} {noun}" if high == low == 1 else f"{number} {noun}s"


def _together(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
