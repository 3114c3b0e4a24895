"""A study continues, and ends with a clear line, despite errors of disk or report, and signals."""

import errno
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runner import __main__ as command
from runner import invocation
from runner.config import ConfigError, StudyError
from runner.plan.report_spec import read_report_spec
from runner.records.job import Stage
from runner.records.store import Slot
from runner.report import collection
from runner.study import interrupts, pool
from runner.study import run as study
from runner.study.entries import list_trials, make_job, prepare_trials, raise_if_any_failed
from runner.study.outcomes import finalize_status
from runner.study.progress import Progress
from tests.support.environment import child_environment
from tests.support.tiny import TINY

ONE = (*TINY, "arm=dense", "n_seeds=1")
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full(*_: object, **__: object) -> None:
    raise FULL


def dies(monkeypatch: pytest.MonkeyPatch, *events: dict[str, Any]) -> None:
    """Make the processes of a study print these lines and exit without a status."""

    def run_jobs(jobs, workers, on_event) -> None:  # noqa: ARG001
        for job in jobs:
            on_event(job, {"state": "started", "pid": 1})
            for event in (*events, {"state": "ended", "exitcode": 1, "pid": 1, "why": ""}):
                on_event(job, event)

    monkeypatch.setattr(pool, "run_jobs", run_jobs)


def test_on_a_full_disk_each_trial_is_told_of_and_the_report_goes_on(plan, monkeypatch, capsys):
    dies(monkeypatch, {"state": "failed", "message": "OSError: [Errno 28] No space left"})
    for name in ("write_status", "restore_result", "write_first_stage"):
        monkeypatch.setattr(Slot, name, full)
    study_plan = plan(*TINY)
    entries = study.run_trials(study_plan)
    assert [entry.status()["state"] for entry in entries] == ["failed"] * 4
    assert {entry.slot.status()["state"] for entry in entries} == {"pending"}
    table = collection.trial_table(collection.snapshot_trials(entries))
    assert set(table.message) == {"OSError: [Errno 28] No space left"}
    with pytest.raises(StudyError, match=r"4 of 4 trials failed.*No space left"):
        raise_if_any_failed(study_plan, entries)
    assert "[4/4] moe_top2 seed 1: failed (OSError: [Errno 28]" in capsys.readouterr().out


def test_claims_that_cannot_be_written_down_are_late(plan, monkeypatch):
    study_plan = plan("experiment=moe", "scale=quick", "task=waves")
    texts = read_report_spec(study_plan.study)
    assert texts.claims
    monkeypatch.setattr("runner.claims.registration.register_in_ledger", full)
    known = invocation.register_plan_claims(study_plan, texts, study_plan.study.arms)
    assert known.keys() == {claim.id for claim in texts.claims}
    assert all(registration.late for registration in known.values())


@pytest.mark.parametrize(
    "error", [FULL, MemoryError(), RecursionError("too deep"), KeyError("x"), ValueError("\ud800")]
)
def test_a_report_that_fails_is_a_line_and_exit_code_1(run, monkeypatch, error: Exception):
    def report(*_: object) -> None:
        raise error

    monkeypatch.setattr("runner.invocation.report_study", report)
    monkeypatch.setattr("runner.invocation.run_trials", lambda *_: [])
    with pytest.raises(StudyError) as caught:
        run(*ONE)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"the report could not be written: {type(error).__name__}")
    assert "moe/trials; the same command" in lines[1]
    assert str(caught.value).isprintable() or len(lines) == 2
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ((), "there is no report: no trial has a result"),
        (
            ("tune=lr", "tune.grid=[0.001,0.01,0.1]", "tune.n_seeds=1"),
            "there is no report: the values of the arms are known only after all tuning trials",
        ),
    ],
)
def test_one_line_says_why_there_is_no_report(run, monkeypatch, more: tuple[str, ...], why: str):
    dies(monkeypatch, {"state": "failed", "message": "odd"})
    with pytest.raises(StudyError, match="trials failed") as caught:
        run(*ONE, *more)
    _, where, last = str(caught.value).splitlines()
    assert "all trials are kept in" in where
    assert "moe/trials; the same command" in where
    assert last == why


def test_a_log_that_is_not_there_is_not_named(plan):
    study_plan = plan(*ONE)
    entries = list_trials(study_plan)
    with pytest.raises(StudyError, match=r"all trials are kept in .*trials; the same"):
        raise_if_any_failed(study_plan, entries)
    entries[0].slot.folder.mkdir(parents=True)
    (entries[0].slot.folder / "log.txt").touch()
    with pytest.raises(StudyError, match=r"its log is .*log.txt; the same"):
        raise_if_any_failed(study_plan, entries)


@pytest.mark.parametrize("override", ["question='caf\udce9'", "not_tested=['\ud800']"])
def test_text_that_is_no_utf_8_is_refused_before_anything_is_computed(run, tmp_path, override: str):
    with pytest.raises(ConfigError, match=r"(question|not_tested)=.*UTF-8"):
        run(*ONE, override)
    assert not (tmp_path / "outputs").exists()


def test_what_a_process_says_is_its_label_where_it_wrote_none(plan):
    study_plan = plan(*ONE)
    (entry,) = prepare_trials(study_plan)
    entry.slot.write_status("running", pid=7, code=study_plan.arms[0].code)
    job = make_job(study_plan, entry, Stage.run)
    assert finalize_status(job, 1, 7, error="OSError: x")["message"] == "OSError: x"
    late = "took longer than timeout_s=5"
    assert finalize_status(job, -9, 7, late)["message"].startswith(
        f"{late}; its process ended with signal"
    )
    entry.slot.write_status(
        "killed",
        pid=7,
        code=study_plan.arms[0].code,
        message="stopped on request, resumes from step 8",
    )
    final_status = finalize_status(job, 1, 7, late)
    assert final_status["message"] == f"{late}; stopped on request, resumes from step 8"
    assert entry.slot.status()["state"] == final_status["state"] == "killed"
    (entry.slot.folder / "status.json").write_text("{")
    assert finalize_status(job, 0, 7)["message"] == "status.json cannot be read"
    assert finalize_status(job, -40, 8)["message"].endswith("signal 40 and left no result")


def test_where_no_process_was_started_none_has_ended(plan):
    study_plan = plan(*ONE)
    (entry,) = prepare_trials(study_plan)
    job = make_job(study_plan, entry, Stage.run)
    why = "its process could not be started (EOFError)"
    assert finalize_status(job, 1, None, why)["message"] == why
    with pytest.raises(StudyError) as caught:
        raise_if_any_failed(study_plan, [entry])
    assert "log.txt" not in str(caught.value)
    assert "all trials are kept in" in str(caught.value)
    entry.slot.folder.mkdir(exist_ok=True)
    (entry.slot.folder / "log.txt").touch()
    with pytest.raises(StudyError, match=r"its log is .*log\.txt"):
        raise_if_any_failed(study_plan, [entry])


def test_timeout_s_is_no_part_of_an_arm(plan):
    assert plan(*ONE, "timeout_s=0.5").arms == plan(*ONE).arms


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf"])
def test_timeout_s_must_be_above_0(plan, value: str):
    with pytest.raises(ConfigError, match=r"timeout_s=.* must be above 0"):
        plan(*ONE, f"timeout_s={value}")


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch):
    """Let this process handle signals as the command does."""
    numbers = (*interrupts.SIGNALS, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(interrupts.ReceivedSignals, "count", 0)
    interrupts.listen()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("listening")
def test_an_interrupt_that_a_report_swallows_is_no_failure_of_the_report(run, monkeypatch):
    def report(*_: object) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            raise ValueError("what an interrupt may become") from error

    monkeypatch.setattr("runner.invocation.report_study", report)
    monkeypatch.setattr("runner.invocation.run_trials", lambda *_: [])
    with pytest.raises(KeyboardInterrupt):
        run(*ONE)


@pytest.mark.usefixtures("listening")
def test_a_terminal_that_closes_ends_nothing():
    signal.raise_signal(signal.SIGHUP)
    interrupts.raise_if_interrupted()


@pytest.mark.usefixtures("listening")
def test_nothing_comes_between_while_interrupts_are_held():
    done = []
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        with interrupts.defer_interrupts() as came:
            signal.raise_signal(signal.SIGINT)
            done.append(came())
            signal.raise_signal(signal.SIGTERM)
        done.append("never")
    assert done == [True]
    with pytest.raises(KeyboardInterrupt):
        interrupts.raise_if_interrupted()


@pytest.mark.usefixtures("listening")
def test_a_signal_that_is_sent_twice_is_one_wish(monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)  # what `timeout` sends to the process group
    with interrupts.defer_interrupts() as came:
        signal.raise_signal(signal.SIGTERM)
        assert not came()
    monkeypatch.setattr(interrupts, "SAME_SIGNAL_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("arguments", "computes"),
    [(["redraw", "x"], False), (["experiment=moe", "plan=only"], False), (["a", "redraw"], True)],
)
def test_only_a_command_that_computes_goes_on_from_there(monkeypatch, arguments, computes: bool):
    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    said: list[str] = []
    for name in ("listen", "stop_listening"):
        monkeypatch.setattr(interrupts, name, lambda: None)
    monkeypatch.setattr(command.output, "protect_streams", lambda: None)
    monkeypatch.setattr(command, "dispatch_command", interrupt)
    monkeypatch.setattr(command.output, "say", said.append)
    monkeypatch.setattr(sys, "argv", ["ablab", *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit) as caught:
        command.main()
    assert caught.value.code == 130
    assert said == ["stopped" + computes * command.RESUME_HINT]


def stopped(folder: Path, number: int, seconds: float) -> tuple[int, str]:
    """Return exit code and errors of a command that gets a signal while Ctrl-C is ignored."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", *TINY],
        cwd=folder,
        env=child_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    time.sleep(seconds)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_a_background_job_of_a_script_hears_ctrl_c(tmp_path: Path):
    code, errors = stopped(tmp_path, signal.SIGINT, 0.7)
    assert code == 130, errors
    assert errors.startswith("ablab: stopped; ")
    assert len(errors.splitlines()) == 1


INTERRUPTED_TEXT = """
import sys
from runner.study import interrupts
try:
    exec("raise KeyboardInterrupt")
except KeyboardInterrupt:
    interrupts.stop_listening()
    sys.exit(130)
"""


def test_a_signal_while_python_runs_text_is_exit_code_130(tmp_path: Path):
    """A dataclass is made from text. Python itself would end with SIGINT here."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED_TEXT)
    words = [sys.executable, "-m", "interrupted"]
    done = subprocess.run(words, env=child_environment(), cwd=tmp_path, check=False)
    assert done.returncode == 130


@pytest.mark.slow
@pytest.mark.parametrize("number", interrupts.SIGNALS)
@pytest.mark.parametrize("seconds", [1.0, 3.0, 6.0, 9.0])
def test_a_signal_at_any_time_is_exit_code_130(tmp_path: Path, number: int, seconds: float):
    code, errors = stopped(tmp_path, number, seconds)
    if code == 0 and seconds >= 8:
        return  # every trial was done
    assert code == 130, errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_terminal_that_closes_costs_neither_trials_nor_the_report(tmp_path: Path):
    child, terminal = pty.fork()
    if not child:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-m", "runner", *TINY], child_environment())
    until = time.monotonic() + 60
    while not list(tmp_path.glob("outputs/moe/trials/*/*/status.json")):
        assert time.monotonic() < until
        if select.select([terminal], [], [], 0.1)[0]:
            os.read(terminal, 10_000)
    os.close(terminal)  # the system sends SIGHUP
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(tmp_path.glob("outputs/moe/runs/*/report.html"))) == 1
    assert len(list(tmp_path.glob("outputs/moe/trials/*/*/result.json"))) == 4


@pytest.mark.slow
def test_where_no_page_can_be_written_one_line_says_where_the_results_lie(tmp_path: Path):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    done = subprocess.run(
        [sys.executable, "-m", "runner", *ONE, "plugins=[chaos_plugin]"],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith("ablab: the report could not be written: OSError: [Errno 27]")
    assert "all results are kept in outputs/moe/trials" in second
    assert len(list(tmp_path.glob("outputs/moe/trials/*/*/result.json"))) == 1


@pytest.mark.parametrize("closed", [(1,), (0, 1, 2)])
def test_closed_streams_get_no_other_file(closed: tuple[int, ...]):
    code = (
        "import os\n"
        f"for number in {closed}: os.close(number)\n"
        "from runner.wording import output\n"
        "output.open_closed_streams()\n"
        "os._exit(os.open('/dev/null', os.O_RDONLY) < 3)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=child_environment(), check=False)
    assert done.returncode == 0


def test_a_trial_that_says_nothing_is_told_with_its_log_and_the_cure(capsys):
    progress = Progress("moe", total=1, reused=0)
    progress.show_silence("dense seed 0", 301.0, Path("log.txt"))
    said = capsys.readouterr().out
    assert said.startswith("dense seed 0: no progress for 5 min; its log is log.txt; timeout_s=")
    progress.end("dense seed 0", "failed", None, "x" * 100_000)
    assert len(capsys.readouterr().out) < 400


def test_without_streams_progress_says_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with Progress("moe", total=1, reused=0) as progress:
        progress.note("nobody hears it")


def find_trained_trials(folder: Path) -> list[Path]:
    """Return the metrics of trials that have trained a step; others have nothing to resume from."""
    paths = folder.glob("outputs/moe/trials/*/*/metrics.csv")
    return [path for path in paths if ",train/loss," in path.read_text()]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "group"])
def test_trials_of_a_command_that_is_killed_leave_a_checkpoint_and_end(tmp_path: Path, number: int):
    long = ("training.steps=60000", "training.eval_every=60000", "training.checkpoint_every=60000")
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", *ONE, *long],
        cwd=tmp_path,
        env=child_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while not (metric_files := find_trained_trials(tmp_path)):
        assert time.monotonic() < until
        time.sleep(0.1)
    if number == signal.SIGTERM:  # as `timeout` does: the server that forks trials ends too
        process.send_signal(number)
        os.killpg(process.pid, number)
    else:
        process.kill()
    assert process.wait(60) == (130 if number == signal.SIGTERM else -signal.SIGKILL)
    slot = Slot(metric_files[0].parent)
    while slot.status()["state"] == "running":
        assert time.monotonic() < until
        time.sleep(0.1)
    assert slot.status()["message"].startswith("stopped on request, resumes from step ")
