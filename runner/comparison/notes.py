"""Notes on arms whose costs cannot be made equal."""

import dataclasses
from collections.abc import Mapping

from runner.comparison.parts import GeneratedPart
from runner.comparison.request import Request
from runner.config import Match, MatchCost
from runner.plan.matching import matched_cost, note_unmatched_cost
from runner.plan.plan import Plan


def notes_on_unmatched_arms(
    plan: Plan, request: Request, parts: Mapping[str, GeneratedPart]
) -> list[str]:
    """Return a note on each arm that no whole-number argument can match, with its cost.

    The note is left out if the costs are equal.
    """
    if request.match == MatchCost.none.value:
        return []
    by, arms = MatchCost(request.match), {arm.name: arm.config for arm in plan.arms}
    goal = matched_cost(arms[request.baseline], by)
    notes = []
    for name, part in parts.items():
        config = arms[name]
        if name != request.baseline and config.match.by is MatchCost.none:
            match = Match(by, request.baseline, config.match.solve, config.match.tolerance)
            unmatched = dataclasses.replace(config, match=match)
            for note in note_unmatched_cost(name, unmatched, request.baseline, goal):
                why = f"{part.builder.name} has no whole-number argument to set"
                notes.append(f"{note}; {why}" if not part.builder.fields else note)
    return notes
