"""The width of an arm at which its cost is closest to a goal, found by bisection.

The cost should grow with the width. If it does not, the search still ends, and returns the closest
of the widths that it tried.
"""

import time
from collections.abc import Callable, Iterator

MAX_WIDTH = 1 << 20
LARGEST_STEP = 512  # from one allowed width to the next
NEAR = 16  # steps to both sides in which an allowed width is searched
STEP_SECONDS = 20.0  # for the search of the step
FAR = 4096  # a width at which the cost of a small module shows that it grows


class SlowStepError(Exception):
    """No other allowed width was found near the arm's width in time."""


class WidthSearch:
    """The widths that were tried, each with its cost.

    A part may accept only multiples of its heads, for example. Then only every `step`-th width is
    tried, so that `own` is one of them; index 1 is the smallest.

    Args:
        cost_at: returns the cost at a width; None if the part refuses the width.
        own: the width of the arm so far, which the part accepts.

    Raises:
        SlowStepError: `cost_at` refuses the widths near `own`, and takes long to do so.
    """

    def __init__(self, cost_at: Callable[[int], int | None], own: int) -> None:
        self._cost_at, self._own = cost_at, own
        self._tried: dict[int, int | None] = {}
        self._step = self._find_step()

    def closest_to(self, goal: int) -> int:
        """Return the width whose cost is closest to `goal`, the smaller one of two.

        A cost that does not depend on the width leaves the arm's own.
        """
        if not self._step or self._is_constant():
            return self._own
        low, high = 1, 2
        while self._width(high) < MAX_WIDTH and self._is_below(high, goal):
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._is_below(middle, goal) else (low, middle)
        for index in (low, high):
            self._cost(self._width(index))
        costs = {width: cost for width, cost in self._tried.items() if cost is not None}
        return min(costs, key=lambda width: (abs(costs[width] - goal), width))

    @property
    def known_costs(self) -> list[int]:
        """The costs of all widths that were tried, each once, from small to large."""
        return sorted({cost for cost in self._tried.values() if cost is not None})

    def _find_step(self) -> int:
        """Return the distance from `own` to the nearest other allowed width; 0 without one."""
        deadline = time.monotonic() + STEP_SECONDS
        for step in range(1, LARGEST_STEP + 1):
            if time.monotonic() > deadline:
                raise SlowStepError
            if any(self._cost(width) is not None for width in (self._own + step, self._own - step)):
                return step
        return 0

    def _width(self, index: int) -> int:
        return (self._own % self._step or self._step) + (index - 1) * self._step

    def _cost(self, width: int) -> int | None:
        if width not in self._tried:
            self._tried[width] = self._cost_at(width) if width > 0 else None
        return self._tried[width]

    def _is_constant(self) -> bool:
        """Return whether the cost does not depend on the width."""
        costs = set()
        for width in self._compared_widths():
            costs.add(self._cost(width))
            if len(costs - {None}) > 1:
                return False
        return True

    def _compared_widths(self) -> Iterator[int]:
        """Yield widths from small to large, since a module of a large width needs much memory.

        Some modules round their width up, so the smallest widths alone do not show that the cost
        grows.
        """
        yield from (self._own, self._width(1), self._width(2))
        for width in (8 * self._own, min(64 * self._own, max(FAR, 8 * self._own))):
            yield self._width(1 + (width - self._width(1)) // self._step)

    def _is_below(self, index: int, goal: int) -> bool:
        """Return whether the width of an index, or an allowed one near it, costs too little."""
        for distance in range(NEAR + 1):
            for near in (index + distance, index - distance):
                cost = self._cost(self._width(near)) if near > 0 else None
                if cost is not None:
                    return cost < goal
        return self._width(index) < self._own
