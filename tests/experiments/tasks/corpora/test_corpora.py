"""Corpora: reading, splitting, and rereading after changes."""

import ast
import os
import subprocess
import sys
import threading
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from experiments.tasks import domains
from experiments.tasks.corpora import file_search, japanese, package_text, user_text, windows
from experiments.tasks.corpora.base import CorpusOptions
from experiments.tasks.domains import Domains
from experiments.tasks.text import Text
from experiments.tasks.values import Predict
from experiments.tasks.waves import Waves

SMALL = Domains("domains", 32, ["code", "english", "japanese"], train_bytes=60_000, n_eval=20)


def text(path: Path | str, **changes: object) -> Text:
    options = {"length": 16, "eval_share": 0.25, "n_eval": 6, **changes}
    return Text(kind="text", path=str(path), **options)  # type: ignore[arg-type]


def words(seed: int, n: int = 400) -> str:
    draw = np.random.default_rng(seed)
    return " ".join(str(number) for number in draw.integers(10**6, size=n))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    SMALL.prepare(folder)
    return folder


@pytest.mark.parametrize("length", [1, 2, 7])
def test_rolling_hashes_are_equal_exactly_where_stretches_are(length: int) -> None:
    data = np.random.default_rng(0).integers(0, 3, 300).astype(np.uint8)
    stretches = [data[i : i + length].tobytes() for i in range(300 - length + 1)]
    hashes = windows.rolling_hashes(data, length)
    assert len(hashes) == len(stretches)
    assert len(set(zip(stretches, hashes.tolist(), strict=True))) == len(set(stretches))
    assert len(set(hashes.tolist())) == len(set(stretches))
    assert not len(windows.rolling_hashes(data[:1], 2))


def evaluation_windows(documents: list[bytes], known: windows.Hashes, n: int) -> windows.Bytes:
    """Return the report's windows of documents, for a length of 16."""
    free = windows.unseen_windows(documents, known, 16)
    chosen = windows.report_windows(free, documents, 16, n, "x")
    return windows.stack_windows([free[index] for index in chosen], known, 16)


@pytest.mark.parametrize("planted", [0, 2 * 17, 40 * 17])
def test_a_planted_overlap_is_never_evaluated(planted: int) -> None:
    document = words(1).encode()
    train = words(2).encode() + document[planted : planted + 17] + words(3).encode()
    known = np.sort(windows.rolling_hashes(np.frombuffer(train, np.uint8), 16))
    chosen = evaluation_windows([document], known, 30)
    naive = [w.tobytes()[i : i + 16] in train for w in chosen for i in (0, 1)]
    assert chosen.shape == (30, 17)
    assert not any(naive)
    # Without the training text the planted stretch is evaluated: the test can fail.
    unaware = evaluation_windows([document], known[:0], len(document) // 17)
    assert any(w.tobytes()[i : i + 16] in train for w in unaware for i in (0, 1))


def test_windows_come_from_every_document_and_do_not_overlap() -> None:
    documents = [words(seed, 60).encode() for seed in range(5)]
    windows = evaluation_windows(documents, np.zeros(0, np.uint64), 50)
    places = [[d.find(w.tobytes()) for d in documents] for w in windows]
    owner = [max(range(5), key=row.__getitem__) for row in places]
    assert min(np.bincount(owner, minlength=5)) >= 8
    start = [(o, row[o]) for o, row in zip(owner, places, strict=True)]
    assert all(a[0] < b[0] or a[1] + 17 <= b[1] for a, b in pairwise(start))


def test_no_evaluation_window_occurs_in_training_text(cache: Path) -> None:
    corpus = SMALL.load(cache)
    train = [
        corpus["train"][a:b] for a, b in zip(corpus["bounds"], corpus["bounds"][1:], strict=False)
    ]
    assert [len(part) for part in train] == [60_000] * 3
    for window in corpus["windows"]:
        for stretch in (window[:-1], window[1:]):
            assert not any(stretch.tobytes() in part.tobytes() for part in train)


def test_labels_share_the_evaluation_and_name_their_text(cache: Path) -> None:
    corpus = SMALL.load(cache)
    assert list(corpus["labels"]) == SMALL.domains
    assert np.bincount(corpus["window_label"]).tolist() == [7, 7, 6]  # 20 = 7 + 7 + 6
    japanese = corpus["windows"][corpus["window_label"] == 2]
    others = corpus["windows"][corpus["window_label"] != 2]
    assert (japanese > 127).mean() > 0.6 > 0.05 > (others > 127).mean()


def test_documents_are_split_whole_and_once() -> None:
    for name, split in SMALL.split().items():
        assert len(set(split.held_out)) == len(split.held_out) >= domains.MIN_HELD_OUT, name
        assert not any(
            document in split.train for document in split.held_out if len(document) > 200
        )


@pytest.mark.slow
def test_building_twice_gives_the_same() -> None:
    first, second = (SMALL.arrays(SMALL.split()) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_cached_corpus_is_not_read_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("read again")

    before = SMALL.prepare(cache).fingerprint
    monkeypatch.setattr(CorpusOptions, "arrays", forbidden)
    assert SMALL.prepare(cache).fingerprint == before
    with pytest.raises(AssertionError, match="read again"):
        Domains("domains", 33, ["code"], 1000, 2).prepare(cache)


def test_concurrent_builds_leave_one_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(words(0))
    options = text(tmp_path / "a.txt")
    threads = [threading.Thread(target=options.prepare, args=(tmp_path / "c",)) for _ in "1234"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.suffix for p in (tmp_path / "c").iterdir()] == [".npz"]
    assert options.load(tmp_path / "c")["windows"].shape == (6, 17)


def test_fingerprint_follows_versions_and_options(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CorpusOptions, "arrays", lambda *_: {"nothing": np.zeros(1)})
    before = SMALL.prepare(cache).fingerprint
    other = Domains("domains", 32, ["code", "english", "japanese"], train_bytes=60_000, n_eval=21)
    assert other.prepare(cache).fingerprint != before
    monkeypatch.setattr(package_text, "package_versions", lambda: {"numpy": "0"})
    assert SMALL.prepare(cache).fingerprint != before


def test_waves_have_a_fingerprint_and_no_file(tmp_path: Path) -> None:
    options = Waves("waves", 20, 4, 1000, 30, 0.1, Predict.reconstruct)
    other = Waves("waves", 20, 4, 1000, 30, 0.2, Predict.reconstruct)
    assert options.prepare(tmp_path).fingerprint == options.prepare(tmp_path).fingerprint
    assert options.prepare(tmp_path).fingerprint != other.prepare(tmp_path).fingerprint
    assert not list(tmp_path.iterdir())


def test_fingerprint_follows_contents_not_places(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "elsewhere.txt"
    one.write_text(words(0))
    two.write_text(words(0))
    before = text(one).prepare(tmp_path / "c").fingerprint
    assert text(two).prepare(tmp_path / "c").fingerprint == before
    one.write_text(words(0) + "!")
    assert text(one).prepare(tmp_path / "c").fingerprint != before


def test_folders_are_labels_and_one_folder_is_text(tmp_path: Path) -> None:
    for folder in ("fruit", "birds/sea", ".hidden"):
        (tmp_path / folder).mkdir(parents=True)
        for index in range(4):
            (tmp_path / folder / f"{index}.md").write_text(words(100 * len(folder) + index))
    assert list(user_text.read_documents(str(tmp_path)).documents) == ["fruit", "sea"]
    assert list(user_text.read_documents(f"{tmp_path}/**/*.md").documents) == ["fruit", "sea"]
    assert list(user_text.read_documents(f"{tmp_path}/fruit/*.md").documents) == ["text"]
    corpus = text(tmp_path).load(tmp_path / "c")
    assert list(corpus["labels"]) == ["fruit", "sea"]
    assert np.bincount(corpus["window_label"]).tolist() == [3, 3]


def test_every_label_needs_a_sequence() -> None:
    few = Domains("domains", 32, ["code", "japanese"], 2000, n_eval=1)
    splits = few.split()
    with pytest.raises(ValueError, match=r"task.n_eval=1 must be at least the number of labels, 2"):
        few.arrays(splits)


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.txt").write_text("x")
    for path in ("~/*.txt", "~/a.txt"):
        assert file_search.find_files(path).files == [tmp_path / "a.txt"]


def test_one_file_is_cut_and_several_are_not() -> None:
    assert user_text.split_held_out([b"0123456789"], 0.2) == (b"01234567", [b"89"])
    documents = [b"a" * 50, b"b" * 30, b"c" * 20]
    assert user_text.split_held_out(documents, 0.2) == (b"a" * 50 + b"\n" + b"c" * 20, [b"b" * 30])
    assert user_text.split_held_out(documents, 0.9) == (b"a" * 50, [b"b" * 30, b"c" * 20])


@pytest.mark.parametrize(
    ("files", "name", "changes", "message"),
    [
        ({}, "*.txt", {}, "matches no file"),
        ({"a.txt": ""}, "*.txt", {}, r"has no text \(1 empty file left out\); name"),
        ({"a.txt": "z" * 800}, "a.txt", {}, "text: 6 sequences are needed .* there are 0"),
        ({"a.txt": words(0, 30)}, "a.txt", {"n_eval": 50}, r"held out, but 50 .* need 850"),
        ({"a.txt": words(0, 20)}, "a.txt", {"eval_share": 0.95}, "bytes to train on are too few"),
    ],
)
def test_errors_are_one_line_with_values(
    tmp_path: Path, files: dict[str, str], name: str, changes: dict[str, object], message: str
) -> None:
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        text(tmp_path / name, **changes).prepare(tmp_path / "c")
    assert "\n" not in str(error.value)


def test_what_is_no_file_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "dead.txt").symlink_to("nothing")
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    cases = {"dead": "a link to an existing file", "loop": "", "pipe": "a regular file; give"}
    for name, what in cases.items():
        with pytest.raises(ValueError, match=f"{name}.txt' (is not {what}|.*link)") as error:
            text(tmp_path / f"{name}.txt").prepare(tmp_path / "c")
        assert "\n" not in str(error.value)


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.txt").write_text("x")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ValueError, match=r"a.txt cannot be read \(Permission denied\)"):
        user_text.read_documents(str(tmp_path))


def test_bytes_that_are_no_text_are_fine(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(np.random.default_rng(0).bytes(2000))
    assert len(text(tmp_path / "a.bin").load(tmp_path / "c")["windows"]) == 6


def test_too_much_wanted_of_a_domain_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(domains.DOMAINS, "code", lambda: iter(f"{i} lines" for i in range(99)))
    with pytest.raises(
        ValueError, match=r"domain code has \d+ bytes of training text and \d+ held out"
    ):
        Domains("domains", 32, ["code"], 10**6, 4).split()


def test_code_holds_no_docstrings() -> None:
    for source in islice(package_text.read_code(), 30):
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a class that consists of its docstring
            continue
        assert not [
            ast.get_docstring(n)
            for n in ast.walk(tree)
            if isinstance(n, ast.FunctionDef) and ast.get_docstring(n)
        ]


def test_prose_keeps_sentences_only() -> None:
    docstring = """Return the sum of all the values along one axis of an array.

    Parameters
    ----------
    axis : int, optional
        The axis along which the values are added to one another.

    .. versionadded:: 1.0
        This one is not kept because it is part of a directive.

    >>> add([1, 2, 3])
    6 and some output that would otherwise read like a sentence here
    """
    known_paragraphs: set[str] = set()
    paragraphs = package_text.prose_paragraphs(docstring, known_paragraphs)
    assert paragraphs == [
        "Return the sum of all the values along one axis of an array.",
        "The axis along which the values are added to one another.",
    ]
    assert package_text.prose_paragraphs(docstring, known_paragraphs) == []


def test_japanese_is_japanese() -> None:
    records = list(islice(japanese.generate_japanese(), 40))
    assert len(set(records)) == 40
    assert records == list(islice(japanese.generate_japanese(), 40))
    letters = "".join(records)
    assert sum(char.isascii() and char.isalpha() for char in letters) < 0.01 * len(letters)


def test_planning_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from experiments.tasks.domains import Domains\n"
        "Domains('domains', 32, ['code', 'english', 'japanese'], 20000, 6).prepare("
        f"Path({str(tmp_path)!r}))\n"
        "print([m for m in ('torch', 'pandas', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
