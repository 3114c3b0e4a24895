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

from runner.plan import helper_process
from runner.plan.helper_process import HelperError, HelperProcess, load_per_core
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
        if self.do == "end":
            os._exit(0)
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


# A shell may have started these tests in the background, and then SIGINT is ignored.
PARENT = """
import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
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


SERVER = """
import json, os, sys
read, write, folder = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
starts = open(folder + "/starts", "a+")
starts.write("x")
starts.flush()
starts.seek(0)
n_starts = len(starts.read())
os.write(write, b'{"result": "ready"}\\n')
names = []
for line in os.fdopen(read):
    request = json.loads(line)
    names.append(request["do"])
    if request["do"] == "count" and n_starts <= N_ENDS:
        os._exit(0)
    os.write(write, json.dumps({"result": [n_starts, names, request["seconds"]]}).encode() + b"\\n")
"""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HelperProcess]:
    """A process without torch, which ends at the first `count` as if after its pause."""
    source = SERVER.replace("N_ENDS", "1").replace("sys.argv[4]", repr(str(tmp_path)))
    monkeypatch.setattr(helper_process, "START", source)
    process = HelperProcess()
    yield process
    process.close()


def test_a_process_that_ended_after_its_pause_is_replaced(served: HelperProcess):
    served.load(["mine"], {})
    assert served.ask({"do": "count"})["result"][:2] == [2, ["load", "count"]]
    # It is gone before the request, so that the pipe has no reader.
    assert served._process is not None
    served._process.kill()
    served._process.wait()
    served._requests, closed = os.open(os.devnull, os.O_RDONLY), served._requests
    os.close(closed)
    os.close(served._requests)
    read, served._requests = os.pipe()
    os.close(read)
    assert served.ask({"do": "count"})["result"][:2] == [3, ["load", "count"]]


def test_a_module_that_always_ends_its_process_is_blamed(
    served: HelperProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(helper_process, "START", helper_process.START.replace("<= 1", "<= 9"))
    with pytest.raises(HelperError, match=r"ends its process \(exit code 0\)"):
        served.ask({"do": "count"})
    assert served._process is None


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_a_process_that_cannot_start_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(helper_process.subprocess, "Popen", refuse)
    process, before = HelperProcess(), open_descriptors()
    for _ in range(3):
        with pytest.raises(HelperError, match=r"no process could start \(no more processes\)"):
            process.ask({"do": "count"})
    assert open_descriptors() == before


def test_a_slow_start_is_not_the_fault_of_the_sizes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(helper_process, "START", "import time; time.sleep(60)")
    monkeypatch.setattr(helper_process, "START_SECONDS", 0.2)
    with pytest.raises(HelperError, match="torch is not imported within 0 s; try again") as caught:
        HelperProcess().ask({"do": "count"})
    assert "sizes" not in str(caught.value)


@pytest.mark.parametrize(("load", "factor"), [(0.0, 1), (4.0, 1), (10.0, 2.5), (1000.0, 6)])
def test_the_limit_of_a_module_grows_with_the_load(
    served: HelperProcess, monkeypatch: pytest.MonkeyPatch, load: float, factor: float
):
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert load_per_core() == factor
    assert served.ask({"do": "inspect"})["result"][2] == 15 * factor
