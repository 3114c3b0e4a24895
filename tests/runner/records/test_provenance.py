"""A machine is described with its GPUs, and our version is known."""

import subprocess
from pathlib import Path

import pytest

from runner.records import provenance


def test_the_driver_tells_the_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(provenance, "DRIVER", tmp_path)
    monkeypatch.setattr("runner.device.may_have_cuda", lambda: False)
    assert "gpus" not in provenance.machine()
    for index in "01":
        (tmp_path / "gpus" / index).mkdir(parents=True)
        information = f"Model: \t\t NVIDIA H{index}\nIRQ:   \t\t 1\n"
        (tmp_path / "gpus" / index / "information").write_text(information)
    assert provenance.machine()["gpus"] == ["NVIDIA H0", "NVIDIA H1"]


def test_our_version_is_known_in_a_checkout():
    assert provenance.checkout_version() == provenance.package_version("ablab")
    assert provenance.package_version("no-such-package") is None


def test_a_machine_is_told_from_an_equal_one_and_not_by_its_kernel(monkeypatch, tmp_path):
    (tmp_path / "id").write_text("0123\n")
    real = Path

    def redirected(name: str) -> Path:
        return tmp_path / "id" if name == "/etc/machine-id" else real(name)

    monkeypatch.setattr(provenance, "Path", redirected)
    here = provenance.machine()
    monkeypatch.setattr("platform.release", lambda: "99.0")
    assert provenance.machine() == here
    (tmp_path / "id").write_text("4567\n")
    assert provenance.machine() == here | {"id": provenance.machine_id()} != here
    (tmp_path / "id").unlink()
    assert "id" not in provenance.machine()


@pytest.mark.parametrize(
    ("path", "dirty"),
    [
        ("mine/experiment/my_moe.yaml", False),
        ("notes.txt", False),
        ("README.md", False),
        ("experiments/parts/mine.py", True),
        ("conf/ffn/mine.yaml", True),
        ("runner/__main__.py", True),
        ("ablab.py", True),
    ],
)
def test_only_changes_of_code_and_options_make_a_checkout_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, dirty: bool
):
    for name in ("runner/records/provenance.py", "runner/__main__.py", "ablab.py", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    for words in (("init", "-q"), ("add", "."), (*author, "commit", "-qm", "all")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "runner/records/provenance.py"))
    clean = provenance.git()
    assert clean is not None
    assert not clean["dirty"]
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("changed\n")
    assert provenance.git() == {"commit": clean["commit"], "dirty": dirty}
