"""The time that a trial has cost, summed over the processes that computed it."""

import time
from pathlib import Path

from runner.records.files import read_json, write_json
from runner.records.schemas import is_duration


class Stopwatch:
    """Counts seconds from now on, behind those that earlier processes have noted in `path`.

    A process that is killed loses at most what has passed since its last `save()`: a trial notes
    at each checkpoint and piece, between its stages, and whenever it ends by itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        noted = (read_json(path) or {}).get("seconds")
        self._before = float(noted) if noted is not None and is_duration(noted) else 0.0
        self._began = time.perf_counter()

    def seconds(self) -> float:
        """The sum so far."""
        return self._before + time.perf_counter() - self._began

    def save(self) -> float:
        """Bring the sum to disk, and return it."""
        seconds = self.seconds()
        write_json(self.path, {"seconds": seconds})
        return seconds
