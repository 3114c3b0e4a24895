"""The page of all runs: its content, hostile folders, links, concurrent writers, and failures."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from filelock import FileLock

from runner.report import index_page, run_cards
from runner.report.index_page import INDEX_FILE, LOCK_FILE, renew_index
from tests.support.made_store import make_run

HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(2)>\x1b[31m\u202e"


class Elements(HTMLParser):
    """The tags, links and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Keep a tag, and the target of a link."""
        self.tags.append(tag)
        self.links += [value or "" for name, value in attributes if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.texts.append(data.strip())


def page_of(outputs: Path) -> Elements:
    assert renew_index(outputs) == ""
    return Elements((outputs / INDEX_FILE).read_text(encoding="utf-8"))


def test_each_run_has_question_time_answer_verdicts_and_links(tmp_path: Path):
    make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)], question="Old?")
    make_run(
        tmp_path,
        "2026-11-26_04-52-00_quick",
        [("a", 0)],
        question="Is it: better?",
        sentence="Yes, by 0.5 nats [0.1, 0.9]. More follows.",
        verdicts=["invalid", "reproduced", "reproduced"],
    )
    make_run(tmp_path, "2026-11-26_04-53-00_smoke", [("b", 0)], experiment="ffn")
    sweep = tmp_path / "sweeps" / "2026-11-26_05-00-00"
    sweep.mkdir(parents=True)
    points = [{"exit_code": 0}, {"exit_code": 1}, {"exit_code": 0}]
    (sweep / "sweep.json").write_text(
        json.dumps({"title": "A ladder", "keys": ["model.depth", 3], "points": points})
    )
    (sweep / "report.html").touch()
    page = page_of(tmp_path)
    text = "\n".join(page.texts)
    for part in (
        *(
            "3 runs",
            "2 experiments",
            "1 sweep",
            "model.depth",
            "Is it: better?",
            "2026-11-26 04:52",
            "quick",
        ),
        *("Yes, by 0.5 nats [0.1, 0.9].", "2 reproduced", "1 invalid"),
        *("A ladder", "3 points, 1 not done", "2026-11-26 05:00"),
    ):
        assert part in page.texts, part
    assert "More follows" not in text
    assert "Old?" not in text  # the newest question is the title of the experiment
    assert text.index("2026-11-26 04:52") < text.index("2026-11-26 04:51")
    links = [link for link in page.links if not link.startswith("#")]
    assert len(links) == 8
    for link in links:
        assert (tmp_path / unquote(link)).exists(), link


def test_a_sweep_without_a_page_says_what_its_folder_has(tmp_path: Path):
    make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)])
    (tmp_path / "sweeps" / "2026-11-26_05-00-00" / "jobs" / "7").mkdir(parents=True)
    assert "output of jobs; this sweep has no page over points" in page_of(tmp_path).texts


def test_settings_tell_the_runs_of_an_experiment_apart(tmp_path: Path):
    typed = ["ffn.n_experts=8", "a=1", "b=2", "c=3", "d=4"]
    for number, settings in enumerate([typed[:1], typed, [], "text", [3]]):
        make_run(tmp_path, f"2026-11-26_04-5{number}-00_quick", [("a", 0)], typed=settings)
    texts = page_of(tmp_path).texts
    assert [text for text in texts if text.startswith("with ")] == [
        *("with ffn.n_experts=8 a=1 b=2 c=3 ...", "with ffn.n_experts=8")
    ]


def test_the_page_requests_nothing(tmp_path: Path):
    make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)])
    page = page_of(tmp_path)
    assert {"img", "link", "iframe"} & {*page.tags} == set()
    assert page.tags.count("script") == page.tags.count("style") == 1
    text = (tmp_path / INDEX_FILE).read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"https?:", text)


def test_hostile_names_and_texts_stay_text(tmp_path: Path):
    run = make_run(
        tmp_path,
        "javascript:alert(1)",
        [("a", 0)],
        experiment='"><b onclick=x>',
        question=HOSTILE,
        sentence=HOSTILE * 50,
        verdicts=[HOSTILE, "reproduced"],
    )
    assert run.is_dir()
    page = page_of(tmp_path)
    assert page.tags.count("script") == 1
    assert {"img", "b"} & {*page.tags} == set()
    links = [link for link in page.links if not link.startswith("#")]
    assert all(
        link.startswith("./%22%3E%3Cb%20onclick%3Dx%3E/runs/javascript%3A") for link in links
    )
    text = (tmp_path / INDEX_FILE).read_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < 30_000


DAMAGES = {
    "answer.json": [b"", b"[", b"[]", b"{}", b'{"sentence": 3}', b"\xff\xfe", b'{"a":' * 9000],
    "verdicts.json": [b"", b"{}", b"[1, null]", b'[{"verdict": {}}]'],
    "config.yaml": [b"", b"question: [\n", b"question: !!python/name:os.system\n", b"\x00" * 99],
    "study.json": [b"", b"{"],
}


@pytest.mark.parametrize(
    ("name", "content"), [(name, each) for name, contents in DAMAGES.items() for each in contents]
)
def test_a_damaged_run_is_listed_beside_the_others(tmp_path: Path, name: str, content: bytes):
    run = make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)], sentence="No.")
    make_run(tmp_path, "2026-11-26_04-52-00_quick", [("a", 0)], sentence="Yes.")
    (run / name).write_bytes(content)
    page = page_of(tmp_path)
    assert "2 runs" in page.texts
    assert "Yes." in page.texts
    (card, _) = reversed(run_cards.read_run_cards(tmp_path))
    assert bool(card.fault) == (name == "answer.json")


@pytest.mark.parametrize("name", ["answer.json", "verdicts.json", "config.yaml", "study.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "missing"])
def test_no_link_and_no_pipe_is_read(tmp_path: Path, name: str, kind: str):
    outputs = tmp_path / "outputs"
    run = make_run(outputs, "2026-11-26_04-51-00_quick", [("a", 0)])
    (run / name).unlink()
    if kind == "link":
        secret = tmp_path / "secret"
        secret.write_text('{"sentence": "a secret"}\nquestion: a secret\n')
        (run / name).symlink_to(secret)
    elif kind == "pipe":
        os.mkfifo(run / name)
    elif kind == "folder":
        (run / name).mkdir()
    page = page_of(outputs)
    assert "1 run" in page.texts
    assert "secret" not in "".join(page.texts)


def test_runs_and_experiments_that_are_links_are_not_listed(tmp_path: Path):
    outputs = tmp_path / "outputs"
    run = make_run(tmp_path / "elsewhere", "2026-11-26_04-51-00_quick", [("a", 0)])
    make_run(outputs, "2026-11-26_04-51-00_quick", [("a", 0)], experiment="ffn")
    (outputs / "moe").symlink_to(run.parents[1])
    (outputs / "ffn" / "runs" / "linked").symlink_to(run)
    (outputs / "sweeps").symlink_to(run.parent)
    assert "1 run" in page_of(outputs).texts


def test_a_run_without_a_finished_report_says_so(tmp_path: Path):
    run = make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)])
    for name in ("study.json", "answer.json", "report.html"):
        (run / name).unlink()
    page = page_of(tmp_path)
    assert "the report of this run was not finished" in page.texts
    assert "report" not in page.texts


def test_a_page_that_cannot_be_written_is_a_line_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)])
    (tmp_path / INDEX_FILE).mkdir()
    assert "index.html could not be written (" in renew_index(tmp_path)

    def fail(*_: object) -> str:
        raise RuntimeError("anything")

    monkeypatch.setattr(index_page, "render_index", fail)
    assert "(RuntimeError: anything)" in renew_index(tmp_path)


def test_a_lock_that_is_held_delays_the_page_and_does_not_stop_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make_run(tmp_path, "2026-11-26_04-51-00_quick", [("a", 0)])
    monkeypatch.setattr(index_page, "LOCK_SECONDS", 0.05)
    with FileLock(tmp_path / LOCK_FILE):
        assert "1 run" in page_of(tmp_path).texts


def test_the_first_sentence_ends_where_a_sentence_ends():
    first = run_cards.first_sentence
    assert first("By 0.016 nats (p = 0.07). b does not differ.") == "By 0.016 nats (p = 0.07)."
    assert first("One sentence only.") == "One sentence only."
    assert first("") == ""


def test_the_question_is_read_as_yaml_without_the_rest_of_the_file(tmp_path: Path):
    (tmp_path / "config.yaml").write_text(
        "arms:\n  question: no\nquestion: 'It''s\n  folded'\nscale: full\nn_seeds: 3\n: : ["
    )
    keys = run_cards.read_config_keys(tmp_path)
    assert keys == {"question": "It's folded", "scale": "full", "n_seeds": 3}
