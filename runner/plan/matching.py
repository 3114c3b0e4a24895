"""Matched arms: one width of an arm is set so that it costs as much as another arm."""

import dataclasses
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

from runner import registry
from runner.claims.fairness import format_cost_excess
from runner.config import ArmConfig, ConfigError, Match, MatchCost
from runner.metric_names import COSTS
from runner.wording.names import name_hint

MAX_WIDTH = 1 << 20


def match_widths(
    arms: Mapping[str, ArmConfig], sets_own_width: Mapping[str, bool]
) -> tuple[dict[str, ArmConfig], list[str]]:
    """Set the width of each arm that is matched to another arm.

    Args:
        arms: the arms by name, including the arms to match.
        sets_own_width: for each arm, whether its overrides set the width; then the width stays.

    Returns:
        the arms with their widths, and a note for each arm whose cost stays unmatched.

    Raises:
        ConfigError: `match.to` names an unknown arm, arms are matched in a circle, or `match.solve`
            is not a width.
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
            # An arm that sets the width itself keeps it, so that the user's value counts.
            if to is not None and not sets_own_width[name]:
                arm = with_matched_width(arm, matched_cost(matched[to], arm.match.by))
            matched[name] = arm
            # A whole-number width may not reach the cost, and some costs do not depend on it.
            if to is not None:
                notes += note_unmatched_cost(name, arm, to, matched_cost(matched[to], arm.match.by))
    # Return the arms in the order of the study, not in the order of dependence.
    return {name: matched[name] for name in arms}, notes


def check_width(name: str, arm: ArmConfig) -> None:
    """Raise ConfigError if `match.solve` is not a width of a part.

    Steps, learning rates and data must not differ between arms without the user seeing it.
    """
    section, _, key = arm.match.solve.partition(".")
    part = None if section == "task" else getattr(arm.parts, section, None)
    value = getattr(part, key, None)
    if part is None or not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(
            f"match.solve={arm.match.solve} is not a width of arm {name}; give a whole-number key "
            "of a part, e.g. ffn.d_ff"
        )


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
    """Return the cost of an arm, of the kind `by`."""
    return int(registry.costs(vars(arm.parts))[by.value])


def with_matched_width(arm: ArmConfig, goal: int) -> ArmConfig:
    """Return the arm with the width whose cost is closest to `goal`, found by bisection.

    Bisection needs a cost that grows with the width. An arm whose cost does not depend on it stays
    as it is. For example, the width of a feed-forward network does not change bytes of keys and
    values.
    """
    low, high = 1, 2
    if matched_cost(with_width(arm, low), arm.match.by) == matched_cost(
        with_width(arm, high), arm.match.by
    ):
        return arm
    while high < MAX_WIDTH and matched_cost(with_width(arm, high), arm.match.by) < goal:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        below = matched_cost(with_width(arm, middle), arm.match.by) < goal
        low, high = (middle, high) if below else (low, middle)
    return min(
        (with_width(arm, width) for width in (low, high)),
        key=lambda a: abs(matched_cost(a, a.match.by) - goal),
    )


def with_width(arm: ArmConfig, width: int) -> ArmConfig:
    """Return the arm with this value at `match.solve`."""
    section, _, name = arm.match.solve.partition(".")
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
    cost = matched_cost(arm, arm.match.by)
    if abs(cost - goal) <= arm.match.tolerance * goal:
        return []
    by = arm.match.by.value
    excess = format_cost_excess(by, cost / goal) if goal else f"{cost} {COSTS[by]} more"
    return [
        f"arm {name} is unmatched: it has {excess} than {to} "
        f"(match.tolerance={arm.match.tolerance:g})"
    ]
