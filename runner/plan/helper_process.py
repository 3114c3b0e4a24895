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
"""Limits of time: to import torch, to import plug-ins, and to inspect one module."""

START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from runner.plan.helper_server import serve; serve(int(sys.argv[2]), int(sys.argv[3]))"
)
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)


class HelperError(Exception):
    """The helper process gave no answer; the message says why, as a clause without a subject."""


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
            request = {"do": "load", "plugins": arguments["plugins"], "path": arguments["path"]}
            answer = self.ask(request, IMPORT_SECONDS)
            if "error" in answer:
                raise HelperError(answer["error"])
            self.loaded = arguments

    def ask(self, request: Mapping[str, Any], seconds: float = MODULE_SECONDS) -> dict[str, Any]:
        """Send a request and return its answer, within a limit of time.

        Raises:
            HelperError: the process crashed, or the answer took too long.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self.close()  # it ended after a long pause
            if self._process is None:
                self._start()
            try:
                os.write(self._requests, json.dumps(request).encode() + b"\n")
                return self._receive(seconds)
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
        received, self._requests = os.pipe()
        self._answers, sent = os.pipe()
        # A file and not a pipe, which would block a module that prints much.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        try:
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
            raise HelperError(f"cannot be inspected: no process could start ({error})") from error
        finally:
            os.close(received)
            os.close(sent)
        try:
            self._receive(START_SECONDS)
        except BaseException:
            self.close()
            raise

    def _receive(self, seconds: float) -> dict[str, Any]:
        """Return the next answer."""
        deadline, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not select.select([self._answers], [], [], remaining)[0]:
                raise HelperError(
                    f"takes more than {seconds:g} s; give it smaller sizes{self._last_line()}"
                )
            piece = os.read(self._answers, 1 << 16)
            if not piece:
                raise HelperError(f"{self._describe_end()}{self._last_line()}")
            line += piece
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _describe_end(self) -> str:
        """Return how the process ended."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"ends its process ({signal.Signals(-code).name})"
        return f"ends its process (exit code {code})"

    def _last_line(self) -> str:
        """Return the last line that the process printed, as the end of a message; "" if none."""
        if self._log is None:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 4000))
        lines = self._log.read().decode(errors="replace").split("\n")
        printed = [line.strip() for line in lines if line.strip()]
        return f"; it printed: {truncate_middle(printed[-1], 100)}" if printed else ""


HELPER = HelperProcess()
"""The helper process of this command."""
