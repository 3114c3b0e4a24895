"""The helper process answers, and ends with its command, its time limit or its crash."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.plan.helper_process import HelperError, HelperProcess
from tests.support.environment import child_environment

SOURCE = """
import ctypes, os, time
from dataclasses import dataclass
from experiments.parts import part

print("a line of the plug-in")

@part("ffn", "planted")
@dataclass
class Planted:
    do: str = "work"
    d_ff: int = 8

    def build(self, d_model):
        from torch import nn
        if self.do == "crash":
            print("just before", flush=True)
            ctypes.string_at(0)
        if self.do == "exit":
            os._exit(3)
        if self.do == "hang":
            time.sleep(1000)
        if self.do == "leave":
            raise SystemExit("bye")
        return nn.Sequential(nn.Linear(d_model, self.d_ff), nn.Linear(self.d_ff, d_model))
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "planted_part.py").write_text(SOURCE)
    sys.path.append(str(folder))
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture
def helper(plugin: Path) -> Iterator[HelperProcess]:  # noqa: ARG001
    process = HelperProcess()
    process.load(["planted_part"], {"planted_part": "hash"})
    yield process
    process.close()


def request(do: str = "work", **options: Any) -> dict[str, Any]:
    return {
        "do": "count",
        "group": "ffn",
        "kind": "planted",
        "module": "planted_part",
        "qualname": "Planted",
        "fields": {"do": do, "d_ff": 8},
        "d_model": 16,
        "length": 4,
        **options,
    }


@pytest.mark.slow
def test_it_answers_and_survives_what_a_module_does(helper, capfd):
    answer = helper.ask(request())
    assert answer["result"] == [2 * 16 * 8 + 24, 2 * 16 * 8 + 24, 2.0 * 2 * 16 * 8, 0]
    assert helper.ask(request(do="work", is_padded=False))
    assert "bye" in helper.ask(request("leave"))["error"]
    assert "cannot be imported in another" in helper.ask(request(qualname="Other"))["error"]
    assert "there is no such key" in helper.ask(request(fields={"nothing": 1}))["error"]
    first = helper._process.pid
    assert helper.ask(request()) == answer
    assert helper._process.pid == first
    for fault, message in (("crash", "SIGSEGV"), ("exit", "exit code 3")):
        with pytest.raises(HelperError, match=message) as caught:
            helper.ask(request(fault))
        assert ("just before" in str(caught.value)) == (fault == "crash")
        helper.load(["planted_part"], {"planted_part": "hash"})
    started = time.monotonic()
    with pytest.raises(HelperError, match="takes more than 1 s"):
        helper.ask(request("hang"), seconds=1)
    assert time.monotonic() - started < 10
    helper.load(["planted_part"], {"planted_part": "hash"})
    assert helper.ask(request()) == answer
    second = helper._process.pid
    helper.load(["planted_part"], {"planted_part": "another hash"})
    assert helper._process.pid != second
    assert capfd.readouterr() == ("", "")


PARENT = """
import sys, threading
from runner.plan.helper_process import HelperProcess
helper = HelperProcess()
helper.load(["planted_part"], {})
print(helper._process.pid, flush=True)
if sys.argv[1] == "hang":
    helper.ask({"do": "count", "group": "ffn", "kind": "planted", "module": "planted_part",
        "qualname": "Planted", "fields": {"do": "hang", "d_ff": 8}, "d_model": 16, "length": 4})
input()
"""


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "number"),
    [("idle", signal.SIGKILL), ("idle", signal.SIGINT), ("hang", signal.SIGINT)],
)
def test_it_ends_with_its_command(plugin: Path, state: str, number: int):
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, state],
        cwd=plugin,
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.5)
        parent.send_signal(number)
        parent.wait(20)
        deadline = time.monotonic() + 20
        while not has_ended(pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert has_ended(pid)


def test_another_path_has_other_modules(
    helper: HelperProcess, plugin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    narrow = helper.ask(request())["result"]
    (tmp_path / "planted_part.py").write_text(
        SOURCE.replace("nn.Linear(self.d_ff, d_model)", "nn.Linear(self.d_ff, d_model, bias=False)")
    )
    path = [str(tmp_path) if entry == str(plugin) else entry for entry in sys.path]
    monkeypatch.setattr(sys, "path", path)
    helper.load(["planted_part"], {"planted_part": "hash"})
    assert helper.ask(request())["result"][0] == narrow[0] - 16
