"""Folders of killed processes are removed, and folders of living ones stay."""

import errno
import os
import time
from pathlib import Path

import pytest

from runner.records import locks, owned_folders, private_folders


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


def test_what_killed_processes_have_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    own = private_folders.make_private_folder(private_folders.user_folder_in(tmp_path))
    hour = time.time() - 3600
    for name in ("pymp-dead", "pymp-alive", "pymp-empty", "pymp-unlocked", "other"):
        (own / name).mkdir()
    for name in ("pymp-dead", "pymp-alive"):
        (own / name / owned_folders.OWNER_LOCK).touch()
    (own / "pymp-unlocked" / "listener").touch()
    (own / "pymp-young").mkdir()
    with locks.open_lock_file(own / "pymp-alive" / owned_folders.OWNER_LOCK) as held:
        locks.lock(held, exclusive=True, on_wait=pytest.fail)
        for path in own.iterdir():
            if path.name != "pymp-young":
                os.utime(path, (hour, hour))
        with monkeypatch.context() as patched:  # a filesystem that takes no locks
            patched.setattr(locks.fcntl, "flock", no_locks)
            owned_folders.remove_abandoned_folders(own, "pymp-")
            assert (own / "pymp-dead").exists()
        owned_folders.remove_abandoned_folders(own, "pymp-")
        owned_folders.remove_abandoned_folders(tmp_path, "pymp-")
    left = {path.name for path in own.iterdir()}
    assert left == {"pymp-alive", "pymp-unlocked", "pymp-young", "other"}


def test_a_new_folder_replaces_the_one_of_a_killed_process(tmp_path: Path):
    parent = tmp_path / "ablab-0"
    parent.mkdir()
    dead = parent / "compared-dead"
    with owned_folders.make_temporary_folder(parent, "compared-") as first:
        os.utime(first, (0, 0))
        dead.mkdir()
        (dead / owned_folders.OWNER_LOCK).touch()
        os.utime(dead, (0, 0))
        with owned_folders.make_temporary_folder(parent, "compared-") as second:
            assert {*parent.iterdir()} == {first, second}
    assert not [*parent.iterdir()]
