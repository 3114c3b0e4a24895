"""Matched arms: one width of an arm is set so that it costs as much as another arm."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

from runner import registry
from runner.claims.fairness import format_cost_excess
from runner.config import ArmConfig, ConfigError, Match, MatchCost
from runner.metric_names import COSTS
from runner.plan.foreign_parts import is_foreign, whole_number_fields
from runner.plan.user_code import named_errors
from runner.plan.width_search import STEP_SECONDS, SlowStepError, WidthSearch
from runner.wording.names import name_hint


def match_widths(
    arms: Mapping[str, ArmConfig], sets_own_width: Mapping[str, bool]
) -> tuple[dict[str, ArmConfig], list[str]]:
    """Set the width of each arm that is matched to another arm.

    Args:
        arms: the arms by name, including the arms to match.
        sets_own_width: for each arm, whether its overrides set the width; then the width stays.

    Returns:
        the arms with their widths, and notes. There is a note for each arm whose cost stays
        unmatched, and for each that is matched by another key than `match.solve`.

    Raises:
        ConfigError: `match.to` names an unknown arm, arms are matched in a circle, `match.solve`
            is not a width, or a cost is unknown.
    """
    # Check all arms before any is matched: a wrong key is an error even if the width would stay.
    for name, arm in arms.items():
        if arm.match.by is not MatchCost.none:
            check_width(name, arm)
    # Match in the order of dependence: the cost to reach is known once the target has its width.
    matched: dict[str, ArmConfig] = {}
    notes: list[str] = []
    waiting = dict(arms)
    while waiting:
        # An arm is ready if it is not matched to another arm, or if that arm has its final width.
        ready = [
            name
            for name, arm in waiting.items()
            if match_target(name, arm.match, arms) in (None, *matched)
        ]
        # Without a ready arm the remaining ones wait for each other.
        if not ready:
            raise ConfigError(
                f"match: arms {', '.join(waiting)} are matched to each other in a circle; set "
                "match.by=none in one of them"
            )
        for name in ready:
            arm = waiting.pop(name)
            to = match_target(name, arm.match, arms)
            if to is not None:
                goal = cost_of_arm(to, matched[to], arm.match.by)
                unmatched = arm
                # An arm that sets the width itself keeps it, so that the user's value counts.
                if not sets_own_width[name]:
                    arm = match_width(name, arm, goal, notes)
                # A whole-number width may not reach the cost, and some costs do not depend on it.
                keeps_width = sets_own_width[name]
                notes += [
                    f"{note}; {explain_unmatched_cost(unmatched, arm, goal, keeps_width)}"
                    for note in note_unmatched_cost(name, arm, to, goal)
                ]
            matched[name] = arm
    # Return the arms in the order of the study, not in the order of dependence.
    return {name: matched[name] for name in arms}, notes


def match_width(name: str, arm: ArmConfig, goal: int, notes: list[str]) -> ArmConfig:
    """Return an arm with the width whose cost is closest to `goal`; one without a width stays.

    Matching by another key than `match.solve` is added to `notes`.

    Raises:
        ConfigError: the module has a fault, or refuses the widths near the arm's own.
    """
    key = solved_key(arm)
    if key is None:
        return arm
    cost_of_arm(name, arm, arm.match.by)  # a module with a fault is refused here
    if key != arm.match.solve:
        only = key.partition(".")[2]
        notes.append(f"arm {name}: its only whole-number field {only} is matched")
    try:
        return with_matched_width(arm, goal)
    except SlowStepError as error:
        raise ConfigError(
            f"arm {name}: its module refuses all values near its own {key} for "
            f"{STEP_SECONDS:g} s; set {key} in the arm's overrides, or match.by=none"
        ) from error


def check_width(name: str, arm: ArmConfig) -> None:
    """Raise ConfigError if `match.solve` is not a width of a part.

    Steps, learning rates and data must not differ between arms without the user seeing it. A
    foreign part may have another width instead, see `solved_key`.
    """
    section, _, key = arm.match.solve.partition(".")
    part = None if section == "task" else getattr(arm.parts, section, None)
    value = getattr(part, key, None)
    if part is not None and is_foreign(part) and not hasattr(part, key):
        names = whole_number_fields(part)
        if len(names) > 1:
            raise ConfigError(
                f"arm {name}: {section}={part.kind} has no {key} to match; choose one of its "
                f"whole-number fields {', '.join(names)} in the arm's overrides, e.g. "
                f"match.solve={section}.{names[0]}"
            )
    elif part is None or not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(
            f"match.solve={arm.match.solve} is not a width of arm {name}; give a whole-number key "
            "of a part, e.g. ffn.d_ff"
        )


def solved_key(arm: ArmConfig) -> str | None:
    """Return the key of the width that is set to match an arm; None if it has no width.

    It is `match.solve`. A foreign part without this field has its only whole-number field instead.
    """
    section, _, key = arm.match.solve.partition(".")
    part = getattr(arm.parts, section, None)
    if part is None or hasattr(part, key) or not is_foreign(part):
        return arm.match.solve
    names = whole_number_fields(part)
    return f"{section}.{names[0]}" if len(names) == 1 else None


def match_target(name: str, match: Match, arms: Iterable[str]) -> str | None:
    """Return the arm that this arm is matched to; None if it is unmatched or matched to itself.

    Raises:
        ConfigError: there is no such arm.
    """
    if match.by is MatchCost.none or match.to is None or match.to == name:
        return None
    if match.to not in arms:
        raise ConfigError(
            f"match.to={match.to}: arm {name} is matched to an arm that does not exist; "
            f"{name_hint(match.to, arms)}"
        )
    return match.to


def matched_cost(arm: ArmConfig, by: MatchCost) -> int:
    """Return the cost of an arm, of the kind `by`.

    Raises:
        ConfigError: the cost is unknown.
    """
    cost = registry.costs(vars(arm.parts))[by.value]
    if math.isnan(cost):
        raise ConfigError(
            f"match.by={by}: the {COSTS[by]} of {' and '.join(find_unknown(arm))} are unknown; "
            "define cost(self, d_model, length), call scaled_dot_product_attention, or give the "
            "arm match.by=params"
        )
    return int(cost)


def find_unknown(arm: ArmConfig) -> list[str]:
    """Return the parts of an arm that may have an unknown cost, as overrides."""
    parts = {group: getattr(arm.parts, group, None) for group in ("attention", "language_model")}
    return [f"{group}={part.kind}" for group, part in parts.items() if part is not None]


def cost_of_arm(name: str, arm: ArmConfig, by: MatchCost) -> int:
    """Return the cost of an arm; an error names the arm."""
    try:
        with named_errors():
            return matched_cost(arm, by)
    except ValueError as error:
        raise ConfigError(f"{error} (in arm {name})") from error


def with_matched_width(arm: ArmConfig, goal: int) -> ArmConfig:
    """Return the arm with the width whose cost is closest to `goal`.

    An arm whose cost does not depend on it stays as it is. For example, the width of a feed-forward
    network does not change bytes of keys and values.
    """
    return with_width(arm, search_width(arm).closest_to(goal))


def search_width(arm: ArmConfig) -> WidthSearch:
    """Return a search over the costs of an arm at other widths; it begins with the arm's own."""
    section, _, name = (solved_key(arm) or "").partition(".")

    def cost_at(width: int) -> int | None:
        try:
            return matched_cost(with_width(arm, width), arm.match.by)
        except ValueError:  # the part refuses this width
            return None

    return WidthSearch(cost_at, getattr(getattr(arm.parts, section), name))


def with_width(arm: ArmConfig, width: int) -> ArmConfig:
    """Return the arm with this value at the key that is matched."""
    section, _, name = (solved_key(arm) or arm.match.solve).partition(".")
    part = getattr(arm.parts, section, None)
    if part is None or not isinstance(getattr(part, name, None), int):
        raise ConfigError(
            f"match.solve={arm.match.solve} is not a width of this arm; give a whole-number key, "
            "e.g. ffn.d_ff"
        )
    parts = {**vars(arm.parts), section: dataclasses.replace(part, **{name: width})}
    return dataclasses.replace(arm, parts=SimpleNamespace(**parts))


def note_unmatched_cost(name: str, arm: ArmConfig, to: str, goal: int) -> list[str]:
    """Return a note if the cost of an arm differs from `goal` by more than its tolerance."""
    cost = cost_of_arm(name, arm, arm.match.by)
    if abs(cost - goal) <= arm.match.tolerance * goal:
        return []
    by = arm.match.by.value
    excess = format_cost_excess(by, cost / goal) if goal else f"{cost} {COSTS[by]} more"
    return [
        f"arm {name} is unmatched: it has {excess} than {to} "
        f"(match.tolerance={arm.match.tolerance:g})"
    ]


def explain_unmatched_cost(
    unmatched: ArmConfig, arm: ArmConfig, goal: int, keeps_width: bool
) -> str:
    """Return why matching leaves a cost of an arm too far from `goal`, and how to mend it.

    `unmatched` is the arm before its width was set. The search begins there, as in matching.
    """
    key = solved_key(arm)
    mend = "or set match.by=none in the arm"
    if key is None:
        section = arm.match.solve.partition(".")[0]
        kind = getattr(arm.parts, section).kind
        return f"{section}={kind} has no whole-number field: match by the width of a part, {mend}"
    if keeps_width:
        return f"the arm sets {key} itself: leave that out, {mend}"
    # Costs that the search for the width has counted come from the plan's memory.
    search = search_width(unmatched)
    search.closest_to(goal)
    costs = search.known_costs
    if len(costs) < 2:
        return f"no other {key} changes this cost: set another match.solve, {mend}"
    below, above = [c for c in costs if c < goal], [c for c in costs if c > goal]
    if not below or not above:
        extreme, more = ("largest", "less") if below else ("smallest", "more")
        return f"even with the {extreme} {key} it costs {more}: set another match.solve, {mend}"
    percent = 100 * (min(above) - max(below)) / goal
    step = f"{percent:.2g}" if percent < 99 else f"{percent:.0f}"
    deviation = abs(matched_cost(arm, arm.match.by) / goal - 1)
    return (
        f"one step of {key} changes this cost by {step} %: set "
        f"match.tolerance={math.ceil(100 * deviation) / 100:g} or another match.solve, {mend}"
    )
