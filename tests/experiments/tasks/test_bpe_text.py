"""Text as tokens of a learned vocabulary: lengths in bytes, the split, and losses per byte."""

import importlib.util
import json
import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("tokenizers")

from experiments.tasks.corpora import bpe, token_windows
from experiments.tasks.corpora.corpus_arrays import Split, build_arrays
from experiments.tasks.text import Text, Tokenizer
from runner.config import Evaluation
from runner.trial.training import evaluate
from tests.support.environment import child_environment
from tests.support.tiny import TINY

WORDS = [
    "".join(random.Random(i).choices("abcdefghij", k=random.Random(i).randint(2, 7)))
    for i in range(300)
]


def words(seed: int, n: int = 1500) -> str:
    rng = random.Random(seed)
    ends = [" ", " ", " ", ", ", ".\n", "é ", "日本 "]
    return "".join(rng.choice(WORDS) + rng.choice(ends) for _ in range(n))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text")
    for index in range(12):
        side = path / ("even" if index % 2 == 0 else "odd")
        side.mkdir(exist_ok=True)
        (side / f"{index}.txt").write_text(words(index), encoding="utf-8")
    return path


def options(folder: Path, **values: object) -> Text:
    chosen = {"length": 12, "eval_share": 0.25, "n_eval": 10, "vocabulary": 400} | values
    return Text("text", path=str(folder), tokenizer=Tokenizer.bpe, **chosen)  # type: ignore[arg-type]


def build(folder: Path, cache: Path, evaluation: Evaluation = Evaluation.report, **values: object):
    text = options(folder, **values)
    return text.build(seed=0, batch_size=4, cache=cache, evaluation=evaluation)


def test_the_texts_of_the_tokens_are_the_text():
    texts = [words(1).encode(), bytes(range(256)) * 3, b"", "日本語のテキスト".encode() * 40]
    vocabulary = bpe.learn_vocabulary(texts, 300)
    assert len(vocabulary.texts) == 300
    assert sorted(vocabulary.texts[:256]) == [bytes([byte]) for byte in range(256)]
    for text in [*texts, random.Random(0).randbytes(5000), b"a" * 200_000, b"\n" * 70_000]:
        ids = vocabulary.encode(text)
        assert b"".join(vocabulary.texts[i] for i in ids) == text
        assert int(vocabulary.sizes()[ids].sum()) == len(text)


LONG_RUNS = {
    "one letter": b"a" * 3000,
    "digits": b" " + b"0123456789" * 300,
    "signs": b"-=" * 1500,
    "white space": b" " * 1000 + b"word" + b" \t" * 900,
    "base64": random.Random(0).randbytes(3000).hex().encode(),
    "Chinese": "日本語文".encode() * 300,
    "not UTF-8": b"\x80" * 1000 + b"\xff" * 500,
}


@pytest.mark.parametrize("text", LONG_RUNS.values(), ids=LONG_RUNS)
def test_a_long_run_is_several_words_and_keeps_its_bytes(text: bytes):
    vocabulary = bpe.learn_vocabulary([words(1).encode(), text], 300)
    pieces = vocabulary.tokenizer.pre_tokenizer.pre_tokenize_str(text.decode("latin-1"))
    lengths = [len(piece) for piece, _ in pieces]
    assert max(lengths) <= bpe.LONGEST_WORD + 1  # the space before a word is not counted
    assert b"".join(vocabulary.texts[i] for i in vocabulary.encode(text)) == text


def test_a_long_run_of_characters_is_cut_between_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bpe, "LONGEST_CHUNK", 2 * bpe.LONGEST_WORD)
    for character in "é", "語", "😀":
        text = (character * 200).encode()
        vocabulary = bpe.learn_vocabulary([text], 258)
        for chunk in bpe._chunks(text):
            for piece, _ in vocabulary.tokenizer.pre_tokenizer.pre_tokenize_str(chunk):
                piece.encode("latin-1").decode()


def test_words_within_the_limit_are_as_without_one(monkeypatch: pytest.MonkeyPatch):
    text = (words(1) + " " * 50 + "x" * 60 + " " + "y" * 60 + "\n\n  z 7 -- ").encode()
    vocabulary = bpe.learn_vocabulary([text], 400)
    monkeypatch.setattr(bpe, "WORDS", bpe.WORDS.replace(f"{{1,{bpe.LONGEST_WORD}}}", "+"))
    without = bpe.learn_vocabulary([text], 400)
    assert vocabulary.texts == without.texts
    assert vocabulary.encode(text).tolist() == without.encode(text).tolist()


def test_a_chunk_is_bounded_and_ends_after_a_line_if_it_can(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bpe, "CHUNK_BYTES", 10)
    monkeypatch.setattr(bpe, "LONGEST_CHUNK", 20)
    text = b"a line of 17 bytes\n" * 2 + b"b" * 50 + b"\nend"
    chunks = [chunk.encode() for chunk in bpe._chunks(text)]
    assert b"".join(chunks) == text
    assert [len(chunk) for chunk in chunks] == [19, 19, 20, 20, 11, 3]


def test_a_vocabulary_is_the_same_for_another_order_of_the_texts():
    texts = [words(seed).encode() for seed in range(6)]
    first = bpe.learn_vocabulary(texts, 500).texts
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        assert bpe.learn_vocabulary(texts, 500).texts == first


def test_another_process_and_other_paths_learn_the_same(folder: Path, tmp_path: Path):
    other = tmp_path / "other"
    for index in reversed(range(12)):
        side = other / ("even" if index % 2 == 0 else "odd")
        side.mkdir(exist_ok=True, parents=True)
        (side / f"{99 - index}.md").write_text(words(index), encoding="utf-8")
    first, second = options(folder), options(other)
    assert first.prepare(tmp_path / "a").fingerprint == second.prepare(tmp_path / "a").fingerprint
    mine = first.load(tmp_path / "b")
    code = (
        "import sys, hashlib; from pathlib import Path; sys.path.insert(0, '.');"
        "from experiments.tasks.text import Text, Tokenizer;"
        f"o = Text('text', 12, {str(other)!r}, 0.25, 10, Tokenizer.bpe, 400);"
        f"a = o.load(Path({str(tmp_path / 'c')!r}));"
        "print([hashlib.sha256(a[n].tobytes()).hexdigest() for n in sorted(a)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    import hashlib

    expected = [hashlib.sha256(mine[name].tobytes()).hexdigest() for name in sorted(mine)]
    assert done.stdout.strip() == str(expected)


def test_the_vocabulary_is_learned_from_the_training_text_alone():
    train = " ".join(["alpha beta"] * 200).encode()
    held_out = " ".join(["gamma delta"] * 200).encode()
    split = {"text": Split(train, [held_out])}
    arrays = build_arrays(split, 8, 2, dedup_normalised=True, vocabulary_size=265)
    texts = token_windows.read_token_texts(arrays)
    learned = [text for text in texts if len(text) > 1]
    assert learned
    assert all(text in b" alpha beta alpha" for text in learned)


@pytest.mark.parametrize("evaluation", Evaluation)
def test_no_stretch_of_a_window_occurs_in_the_training_text(
    folder: Path, tmp_path: Path, evaluation: Evaluation
):
    data = build(folder, tmp_path, evaluation)
    corpus = options(folder).load(tmp_path)
    texts = token_windows.read_token_texts(corpus)
    train = b"".join(texts[i] for i in corpus["train"])
    for row in data.held_out[0]:
        text = b"".join(texts[i] for i in row)
        assert len(row) == 13
        for start in range(len(text) - 12 + 1):
            assert text[start : start + 12] not in train
    if evaluation is Evaluation.tuning:
        report = b"\0".join(b"".join(texts[i] for i in row) for row in corpus["windows"])
        for row in data.held_out[0]:
            text = b"".join(texts[i] for i in row)
            assert all(text[s : s + 12] not in report for s in range(len(text) - 11))


def test_a_planted_overlap_leaves_no_window():
    train = words(1).encode()
    held_out = words(2).encode()[:3000]
    stolen = train[700:900]
    documents = [held_out, held_out[:1500] + stolen + held_out[1500:]]
    arrays = build_arrays(
        {"text": Split(train, documents)}, 12, 20, dedup_normalised=False, vocabulary_size=300
    )
    texts = token_windows.read_token_texts(arrays)
    windows = [b"".join(texts[i] for i in row) for row in arrays["windows"]]
    assert not [w for w in windows for s in range(len(w) - 11) if w[s : s + 12] in stolen]


def test_text_in_another_form_is_no_window():
    """Held-out text that repeats training text with other white space is known."""
    train = words(1).encode()
    respaced = train[200:3200].replace(b" ", b"  ")
    fresh = words(5).encode()
    split = {"text": Split(train, [respaced, fresh])}
    arrays = build_arrays(split, 24, 10, dedup_normalised=True, vocabulary_size=300)
    texts = token_windows.read_token_texts(arrays)
    for row in arrays["windows"]:
        assert b"".join(texts[i] for i in row) in fresh


def test_the_windows_of_bytes_are_one_piece():
    window = token_windows.Window(0, np.arange(13, dtype=np.uint8))
    ((piece,),) = token_windows.cut_pieces([window], 12)
    assert piece.tolist() == window.text.tolist()
    longer = token_windows.Window(0, np.arange(30, dtype=np.uint8))
    (pieces,) = token_windows.cut_pieces([longer], 12)
    assert [int(each[0]) for each in pieces] == [0, 13, 17]
    assert all(len(each) == 13 for each in pieces)


class Constant(torch.nn.Module):
    """A model with the same logits at every position."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, inputs, keep=None):  # noqa: ARG002
        prediction = self.logits.expand(*inputs.shape, len(self.logits))
        return type("Output", (), {"prediction": prediction})


def test_a_uniform_model_has_the_log_of_the_vocabulary_per_token_and_that_by_bytes(
    folder: Path, tmp_path: Path
):
    data = build(folder, tmp_path)
    values = evaluate(Constant(torch.zeros(400)), data, [], torch.device("cpu"))
    texts = token_windows.read_token_texts(options(folder).load(tmp_path))
    target = data.held_out[0][:, 1:]
    n_bytes = sum(len(texts[i]) for i in target.ravel())
    assert values["val/loss"] == pytest.approx(math.log(400), rel=1e-6)
    assert values["val/nats_per_byte"] == pytest.approx(
        math.log(400) * target.size / n_bytes, rel=1e-6
    )
    assert n_bytes > 1.5 * target.size
    assert (data.unit, data.vocabulary) == ("nats/token of 400", 400)


def test_bytes_have_the_same_loss_per_byte(folder: Path, tmp_path: Path):
    plain = Text("text", 12, str(folder), 0.25, 10)
    data = plain.build(seed=0, batch_size=4, cache=tmp_path)
    values = evaluate(Constant(torch.arange(256.0)), data, [], torch.device("cpu"))
    assert values["val/nats_per_byte"] == values["val/loss"]
    assert data.unit == "nats/byte"


def test_the_fingerprint_covers_the_vocabulary_and_the_version(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = options(folder).fingerprint(tmp_path)
    assert options(folder, vocabulary=401).fingerprint(tmp_path) != before
    assert Text("text", 12, str(folder), 0.25, 10).fingerprint(tmp_path) != before
    monkeypatch.setattr(bpe, "bpe_version", lambda: "9.9")
    assert options(folder).fingerprint(tmp_path) != before


def test_batches_are_training_text_of_their_label(folder: Path, tmp_path: Path):
    data = build(folder, tmp_path)
    corpus = options(folder).load(tmp_path)
    bounds = corpus["bounds"]
    for step in range(5):
        batch = data.batch(step)
        for row, label in zip(batch.inputs[0].numpy(), batch.label.tolist(), strict=True):
            part = corpus["train"][bounds[label] : bounds[label + 1]].tobytes()
            assert row.astype(np.uint16).tobytes() in part


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tokenizer": Tokenizer.bytes}, "vocabulary=400 needs tokenizer=bpe"),
        ({"vocabulary": None}, "tokenizer=bpe needs a vocabulary, e.g. task.vocabulary=4096"),
        ({"vocabulary": 256}, "vocabulary=256 must lie between 257 and 65536"),
        ({"vocabulary": 65537}, "vocabulary=65537 must lie between 257 and 65536"),
    ],
)
def test_a_bad_vocabulary_is_refused(values: dict[str, object], message: str):
    chosen = {"tokenizer": Tokenizer.bpe, "vocabulary": 400} | values
    with pytest.raises(ValueError, match=message):
        Text("text", 12, "a.txt", 0.1, 10, **chosen)  # type: ignore[arg-type]


def test_a_vocabulary_that_the_text_cannot_fill_is_refused(folder: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"task.vocabulary=60000: the training text has only \d+"):
        options(folder, vocabulary=60000).prepare(tmp_path)


def test_a_text_without_any_merge_is_left_to_bytes():
    with pytest.raises(ValueError, match=r"only 256 tokens .*; use task.tokenizer=bytes, or give"):
        bpe.learn_vocabulary([b"1a-" * 100], 257)


def test_without_the_package_there_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"python -m pip install tokenizers") as caught:
        Text("text", 12, "a.txt", 0.1, 10, Tokenizer.bpe, 400)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["moe", "ffn", "head_analysis", "gqa_vs_mha"])
def test_arms_with_bytes_and_tokens_are_compared_per_byte(
    folder: Path, tmp_path: Path, experiment: str
):
    arm = (
        f"task=text,task.path={folder},task.length=12,task.n_eval=10,"
        "task.eval_share=0.25,match.by=none"
    )
    more = [f'"{each}"' for each in arm.split(",")]
    tokens = [*more, '"task.tokenizer=bpe"', '"task.vocabulary=300"']
    sizes = [w for w in TINY if w.startswith(("model", "training")) or w == "scale=smoke"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "runner", f"experiment={experiment}", *sizes),
            *(f"+arms.raw=[{','.join(more)}]", f"+arms.tok=[{','.join(tokens)}]"),
            *("arm=[raw,tok]", "baseline=raw", "n_seeds=2", "controls=[]"),
        ],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    values = {}
    for arm in ("raw", "tok"):
        (path,) = tmp_path.glob(f"outputs/*/trials/{arm}/seed-0/result.json")
        rows = json.loads(path.read_text())["results"]
        values[arm] = {row["metric"]: (row["value"], row["unit"]) for row in rows}
    assert values["raw"]["val/nats_per_byte"][0] == values["raw"]["val/loss"][0]
    assert values["tok"]["val/loss"][1] == "nats/token of 300"
    assert values["tok"]["val/nats_per_byte"][0] < values["tok"]["val/loss"][0]
