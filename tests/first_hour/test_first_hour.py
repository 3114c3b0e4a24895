"""`python -m tests.first_hour` reads the README rightly, and sees each way to fail."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.first_hour import environment as environments
from tests.first_hour import readme
from tests.first_hour.__main__ import README, main
from tests.first_hour.environment import Environment
from tests.first_hour.readme import ReadmeError, Step, read_steps
from tests.first_hour.running import StepResult, run_step

PAGE = """# A project

```
pip install -e . && python -m runner   # install
# a comment only
python -m runner experiment=moe \\
    n_seeds=2
```

It prints this:

```
moe: 32 trials
python -m is a word of the output
```

```python
python = "code, not commands"
```

Save this as `mine/a.yaml`:

```yaml
key: <time>
```

The file alone does nothing:
`python -m runner --config-dir=mine experiment=a` runs it, and `key` is a word.

`python -m runner experiment=ffn` stands in a paragraph of its own.

```bash
tensorboard --logdir outputs
```
"""


def test_steps_are_commands_servers_and_files_in_order():
    steps = read_steps(PAGE)
    assert [(step.line, step.kind) for step in steps] == [
        (4, "command"),
        (6, "command"),
        (24, "file"),
        (28, "command"),
        (33, "server"),
    ]
    assert steps[1].text == "python -m runner experiment=moe \\\n    n_seeds=2"
    assert (steps[2].path, steps[2].text) == ("mine/a.yaml", "key: <time>\n")
    assert steps[3].text == "python -m runner --config-dir=mine experiment=a"


def test_every_line_of_the_readme_can_be_run():
    """Each line that begins with a program is one step; a placeholder raises ReadmeError."""
    text = README.read_text(encoding="utf-8")
    typed = re.findall(r"^(?:pip install|python -m|tensorboard -).*", text, re.MULTILINE)
    steps = read_steps(text)
    assert len(typed) >= 10
    assert [step.text for step in steps if step.text in typed] == [line.strip() for line in typed]
    kinds = [step.kind for step in steps]
    assert kinds.count("server") >= 1
    assert kinds.count("file") == len(re.findall(r"[Ss]ave this as `", text)) >= 1
    file = kinds.index("file")
    name = steps[file].path.split("/")[0].removesuffix(".py")
    assert name in steps[file + 1].text  # the line that uses the file


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("python -m runner redraw runs/<time>   # again", "line 2: <time> is not"),
        ("python -m runner experiment=moe ...", r"line 2: \.\.\. is not"),
        ("python -m runner\nrm -r outputs", "line 3: no known program"),
    ],
)
def test_a_line_that_cannot_be_run_is_refused(line: str, message: str):
    with pytest.raises(ReadmeError, match=message):
        read_steps(f"```\n{line}\n```\n")
    assert read_steps(f"```\npip --version\n{line}\n```\n", skip="runs|rm|moe|runner")


def test_a_comment_may_have_anything():
    (step,) = read_steps("```\npython -m runner 'a=#<b' # such as <time> ...\n```\n")
    assert readme.without_comment(step.text) == "python -m runner 'a=#<b'"


def test_a_block_without_an_end_is_refused():
    with pytest.raises(ReadmeError, match="line 1: the block has no end"):
        read_steps("```\npython -m runner\n")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python -m runner -m experiment=moe a=1 # b", "-m experiment=moe scale=smoke a=1 # b"),
        ("python -m runner 'experiment=glob(*)'", "'experiment=glob(*)' scale=smoke"),
        ("python -m runner experiment=moe scale=full", "experiment=moe scale=full"),
        ("python -m runner # see experiment=moe", "python -m runner # see experiment=moe"),
    ],
)
def test_a_scale_is_added_to_studies_without_one(command: str, expected: str):
    assert readme.with_scale(command, "smoke").endswith(expected)


@pytest.fixture
def place(tmp_path: Path) -> Environment:
    """An environment with an empty folder as its clone, and this Python as its only program."""
    place = Environment(tmp_path)
    for folder in (place.clone, place.binaries, tmp_path / "tmp", tmp_path / "logs"):
        folder.mkdir(parents=True)
    (place.binaries / "python").symlink_to(sys.executable)
    return place


def run(place: Environment, text: str, timeout: float = 20.0, path: str = "") -> StepResult:
    return run_step(place, Step(1, text, path), number=1, scale="", timeout=timeout)


def test_a_command_has_its_exit_code_and_the_end_of_its_output(place: Environment):
    result = run(place, "seq 100; echo wrong >&2; exit 3  # a comment")
    assert (result.passed, result.code) == (False, 3)
    assert result.tail[-2:] == ["100", "wrong"]
    assert len(result.tail) == 25
    assert json.dumps(result.as_json())


def test_a_command_that_does_not_end_is_stopped_with_its_children(place: Environment):
    (place.clone / "child.py").write_text(
        "import os, time\nopen(f'{os.getpid()}.pid', 'w').close()\nos.fork()\ntime.sleep(60)\n"
    )
    result = run(place, "python child.py", timeout=0.5)
    assert (result.passed, result.code) == (False, None)
    (process,) = (int(path.stem) for path in place.clone.glob("*.pid"))
    with pytest.raises(ProcessLookupError):
        os.killpg(process, 0)


SERVER = """#!/usr/bin/env python
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'["dense"]' if self.path == "/data/runs" else b"")
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
print(f"TensorBoard at http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
"""


@pytest.mark.parametrize(
    ("program", "note"),
    [
        (SERVER, "/data/runs has 1 runs, such as dense"),
        (SERVER.replace('["dense"]', "[]"), "no answer with a run after 1 s"),
        ("#!/bin/sh\nexit 4\n", "no answer: the server ended with exit code 4"),
    ],
)
def test_a_server_must_answer_with_its_runs(place: Environment, program: str, note: str):
    path = place.binaries / "tensorboard"
    path.write_text(program)
    path.chmod(0o755)
    result = run(place, "tensorboard --logdir x", timeout=1.0 if "[]" in program else 20.0)
    assert result.note.endswith(note)
    assert result.passed == ("such as" in note)


def test_files_are_saved_and_texts_are_written_before_the_command(place: Environment):
    assert run(place, "key: 1\n", path="mine/a.yaml").passed
    assert (place.clone / "mine" / "a.yaml").read_text() == "key: 1\n"
    result = run(place, "ls my/*.md # task.path='my/*.md'")
    assert not result.passed  # a comment asks for no files
    result = run(place, "ls my/*.md; true task.path='my/*.md'")
    assert "wrote 3 text files for my/*.md" in result.note
    assert [path.stat().st_size > 150_000 for path in (place.clone / "my").iterdir()] == [True] * 3


def test_nothing_of_the_test_session_is_in_the_variables(place: Environment, monkeypatch):
    monkeypatch.setenv("PIP_CERT", "a.pem")
    names = set(place.variables())
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST", "ABLAB_SEED"} & names
    assert {"PATH", "PIP_CERT", "TMPDIR"} <= names
    path = place.variables()["PATH"].split(os.pathsep)
    assert path[0] == str(place.binaries)
    assert str(Path(sys.prefix, "bin")) not in path


def test_the_command_lists_its_steps_or_names_the_line(tmp_path: Path, capsys):
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    assert main(["--readme", str(page), "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    page.write_text("```\npython -m runner redraw <time>\n```\n")
    assert main(["--readme", str(page)]) == 2
    assert "line 2: <time>" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--readme", str(page), "--from", "2"])


@pytest.mark.slow
def test_commands_run_in_a_fresh_clone_and_venv(tmp_path: Path, capsys):
    page, report = tmp_path / "README.md", tmp_path / "report.json"
    ours = (
        "assert sys.prefix != sys.base_prefix; import pip, pathlib; pathlib.Path('runner').stat()"
    )
    page.write_text(f'```\npip --version\npython -c "import sys; {ours}"\npython -m runner\n```\n')
    assert main(["--readme", str(page), "--json", str(report)]) == 1  # nothing is installed yet
    results = json.loads(report.read_text())
    assert [step["passed"] for step in results["steps"]] == [True, True, False]
    assert re.fullmatch("[0-9a-f]{40}", results["commit"])
    assert "No module named" in capsys.readouterr().out


@pytest.mark.long
def test_the_first_hour(tmp_path: Path):
    """Every command of the README; ABLAB_FIRST_HOUR_SCALE=smoke makes it short."""
    scale = os.environ.get("ABLAB_FIRST_HOUR_SCALE", "")
    assert main(["--scale", scale, "--json", str(tmp_path / "first_hour.json")]) == 0


def test_the_texts_are_long_enough_for_three_files():
    sources = [*environments.ROOT.glob("docs/**/*.md"), *environments.ROOT.glob("runner/**/*.py")]
    size = sum(path.stat().st_size for path in sources)
    assert size > environments.TEXT_FILES * environments.TEXT_BYTES * 1.2
