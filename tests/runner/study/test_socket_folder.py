"""Sockets lie where no other user can reach them, and their folders outlive no process."""

import tempfile
from pathlib import Path

import pytest

from runner.records import private_folders
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
