"""Arms of equal cost: one width of an arm is solved so that it costs what another arm does."""

import dataclasses
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

from runner import registry
from runner.claims.fairness import format_cost_excess
from runner.config import ArmConfig, ConfigError, Match, MatchCost
from runner.metric_names import COSTS
from runner.wording.names import name_hint

LARGEST = 1 << 20


def match_widths(
    arms: Mapping[str, ArmConfig], held: Mapping[str, bool]
) -> tuple[dict[str, ArmConfig], list[str]]:
    """Solve the widths of all arms, but of those `held`, in the order they depend on each other.

    Returns:
        the arms with their widths, and a note for each arm whose cost is left unmatched.

    Raises:
        ConfigError: an arm to match that is not there, arms that wait for each other, a key that is
            no width.
    """
    for name, arm in arms.items():
        if arm.match.by is not MatchCost.none:
            check_width(name, arm)
    solved: dict[str, ArmConfig] = {}
    notes: list[str] = []
    waiting = dict(arms)
    while waiting:
        ready = [
            name
            for name, arm in waiting.items()
            if match_target(name, arm.match, arms) in (None, *solved)
        ]
        if not ready:
            raise ConfigError(
                f"match: arms {', '.join(waiting)} wait for each other; one of them needs "
                "match.by=none"
            )
        for name in ready:
            arm = waiting.pop(name)
            to = match_target(name, arm.match, arms)
            if to is not None and not held[name]:
                arm = widen(arm, matched_cost(solved[to], arm.match.by))
            solved[name] = arm
            if to is not None:
                notes += unmatched(name, arm, to, matched_cost(solved[to], arm.match.by))
    return {name: solved[name] for name in arms}, notes


def check_width(name: str, arm: ArmConfig) -> None:
    """Refuse to solve what is no width of a part: steps, rates and data must not differ unseen."""
    section, _, key = arm.match.solve.partition(".")
    part = None if section == "task" else getattr(arm.parts, section, None)
    value = getattr(part, key, None)
    if part is None or not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(
            f"match.solve={arm.match.solve} is no width of arm {name}; give a whole-number key of "
            "a part, e.g. ffn.d_ff"
        )


def match_target(name: str, match: Match, arms: Iterable[str]) -> str | None:
    """The arm that this one must cost as much as; None if it is free, or is that arm itself."""
    if match.by is MatchCost.none or match.to is None or match.to == name:
        return None
    if match.to not in arms:
        raise ConfigError(
            f"match.to={match.to}: arm {name} is matched to an arm that is not there; "
            f"{name_hint(match.to, arms)}"
        )
    return match.to


def matched_cost(arm: ArmConfig, by: MatchCost) -> int:
    """The cost of an arm in the unit that it is matched by."""
    return int(registry.costs(vars(arm.parts))[by.value])


def widen(arm: ArmConfig, goal: int) -> ArmConfig:
    """The arm with the width whose cost is nearest to `goal`.

    Cost grows with a width, so bisection finds it. An arm whose cost the width does not change, as
    the bytes of keys and values do not change with that of a feed-forward network, is left alone.
    """
    low, high = 1, 2
    if matched_cost(with_width(arm, low), arm.match.by) == matched_cost(
        with_width(arm, high), arm.match.by
    ):
        return arm
    while high < LARGEST and matched_cost(with_width(arm, high), arm.match.by) < goal:
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
    """The arm with another value at `match.solve`."""
    section, _, name = arm.match.solve.partition(".")
    part = getattr(arm.parts, section, None)
    if part is None or not isinstance(getattr(part, name, None), int):
        raise ConfigError(
            f"match.solve={arm.match.solve} is no width of this arm; give a whole-number key, "
            "e.g. ffn.d_ff"
        )
    parts = {**vars(arm.parts), section: dataclasses.replace(part, **{name: width})}
    return dataclasses.replace(arm, parts=SimpleNamespace(**parts))


def unmatched(name: str, arm: ArmConfig, to: str, goal: int) -> list[str]:
    """A note where the cost of an arm is off by more than its tolerance."""
    mine = matched_cost(arm, arm.match.by)
    if abs(mine - goal) <= arm.match.tolerance * goal:
        return []
    by = arm.match.by.value
    off = format_cost_excess(by, mine / goal) if goal else f"{mine} {COSTS[by]} more"
    return [
        f"arm {name} is unmatched: it has {off} than {to} (match.tolerance={arm.match.tolerance:g})"
    ]
