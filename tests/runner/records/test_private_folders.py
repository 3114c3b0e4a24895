"""Locks lie where no other user can reach them, and outlive no process."""

import os
import signal
import stat
import tempfile
import time
from pathlib import Path

import pytest

from runner.records import locks, private_folders
from runner.trial import machine_lock


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files; there is none of the session."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_locks_lie_in_a_folder_of_the_user_alone(temporary: Path):
    with machine_lock.lock_machine(exclusive=True, on_wait=pytest.fail, on_failure=pytest.fail):
        pass
    own = temporary / f"ablab-{os.getuid()}"
    assert mode(own) == 0o700
    assert {path.name: mode(path) for path in own.iterdir()} == {
        "gate.lock": 0o600,
        "machine.lock": 0o600,
    }


def test_the_folder_of_the_session_comes_first(temporary: Path, monkeypatch: pytest.MonkeyPatch):
    session = temporary / "session"
    session.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    assert private_folders.lock_folder() == session / "ablab"
    for useless in ("relative", "", str(temporary / "absent")):
        monkeypatch.setenv("XDG_RUNTIME_DIR", useless)
        assert private_folders.lock_folder() == private_folders.user_folder_in(temporary)


def of_another(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own.mkdir(0o700)
    uid = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    own.rename(own.with_name(f"ablab-{uid + 1}"))


def open_to_others(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    own.mkdir()
    own.chmod(0o777)


def link(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    own.with_name("elsewhere").mkdir(0o700)
    own.symlink_to(own.with_name("elsewhere"))


def file(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    own.touch()


def linked_lock(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    own.mkdir(0o700)
    (own / "gate.lock").symlink_to(own.with_name("target"))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (of_another, "belongs to another user"),
        (open_to_others, "is open to others"),
        (link, "is not a folder"),
        (file, "is not a folder"),
        (linked_lock, "gate.lock"),
    ],
)
def test_a_folder_that_is_not_safe_is_said_and_nothing_is_locked(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, made, why: str
):
    made(temporary / f"ablab-{os.getuid()}", monkeypatch)
    said: list[str] = []
    with machine_lock.lock_machine(exclusive=True, on_wait=pytest.fail, on_failure=said.append):
        assert why in said[0]
    assert not list(temporary.rglob("machine.lock"))
    assert not (temporary / "target").exists()


def test_a_forked_process_does_not_keep_a_lock(temporary: Path):
    path = temporary / "lock"
    there, here = os.pipe()
    with locks.open_lock_file(path) as descriptor:
        locks.lock(descriptor, exclusive=True, on_wait=pytest.fail)
        if not (child := os.fork()):
            os.write(here, b"x")
            time.sleep(20)
            os._exit(0)
        os.read(there, 1)
        assert not locks.is_free(path)
    assert locks.is_free(path)  # although the child lives
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(there)
    os.close(here)
