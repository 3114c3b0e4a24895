"""Records of the board are written once for each run, and checked when they are read."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from runner.board.record import without_absolute_paths
from runner.board.record_file import read_record, read_records, write_record
from runner.config import ConfigError
from tests.support.board_records import make_claim, make_record


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = make_record(make_claim(), make_claim(id="M1", estimate=None, detectable="inf"))
    path = write_record(tmp_path, record)
    assert path.name == "moe_quick_2026-11-26.json"
    assert read_record(path) == record
    assert read_records(tmp_path) == [record]


def test_the_same_run_replaces_its_record_and_another_run_of_that_day_gets_a_number(
    tmp_path: Path,
) -> None:
    first = make_record(make_claim())
    write_record(tmp_path, first)
    assert write_record(tmp_path, first).name == "moe_quick_2026-11-26.json"
    other = make_record(make_claim(verdict="invalid"), digests={"study.json": 64 * "b"})
    assert write_record(tmp_path, other).name == "moe_quick_2026-11-26_2.json"
    assert read_records(tmp_path) == [first, other]


def test_two_records_of_one_run_are_refused(tmp_path: Path) -> None:
    path = write_record(tmp_path, make_record(make_claim()))
    (tmp_path / "zz_copy.json").write_bytes(path.read_bytes())
    with pytest.raises(ConfigError, match=f"{path.name} and zz_copy.json are records of the same"):
        read_records(tmp_path)


def test_an_edited_record_is_refused_until_the_run_is_recorded_again(tmp_path: Path) -> None:
    record = make_record(make_claim())
    path = write_record(tmp_path, record)
    written = path.read_text()
    for old, new, said in (
        ('"reproduced"', '"contradicted"', "was changed since it was written: undo the change, or"),
        ('"n": 8', '"n": 9', "was changed since"),
        ('"seal"', '"sea"', "has no key sea"),
    ):
        path.write_text(written.replace(old, new, 1))
        with pytest.raises(ConfigError, match=said):
            read_records(tmp_path)
    unsealed = json.loads(written)
    del unsealed["seal"]
    path.write_text(json.dumps(unsealed))
    with pytest.raises(
        ConfigError, match=r"has no seal: delete the file .* board record=outputs/moe/runs/"
    ):
        read_records(tmp_path)
    assert write_record(tmp_path, record) == path
    assert read_records(tmp_path) == [record]
    for damaged in (written[:-20], written.replace(64 * "a", 64 * "c", 1)):
        path.write_text(damaged)  # its run is unknown, so the new record has its own file
        other = write_record(tmp_path, record)
        assert other != path
        with pytest.raises(ConfigError, match=f"{path.name} .*delete the file and record its run"):
            read_records(tmp_path)
        path.unlink()
        assert read_records(tmp_path) == [record]
        other.rename(path)
    path.write_text(json.dumps(json.loads(written)))  # the format of the file does not matter
    assert read_records(tmp_path) == [record]


def test_a_record_of_a_redrawn_run_replaces_its_record(tmp_path: Path) -> None:
    for answer in ("a", "b"):
        digests = {"study.json": 64 * "a", "answer.json": 64 * answer}
        path = write_record(tmp_path, make_record(make_claim(), digests=digests))
    assert [path.name] == [each.name for each in tmp_path.iterdir()]


def test_a_record_of_an_unknown_experiment_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path, make_record(make_claim(), experiment="nonesuch"))
    with pytest.raises(ConfigError, match=r"nonesuch_quick.*: experiment=nonesuch is unknown"):
        read_records(tmp_path)


def set_claim(key: str, value: Any) -> dict[str, Any]:
    """Return the change of one key of the only claim of a record."""
    content = json.loads(json.dumps(make_record(make_claim()).to_dict()))
    return {"claims": [content["claims"][0] | {key: value}]}


DAMAGE = {
    "has version 2, but version 1 is required": {"version": 2},
    "experiment does not match": {"experiment": "../moe"},
    "scale does not match": {"scale": "huge"},
    "date does not match": {"date": "yesterday"},
    ".json: date does not match": {"date": "2026-13-26T13:00:00+00:00"},
    "date does not match the": {"date": "2026-11-26T13:00:00"},
    "command does not match": {"command": 3},
    "commit does not match": {"commit": "<script>"},
    "machine does not match": {"machine": {"processor": "x", "hostname": "mine"}},
    "digests does not match": {"digests": {"study.json": None}},
    "arms does not match": {"arms": {"dense": {"params": "many"}}},
    "has no key hostname": {"hostname": "mine"},
    "claims does not match": {"claims": ["M1"]},
    "verdict does not match": set_claim("verdict", "proven"),
    "estimate does not match": set_claim("estimate", {"mean": "1"}),
    "detectable does not match": set_claim("detectable", True),
    "has no key extra": set_claim("extra", 1),
    "statement does not match": set_claim("statement", 30_000 * "x"),
}


@pytest.mark.parametrize("message", list(DAMAGE))
def test_a_damaged_record_is_one_line_that_names_the_file(tmp_path: Path, message: str) -> None:
    content = json.loads(json.dumps(make_record(make_claim()).to_dict())) | DAMAGE[message]
    path = tmp_path / "moe_quick_2026-11-26.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        read_record(path)
    text = str(caught.value)
    assert path.name in text
    assert text.endswith("; delete the file and record its run again")
    assert "\n" not in text
    assert len(text) < 400


def test_a_missing_key_two_equal_claims_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    content = make_record(make_claim()).to_dict()
    for text, message in (
        ("{", "is not JSON"),
        ("[]", "is not a record"),
        ('{"version": 1}', "does not match"),
        ("[" * 100_000, "is not JSON"),
        (json.dumps(content | {"trial_seconds": float("nan")}), "is not JSON"),
        (json.dumps(content | {"claims": 2 * list(content["claims"])}), "two verdicts on one"),
        (json.dumps({key: content[key] for key in content if key != "arms"}), "arms does not"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_records(tmp_path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="is a link"):
        read_records(tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_records(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("task.path=/home/me/data/my.txt", "task.path=my.txt"),
        ("'task.path=/home/me/*.md' --config-dir=/srv/mine/", "'task.path=*.md' --config-dir=mine"),
        (r"task.path=C:\Users\me\a.txt", "task.path=a.txt"),
        ("task.path=~/a.txt", "task.path=a.txt"),
        ("flash/time/length512: a/b, 1/8 of 3 / 4", "flash/time/length512: a/b, 1/8 of 3 / 4"),
        ("/home/alice", "~"),
        (r"C:\Users\Alice", "~"),
        (r"\\office\share\a.md", "a.md"),
        ("~alice/a.md and office:/home/alice/b.md", "a.md and office:b.md"),
        ("file:///home/alice/a.md", "a.md"),
        ("outputs/moe/latest and https://moji.or.jp/ipafont/", None),
    ],
)
def test_absolute_paths_become_their_last_component(text: str, expected: str | None) -> None:
    assert without_absolute_paths({"a": [text]}) == {"a": [expected or text]}
