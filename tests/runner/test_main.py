"""The command as users type it."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner import __main__ as command_main
from runner.config import ConfigError
from runner.invocation import PREPARING
from runner.records.provenance import package_version
from runner.study import interrupts
from tests.fuzz.command import find_faults, run_in_process
from tests.support.environment import ROOT, child_environment
from tests.support.tiny import TINY

BAD = {
    "experiment=mo": "did you mean moe",
    "experiment=moe ffn=nope": "there is no such option",
    "experiment=moe ffn.n_exprts=3": "did you mean n_experts",
    "experiment=moe training.steps=many": "training.steps=many must be a whole number",
    "experiment=moe ffn.top_k=9": "top_k=9 of n_experts=8",
    "experiment=moe +arms.x=['ffn=nope']": "in arm x",
    "experiment=moe task=text": "task.path is empty",
    "experiment=moe task=text task.path=absent/*.md": "matches no file",
    "experiment=moe outputs=file/below": "nothing can be written there",
    "experiment=moe device=cuda": "there is none on this machine",
    "+anything=1": "there is no such key",
    "experiment=moe n_seeds=0": "n_seeds=0 must be at least 1",
    "experiment=moe workers=-3": "workers=-3 must be auto or a number",
    "experiment=moe ++ffn._target_=os.system": "_target_ is not allowed",
    "scale=smoke": "no experiment is chosen",
    "--nonsense": "see python -m runner --hydra-help",
}

BAD_VERBS = {
    "prts": "prts: there is no such command; did you mean parts?",
    "frobnicate": "frobnicate: there is no such command; there are: ",
    "moe": "'moe' is not an override; write key=value, here experiment=moe",
    "-m store": "store is a command of its own; type python -m runner store",
    "experiment=moe board": "board is a command of its own; type python -m runner board",
    "--config-dir new experiment=moe": "--config-dir new is not a folder",
    "parts --nonsense": "--nonsense: there is no such flag; type python -m runner parts",
}


def without_torch(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing torch fails."""
    fake = tmp_path / "fake"
    (fake / "torch").mkdir(parents=True)
    (fake / "torch" / "__init__.py").write_text("raise RuntimeError('torch was imported')")
    env = child_environment()
    return {**env, "PYTHONPATH": f"{fake}{os.pathsep}{env['PYTHONPATH']}"}


PLAN = "experiment=moe task=waves arm=dense plan=only"


@pytest.mark.some(2)
@pytest.mark.parametrize(
    "arguments", ["", "--help", "experiment=moe --cfg job", "--hydra-help", PLAN, "parts"]
)
def test_help_and_listing_import_no_torch(tmp_path: Path, arguments: str):
    done = subprocess.run(
        [sys.executable, "-m", "runner", *arguments.split()],
        cwd=tmp_path,
        env=without_torch(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "moe" in done.stdout or "hydra" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["fake"]


@pytest.mark.slow
def test_planning_and_reporting_a_finished_study_import_no_torch(tmp_path: Path):
    command = [sys.executable, "-m", "runner", *TINY]
    for env, said in ((child_environment(), "0 reused"), (without_torch(tmp_path), "all reused")):
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout


@pytest.mark.parametrize("arguments", list(BAD))
def test_bad_input_is_a_clear_line(tmp_path: Path, monkeypatch, arguments: str):
    if "device=cuda" in arguments and Path("/dev/nvidia0").exists():
        pytest.skip("there is a GPU here")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    ending = run_in_process(arguments.split())
    assert BAD[arguments] in ending.message
    assert find_faults(ending) == []
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.some(2)
@pytest.mark.parametrize("arguments", list(BAD_VERBS))
def test_a_wrong_command_is_one_line(runner, arguments: str):
    done = runner(*arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert BAD_VERBS[arguments] in done.stderr


@pytest.mark.parametrize("verb", list(command_main.VERBS))
def test_each_verb_has_help_and_is_listed(verb: str, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["runner", verb, "--help"])
    command_main.dispatch_command(full_error=True)
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: python -m runner {verb}")
    assert max(map(len, printed.splitlines()[1:])) <= 80
    monkeypatch.setattr("sys.argv", ["runner"])
    command_main.dispatch_command(full_error=True)
    assert f"  python -m runner {verb} " in capsys.readouterr().out
    assert f"\n        {verb} " in (ROOT / "conf" / "config.yaml").read_text()


@pytest.mark.some(1)
@pytest.mark.parametrize("arguments", ["--nonsense", "experiment=moe outputs=file/below"])
def test_the_command_prints_that_line_alone_and_ends_with_2(runner, tmp_path: Path, arguments: str):
    (tmp_path / "file").write_text("")
    done = runner(*arguments.split())
    said = [line for line in done.stdout.splitlines() if not line.startswith(PREPARING)]
    assert (done.returncode, said) == (2, [])  # a busy machine takes over a second to prepare
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= 3
    assert all(line.startswith("ablab: ") for line in lines)
    assert BAD[arguments] in done.stderr


def test_help_opens_with_our_name_and_every_way_to_use_the_command(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["runner", "--help"])
    with pytest.raises(SystemExit):
        command_main.compose_and_run(full_error=True)
    told = capsys.readouterr().out
    assert told.startswith("ablab compares parts of Transformers: python -m runner")
    head = told.partition("== Configuration groups ==")[0]
    for word in ("redraw", "--config-dir", "plan=only", "plugins", "-m experiment=moe"):
        assert word in head
    assert max(map(len, head.splitlines())) <= 80


def test_the_version_is_ours(runner):
    done = runner("--version")
    assert done.returncode == 0
    assert done.stdout == f"ablab {package_version('ablab')}\n"


def test_a_traceback_is_there_for_who_asks(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "runner", "experiment=moe", "n_seeds=0"],
        cwd=tmp_path,
        env={**child_environment(), "HYDRA_FULL_ERROR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_sweep_goes_on_after_a_failed_point_and_ends_with_its_error(runner):
    done = runner(
        "-m",
        "experiment=moe",
        "scale=smoke",
        "task=waves",
        "n_seeds=0,1",
        "arm=dense",
        "plan=only",
    )
    assert done.returncode == 2
    assert "n_seeds=0 must be at least 1" in done.stderr
    assert done.stdout.count("plan of moe") == 1


def test_the_listing_names_question_arms_and_time():
    from runner.plan.listing import list_experiments

    text = list_experiments()
    assert "Is a mixture of experts better" in text
    assert "moe_no_balance" in text
    assert "4 min" in text
    assert str(ROOT) not in text


def test_the_listing_has_a_users_own_experiments(tmp_path: Path):
    from runner.plan.listing import list_experiments, parse_list_request

    (tmp_path / "experiment").mkdir()
    mine = tmp_path / "experiment" / "my_gate.yaml"
    mine.write_text("question: Is mine better?\narms: {a: [], b: []}\n")
    (tmp_path / "preset").mkdir()
    (tmp_path / "preset" / "my_gate_quick.yaml").write_text("n_seeds: 1\n")
    text = list_experiments(tmp_path)
    assert "my_gate\n  Is mine better?\n  quick  1 seed of a, b\n" in text
    assert "moe_no_balance" in text
    assert parse_list_request([f"--config-dir={tmp_path}"]) == parse_list_request(
        ["--config-dir", str(tmp_path)]
    )
    assert parse_list_request(["plugins=[a]", "-cd", "b"]) == (Path("b"), ("plugins=[a]",))
    for other in (["--config-dir=mine", "experiment=moe"], ["-h"], ["-cd"], ["plugins=[a]", "-m"]):
        assert parse_list_request(other) is None
    mine.write_text("arms: 3\n_target_: os.system\n")
    with pytest.raises(ConfigError, match="_target_ is not allowed"):
        list_experiments(tmp_path)
    with pytest.raises(ConfigError, match="is not a folder"):
        list_experiments(tmp_path / "absent")


BOMB = "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("preset/my_quick.yaml", f"a: &a [x, x]\n{BOMB}arm: *i\n", "more than 5,000 values"),
        ("experiment/s.yaml", "-> ../../elsewhere.yaml", "leads out of"),
        ("preset/my_quick.yaml", "-> ../../elsewhere.yaml", "leads out of"),
        ("experiment/moe.yaml", "question: mine?\n", "ablab has its own experiment=moe"),
        ("experiment/mine.yml", "question: mine?\n", "rename it to mine.yaml"),
        ("preset/my_quick.yaml", "arm: [\n", "cannot be read as YAML"),
    ],
)
def test_the_listing_refuses_what_a_run_refuses(tmp_path: Path, name: str, text: str, said: str):
    from runner.plan.listing import list_experiments

    own = tmp_path / "mine"
    for group in ("experiment", "preset"):
        (own / group).mkdir(parents=True)
    (own / "experiment" / "my.yaml").write_text("question: Is mine better?\n")
    (tmp_path / "elsewhere.yaml").write_text("question: secret\n")
    if text.startswith("-> "):
        (own / name).symlink_to(text[3:])
    else:
        (own / name).write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        list_experiments(own)
    assert name in str(caught.value)


def test_the_listing_prints_nothing_that_changes_a_terminal(tmp_path: Path):
    from runner.plan.listing import list_experiments

    for group in ("experiment", "preset"):
        (tmp_path / group).mkdir()
    escaped = '"\\e[31m a\\nb"'
    (tmp_path / "experiment" / "my.yaml").write_text(f"question: {escaped}\narms: 3\n")
    preset = f"arm: [{escaped}]\nduration: {escaped}\nn_seeds: {escaped}\n"
    (tmp_path / "preset" / "my_quick.yaml").write_text(preset)
    (tmp_path / "preset" / "my_full.yaml").write_text("arm: {a: [1]}\nn_seeds: 1\n")
    (tmp_path / "my_gate.yaml").write_text("question: Is it read?\n")
    text = list_experiments(tmp_path)
    assert "\x1b" not in text
    assert "  quick  \\x1b[31m a b seeds of \\x1b[31m a b; \\x1b[31m a b\n" in text
    assert "  full   1 seed\n" in text
    assert f"{tmp_path / 'my_gate.yaml'} is not read" in text


@pytest.mark.parametrize("ends", [None, SystemExit(2)])
def test_no_late_signal_changes_the_exit_code(monkeypatch, ends: SystemExit | None):
    """Python ends by a signal that comes while it shuts down, after a handler of ours is gone."""

    def main() -> None:
        if ends:
            raise ends

    monkeypatch.setattr(command_main, "main", main)
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    try:
        with pytest.raises(SystemExit) if ends else contextlib.nullcontext():
            command_main.run_main_process()
        assert {signal.getsignal(number) for number in interrupts.SIGNALS} == {signal.SIG_IGN}
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["experiment=moe", "--cfg", "job"]])
def test_a_command_that_plans_nothing_imports_nothing_heavy(tmp_path: Path, arguments: list[str]):
    script = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_module('runner', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'matplotlib', 'torch', 'tensorboard'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "[]"
