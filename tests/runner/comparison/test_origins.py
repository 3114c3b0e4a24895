"""`runner.compare` with code from a module, a script, a notebook, a thread and a prompt."""

import json
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import command
from tests.support.compared import CALL, CLASS, write
from tests.support.environment import child_environment

REPORT = "import json\nprint('RESULT', json.dumps([str(study.folder), len(study.table)]))"


def python(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, and return the finished process."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env=child_environment(),
        input=stdin,
    )


def result(process: subprocess.CompletedProcess[str]) -> tuple[str, int]:
    """Return the run folder and the rows of the table that a script has printed."""
    assert process.returncode == 0, process.stdout + process.stderr
    (line,) = [each for each in process.stdout.splitlines() if each.startswith("RESULT ")]
    folder, rows = json.loads(line.removeprefix("RESULT "))
    return folder, rows


def typed_command(folder: Path, run: str) -> list[str]:
    """Return the command that the report of a run shows, for this Python."""
    words = shlex.split(json.loads((folder / run / "study.json").read_text())["command"])
    return [sys.executable if word == "python" else word for word in words]


@pytest.mark.slow
def test_a_class_of_a_module_is_compared_reused_and_repeated_by_the_command(tmp_path: Path) -> None:
    write(tmp_path / "my_modules.py", CLASS)
    guarded = f'if __name__ == "__main__":\n    study = {CALL}\n    again = {CALL}\n'
    lines = 'print("RESULT", json.dumps([str(study.folder), len(study.table)]))'
    script = f"import json\nimport runner\nfrom my_modules import Mine\n{guarded}    {lines}"
    first = python(tmp_path, str(write(tmp_path / "go.py", script)))
    run, rows = result(first)
    assert rows > 5
    assert "4 trials: 0 reused" in first.stdout
    assert "all reused, only the report is written" in first.stdout
    repeated = command(typed_command(tmp_path, run), tmp_path, 200)
    assert repeated.returncode == 0, repeated.stderr
    assert "4 trials: all reused" in repeated.stdout
    redrawn = command([sys.executable, "-m", "runner", "redraw", "ffn"], tmp_path, 200)
    assert redrawn.returncode == 0, redrawn.stderr

    # A change of the module makes the trials of its arm stale, and no others.
    write(tmp_path / "my_modules.py", CLASS.replace("torch.tanh", "torch.relu"))
    changed = command(typed_command(tmp_path, run), tmp_path, 200)
    assert "4 trials: 2 reused, 2 to compute" in changed.stdout


@pytest.mark.slow
def test_an_unguarded_script_runs_once_and_its_class_is_copied(tmp_path: Path) -> None:
    script = write(
        tmp_path / "go.py",
        "import runner",
        CLASS,
        'print("THE SCRIPT RUNS")',
        f"study = {CALL}",
        REPORT,
    )
    first = python(tmp_path, str(script))
    run, rows = result(first)
    assert rows > 5
    assert first.stdout.count("THE SCRIPT RUNS") == 1
    (copy,) = tmp_path.glob("outputs/ffn/sources/*/compared_Mine_source.py")
    assert "class Mine(nn.Module):" in copy.read_text()
    assert "THE SCRIPT RUNS" not in copy.read_text()
    script.unlink()  # the command needs the copy only
    repeated = command(typed_command(tmp_path, run), tmp_path, 200)
    assert "4 trials: all reused" in repeated.stdout, repeated.stderr


@pytest.mark.slow
def test_a_module_whose_import_calls_compare_is_refused_by_the_plan(
    tmp_path: Path,
) -> None:
    write(tmp_path / "looping.py", "import runner", CLASS, f"study = {CALL}")
    process = python(tmp_path, "-c", "import looping")
    assert process.returncode != 0
    last = process.stderr.splitlines()[-1]
    assert last.startswith("runner.config.ConfigError: ffn=Mine: build(16) raises an error")
    assert "compare was called by code that a study imports" in last
    assert not (tmp_path / "outputs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stdin", [False, True])
def test_code_without_a_file_is_refused_with_a_hint_and_nothing_is_left(
    tmp_path: Path, stdin: bool
) -> None:
    source = f"import runner\n{CLASS}\n\n{CALL}"
    process = python(tmp_path, "-", stdin=source) if stdin else python(tmp_path, "-c", source)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1] == (
        "runner.config.ConfigError: the arm mine: the source of Mine cannot be read, because it "
        "was typed at a prompt, with python -c or from standard input; put it into a file, e.g. "
        "my_parts.py, and import it"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_threads_take_turns_and_the_callers_hydra_is_restored(tmp_path: Path) -> None:
    write(tmp_path / "my_modules.py", CLASS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "app.yaml").write_text("a: ${twice:2}\nb: ${oc.env:HOME}\n")
    source = f"""
    import json, os, signal, sys, threading
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf
    import runner
    from my_modules import Mine

    OmegaConf.register_new_resolver("twice", lambda x: 2 * x)

    def state():
        names = [name for name in os.environ if not name.startswith("TORCH")]  # torch sets these
        return (GlobalHydra.instance().hydra, list(sys.path), signal.getsignal(signal.SIGINT),
                list(sys.argv), {{name: os.environ[name] for name in names}})

    @hydra.main(config_path="mine", config_name="app", version_base="1.3")
    def main(config):
        before = state()
        found, errors = [], []
        def work(seeds):
            try:
                found.append({CALL.replace("n_seeds=2", "n_seeds=seeds")})
            except BaseException as error:
                errors.append(error)
        threads = [threading.Thread(target=work, args=(seeds,)) for seeds in (1, 2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert not errors, errors
        assert before == state()
        assert config.a == 4 and config.b
        study = max(found, key=lambda each: len(each.table))
        print("RESULT", json.dumps([str(study.folder), len(found)]))

    main()
    """
    script = write(tmp_path / "app.py", textwrap.dedent(source))
    process = python(tmp_path, str(script))
    _, n_found = result(process)
    assert n_found == 2
    assert "reused, " in process.stdout
