"""The sentences of one headline: the result of each arm, its difference and its cost.

A headline with a subject begins with the answer to the question of the title: Yes, No, Not shown
or Undecided. `docs/verdicts.md` has the rules.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np

from runner.claims.fairness import format_unequal_settings
from runner.claims.headline import Headline
from runner.report import timing_stability
from runner.report.cost_words import cost_clause, cost_facts
from runner.report.headlines import HeadlineComparison, has_no_done_trial
from runner.report.level_sentence import level_sentences
from runner.report.stated_facts import StatedFacts
from runner.report.study_record import StudyRecord
from runner.stats.standing import Standing
from runner.wording import quantity
from runner.wording.phrases import capitalise, join_with_and

A_LITTLE, A_LOT = 0.02, 0.20
"""Limits of the size words, as shares of the baseline's mean."""
MAX_NAMED = 3  # arms of one result that a sentence names
WORDS = {
    Standing.better: ("is better than", "are better than"),
    Standing.worse: ("is worse than", "are worse than"),
    Standing.different: ("is different from", "are different from"),
    Standing.not_distinguished: (
        "does not differ significantly from",
        "do not differ significantly from",
    ),
    Standing.undecided: ("is undecided against", "are undecided against"),
}
OPPOSITE = {"better": Standing.worse, "worse": Standing.better}


def headline_sentences(
    study: StudyRecord,
    compared: Sequence[HeadlineComparison],
    headline: Headline,
    stated: StatedFacts,
) -> list[str]:
    """Return the sentences of a headline; the first one is the answer to the title, or its name.

    The headlines are printed in the order of the calls. `stated` has the facts of those above, and
    gets the facts of this one.
    """
    rows = [one for one in compared if one.headline is headline]
    new = [row for row in rows if (row.arm, row.baseline) not in stated.costs]
    repeated = [row for row in rows if row.unequal and stated.has_settings(row)]
    if not rows:
        sentences = [*level_sentences(study, headline, study.arms, is_whole_study=True)]
    else:
        subject = [row for row in rows if row.arm == headline.subject]
        others = [row for row in rows if row.arm != headline.subject]
        sentences = [f"{answer_to_title(study, row, row in new)}." for row in subject]
        sentences += _others(study, others, new, repeated, is_first=not subject)
        baseline = rows[0].baseline
        if has_no_done_trial(study, baseline) and not any(row.n for row in rows):
            sentences.append(f"{baseline} has no result.")
        of_other_tasks = [a for a in study.arms if not study.fairness.same_task(a, baseline)]
        sentences += level_sentences(study, headline, of_other_tasks)
    stated.add(rows)
    return sentences + _aa_sentences(study, headline, rows, " ".join(sentences))


def answer_word(row: HeadlineComparison) -> str:
    """Return the answer to the title: yes, no, no: the opposite, not shown, or undecided."""
    yes, standing = row.headline.yes_if, row.standing
    if standing is Standing.undecided:
        return "undecided"
    if standing is Standing.not_distinguished:
        return "no" if row.decision.reason == "equal" else "not shown"
    if standing == yes or yes == "different":
        return "yes"
    return "no: the opposite" if standing is OPPOSITE.get(yes) else "not shown"


def size_word(row: HeadlineComparison) -> str:
    """Return "a little" or "a lot" for a small or large share of the baseline's mean; else ""."""
    interval = row.decision.interval
    if interval is None or not isfinite(row.baseline_mean) or not row.baseline_mean:
        return ""
    share = abs(interval.mean / row.baseline_mean)
    return "a little" if share < A_LITTLE else "a lot" if share > A_LOT else ""


def answer_to_title(study: StudyRecord, row: HeadlineComparison, with_costs: bool) -> str:
    """Return the sentence on a headline's subject, without its full stop."""
    word = answer_word(row)
    size = size_word(row) if word == "yes" else ""
    verdict = capitalise(f"{word}, {size}" if size else word)
    facts = cost_facts(study, row) if with_costs else []
    also = [f"it {join_with_and(facts)}"] if facts else []
    if row.unequal:
        also.append(f"it also differs in {format_unequal_settings(row.unequal)}")
    rest = "".join(f"; {text}" for text in also)
    separator = "." if ":" in verdict else ":"
    label = row.headline.label
    if row.headline.yes_if != "better" and row.standing in (Standing.better, Standing.worse):
        # "Yes: x is worse" would be read twice, so the sentence names the side.
        clause = f"{label} is {_side(row)} in {row.arm} than in {row.baseline} by {_amount(row)}"
        clause += cost_clause(study, row)
    else:
        clause = f"in {label}, {_clause(study, row)}"
    clause = capitalise(clause) if separator == "." else clause
    return f"{verdict}{separator} {clause}{rest}"


def _clause(
    study: StudyRecord, row: HeadlineComparison, *, with_unmatched_cost: bool = True
) -> str:
    """Return "x is better than base by 0.02 nats [0.01, 0.03] at equal parameters"."""
    if row.standing in (Standing.better, Standing.worse):
        verb, _ = WORDS[row.standing]
        text = f"{row.arm} {verb} {row.baseline} by {_amount(row)}"
    elif row.standing is Standing.different:
        text = f"{row.arm} is {_side(row)} than {row.baseline} by {_amount(row)}"
    elif row.decision.reason == "equal" or row.is_same:
        text = f"{row.arm} is equal to {row.baseline}{_under_every_seed(row)}"
    else:
        verb, _ = WORDS[row.standing]
        if row.standing is Standing.undecided:
            details = _details(row)
            text = f"{row.arm}{f' ({details})' if details else ''} {verb} {row.baseline}"
        else:
            text = f"{row.arm} {verb} {row.baseline} ({_details(row)})"
    cost = cost_clause(study, row)
    return text + (cost if with_unmatched_cost or cost.startswith(" at equal") else "")


def _under_every_seed(row: HeadlineComparison) -> str:
    """Return the addition for equal values that could differ between seeds; "" for a count."""
    return " under every seed" if row.is_same else ""


def _short_clause(row: HeadlineComparison) -> str:
    """Return the result of an arm whose baseline, costs and settings the text has already."""
    if row.standing in (Standing.better, Standing.worse):
        return f"{row.arm} is {row.standing} by {_amount(row)}"
    if row.standing is Standing.different:
        return f"{row.arm} is {_side(row)} by {_amount(row)}"
    return f"{row.arm} has the result: {row.standing}"


def _amount(row: HeadlineComparison) -> str:
    """Return the size of the difference with its unit and interval."""
    interval = row.decision.interval
    if interval is None:
        return quantity.NO_VALUE
    return quantity.format_amount(interval.mean, interval.low, interval.high, row.amount_display)


def _side(row: HeadlineComparison) -> str:
    """Return the side of the baseline on which an arm's mean lies, without a judgement."""
    interval = row.decision.interval
    return "higher" if interval and interval.mean > 0 else "lower"


def _details(row: HeadlineComparison) -> str:
    """Return the measured difference of an arm without a clear result, and why it is not clear."""
    details = []
    if row.decision.interval is not None and row.decision.interval.mean:
        details.append(f"{_side(row)} by {_amount(row)}")
    detectable, p = row.decision.minimum_detectable_effect, row.decision.p
    if row.standing is Standing.undecided:
        details.append(row.decision.reason)
    elif isfinite(detectable):
        if row.excludes_zero and isfinite(p):
            details[-1] += f", but corrected p = {quantity.format_p_value(p)}"
        unit = row.amount_display
        display = quantity.DisplayUnit("", unit.factor) if details else unit  # stated once
        size = quantity.format_amount(detectable, np.nan, np.nan, display)
        details.append(f"smallest detectable difference {size}")
    return "; ".join(details)


def _others(
    study: StudyRecord,
    rows: Sequence[HeadlineComparison],
    new: Sequence[HeadlineComparison],
    repeated: Sequence[HeadlineComparison],
    *,
    is_first: bool,
) -> list[str]:
    """Return the sentences on arms that the title does not ask about.

    Arms with one result share a clause, and arms that also differ in one setting share a sentence.
    `new` has the arms without costs in the headlines above. `repeated` has the arms whose other
    settings are above.
    """
    plain = [row for row in rows if not row.unequal]
    clauses = []
    for standing in WORDS:
        for is_same in (False, True):
            mine = [row for row in plain if row.standing is standing and row.is_same is is_same]
            clauses += _group(study, mine, new, is_first=is_first)
    sentences = [f"{'; '.join(clauses)}."] if clauses else []
    settings: dict[str, list[HeadlineComparison]] = {}
    for row in rows:
        if row.unequal and row not in repeated:
            settings.setdefault(format_unequal_settings(row.unequal), []).append(row)
    for setting, mine in settings.items():
        if len(mine) == 1:
            clause = _clause(study, mine[0], with_unmatched_cost=mine[0] in new)
            sentences.append(f"{clause}; it also differs in {setting}.")
        else:
            arms = join_with_and([f"{row.arm} ({row.standing})" for row in mine])
            sentences.append(f"{arms} also differ from {mine[0].baseline} in {setting}.")
    if above := [row for row in rows if row in repeated]:
        results = join_with_and([_short_clause(row) for row in above])
        sentences.append(f"With the other settings above, {results}.")
    if is_first and sentences:
        sentences.insert(0, f"{capitalise(rows[0].headline.label)}:")
    return sentences


def _group(
    study: StudyRecord,
    rows: Sequence[HeadlineComparison],
    new: Sequence[HeadlineComparison],
    *,
    is_first: bool,
) -> list[str]:
    """Return the clauses on arms with one result: one arm in full, several arms as a list."""
    if len(rows) == 1:
        (row,) = rows
        facts = cost_facts(study, row) if is_first and row in new else []
        clause = _clause(study, row, with_unmatched_cost=row in new)
        return [clause + (f"; it {join_with_and(facts)}" if facts else "")]
    if not rows:
        return []
    standing, baseline = rows[0].standing, rows[0].baseline
    named = sorted(rows, key=lambda row: -_size(row))[:MAX_NAMED]
    named = [row for row in rows if row in named]
    costs = {cost_clause(study, row) for row in rows}
    shared = costs.pop() if len(costs) == 1 else ""
    if not any(row in new for row in rows) and not shared.startswith(" at equal"):
        shared = ""
    parts = [_member(study, row, with_cost=not shared and row in new) for row in named]
    if more := len(rows) - len(named):
        parts.append(f"{more} more arm{'s' if more > 1 else ''}")
    _, verb = WORDS[standing]
    if rows[0].decision.reason == "equal" or rows[0].is_same:
        verb, baseline = "are equal to", f"{baseline}{_under_every_seed(rows[0])}"
    return [f"{join_with_and(parts)} {verb} {baseline}{shared}"]


def _member(study: StudyRecord, row: HeadlineComparison, *, with_cost: bool) -> str:
    """Return an arm of a list with its difference: "x (by 0.02 [0.01, 0.03])"."""
    if row.standing is Standing.undecided:
        details = [_details(row)]
    elif row.decision.interval is None or row.decision.reason == "equal" or row.is_same:
        details = []
    elif row.standing in (Standing.better, Standing.worse):
        details = [f"by {_amount(row)}"]
    else:
        details = [f"{_side(row)} by {_amount(row)}"]
    cost = cost_clause(study, row).strip() if with_cost else ""
    inside = ", ".join(filter(None, [*details, cost]))
    return f"{row.arm} ({inside})" if inside else row.arm


def _size(row: HeadlineComparison) -> float:
    interval = row.decision.interval
    return abs(interval.mean) if interval and isfinite(interval.mean) else 0.0


def _aa_sentences(
    study: StudyRecord, headline: Headline, rows: Sequence[HeadlineComparison], said: str
) -> list[str]:
    """Return a sentence for each A/A pair of an arm that the headline is about."""
    pairs = study.aa_pairs
    about = {headline.subject, rows[0].baseline} if rows and headline.subject else {*study.arms}
    if own := {copy: arm for copy, arm in pairs.items() if arm in about}:
        pairs = own
    return timing_stability.aa_difference_lines(study.results, pairs, headline.metric, said)
