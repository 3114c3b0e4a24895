"""The user's own text: the data of a trial, equal documents, names, and files left out."""

import os
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.tasks import base
from experiments.tasks.corpora import file_search, normalisation, user_text
from experiments.tasks.corpora.base import CorpusOptions
from experiments.tasks.corpora.corpus_arrays import Split, build_arrays
from experiments.tasks.corpora.labels import label_folders
from experiments.tasks.text import split_documents
from runner import registry
from runner.config import ConfigError, Evaluation
from tests.experiments.tasks.corpora.test_corpora import text, words
from tests.support.tiny import TINY

OWN = (
    *(word for word in TINY if not word.startswith("task")),
    "task=text",
    "task.length=16",
    "task.n_eval=6",
    "task.eval_share=0.25",
    "arm=dense",
    "n_seeds=1",
)


def write(folder: Path, **files: str | bytes) -> Path:
    """Write files by name; `__` stands for a slash."""
    for name, content in files.items():
        path = folder / f"{name.replace('__', '/')}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def line(path: Path | str, cache: Path, **changes: object) -> str:
    return text(path, **changes).prepare(cache).summary


# Data identity.


def test_a_trial_gets_the_text_it_was_planned_with(tmp_path: Path) -> None:
    options, cache = text(write(tmp_path / "w", a=words(0), b=words(1))), tmp_path / "c"
    planned = options.prepare(cache).fingerprint
    before = options.load(cache, planned)
    write(tmp_path / "w", a=words(2))
    after = options.load(cache, planned)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    task = options.build(seed=0, batch_size=4, cache=cache, data=planned)
    trained = before["train"].tobytes()
    assert all(row.astype(np.uint8).tobytes() in trained for row in task.batch(0).inputs[0].numpy())


@pytest.mark.parametrize("damage", ["lost", "torn", "empty", "another's"])
def test_a_lost_corpus_is_built_again_from_the_same_text_alone(tmp_path: Path, damage: str) -> None:
    options, cache = text(write(tmp_path / "w", a=words(0), b=words(1))), tmp_path / "c"
    planned = options.prepare(cache).fingerprint
    before = options.load(cache, planned)
    file = cache / f"text-{planned}.npz"

    def harm() -> None:
        if damage == "lost":
            file.unlink()
        elif damage == "another's":
            other = text(write(tmp_path / "v", a=words(7)))
            (cache / f"text-{other.prepare(cache).fingerprint}.npz").replace(file)
        else:
            file.write_bytes(file.read_bytes()[: 3000 * (damage == "torn")])

    harm()
    again = options.load(cache, planned)
    assert all(np.array_equal(before[name], again[name]) for name in before)
    harm()
    write(tmp_path / "w", a=words(2))
    with pytest.raises(ValueError, match="has changed since this trial was planned") as error:
        options.load(cache, planned)
    assert "\n" not in str(error.value)
    assert options.prepare(cache).fingerprint != planned  # a new plan takes the new text


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "w", a=words(0), b=words(1))
    honest, reads = Path.read_bytes, []

    def changing(path: Path) -> bytes:
        data = honest(path)
        if path.suffix == ".txt":
            reads.append(path)
            path.write_text(words(100 + len(reads)))  # the next reading gets another text
        return data

    monkeypatch.setattr(Path, "read_bytes", changing)
    planned = text(tmp_path / "w").prepare(tmp_path / "c").fingerprint
    assert len(reads) == 2
    corpus = text(tmp_path / "w").load(tmp_path / "c", planned)
    assert corpus["train"].tobytes() in (words(0).encode(), words(1).encode())


def test_a_formula_that_has_changed_is_noticed(plan, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = plan(*TINY).arms[0]
    assert arm.config.data == arm.data
    registry.restore_data(arm.config.parts.task, Path("nowhere"), arm.data)
    monkeypatch.setattr(base, "module_code_hashes", lambda *_: ["other code"])
    with pytest.raises(ValueError, match="has changed since this trial was planned"):
        registry.restore_data(arm.config.parts.task, Path("nowhere"), arm.data)


def test_nothing_of_the_outputs_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, a=words(0), b=words(1))
    monkeypatch.chdir(tmp_path)
    cache = Path("outputs/corpora")
    before = {path: text(path).prepare(cache).fingerprint for path in (".", "**/*.txt", "**")}
    write(tmp_path / "outputs/moe/trials/dense/seed-0", log=words(3), more="")
    (tmp_path / "elsewhere").symlink_to("outputs/moe")
    (tmp_path / "log.txt").symlink_to("outputs/moe/trials/dense/seed-0/log.txt")
    for path, planned in before.items():
        assert text(path).prepare(cache).fingerprint == planned
        assert "label text" in line(path, cache)
    for path in ("outputs", "outputs/moe/**/*.txt", "elsewhere", "log.txt"):
        with pytest.raises(ValueError, match="where results are kept"):
            text(path).prepare(cache)


@pytest.mark.parametrize("marker", [".lock", "dense-0/arm.json"])
def test_results_in_another_outputs_folder_are_no_text(tmp_path: Path, marker: str) -> None:
    write(tmp_path, a=words(0), b=words(1))
    cache = tmp_path / "o2" / "corpora"
    before = text(tmp_path).prepare(cache).fingerprint
    write(tmp_path / "o1" / "moe" / "trials" / "dense-0", log=words(3))
    (tmp_path / "o1" / "moe" / "trials" / marker).touch()
    write(tmp_path / "o1" / "moe" / "runs" / "now", note=words(4))
    (tmp_path / "link.txt").symlink_to("o1/moe/trials/dense-0/log.txt")
    for path in (tmp_path, tmp_path / "**/*.txt", tmp_path / "**"):
        assert text(path).prepare(cache).fingerprint == before
        note = line(path, cache)
        assert "2 folders of results left out" in note  # o1/moe and o2
        assert "1 link left out" in note
    for path in ("o1/moe", "o1/moe/**/*.txt", "o1/moe/trials/dense-0/log.txt"):
        with pytest.raises(ValueError, match="holds results of an experiment") as error:
            text(tmp_path / path).prepare(cache)
        assert "\n" not in str(error.value)
    write(tmp_path / "o3" / "trials", c=words(5))  # a user's folder with that name
    assert "read 3 files" in line(tmp_path, cache)


def test_a_pattern_enters_hidden_folders_only_where_it_names_them(tmp_path: Path) -> None:
    write(tmp_path, a__x=words(0), **{".venv__lib__y": words(1), "a__.git__z": words(2)})

    def read(pattern: str) -> list[str]:
        return [file.stem for file in file_search.find_files(f"{tmp_path}/{pattern}").files]

    assert read("**/*.txt") == read("*/*.txt") == ["x"]
    assert read(".venv/**/*.txt") == read(".v*/**/*.txt") == ["y"]
    assert read("**/.git/*.txt") == ["z"]
    left_out = file_search.find_files(f"{tmp_path}/**/*.txt").skipped
    assert file_search.describe_skipped(left_out) == "2 hidden entries"


@pytest.mark.slow
def test_a_study_of_the_current_folder_runs_and_is_reused(run, tmp_path, capsys, monkeypatch):
    write(tmp_path, a=words(0), b=words(1))
    monkeypatch.chdir(tmp_path)
    for said in ("= 1 trial: 0 reused, 1 to compute", "= 1 trial: all reused"):
        run(*OWN, "task.path=.")
        output = capsys.readouterr().out
        assert said in output
        assert 0 <= output.index("note: text: read 2 files") < output.index(said)
    assert len(list((tmp_path / "outputs" / "corpora").iterdir())) == 1


def test_a_text_that_changes_while_arms_are_planned_is_an_error(plan, tmp_path, monkeypatch):
    write(tmp_path / "w", a=words(0), b=words(1))
    path = f"task.path={tmp_path / 'w'}"
    plan(*OWN, path, '+arms.longer=["ffn=dense","task.length=20"]', "arm=[dense,longer]")
    honest = CorpusOptions.prepare

    def then_changed(*arguments, **keep):
        ready = honest(*arguments, **keep)
        write(tmp_path / "w", a=words(len(ready.summary) + arguments[0].length))
        return ready

    monkeypatch.setattr(CorpusOptions, "prepare", then_changed)
    with pytest.raises(ConfigError, match="has changed since this command began"):
        plan(*OWN, path, '+arms.longer=["ffn=dense","task.length=20"]', "arm=[dense,longer]")


# One text, written in several ways.

ACCENTS = " ".join(f"caf\u00e9 n\u00b0{n} \u00fcber \uff11\uff12 {n * n}" for n in range(150))
SAME = {
    "crlf": words(0).replace(" ", "\n").replace("\n", "\r\n"),
    "cr": words(0).replace(" ", "\r"),
    "spaces": "\n\n" + words(0).replace(" ", " \t ") + "   \n",
    "bom": b"\xef\xbb\xbf" + words(0).encode(),
    "utf16": words(0).encode("utf-16"),
    "utf16be": b"\xfe\xff" + words(0).encode("utf-16-be"),
    "utf32": words(0).encode("utf-32"),
    "unseen": words(0).replace("1", "\u200b1"),
}


@pytest.mark.parametrize("way", SAME)
def test_a_text_written_in_two_ways_is_one_document(tmp_path: Path, way: str) -> None:
    plain = words(0).replace(" ", "\n") if way in ("crlf", "cr") else words(0)
    write(tmp_path / "w", plain=plain, other=SAME[way], third=words(5))
    reading = user_text.read_documents(str(tmp_path / "w"))
    assert {label: len(documents) for label, documents in reading.documents.items()} == {"text": 2}
    assert "read 2 files" in line(tmp_path / "w", tmp_path / "c")
    assert "1 copy left out" in line(tmp_path / "w", tmp_path / "c")


@pytest.mark.parametrize("form", ["NFD", "NFKC", "NFKD"])
def test_unicode_forms_are_one_document(tmp_path: Path, form: str) -> None:
    write(tmp_path, a=ACCENTS, b=unicodedata.normalize(form, ACCENTS))
    assert len(user_text.read_documents(str(tmp_path)).documents["text"]) == 1


def test_texts_that_differ_in_a_word_are_two(tmp_path: Path) -> None:
    write(tmp_path, a=words(0), b=words(0) + "x", c=words(0).upper() + " X")
    assert len(user_text.read_documents(str(tmp_path)).documents["text"]) == 3


def test_a_copy_under_another_label_is_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path / "w", a__x=words(0), b__y=words(1), b__z=words(0).replace(" ", "\r\n"))
    write(tmp_path / "w", c__only=words(1) + "\n")
    note = line(tmp_path / "w", tmp_path / "c")
    assert "labels a and b," in note
    assert "2 copies left out" in note
    assert "only copies in c" in note


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda t: t.replace(" ", "\r\n"),
        lambda t: t.replace(" ", "  "),
        lambda t: "\ufeff" + t,
        lambda t: unicodedata.normalize("NFD", t),
    ],
    ids=["line ends", "white space", "BOM", "Unicode form"],
)
def test_part_of_a_text_written_another_way_is_no_fresh_window(rewritten) -> None:
    """Repeated parts of documents: a letter that quotes another, or two versions of one file."""
    shared = " ".join(f"caf\u00e9 {n}" for n in np.random.default_rng(0).integers(10**6, size=300))
    train, held_out = shared.encode(), rewritten(shared).encode() + b"\n" + words(8, 60).encode()
    arrays = build_arrays({"text": Split(train, [held_out])}, 16, 5, dedup_normalised=True)
    own = normalisation.normalise(held_out[-len(words(8, 60)) - 12 :])
    for window in np.concatenate([arrays["windows"], arrays["tuning_windows"]]):
        assert normalisation.normalise(window.tobytes()[-9:]) in own
    if rewritten(shared) != "\ufeff" + shared:  # the test can fail
        unaware = build_arrays({"text": Split(train, [held_out])}, 16, 5, dedup_normalised=False)
        assert any(w.tobytes()[-9:] not in own for w in unaware["windows"])


# Names.


def test_folders_of_one_name_are_two_labels(tmp_path: Path) -> None:
    write(tmp_path, en__notes__a=words(0), ja__notes__a=words(1), birds__sea__a=words(2))
    assert list(user_text.read_documents(str(tmp_path)).documents) == [
        "en:notes",
        "ja:notes",
        "sea",
    ]


def test_labels_never_fall_together_and_can_be_written(tmp_path: Path) -> None:
    names = ["en/notes", "ja/notes", "en:notes", "v\u2028x", "a\nb", "a\\x0ab", "l" * 200]
    names += ["l" * 199 + "m", " ", "1", "01", "\u202e", "e\u0301", "\u00e9", "小説　全集", "NA"]
    raw = [os.fsencode(tmp_path / name) for name in names]
    raw += [os.fsencode(tmp_path) + b"/" + name.encode("shift_jis") for name in ("小説", "小節")]
    for index, folder in enumerate(raw):
        os.makedirs(folder)  # noqa: PTH103
        with open(folder + b"/\x8f.txt", "w") as file:  # noqa: PTH123
            file.write(words(index))
    labels = list(user_text.read_documents(str(tmp_path)).documents)
    assert len(labels) == len(set(labels)) == len(raw)
    for label in labels:
        label.encode()
        assert "/" not in label
        assert len(label.splitlines()) == 1
        assert label == label.strip()
        assert len(label) < 60
    assert len({float(label) for label in labels if label.isdigit()}) == sum(
        label.isdigit() for label in labels
    )
    assert {"小説　全集", "NA", "\\x8f\\xac\\x90\\xe0"} <= set(labels)


@pytest.mark.parametrize(
    "names",
    [
        ("true", "True", "TRUE"),
        ("007", "7", "7.0"),
        ("1e3", "1000"),
        ("nan", "NaN"),
        ("inf", "Inf"),
    ],
)
def test_labels_that_look_like_the_same_value_are_distinct_when_read(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    labels = label_folders([tmp_path / name for name in names]).values()
    table = tmp_path / "table.csv"
    table.write_text("label\n" + "\n".join(labels) + "\n")
    for options in ({}, {"dtype": {"label": str}}):
        read = pd.read_csv(table, keep_default_na=False, **options)["label"]
        assert read.nunique() == len(names)


@pytest.mark.slow
def test_a_trial_runs_under_a_name_that_is_no_utf8(run, tmp_path: Path) -> None:
    for number, name in enumerate((b"\x8f\xac\x90\xe0", "a\u2028b".encode())):
        folder = os.fsencode(tmp_path / "w") + b"/" + name
        os.makedirs(folder)  # noqa: PTH103
        with open(folder + b"/t.txt", "w") as file:  # noqa: PTH123
            file.write(words(number))
    run(*OWN[:-2], "arm=moe_top2", "baseline=moe_top2", "n_seeds=1", f"task.path={tmp_path / 'w'}")
    [curves] = (tmp_path / "outputs").rglob("metrics.csv")
    assert "/a\\u2028b/expert0" in curves.read_text()


def test_a_path_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not valid UTF-8"):
        text(os.fsdecode(os.fsencode(tmp_path) + b"/\x8f"))


# Files that are read and files that are left out.


def test_links_are_named_or_followed_and_never_in_circles(tmp_path: Path) -> None:
    folder = write(tmp_path / "w", a__x=words(0), b__y=words(1))
    write(tmp_path / "v", z=words(2))
    (folder / "again").symlink_to(folder / "a")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "dead").symlink_to("nothing")
    (folder / "a" / "x2.txt").symlink_to("x.txt")
    for path in (folder, f"{folder}/**", f"{folder}/**/*.txt"):
        assert len(file_search.find_files(str(path)).files) == 2
    assert "read 2 files" in line(folder, tmp_path / "c")
    assert "4 links left out" in line(folder, tmp_path / "c")
    (folder / "b" / "z.txt").symlink_to(tmp_path / "v" / "z.txt")  # only read here
    assert "read 3 files" in line(folder, tmp_path / "c")
    (tmp_path / "link").symlink_to(folder)
    assert len(file_search.find_files(str(tmp_path / "link")).files) == 3  # the user names it


@pytest.mark.parametrize(
    "pattern", ["my [draft]/*.txt", "my [draft]", "my [draft]/**", "m? [[]d*/*", "**/n.txt"]
)
def test_brackets_in_a_name_that_exists(tmp_path: Path, pattern: str) -> None:
    write(tmp_path / "my [draft]", n="x")
    assert file_search.find_files(f"{tmp_path}/{pattern}").files == [
        tmp_path / "my [draft]" / "n.txt"
    ]
    with pytest.raises(ValueError, match=r"\[ begins a set of characters"):
        file_search.find_files(f"{tmp_path}/your [draft]/*.txt")


def test_two_stars_at_the_end_are_all_files_below(tmp_path: Path) -> None:
    write(tmp_path, a=words(0), b__c__d=words(1))
    assert (
        file_search.find_files(f"{tmp_path}/**").files
        == file_search.find_files(str(tmp_path)).files
    )
    assert len(file_search.find_files(f"{tmp_path}/**").files) == 2
    with pytest.raises(ValueError, match=r"matches no file \(1 folder left out\); add /\*\*"):
        file_search.find_files(f"{tmp_path}/b/*")


def test_what_is_no_text_is_left_out_with_a_word(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(1, 256, 4000).astype(np.uint8).tobytes()
    folder = write(
        tmp_path / "w", a=words(0), b=words(1), zip=noise, empty=" \n", latin=b"\xe9t\xe9 "
    )
    (folder / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(900))
    (folder / ".DS_Store").write_bytes(b"\0")
    os.mkfifo(folder / "pipe")
    note = line(folder, tmp_path / "c")
    assert note.startswith("text: read 3 files, ")
    for part in ("2 files that are not text", "1 empty file", "1 hidden entry", "1 special file"):
        assert f"{part} left out" in note
    assert "\n" not in note
    with pytest.raises(ValueError, match=r"has no text \(1 file that is not text left"):
        user_text.read_documents(f"{folder}/*.png")
    assert (
        len(user_text.read_documents(str(folder / "zip.txt")).documents["text"]) == 1
    )  # named itself


def test_two_equal_files_are_one_whose_tail_is_held_out(tmp_path: Path) -> None:
    folder = write(tmp_path / "w", a=words(0), b=words(0))
    assert line(folder, tmp_path / "c", eval_share=0.1) == (
        "text: read 1 file, 2.7 kB, label text, held out 10 %, 1 copy left out"
    )


def test_the_line_names_labels_and_the_actual_share(tmp_path: Path) -> None:
    folder = write(tmp_path / "w", a__x="x" + words(0), b__y=words(1), b__z=words(2))
    (folder / "link").symlink_to(folder / "a")
    note = line(folder, tmp_path / "c", eval_share=0.1)
    assert note.startswith("text: read 3 files, 8.3 kB, labels a and b, held out 37 %, 1 link")


def test_an_empty_file_gives_no_label(tmp_path: Path) -> None:
    write(tmp_path / "w", a=words(0), outputs__log="", more__log=" \r\n")
    assert list(user_text.read_documents(str(tmp_path / "w")).documents) == ["text"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "w", a__x=words(0))
    (folder / "a").chmod(0)
    try:
        with pytest.raises(ValueError, match=r"w/a cannot be read \(Permission denied\)"):
            file_search.find_files(str(folder))
    finally:
        (folder / "a").chmod(0o700)


@pytest.mark.parametrize("path", ["~nobody_of_this_name/x", "x" * 5000, "a/" * 3000])
def test_paths_that_no_system_takes_are_one_line(path: str) -> None:
    with pytest.raises(ValueError, match=r"task\.path=") as error:
        file_search.find_files(path)
    assert "\n" not in str(error.value)


def test_splitting_takes_time_in_proportion() -> None:
    documents = [b"%d" % i * 10 for i in range(40_000)]
    began = time.process_time()
    train, held_out = user_text.split_held_out(documents, 0.1)
    assert time.process_time() - began < 2  # 10 s when each document summed those before it
    total = sum(map(len, documents))
    assert 0.1 * total <= sum(map(len, held_out)) < 0.1 * total + 50
    assert len(train) + sum(map(len, held_out)) == total + len(documents) - len(held_out) - 1


# Tuning.


@pytest.mark.slow
def test_tuning_of_too_little_text_is_refused_in_the_plan(run, tmp_path: Path) -> None:
    path = f"task.path={write(tmp_path / 'w', a=words(0, 300))}"
    grid = ("tune=lr", "tune.grid=[0.001,0.01,0.1]", "tune.n_seeds=1", "task.n_eval=25")
    with pytest.raises(ConfigError, match="tuning needs 25 held-out sequences of its") as error:
        run(*OWN, path, *grid)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "outputs" / "moe").exists()


def test_a_tuned_study_of_text_chooses_and_reports_by_different_windows(tmp_path: Path) -> None:
    options = text(write(tmp_path / "w", **{f"f{i}": words(i, 80) for i in range(12)}))
    cache = tmp_path / "c"
    ready = options.prepare(cache, Evaluation.tuning)
    corpus = options.load(cache, ready.fingerprint)
    report, tuning = corpus["windows"], corpus["tuning_windows"]
    assert len(report) == len(tuning) == 6
    documents = user_text.read_documents(options.path).documents
    held_out = split_documents(documents, options.eval_share)["text"].held_out
    of = [[next(i for i, d in enumerate(held_out) if w.tobytes() in d) for w in windows]
          for windows in (report, tuning)]  # fmt: skip
    if len(held_out) > len(set(of[0])):
        assert not set(of[0]) & set(of[1])  # whole documents that the report leaves
    few = replace(options, n_eval=80)
    assert len(few.load(cache)["windows"])
    with pytest.raises(ValueError, match="tuning needs"):
        few.prepare(cache, Evaluation.tuning)
