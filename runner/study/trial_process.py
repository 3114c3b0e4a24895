"""The parent's view of a trial's process: its events, its time limit, its end."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from runner.records.job import Job
from runner.study import termination

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess


SILENCE_SECONDS = 300.0
"""Seconds without an event until a line reports it; the next line follows after twice as many."""

SERVER_KILLED_REASON = "the server that started it was killed"


@dataclass(eq=False)
class TrialProcess:
    """A trial's process, the parent's end of its pipe, and its clocks (monotonic, seconds).

    Attributes:
        job: the job that it computes.
        process: the process.
        connection: the end of the pipe that receives its events.
        computing_since: when it began to compute; None while it waits for a lock.
        last_event_time: when its last event arrived.
        sigterm_time: when it got SIGTERM because of `timeout_s`; None if it did not.
        end_reason: why the parent ended it, or that its server was killed; else "".
        server_pid: the process id of the server that forked it.
        gpu: the GPU that it sees, by its name in `CUDA_VISIBLE_DEVICES`; None without cuda.
    """

    job: Job
    process: "ForkServerProcess"
    connection: Connection
    computing_since: float | None = field(default_factory=time.monotonic)
    last_event_time: float = field(default_factory=time.monotonic)
    sigterm_time: float | None = None
    end_reason: str = ""
    server_pid: int | None = None
    gpu: str | None = None
    _silence_limit: float = SILENCE_SECONDS
    _pipe_closed: bool = False
    _orphan_since: float | None = None

    def handles(self) -> list[Any]:
        """Return handles for `multiprocessing.connection.wait`: ready on events and at the end."""
        pipe = [] if self._pipe_closed else [self.connection]
        return pipe if self._orphan_since is not None else [*pipe, self.process.sentinel]

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events that have arrived, and an event if it has been silent for too long.

        Enforces `timeout_s` too.
        """
        yield from self._receive()
        now = time.monotonic()
        limit = self.job.timeout_s
        if self.computing_since is None:
            return
        if limit is not None:
            self._enforce_timeout(limit, now)
        elif now - self.last_event_time >= self._silence_limit:
            self._silence_limit *= 2
            yield {"state": "silent", "seconds": now - self.last_event_time}

    def _receive(self) -> Iterator[dict[str, Any]]:
        while not self._pipe_closed:
            try:
                if not self.connection.poll():
                    return
                event = self.connection.recv()
            except Exception:
                self._pipe_closed = True
                return
            now = time.monotonic()
            state = event.get("state")
            if state in ("waiting", "computing"):
                self.computing_since = None if state == "waiting" else now
            self.last_event_time, self._silence_limit = now, SILENCE_SECONDS
            yield event

    def _enforce_timeout(self, limit: float, now: float) -> None:
        """Send SIGTERM to a process that exceeds its time limit; kill it if it does not end."""
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
        """Return whether the process has ended, regardless of the processes that it forked.

        If its server was killed, it gets SIGTERM and `GRACE_SECONDS` to write a checkpoint.
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
        """Kill its process group and close the pipe; yield its last events and `ended`."""
        code = self.process.exitcode or 0
        if (
            code == termination.SERVER_KILLED_EXIT_CODE
            and self.server_pid
            and not termination.pid_exists(self.server_pid)
        ):
            self.end_reason = self.end_reason or SERVER_KILLED_REASON
        termination.kill_process_group(self.process)  # the processes that it forked
        yield from self._receive()
        self.connection.close()
        yield {"state": "ended", "exitcode": code, "pid": self.process.pid, "why": self.end_reason}
