"""The seconds that a trial has cost, summed over the processes that computed it."""

import time
from pathlib import Path

from runner.records.files import read_json, write_json
from runner.records.schemas import is_duration


class Stopwatch:
    """A count of seconds that starts at the sum that earlier processes saved in `path`.

    A killed process loses at most the seconds since its last `save()`. A trial saves at each
    checkpoint, after each piece, between its stages, and when it ends by itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        saved = (read_json(path) or {}).get("seconds")
        self._before = float(saved) if saved is not None and is_duration(saved) else 0.0
        self._began = time.perf_counter()

    def seconds(self) -> float:
        """Return the sum so far."""
        return self._before + time.perf_counter() - self._began

    def save(self) -> float:
        """Write the sum to disk, and return it."""
        seconds = self.seconds()
        write_json(self.path, {"seconds": seconds})
        return seconds
