"""Chromium without a window, driven by its DevTools protocol over two pipes.

Messages are JSON objects that end with a zero byte. Chromium reads them from file descriptor 3 and
writes to 4. Only the standard library is needed, and no port is open.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MISSING = f"no Chromium on this machine: none of {', '.join(NAMES)} is on PATH"
SECONDS = 90.0  # for one answer, on a machine under load
LANGUAGES = ("ja", "ko", "zh-cn", "zh-tw")  # whose fonts a reader may not have
FLAGS = (
    "--headless",
    "--no-sandbox",  # containers have no user namespaces, and the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    "os.execv(sys.argv[3], sys.argv[3:])"
)
"""Chromium wants descriptors 3 and 4, which may have other uses in the process of the tests."""


def find_chromium() -> str | None:
    """Return the path of Chromium, or None if there is none on this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class ProtocolError(RuntimeError):
    """An answer of Chromium that reports an error, or no answer at all."""


class Chromium:
    """A running Chromium as a context manager; fonts of `LANGUAGES` are hidden by default."""

    def __init__(self, *, cjk_fonts: bool = False) -> None:
        program = find_chromium()
        if program is None:
            raise ProtocolError(MISSING)
        self.folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        self.events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._number, self._buffer = 0, bytearray()
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (theirs_in, theirs_out)]
        profile = f"--user-data-dir={self.folder.name}/profile"
        launch = [sys.executable, "-S", "-E", "-c", LAUNCH, *map(str, high)]
        self._process = subprocess.Popen(
            [*launch, program, *FLAGS, profile],
            pass_fds=high,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | ({} if cjk_fonts else hide_fonts(Path(self.folder.name))),
        )
        for end in (theirs_in, theirs_out, *high):
            os.close(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End Chromium with all its processes, and delete its profile."""
        with contextlib.suppress(ProtocolError, OSError):
            self.call("Browser.close")
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for end in (self._in, self._out):
            os.close(end)
        self.folder.cleanup()

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method and return its result; events that come before it are collected."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self.send(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            answer = self.receive(deadline - time.monotonic())
            if answer.get("id") != self._number:
                continue
            if "error" in answer:
                raise ProtocolError(f"{method}: {answer['error']['message']}")
            return dict(answer["result"])

    def wait_for(self, session: str, event: str) -> None:
        """Wait until an event of a session has come."""
        deadline = time.monotonic() + SECONDS
        while all(one["method"] != event for one in self.events[session]):
            self.receive(deadline - time.monotonic())

    def send(self, message: bytes) -> None:
        """Write a whole message; a pipe takes a part of a long one at a time."""
        try:
            while message:
                message = message[os.write(self._out, message) :]
        except BrokenPipeError as error:
            raise ProtocolError("Chromium has ended") from error

    def receive(self, seconds: float) -> dict[str, Any]:
        """Return the next message; an event is also added to `events` of its session."""
        while (end := self._buffer.find(b"\0")) < 0:
            if seconds <= 0 or not select.select([self._in], [], [], seconds)[0]:
                raise ProtocolError(f"Chromium has not answered for {SECONDS:.0f} s")
            received = os.read(self._in, 1 << 20)
            if not received:
                raise ProtocolError("Chromium has ended")
            self._buffer += received
        message: dict[str, Any] = json.loads(bytes(self._buffer[:end]))
        del self._buffer[: end + 1]
        if "method" in message:
            self.events[message.get("sessionId", "")].append(message)
        return message


def list_fonts(language: str) -> list[str]:
    """Return the files of the machine's fonts for a language; fontconfig must be there."""
    command = ["fc-list", f":lang={language}", "file"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.partition(":")[0].strip() for line in lines]


def hide_fonts(folder: Path) -> dict[str, str]:
    """Write a configuration of fontconfig without CJK fonts; return the variable that names it."""
    if shutil.which("fc-list") is None:
        return {}
    files = {file for language in LANGUAGES for file in list_fonts(language)}
    rejected = "".join(f"<rejectfont><glob>{name}</glob></rejectfont>" for name in sorted(files))
    path = folder / "fonts.conf"
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>'
        f"<selectfont>{rejected}</selectfont></fontconfig>",
        encoding="utf-8",
    )
    return {"FONTCONFIG_FILE": str(path)}
