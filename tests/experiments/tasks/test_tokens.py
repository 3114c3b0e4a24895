"""Token ids from files: their form, the split, batches, losses, and memory."""

import dataclasses
import io
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.tasks.corpora import token_files, token_split
from experiments.tasks.tokens import IdType, Tokens, TokensTask
from runner.config import Evaluation
from runner.trial.training import evaluate
from tests.support.environment import child_environment
from tests.support.tiny import TINY

RNG = np.random.default_rng(0)


def options(path: Path | str, **values: Any) -> Tokens:
    chosen = {
        "length": 8,
        "held_out_path": "",
        "vocabulary": 500,
        "dtype": IdType.uint16,
        "eval_share": 0.2,
        "document_id": None,
        "bytes_per_token": None,
        "n_eval": 10,
    } | values
    return Tokens("tokens", path=str(path), **chosen)


def ids_of(n: int, seed: int = 0, low: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, 500, n).astype(np.uint16)


def write(path: Path, ids: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, ids)
    else:
        ids.tofile(path)
    return path


def built(tokens: Tokens, cache: Path, evaluation: Evaluation = Evaluation.report, **more: Any):
    task: TokensTask = tokens.build(
        **{"seed": 0, "batch_size": 6, "cache": cache, "evaluation": evaluation, **more}
    )
    return task


def rows_in(ids: np.ndarray, n: int) -> set[bytes]:
    return {ids[start : start + n].astype(np.int64).tobytes() for start in range(len(ids) - n + 1)}


@pytest.mark.parametrize("suffix", [".bin", ".npy"])
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_ids_are_those_of_the_file(tmp_path: Path, suffix: str, dtype: type):
    ids = ids_of(3000).astype(dtype)
    tokens = options(write(tmp_path / f"a{suffix}", ids), dtype=IdType(np.dtype(dtype).name))
    assert "2,400 to train on, 600 held out" in tokens.prepare(tmp_path / "c").summary
    task = built(tokens, tmp_path / "c")
    train, held_out = rows_in(ids[:2400], 9), rows_in(ids[2400:], 9)
    for step in range(30):
        batch = task.batch(step)
        assert torch.equal(batch.inputs[0][:, 1:], batch.target[:, :-1])
        whole = torch.cat([batch.inputs[0], batch.target[:, -1:]], dim=1).numpy()
        assert all(row.tobytes() in train for row in whole)
    for evaluation in Evaluation:
        rows = built(tokens, tmp_path / "c", evaluation).held_out[0].astype(np.int64)
        assert rows.shape == (10, 9)
        assert all(row.tobytes() in held_out for row in rows)


def test_every_place_of_training_can_be_drawn(tmp_path: Path):
    ids = np.arange(60, dtype=np.uint16)
    for name, part in {"a": ids[:20], "b": ids[20:27], "c": ids[27:]}.items():
        write(tmp_path / f"{name}.bin", part)
    tokens = options(tmp_path / "*.bin", eval_share=0.2, n_eval=1)
    task = built(tokens, tmp_path / "k", batch_size=3000)
    starts = set(task.batch(0).inputs[0][:, 0].tolist())
    # Windows of 9 ids within a file: a has 12 starts, b none, c has 21 before its end is held out.
    assert starts == {*range(12), *range(27, 40)}


def test_batches_are_a_pure_function_of_seed_and_step(tmp_path: Path):
    tokens = options(write(tmp_path / "a.bin", ids_of(3000)))
    one, other = built(tokens, tmp_path / "c"), built(tokens, tmp_path / "c")
    other.batch(1)
    assert torch.equal(one.batch(5).target, other.batch(5).target)
    assert not torch.equal(one.batch(5).target, one.batch(6).target)
    assert not torch.equal(
        one.batch(5).target, built(tokens, tmp_path / "c", seed=1).batch(5).target
    )
    held_out = [built(tokens, tmp_path / "c", seed=seed).held_out[0] for seed in (0, 9)]
    assert np.array_equal(*held_out)


def test_the_split_is_disjoint_by_brute_force(tmp_path: Path):
    """Ids that repeat every 700 put training text behind the cut; such windows are not used."""
    ids = ids_of(4000)
    ids[3500:3700] = ids[100:300]
    tokens = options(write(tmp_path / "a.bin", ids), n_eval=12)
    data = tokens.prepare(tmp_path / "c")
    train = rows_in(ids[:3200], 8)
    sides = [built(tokens, tmp_path / "c", e).held_out[0].astype(np.int64) for e in Evaluation]
    for row in np.concatenate(sides):
        assert row[:-1].tobytes() not in train
        assert row[1:].tobytes() not in train
    report, tuning = ({row.tobytes() for row in side} for side in sides)
    assert not report & tuning
    # 88 windows follow each other in the 800 held-out ids, of which 48 are compared.
    chosen = [3200 + slot * 88 // 48 * 9 for slot in range(48)]
    n_known = sum(
        ids[start + k : start + k + 8].astype(np.int64).tobytes() in train
        for start in chosen
        for k in (0,)
    )
    assert n_known
    assert f"{n_known} of 48 held-out windows occur in 3,200 training ids" in data.summary
    assert data.summary.endswith("that were searched, which are not used")


def test_training_on_the_held_out_ids_is_refused(tmp_path: Path):
    half = ids_of(1000)
    tokens = options(write(tmp_path / "a.bin", np.concatenate([half, half])), eval_share=0.5)
    with pytest.raises(
        ValueError,
        match=r"40 of 40 held-out sequences repeat 8 ids of the training data, and 0 are left",
    ):
        tokens.prepare(tmp_path / "c")


def test_whole_documents_are_held_out(tmp_path: Path):
    ids = ids_of(3000, low=1)
    ends = [*range(150, 3000, 170)]
    ids[ends] = 0
    tokens = options(write(tmp_path / "a.bin", ids), document_id=0)
    sides = tokens.sides(tmp_path / "c", keep=False)
    cut = next(end + 1 for end in ends if end >= 2400)
    assert [(each.first, each.last) for each in sides.train] == [(0, cut)]
    assert [(each.first, each.last) for each in sides.held_out] == [(cut, 3000)]
    with pytest.raises(ValueError, match="no document begins in the last 1 % of the ids"):
        options(tmp_path / "a.bin", document_id=0, eval_share=0.01).prepare(tmp_path / "c")


def test_files_of_their_own_are_held_out(tmp_path: Path):
    train, held_out = ids_of(900, 1), ids_of(400, 2)
    tokens = options(
        write(tmp_path / "train.bin", train), held_out_path=str(write(tmp_path / "v.npy", held_out))
    )
    rows = built(tokens, tmp_path / "c").held_out[0].astype(np.int64)
    assert all(row.tobytes() in rows_in(held_out, 9) for row in rows)
    assert "900 to train on, 400 held out" in tokens.prepare(tmp_path / "c").summary


def test_held_out_files_are_not_trained_on(tmp_path: Path):
    """A glob of training files may include the held-out ones, also by a link."""
    (tmp_path / "data").mkdir()
    for seed, name in enumerate(("a", "b", "val")):
        write(tmp_path / f"data/{name}.bin", ids_of(900, seed))
    (tmp_path / "v.bin").symlink_to(tmp_path / "data/val.bin")
    os.link(tmp_path / "data/val.bin", tmp_path / "w.bin")
    both = options(tmp_path / "data/[ab].bin", held_out_path=f"{tmp_path}/data/val.bin")
    without = both.prepare(tmp_path / "c")
    assert "1,800 to train on, 900 held out" in without.summary
    assert "held out; 0 of" in without.summary
    for held_out in ("data/val.bin", "v.bin", "w.bin"):
        tokens = options(tmp_path / "data/*.bin", held_out_path=f"{tmp_path}/{held_out}")
        data = tokens.prepare(tmp_path / "c")
        assert data.summary == f"{without.summary}; 1 file of path is held out"
        assert data.fingerprint == without.fingerprint


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ("a.bin", "has no file that task.held_out_path=.* has not, so nothing is left to train on"),
        ("link.bin", "has no file that task.held_out_path="),
        ("copy.bin", r"copy\.bin has the same ids as .*a\.bin, which is for training; leave out"),
    ],
)
def test_training_files_are_not_held_out(tmp_path: Path, held_out: str, message: str):
    write(tmp_path / "a.bin", ids_of(3000))
    (tmp_path / "copy.bin").write_bytes((tmp_path / "a.bin").read_bytes())
    (tmp_path / "link.bin").symlink_to(tmp_path / "a.bin")
    tokens = options(tmp_path / "a.bin", held_out_path=str(tmp_path / held_out))
    with pytest.raises(ValueError, match=message) as caught:
        tokens.prepare(tmp_path / "c", keep=False)
    assert "\n" not in str(caught.value)


def test_no_more_ids_are_searched_than_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(token_split, "BLOCK", 50)
    summary = options(write(tmp_path / "a.bin", ids_of(1000))).prepare(tmp_path / "c").summary
    assert "windows occur in 800 training ids" in summary


class Constant(torch.nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def forward(self, inputs, keep=None):  # noqa: ARG002
        return type("Output", (), {"prediction": torch.zeros(*inputs.shape, self.n)})


def test_losses_are_per_token_and_per_byte_where_the_bytes_are_known(tmp_path: Path):
    tokens = options(write(tmp_path / "a.bin", ids_of(3000)))
    task = built(tokens, tmp_path / "c")
    values = evaluate(Constant(500), task, [], torch.device("cpu"))
    assert values == {"val/loss": pytest.approx(math.log(500), rel=1e-6)}
    assert task.unit == "nats/token of 500"
    assert not tokens.of_text
    known = dataclasses.replace(tokens, bytes_per_token=4.4)
    values = evaluate(Constant(500), built(known, tmp_path / "c"), [], torch.device("cpu"))
    assert values["val/nats_per_byte"] == pytest.approx(math.log(500) / 4.4, rel=1e-6)
    assert known.of_text


def test_the_fingerprint_is_of_the_content_not_of_the_path(tmp_path: Path):
    ids = ids_of(3000)
    one = options(write(tmp_path / "a.bin", ids))
    other = options(write(tmp_path / "b.bin", ids))
    before = one.fingerprint(tmp_path / "c")
    assert other.fingerprint(tmp_path / "c") == before
    assert dataclasses.replace(one, eval_share=0.3).fingerprint(tmp_path / "c") != before
    ids[1234] += 1
    assert options(write(tmp_path / "b.bin", ids)).fingerprint(tmp_path / "c") != before


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tokens = options(write(tmp_path / "a.bin", ids_of(3000)))
    scanned: list[str] = []
    scan = token_files._scan
    monkeypatch.setattr(token_files, "_scan", lambda file: scanned.append(file.path) or scan(file))
    monkeypatch.setattr(token_files, "_READ", {})
    tokens.prepare(tmp_path / "c", keep=True)
    monkeypatch.setattr(token_files, "_READ", {})  # as in another process
    tokens.prepare(tmp_path / "c")
    assert len(scanned) == 1
    write(tmp_path / "a.bin", ids_of(3000, seed=3))
    os.utime(tmp_path / "a.bin", ns=(1, 1))
    tokens.prepare(tmp_path / "c")
    assert len(scanned) == 2


def test_a_file_that_changes_during_a_run_is_named(tmp_path: Path):
    tokens = options(write(tmp_path / "a.bin", ids_of(3000)))
    planned = tokens.prepare(tmp_path / "c")
    task = built(tokens, tmp_path / "c", data=planned.fingerprint)
    write(tmp_path / "a.bin", ids_of(1000))
    with pytest.raises(ValueError, match=r"a\.bin has changed since this command began"):
        task.batch(0)
    with pytest.raises(ValueError, match="has changed since this trial was planned"):
        tokens.ensure_data(tmp_path / "c", planned.fingerprint)
    assert tokens.prepare(tmp_path / "c").content_hash != planned.content_hash


def bad_files(folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """Write bad files and return, for each, the message and options."""
    archive = folder / "archive.npz"
    np.savez(archive, ids=ids_of(90))
    arrays = io.BytesIO()
    for _ in range(2):
        np.save(arrays, np.arange(10))
    two_arrays = arrays.getvalue()
    cases: dict[str, tuple[Any, str, dict[str, Any]]] = {
        "empty.bin": (b"", "empty.bin is empty", {}),
        "odd.bin": (b"abc", "3 bytes, but each uint16 has 2", {}),
        "odd32.bin": (
            b"abcdef",
            "6 bytes, but each uint32 has 4",
            {"dtype": IdType.uint32},
        ),
        "short.bin": (ids_of(8), "no file has the 9 ids to train on", {}),
        "few.bin": (ids_of(100), r"[12]0 ids are held out, but 10 sequences of length=8", {}),
        "text.txt": (b"hello", "text.txt is neither .bin nor .npy", {}),
        "float.npy": (np.zeros(99), "numbers of float64; token ids are whole numbers", {}),
        "big.npy": (np.zeros(99, ">u2"), "has big-endian numbers; save it with", {}),
        "two.npy": (np.zeros((9, 9), int), r"has shape \(9, 9\); token ids have one axis", {}),
        "none.npy": (np.zeros(0, int), "none.npy is empty", {}),
        "scalar.npy": (np.array(3), r"no \.npy file|has shape \(\)", {}),
        "objects.npy": (np.array([{}, 1], object), "it has Python objects, which are not read", {}),
        "fake.npy": (b"not numpy", "is no .npy file of token ids", {}),
        "negative.npy": (
            np.array([3] * 99 + [-1]),
            r"the id -1 \(token 99\), but .*; correct the file$",
            {},
        ),
        "large.bin": (
            np.array([3] * 77 + [500] * 30, np.uint16),
            r"the id 500 \(token 77\), but with task.vocabulary=500 ids are 0 to 499; set "
            "task.vocabulary=501, or another task.dtype$",
            {},
        ),
        "large.npy": (np.array([3] * 99 + [500]), "set task.vocabulary=501$", {}),
        "huge.npy": (np.array([3] * 99 + [2**40]), "0 to 499; correct the file$", {}),
        "more.npy": (two_arrays, "208 bytes after its array; save it again", {}),
        "llmc.bin": (
            np.array([token_files.LLM_C_MAGIC] * 300, np.int32),
            r"has the header of llm\.c; remove it: tail -c \+1025",
            {},
        ),
        "archive.npy": (archive.read_bytes(), r"an archive of several arrays, \.npz; save one", {}),
        "missing.bin": (
            None,
            r"matches no file; give .* or a glob, e\.g\. 'data/\*\.bin'",
            {},
        ),
    }
    written = {}
    for name, (content, message, values) in cases.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        elif content is not None and name.endswith(".npy"):
            np.save(folder / name, content, allow_pickle=True)
        elif content is not None:
            content.tofile(folder / name)
        written[name] = (message, values)
    return written


NAMES = (
    *("empty.bin", "odd.bin", "odd32.bin", "short.bin", "few.bin", "text.txt", "float.npy"),
    *("big.npy", "two.npy", "none.npy", "scalar.npy", "objects.npy", "fake.npy", "negative.npy"),
    *("large.bin", "llmc.bin", "archive.npy", "missing.bin"),
    *("large.npy", "huge.npy", "more.npy"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, name: str):
    cases = bad_files(tmp_path)
    assert set(cases) == set(NAMES)
    message, values = cases[name]
    with pytest.raises(ValueError, match=message) as caught:
        options(tmp_path / name, **values).prepare(tmp_path / "c", keep=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": ""}, "path is empty; give a file or a glob"),
        ({"eval_share": 1.0}, r"eval_share=1.0 must lie in \(0, 1\)"),
        ({"document_id": 500}, "document_id=500 must be an id of the vocabulary, 0 to 499"),
        ({"document_id": 3, "held_out_path": "v.bin"}, "document_id is for a split of one path"),
        ({"bytes_per_token": 0.0}, "bytes_per_token=0.0 must be above 0"),
        ({"vocabulary": 1}, "vocabulary=1 must be at least 2"),
        ({"path": "a\0.bin"}, "NUL character"),
    ],
)
def test_a_bad_option_is_refused(values: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        options(**{"path": "a.bin", **values})


def test_tuning_needs_windows_of_its_own(tmp_path: Path):
    tokens = options(write(tmp_path / "a.bin", ids_of(900)), n_eval=15)
    tokens.prepare(tmp_path / "c")
    with pytest.raises(ValueError, match="tuning needs 15 held-out sequences of its own"):
        tokens.prepare(tmp_path / "c", Evaluation.tuning)


def test_positions_are_cut_across_files(tmp_path: Path):
    files = [
        token_files.open_token_file(write(tmp_path / f"{i}.bin", ids_of(10)), "uint16")
        for i in range(3)
    ]
    for eval_share, expected in ((0.5, ([10, 5], [5, 10])), (0.01, ([10, 10, 10], []))):
        sides = token_split.split_segments(files, eval_share, None)
        assert tuple([len(segment) for segment in side] for side in sides) == expected


def test_blocks_overlap_so_that_no_window_is_lost_between_them(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(token_split, "BLOCK", 50)
    ids = ids_of(430)
    file = token_files.open_token_file(write(tmp_path / "a.bin", ids), "uint16")
    blocks = [*token_split.training_blocks([token_split.Segment(file, 0, 430)], 8)]
    assert set().union(*(rows_in(block, 8) for block, _ in blocks)) == rows_in(ids, 8)
    assert sum(n_new for _, n_new in blocks) == 430
    monkeypatch.setattr(token_split, "MAX_BLOCKS", 3)
    assert len([*token_split.training_blocks([token_split.Segment(file, 0, 430)], 8)]) == 3


@pytest.mark.slow
def test_ten_gigabytes_need_little_memory(tmp_path: Path):
    """A sparse file of 10 GB is checked, hashed, split and read with less than 400 MB."""
    path = tmp_path / "train.bin"
    with path.open("wb") as file:
        file.truncate(10 * 10**9)
        file.seek(9_960_000_000)
        file.write(ids_of(20_000_000, low=1).tobytes())
    code = (
        "import re; from pathlib import Path; from experiments.tasks.tokens import *;"
        "status = Path('/proc/self/status');"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1]);"
        f"o = Tokens('tokens', 64, {str(path)!r}, '', 500, IdType.uint16, 0.002, None, None, 192);"
        f"c = Path({str(tmp_path / 'c')!r}); d = o.prepare(c); before = peak();"
        "t = o.build(seed=0, batch_size=32, cache=c, data=d.fingerprint);"
        "import torch; imported = peak(); [t.batch(i) for i in range(50)];"
        "print(before, imported, peak())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plan, imported, trial = map(int, done.stdout.split())
    assert plan < 400_000  # KiB
    assert trial - imported < 20_000


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["moe", "ffn"])
def test_tokens_train_from_the_command_line(tmp_path: Path, experiment: str):
    write(tmp_path / "train.bin", ids_of(4000))
    sizes = [w for w in TINY if w.startswith(("model", "training")) or w == "scale=smoke"]
    arm = '["ffn=dense","match.by=none"]'
    words = [
        *(f"experiment={experiment}", *sizes, f"+arms.mine={arm}", "arm=[mine]", "baseline=mine"),
        *("n_seeds=1", "task=tokens", "task.path=train.bin", "task.vocabulary=500"),
        *("task.length=8", "task.n_eval=10", "task.bytes_per_token=4"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "runner", *words],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "3,600 to train on, 400 held out" in done.stdout
    (path,) = tmp_path.glob("outputs/*/trials/mine/seed-0/result.json")
    values = {row["metric"]: row["value"] for row in json.loads(path.read_text())["results"]}
    assert values["val/nats_per_byte"] == pytest.approx(values["val/loss"] / 4)
    assert 3 < values["val/loss"] < 9


@pytest.mark.slow
def test_bad_files_end_a_command_with_one_line(tmp_path: Path):
    for name, (message, _) in bad_files(tmp_path).items():
        if name == "odd32.bin":
            continue
        words = ["experiment=moe", "scale=smoke", "task=tokens", f"task.path={name}"]
        more = ["task.length=8", "task.vocabulary=500", "task.n_eval=10", "plan=only"]
        done = subprocess.run(
            [sys.executable, "-m", "runner", *words, *more],
            cwd=tmp_path,
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, (name, done.stderr)

        assert re.search(message, done.stderr), (name, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1, (name, done.stderr)
        assert not (tmp_path / "outputs").exists()


def test_ids_of_a_wider_type_are_refused(tmp_path: Path):
    wide = np.random.default_rng(1).integers(100_000, size=2000)
    small = wide % 60
    for ids, dtype, message in (
        (wide.astype(np.uint32), "uint16", r"every second one is at most 1, .*task.dtype=uint32"),
        (small.astype(np.uint32), "uint16", "every second one is 0"),
        (small.astype(np.int64), "uint32", "every second one is 0, .*write them as uint32"),
    ):
        tokens = options(write(tmp_path / "a.bin", ids), vocabulary=65_536, dtype=IdType(dtype))
        with pytest.raises(ValueError, match=message):
            tokens.prepare(tmp_path / "c")


def test_ids_of_the_right_type_raise_no_alarm(tmp_path: Path):
    # Ranks of words in text: the k-th word is about as frequent as 1/k.
    rng = np.random.default_rng(2)
    frequent = np.minimum(rng.zipf(1.3, 4000), 50_000)
    text = np.frombuffer(b"Every second letter of this sentence is no zero. " * 40, np.uint8)
    pairs = np.stack([rng.integers(200, size=900), rng.integers(1, 3, size=900)], 1).ravel()
    for name, ids in (
        ("zipf", frequent),
        ("bytes", text),
        ("bits", rng.integers(2, size=2000)),
        ("pairs", pairs),
    ):
        for dtype in (np.uint16, np.uint32):
            path = write(tmp_path / f"{name}.bin", ids.astype(dtype))
            kind = IdType(np.dtype(dtype).name)
            options(path, vocabulary=50_001, dtype=kind).sides(tmp_path / "c", keep=False)
    array = np.stack([np.full(500, 900), np.zeros(500)], 1).ravel().astype(np.uint16)
    path = write(tmp_path / "a.npy", array)  # it names its type
    options(path, vocabulary=70_000).sides(tmp_path / "c", keep=False)


def test_a_vocabulary_beyond_the_type_is_refused(tmp_path: Path):
    path = write(tmp_path / "a.bin", ids_of(2000))
    options(path, vocabulary=65_536).prepare(tmp_path / "c")
    with pytest.raises(ValueError, match=r"ids of uint16 end at 65535; give task.dtype=uint32"):
        options(path, vocabulary=65_537).prepare(tmp_path / "c")


def test_text_named_npy_is_refused_without_advice_on_pickles(tmp_path: Path):
    (tmp_path / "fake.npy").write_text("hello")
    with pytest.raises(ValueError, match=r"fake.npy is no .npy file of token ids$"):
        options(tmp_path / "fake.npy").prepare(tmp_path / "c")
