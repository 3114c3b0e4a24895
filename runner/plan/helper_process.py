"""A process that builds modules for a plan, since the process of the plan does not import torch.

It starts with the first request and answers one request at a time, over two pipes, in JSON. It ends
when the command ends, also if the command is killed: its pipe then has no writer any more. A module
may crash or hang. Then the process ends, and the next request starts a new one.
"""

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from runner.wording.output import truncate_middle

START_SECONDS, IMPORT_SECONDS, MODULE_SECONDS = 120.0, 120.0, 15.0
"""Limits of time: to import torch, to import plug-ins, and to inspect one module on an idle
machine."""
MOST_LOAD = 6.0  # processes that wait for each core, with which the last limit grows

SLOW_START = "cannot be inspected: torch is not imported within {:.0f} s; try again"
SLOW_IMPORT = "cannot be inspected: its plug-ins are not imported within {:.0f} s"
SLOW_MODULE = "takes more than {:.0f} s; give it smaller sizes"
START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from runner.plan.helper_server import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


HELPER_NAME = "ablab-helper"
"""The name of the helper process."""


class HelperError(Exception):
    """The helper process gave no answer; the message says why, as a clause without a subject."""


class IdleEndError(HelperError):
    """The process ended by itself, as it does after a pause."""


class HelperProcess:
    """The helper process of a command.

    Attributes:
        loaded: the arguments of the last `load`; None if the process does not run.
    """

    def __init__(self) -> None:
        self.loaded: Any = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._requests = self._answers = -1
        self._lock = threading.RLock()
        atexit.register(self.close)

    def load(self, plugins: Sequence[str], sources: Mapping[str, str]) -> None:
        """Import plug-ins in the process; start it if necessary.

        A process that has imported other sources is replaced, and so is one that has other paths:
        it may have imported modules of the same names from there.

        Args:
            plugins: the modules to import, in their order.
            sources: module of a part -> hash of the sources that it imports.

        Raises:
            HelperError: an import fails or takes too long.
        """
        with self._lock:
            loaded: Any = self.loaded or {"plugins": [], "sources": {}, "path": []}
            changed = [
                name for name, one in loaded["sources"].items() if one != sources.get(name, one)
            ]
            if changed or (self.loaded and loaded["path"] != list(sys.path)):
                self.close()
                loaded["sources"] = {}
            merged = {**loaded["sources"], **sources}
            arguments = {"plugins": list(plugins), "sources": merged, "path": list(sys.path)}
            if self._process is not None and arguments == self.loaded:
                return
            self._import(arguments)

    def ask(self, request: Mapping[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """Send a request and return its answer, within a limit of time.

        A process that ended after a pause is replaced once, with the same plug-ins.

        Args:
            request: the request.
            seconds: the limit; by default that of one module, on a machine with this load.

        Raises:
            HelperError: the process crashed, or the answer took too long.
        """
        limit = MODULE_SECONDS * load_per_core() if seconds is None else seconds
        with self._lock:
            loaded = self.loaded
            try:
                return self._ask_once(request, limit)
            except IdleEndError:
                if loaded is not None:
                    self._import(loaded)
                return self._ask_once(request, limit)

    def _import(self, arguments: Mapping[str, Any]) -> None:
        """Import the plug-ins of a `load` in the process."""
        request = {"do": "load", "plugins": arguments["plugins"], "path": arguments["path"]}
        try:
            answer = self._ask_once(request, IMPORT_SECONDS, SLOW_IMPORT)
        except IdleEndError:
            answer = self._ask_once(request, IMPORT_SECONDS, SLOW_IMPORT)
        if "error" in answer:
            raise HelperError(answer["error"])
        self.loaded = arguments

    def _ask_once(
        self, request: Mapping[str, Any], seconds: float, too_slow: str = SLOW_MODULE
    ) -> dict[str, Any]:
        """Send a request and return its answer; start the process if it does not run."""
        if self._process is None:
            self._start()
        try:
            line = json.dumps({**request, "seconds": seconds}).encode() + b"\n"
            try:
                while line:
                    line = line[os.write(self._requests, line) :]
            except BrokenPipeError as error:
                raise IdleEndError("ends its process") from error
            return self._receive(seconds, too_slow)
        except BaseException:  # also an interrupt: it may still compute
            self.close()
            raise

    def close(self) -> None:
        """End the process, if it runs."""
        with self._lock:
            process, self._process, self.loaded = self._process, None, None
            for descriptor in (self._requests, self._answers):
                if descriptor >= 0:
                    os.close(descriptor)
            self._requests = self._answers = -1
            if process is not None:
                process.kill()
                process.wait()
            if self._log is not None:
                self._log.close()
                self._log = None

    def _start(self) -> None:
        pipes: list[int] = []
        try:
            received, self._requests = os.pipe()
            pipes.append(received)
            self._answers, sent = os.pipe()
            pipes.append(sent)
            # A file and not a pipe, which would block a module that prints much.
            self._log = tempfile.TemporaryFile()  # noqa: SIM115
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, json.dumps(sys.path), str(received), str(sent)],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(received, sent),
                env={**os.environ, **ONE_THREAD},
                start_new_session=True,  # Ctrl-C reaches the command only, which ends this process
            )
        except OSError as error:
            self.close()
            raise HelperError(f"cannot be inspected: no process could start ({error})") from error
        finally:
            for descriptor in pipes:
                os.close(descriptor)
        try:
            self._receive(START_SECONDS, SLOW_START)
        except BaseException:
            self.close()
            raise

    def _receive(self, seconds: float, too_slow: str) -> dict[str, Any]:
        """Return the next answer; `too_slow` is the error without one in time."""
        deadline, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([self._answers], [], [], remaining)[0]:
                raise HelperError(f"{too_slow.format(seconds)}{self._last_line()}")
            piece = os.read(self._answers, 1 << 16)
            if not piece:
                end, code = self._describe_end()
                kind = IdleEndError if code == 0 else HelperError
                raise kind(f"{end}{self._last_line()}")
            line += piece
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _describe_end(self) -> tuple[str, int | None]:
        """Return how the process ended, in words and as its exit code."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"ends its process ({signal.Signals(-code).name})", code
        return f"ends its process (exit code {code})", code

    def _last_line(self) -> str:
        """Return the last line that the process printed, as the end of a message; "" if none."""
        if self._log is None:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 4000))
        lines = self._log.read().decode(errors="replace").split("\n")
        printed = [line.strip() for line in lines if line.strip()]
        return f"; it printed: {truncate_middle(printed[-1], 100)}" if printed else ""


def load_per_core() -> float:
    """Return the processes that compete for each core: from 1 to `MOST_LOAD`."""
    try:
        return min(MOST_LOAD, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
    except OSError:  # the system does not know
        return 1.0


HELPER = HelperProcess()
"""The helper process of this command."""
