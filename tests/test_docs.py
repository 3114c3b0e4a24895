"""docs/ and the headers of conf/: every command is planned; every experiment has its page."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from runner import registry
from runner.__main__ import VERBS
from runner.plan import arguments, launchers
from runner.plan.composition import compose_arms
from runner.plan.config_reader import read_study
from runner.plan.option_folders import CONF
from runner.plan.references import check_references
from runner.plan.report_spec import read_report_spec
from runner.plan.selection import select_claims_and_figures
from runner.sweeps.request import read_request
from tests.support.composition import compose_config
from tests.support.environment import ROOT

PROGRAM = ["python", "-m", "runner"]
PAGES = ROOT / "docs" / "experiments"
HEADINGS = [
    "Question",
    "Design",
    "Measurements",
    "Claims",
    "What to expect",
    "Limits",
    "Commands",
    "Textbook settings",
    "Sources",
]
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
OWN_FILES = ("plugins=", "--config-dir=")
"""Options of commands that read files of the same page, which other tests write and run."""


def commands(lines: str) -> Iterator[list[str]]:
    """Yield the arguments of each `python -m runner` in lines of a shell."""
    for line in lines.replace("\\\n", " ").splitlines():
        if line.lstrip().startswith(" ".join(PROGRAM)):
            yield shlex.split(line, comments=True)[len(PROGRAM) :]


def in_page(path: Path) -> Iterator[list[str]]:
    """Yield the commands in the fenced blocks of a page."""
    for block in FENCED.findall(path.read_text(encoding="utf-8")):
        yield from commands(block)


def in_header(path: Path) -> Iterator[list[str]]:
    """Yield the commands in the comments of a YAML file; two spaces end a command."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    yield from commands("\n".join(re.sub(r"\s{2,}.*$", "", line) for line in comments))


def documented() -> dict[str, list[str]]:
    """Return every run of docs/ and conf/ by its text, except those with `OWN_FILES`."""
    word_lists = [words for path in (ROOT / "docs").rglob("*.md") for words in in_page(path)]
    word_lists += [words for path in CONF.rglob("*.yaml") for words in in_header(path)]
    own = [words for words in word_lists if any(word.startswith(OWN_FILES) for word in words)]
    runs = [words for words in word_lists if words and words not in own and words[0] not in VERBS]
    return {shlex.join(words): words for words in runs}


SWEEPS = {text: words for text, words in documented().items() if "-m" in words}
DOCUMENTED = {text: words for text, words in documented().items() if text not in SWEEPS}


def sections(page: str) -> dict[str, str]:
    """Return the text below each heading of the second level."""
    names = re.findall(r"^## (.*)$", page, re.MULTILINE)
    return dict(zip(names, re.split(r"^## .*$", page, flags=re.MULTILINE)[1:], strict=True))


def of_experiment(name: str) -> str:
    """Return the page of an experiment."""
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def content(folder: str, name: str) -> dict:
    return yaml.safe_load((CONF / folder / f"{name}.yaml").read_text(encoding="utf-8"))


def test_commands_are_read_from_fenced_blocks_and_headers(tmp_path: Path):
    page, header = tmp_path / "page.md", tmp_path / "header.yaml"
    page.write_text(
        "python -m runner no=command\n```bash\npython -m runner a=1 \\\n    'b=[1, 2]'   # why\n"
        "python -m other\n```\nBetween.\n```\npython -m runner 'c=#3'\n```\n"
    )
    header.write_text(
        "# Words.\n#   python -m runner a=1  why\n"
        "#   python -m runner b=2 \\\n#     'c=3'\nkey: 1\n"
    )
    assert list(in_page(page)) == [["a=1", "b=[1, 2]"], ["c=#3"]]
    assert list(in_header(header)) == [["a=1"], ["b=2", "c=3"]]


def test_commands_are_found():
    """Without this test, a pattern that matches nothing would let every other test pass."""
    assert len(DOCUMENTED) > 80
    for name in registry.experiment_names():
        assert f"experiment={name}" in DOCUMENTED
        assert f"experiment={name} scale=full" in DOCUMENTED


@pytest.mark.some(6)
@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("text", DOCUMENTED)
def test_a_documented_command_composes(text: str, tmp_path: Path):
    """All arms compose and match; claims and figures name existing arms and metrics."""
    config, overrides = compose_config(tmp_path, DOCUMENTED[text])
    study = select_claims_and_figures(read_study(config), overrides)
    arms = compose_arms(study, overrides).arms
    assert arms
    check_references(study, read_report_spec(study), arms, overrides)


@pytest.mark.usefixtures("hydra")
@pytest.mark.parametrize("text", SWEEPS)
def test_a_documented_sweep_has_jobs_and_a_known_launcher(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The last job composes. The engine of the launcher may be absent on this machine."""
    monkeypatch.setattr(launchers, "is_installed", lambda _: True)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    request = read_request(arguments.check_arguments(SWEEPS[text]))
    assert len(request.jobs) > 1
    for word in request.hydra:
        assert word.lstrip("+").startswith(("hydra/launcher=", "hydra.launcher.")), word
    config, overrides = compose_config(tmp_path, request.jobs[-1].overrides)
    assert compose_arms(read_study(config), overrides).arms


def test_each_experiment_has_one_page_and_the_index_links_it():
    names = set(registry.experiment_names())
    assert {path.stem for path in PAGES.glob("*.md")} == {*names, "README"}
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert {name for name in names if f"({name}.md)" in index} == names


@pytest.mark.parametrize("name", sorted(registry.experiment_names()))
def test_a_page_has_its_sections_arms_and_claims(name: str):
    page, experiment = sections(of_experiment(name)), content("experiment", name)
    assert list(page) == HEADINGS
    assert " ".join(page["Question"].split()) == " ".join(experiment["question"].split())
    for arm in experiment["arms"]:
        assert f"`{arm}`" in page["Design"], arm
    for metric in (headline["metric"] for headline in experiment["headline"]):
        assert f"`{metric}`" in page["Measurements"], metric
    for claim, written in content("claims", name).items():
        statement = " ".join(written["statement"].split())
        assert f"| `{claim}` | {statement} |" in page["Claims"], claim


@pytest.mark.parametrize("name", sorted(registry.experiment_names()))
def test_the_textbook_command_is_that_of_the_header(name: str):
    block = FENCED.search(sections(of_experiment(name))["Textbook settings"])
    assert block is not None
    (command,) = commands(block[1])
    assert command in list(in_header(CONF / "experiment" / f"{name}.yaml"))
