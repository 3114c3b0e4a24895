"""One process of a trial as its parent sees it: what it says, how long it takes, how it ended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from runner.records.job import Job
from runner.study import termination

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess


QUIET = 300.0
"""Seconds without a word of a trial after which that is said; again after twice as many."""

KILLED_SERVER = "the server that started it was killed"


@dataclass(eq=False)
class TrialProcess:
    """A process, its end of the pipe, and clocks.

    Attributes:
        since: when it began to compute; None while it waits for others.
        heard: when it last said something.
        asked: when it was asked to end because it takes too long.
        why: what made us end it, or what has ended it.
        server: the number of the server that has forked it.
    """

    job: Job
    process: "ForkServerProcess"
    connection: Connection
    computing_since: float | None = field(default_factory=time.monotonic)
    last_event_time: float = field(default_factory=time.monotonic)
    sigterm_time: float | None = None
    end_reason: str = ""
    server_pid: int | None = None
    _quiet: float = QUIET
    _closed: bool = False
    _orphan_since: float | None = None

    def handles(self) -> list[Any]:
        """What becomes ready when something happens."""
        pipe = [] if self._closed else [self.connection]
        return pipe if self._orphan_since is not None else [*pipe, self.process.sentinel]

    def events(self) -> Iterator[dict[str, Any]]:
        """What the process has said meanwhile, and what is to be said of its silence."""
        yield from self._received()
        now = time.monotonic()
        limit = self.job.timeout_s
        if self.computing_since is None:
            return
        if limit is not None:
            self._end_in_time(limit, now)
        elif now - self.last_event_time >= self._quiet:
            self._quiet *= 2
            yield {"state": "silent", "seconds": now - self.last_event_time}

    def _received(self) -> Iterator[dict[str, Any]]:
        while not self._closed:
            try:
                if not self.connection.poll():
                    return
                event = self.connection.recv()
            except Exception:
                self._closed = True
                return
            now = time.monotonic()
            state = event.get("state")
            if state in ("waiting", "computing"):
                self.computing_since = None if state == "waiting" else now
            self.last_event_time, self._quiet = now, QUIET
            if state != "computing":
                yield event

    def _end_in_time(self, limit: float, now: float) -> None:
        """Ask a process that takes too long to end; kill it where it does not listen."""
        assert self.computing_since is not None
        if self.sigterm_time is None and now - self.computing_since > limit:
            self.sigterm_time = now
            self.end_reason = f"took longer than timeout_s={limit:g}"
            termination.send_sigterm(self.process)
        elif self.sigterm_time is not None and now - self.sigterm_time > min(
            termination.GRACE_SECONDS, max(10.0, limit)
        ):
            termination.kill_process_group(self.process)

    def has_ended(self) -> bool:
        """Whether the process has ended, whatever it has forked and left behind.

        One whose server was killed is asked to end, and has `GRACE_SECONDS` seconds for its checkpoint.
        """
        if not termination.is_process_alive(self.process):
            return True
        if self.process.is_alive():
            return False
        if self._orphan_since is None:
            self._orphan_since = time.monotonic()
            termination.send_sigterm(self.process)
        return time.monotonic() - self._orphan_since > termination.GRACE_SECONDS

    def close(self) -> Iterator[dict[str, Any]]:
        """Close it: its last words, then the event that says how it ended."""
        code = self.process.exitcode or 0
        if (
            code == termination.SERVER_KILLED_EXIT_CODE
            and self.server_pid
            and not termination.pid_exists(self.server_pid)
        ):
            self.end_reason = self.end_reason or KILLED_SERVER
        termination.kill_process_group(self.process)  # what it has left behind
        yield from self._received()
        self.connection.close()
        yield {"state": "ended", "exitcode": code, "pid": self.process.pid, "why": self.end_reason}
