"""What a device option means here, and what is said about it."""

import pytest

from runner import device
from runner.config import Autocast, ConfigError, Device, DeviceName, Dtype


def options(
    name: str = "auto", dtype: str = "float32", threads: int = 1, autocast: str = "none"
) -> Device:
    made = (DeviceName(name), Dtype(dtype), Autocast(autocast), threads)
    return Device(*made, deterministic=False, memory_gib=None)


def test_auto_is_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(device, "may_have_cuda", lambda: False)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    assert device.resolve(options()) is DeviceName.cpu
    assert device.resolve(options("cpu")) is DeviceName.cpu
    for absent in ("cuda", "mps"):
        with pytest.raises(ConfigError, match=f"device={absent}: there is none"):
            device.resolve(options(absent))


def test_auto_prefers_an_accelerator(monkeypatch):
    monkeypatch.setattr(device, "may_have_cuda", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert device.resolve(options()) is DeviceName.cuda
    assert device.resolve(options("cpu")) is DeviceName.cpu


def test_what_is_slow_or_ignored_is_said(monkeypatch):
    monkeypatch.setattr(device, "native_bfloat16", lambda: False)
    (line,) = device.warnings(options(dtype="bfloat16"), DeviceName.cpu)
    assert "60 times slower" in line
    (line,) = device.warnings(options(threads=4), DeviceName.cuda)
    assert "device.threads=4 is ignored on cuda" in line
    slow, where = device.warnings(options(autocast="bfloat16"), DeviceName.cpu)
    assert "60 times slower" in slow
    assert "applies only to training steps" in where
    assert device.warnings(options(), DeviceName.cpu) == []
    with pytest.raises(ConfigError, match="mps has no float64"):
        device.warnings(options(dtype="float64"), DeviceName.mps)
