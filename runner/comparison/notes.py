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
    """Return a note on each arm that is not matched, with its cost.

    Mostly it has no whole-number argument. The note is left out if the costs are equal.
    """
    if request.match == MatchCost.none.value:
        return []
    by, arms = MatchCost(request.match), {arm.name: arm.config for arm in plan.arms}
    goal = matched_cost(arms[request.baseline], by)
    notes = []
    for name in (arm.name for arm in request.arms):
        config, part = arms[name], parts.get(name)
        if name != request.baseline and config.match.by is MatchCost.none:
            match = Match(by, request.baseline, config.match.solve, config.match.tolerance)
            unmatched = dataclasses.replace(config, match=match)
            for note in note_unmatched_cost(name, unmatched, request.baseline, goal):
                if part is not None and not part.builder.fields:
                    note += f"; {part.builder.name} has no whole-number argument to set"
                notes.append(note)
    return notes
