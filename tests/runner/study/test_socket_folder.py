"""Sockets lie where no other user can reach them, and their folders outlive no process."""

import errno
import os
import tempfile
import time
from pathlib import Path

import pytest

from runner.records import locks, private_folders
from runner.study import socket_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; there is none of the session."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path


def test_where_a_path_is_too_long_for_a_socket_another_folder_is_taken(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
):
    long = temporary / ("long" * 25)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    assert not socket_folder.supports_sockets(
        private_folders.make_private_folder(private_folders.user_folder_in(long))
    )
    found = list(socket_folder.candidate_socket_folders())
    assert found[0] == private_folders.user_folder_in(long)
    assert any(socket_folder.supports_sockets(path) for path in found[1:])
    assert not socket_folder.supports_sockets(temporary / "absent")
    assert not list(long.rglob("try-*"))


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_what_killed_processes_have_left_is_removed_and_nothing_else(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
):
    own = private_folders.make_private_folder(private_folders.user_folder_in(temporary))
    hour = time.time() - 3600
    for name in ("pymp-dead", "pymp-alive", "pymp-empty", "pymp-unlocked", "other"):
        (own / name).mkdir()
    for name in ("pymp-dead", "pymp-alive"):
        (own / name / socket_folder.OWNER_LOCK).touch()
    (own / "pymp-unlocked" / "listener").touch()
    (own / "pymp-young").mkdir()
    with locks.open_lock_file(own / "pymp-alive" / socket_folder.OWNER_LOCK) as held:
        locks.lock(held, exclusive=True, on_wait=pytest.fail)
        for path in own.iterdir():
            if path.name != "pymp-young":
                os.utime(path, (hour, hour))
        with monkeypatch.context() as patched:  # a filesystem that takes no locks
            patched.setattr(locks.fcntl, "flock", no_locks)
            socket_folder.remove_abandoned_folders(own)
            assert (own / "pymp-dead").exists()
        socket_folder.remove_abandoned_folders(own)
        socket_folder.remove_abandoned_folders(temporary)
    left = {path.name for path in own.iterdir()}
    assert left == {"pymp-alive", "pymp-unlocked", "pymp-young", "other"}
