"""A machine is described with its GPUs, and our version is known."""

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
