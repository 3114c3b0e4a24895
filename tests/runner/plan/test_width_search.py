"""The width closest to a cost is found, also among few allowed widths."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.plan import width_search
from runner.plan.width_search import SlowStepError, WidthSearch


@settings(max_examples=40, deadline=None)
@given(
    slope=st.integers(1, 1000),
    start=st.integers(0, 1000),
    goal=st.integers(0, 10**5),
    step=st.integers(1, 100),
    multiple=st.integers(1, 20),
)
def test_a_cost_that_grows_is_met_as_closely_as_possible(
    slope: int, start: int, goal: int, step: int, multiple: int
):
    def cost(width: int) -> int | None:
        return start + slope * width if width % step == 0 else None

    def distance(width: int) -> int:
        return abs(start + slope * width - goal)

    width = WidthSearch(cost, step * multiple).closest_to(goal)
    assert distance(width) == min(map(distance, range(step, goal // slope + 3 * step, step)))


COSTS: dict[str, tuple[Callable[[int], int | None], int, int, int]] = {
    "constant": (lambda _: 7, 33, 100, 33),
    "one width": (lambda width: 9 if width == 5 else None, 5, 100, 5),
    "rounded up": (lambda width: -(-width // 64) * 64, 64, 200, 192),
    "divisors": (lambda width: 10 * width if 64 % width == 0 else None, 4, 161, 16),
    "powers of two": (lambda width: width if width & (width - 1) == 0 else None, 64, 250, 256),
    "at least 8": (lambda width: width if width >= 8 else None, 64, 3, 8),
    "at most 48": (lambda width: width if width <= 48 else None, 16, 1000, 48),
}


@pytest.mark.parametrize("name", COSTS)
def test_refused_widths_are_skipped(name: str):
    cost, own, goal, expected = COSTS[name]
    assert WidthSearch(cost, own).closest_to(goal) == expected


def test_a_cost_that_falls_ends_the_search():
    calls = []

    def cost(width: int) -> int:
        calls.append(width)
        return 10**9 // width

    assert WidthSearch(cost, 64).closest_to(10**6) > 0
    assert len(calls) < 100


@pytest.mark.parametrize(("own", "step"), [(256, 1), (640, 128), (1024, 64), (8, 8)])
def test_no_width_far_above_the_own_one_is_tried(own: int, step: int):
    for cost in (lambda width: 10 * width, lambda _: 5):
        tried = []

        def cost_at(width: int, cost: Callable[[int], int] = cost, tried: list[int] = tried):
            tried.append(width)
            return cost(width) if width % step == 0 else None

        WidthSearch(cost_at, own).closest_to(9 * own)
        assert max(tried) <= max(8 * own, 64 * min(own, 64)) + step


def test_a_slow_search_for_other_widths_ends(monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(width_search.time, "monotonic", lambda: next(clock))
    tried = []

    def cost_at(width: int) -> int | None:
        tried.append(width)
        return 9 if width == 5000 else None

    with pytest.raises(SlowStepError):
        WidthSearch(cost_at, 5000).closest_to(100)
    assert len(tried) < 100
