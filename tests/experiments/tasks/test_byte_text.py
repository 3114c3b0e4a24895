"""The tasks `domains` and `text`: batches, evaluation and loss."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.tasks.batch import Batch, Task
from experiments.tasks.domains import Domains
from experiments.tasks.text import Text

OPTIONS = Domains("domains", 32, ["code", "japanese"], train_bytes=30_000, n_eval=21)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def build(cache: Path, seed: int = 0, batch_size: int = 8) -> Task:
    return OPTIONS.build(seed=seed, batch_size=batch_size, cache=cache)


def equal(one: Batch, two: Batch) -> bool:
    pairs = zip(
        (*one.inputs, one.target, one.label), (*two.inputs, two.target, two.label), strict=True
    )
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_batch_is_a_function_of_seed_and_step(cache: Path) -> None:
    task, other = build(cache), build(cache)
    seventh = task.batch(7)
    task.batch(3)
    assert equal(seventh, task.batch(7))
    assert equal(seventh, other.batch(7))
    assert not equal(seventh, task.batch(8))
    assert not equal(seventh, build(cache, seed=1).batch(7))


def test_shapes_and_types(cache: Path) -> None:
    task = build(cache)
    batch = task.batch(0)
    assert (task.unit, task.vocabulary, task.width) == ("nats/byte", 256, None)
    assert batch.inputs[0].shape == batch.target.shape == batch.keep.shape == (8, 32)
    assert batch.inputs[0].dtype == batch.target.dtype == batch.label.dtype == torch.int64
    assert batch.keep.all()
    assert torch.equal(batch.inputs[0][:, 1:], batch.target[:, :-1])


def test_batches_are_real_text_of_their_label_in_equal_parts(cache: Path) -> None:
    task, corpus = build(cache, batch_size=7), OPTIONS.load(cache)
    parts = [
        corpus["train"][a:b].tobytes()
        for a, b in zip(corpus["bounds"], corpus["bounds"][1:], strict=False)
    ]
    counts = np.zeros(2)
    for step in range(40):
        batch = task.batch(step)
        count = np.bincount(batch.label.numpy(), minlength=2)
        assert abs(count[0] - count[1]) == 1  # 7 = 4 + 3
        counts += count
        for tokens, label in zip(batch.inputs[0].numpy(), batch.label, strict=True):
            assert tokens.astype(np.uint8).tobytes() in parts[label]
    assert abs(counts[0] - counts[1]) < 40  # the odd sequence is not always of the same label


def test_evaluation_is_the_same_for_every_seed(cache: Path) -> None:
    one, two = (list(build(cache, seed=seed).evaluation()) for seed in (0, 5))
    assert [len(batch.label) for batch in one] == [8, 8, 5]  # 21 = 8 + 8 + 5
    assert all(equal(a, b) for a, b in zip(one, two, strict=True))
    assert np.bincount(torch.cat([batch.label for batch in one])).tolist() == [11, 10]
    assert len({tuple(row.tolist()) for batch in one for row in batch.inputs[0]}) == 21


def test_loss_is_the_mean_over_kept_positions(cache: Path) -> None:
    task = build(cache)
    batch = task.batch(0)
    uniform = torch.zeros(8, 32, 256)
    assert task.loss(uniform, batch).item() == pytest.approx(math.log(256), rel=1e-6)
    keep = torch.zeros(8, 32, dtype=torch.bool)
    keep[2, 5] = True
    logits = torch.randn(8, 32, 256)
    only = Batch(batch.inputs, batch.target, keep, batch.label)
    expected = -logits[2, 5].log_softmax(0)[batch.target[2, 5]]
    torch.testing.assert_close(task.loss(logits, only), expected)


def test_text_of_the_user(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(10**6, size=600)
    (tmp_path / "a.txt").write_text(" ".join(map(str, numbers)))
    options = Text("text", 16, str(tmp_path / "a.txt"), eval_share=0.2, n_eval=5)
    task = options.build(seed=0, batch_size=4, cache=tmp_path / "c")
    assert task.labels == ("text",)
    whole = (tmp_path / "a.txt").read_bytes()
    cut = len(whole) - round(0.2 * len(whole))
    for tokens in task.batch(0).inputs[0].numpy():
        assert tokens.astype(np.uint8).tobytes() in whole[:cut]
    for batch in task.evaluation():
        for tokens in batch.inputs[0].numpy():
            assert tokens.astype(np.uint8).tobytes() in whole[cut:]
