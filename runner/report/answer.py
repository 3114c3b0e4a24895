"""The answer of a report: sentences that are computed from the results, never written by hand."""

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import Any

from runner.claims.finding import Finding, Verdict
from runner.report.headline_sentence import answer_word, headline_sentences, size_word
from runner.report.headlines import HeadlineComparison
from runner.report.next_steps import is_trained
from runner.report.published import published_noun, published_phrase, verdict_phrase
from runner.report.stated_facts import StatedFacts
from runner.report.study_record import StudyRecord
from runner.stats.intervals import clopper_pearson
from runner.stats.standing import ALPHA, alpha_at_look
from runner.wording.phrases import capitalise, count_range, join_with_and

NO_HEADLINE = "The experiment names no headline metric, so the arms are not compared."
SMOKE = "A smoke run only shows that everything runs. It is not evidence for or against any arm."


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
        "answers": [] if smoke else [_title_answer(one) for one in compared if is_subject(one)],
        "looks": study.n_looks,
        "seeds_left_out": study.looks.left_out if study.looks else [],
        "late_claims": [f.claim.id for f in findings if f.written_after_results],
    }


def is_subject(one: HeadlineComparison) -> bool:
    """Return whether a comparison is about the arm that the title asks about."""
    return one.headline.subject == one.arm


def _title_answer(one: HeadlineComparison) -> dict[str, str]:
    return {
        "metric": one.headline.metric,
        "subject": one.arm,
        "answer": answer_word(one),
        "size": size_word(one),
    }


def sentences(study: StudyRecord, compared: Sequence[HeadlineComparison]) -> list[str]:
    """Return a line for each headline: effects, intervals, costs and other differences."""
    return [" ".join(one) for one in lead_sentences(study, compared)]


def lead_sentences(study: StudyRecord, compared: Sequence[HeadlineComparison]) -> list[list[str]]:
    """Return the sentences of each headline; none for a smoke run.

    Headlines come first whose subject the title asks about.
    """
    if study.scale == "smoke":
        return []
    arms = {*study.arms}
    ordered = sorted(study.headline, key=lambda headline: headline.subject not in arms)
    stated = StatedFacts()
    return [headline_sentences(study, compared, headline, stated) for headline in ordered]


def how_sure(study: StudyRecord, compared: Sequence[HeadlineComparison]) -> list[str]:
    """Return the lines that explain the numbers of the answer.

    They give the intervals, the level of the tests, tuning, repeated looks, seeds that are left
    out, and diverged trials.
    """
    lines = []
    tested = [one for one in compared if one.has_interval]
    if tested:
        n = count_range([one.n for one in tested], "paired seed")
        lines.append(f"In brackets: the 95 % interval of the mean difference, over {n}.")
    family = sum(isfinite(one.decision.p) for one in compared)
    if family:
        correction = f", corrected for {family} comparisons" if family > 1 else ""
        lines.append(
            f"Better and worse require p < {alpha_at_look(study.n_looks):.3g}{correction}, and an "
            f"interval without 0."
        )
    if tested and study.aa_pairs:
        lines.append(
            "The two arms of an A/A pair share no seeds, so they vary more than arms of one seed."
        )
    under_study = [arm for arm in study.arms if arm not in study.apart]
    if not all(study.fairness.same_task(arm, under_study[0]) for arm in under_study):
        lines.append("Arms on different tasks are not compared.")
    if study.tuned:
        overrides = ", ".join(f"{arm} {override}" for arm, override in study.tuned.items())
        lines.append(f"Tuned for each arm, on separate seeds and held-out data: {overrides}.")
    if study.looks and study.looks.words:
        lines.append(
            f"This is the {study.looks.words} at these arms, so the threshold for p is "
            f"{ALPHA:g} / {study.n_looks}."
        )
    if study.looks and (words := study.looks.left_out_words):
        lines.append(f"{capitalise(words)}.")
    if sentence := diverged_shares(study):
        lines.append(sentence)
    return lines


def diverged_shares(study: StudyRecord) -> str:
    """Return a sentence on each arm's diverged trials, with the upper limit of their true rate.

    It is "" for a study without training, in which no trial can diverge.
    """
    if not is_trained(study) and not any(map(study.n_diverged, study.arms)):
        return ""
    counts: dict[tuple[int, int], list[str]] = {}
    for arm in study.arms:
        mine = study.trials[study.trials["arm"] == arm]
        n = int(mine["status"].isin(["done", "diverged"]).sum())
        if n:
            counts.setdefault((study.n_diverged(arm), n), []).append(arm)
    parts = []
    for (k, n), arms in sorted(counts.items(), reverse=True):
        names = "each arm" if len(counts) == 1 and len(arms) > 1 else join_with_and(arms)
        upper_limit = 100 * clopper_pearson(k, n).high
        parts.append(
            f"{k} of {n} in {names} (95 % interval of the rate: up to {upper_limit:.0f} %)"
        )
    if not parts:
        return ""
    if len(counts) == 1 and not any(k for k, _ in counts):
        ((_, n),) = counts
        limit = 100 * clopper_pearson(0, n).high
        each = " in each arm" if len(study.arms) > 1 else ""
        return (
            f"No trial diverged: with {count_range([n], 'trial')}{each}, the rate may still be up "
            f"to {limit:.0f} % (95 % interval)."
        )
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
        counts = Counter(map(verdict_phrase, mine))
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
        plural = name if len(mine) == 1 else name.replace("claim", "claims")
        under = (
            f", under settings that you changed ({', '.join(settings)})"
            if shipped and settings
            else ""
        )
        lines.append(f"Verdicts on {len(mine)} {plural}{under}: {verdicts}.{_published(mine)}")
    if late := [finding.claim.id for finding in findings if finding.written_after_results]:
        lines.append(f"Registered after their results, and therefore invalid: {', '.join(late)}.")
    return lines


def _published(findings: Sequence[Finding]) -> str:
    """Return a sentence on the published numbers of reproduced claims; "" if they say nothing."""
    reproduced = [f for f in findings if f.shipped and f.verdict is Verdict.reproduced]
    phrases = Counter(phrase for f in reproduced if (phrase := published_phrase(f.claim)))
    if not phrases:
        return ""
    if len(reproduced) == 1:
        (phrase,) = phrases
        which = "For the reproduced claim, " if len(findings) > 1 else ""
        return f" {capitalise(f'{which}{phrase}')}."
    numbers = Counter(noun for f in reproduced if (noun := published_noun(f.claim)))
    listed = "; ".join(f"{n} {noun}" for noun, n in numbers.most_common())
    return f" Published numbers of the {len(reproduced)} reproduced claims: {listed}."
