"""The task `pairs15`: the textbook's sentences, and held-out ones, which the textbook lacks."""

from pathlib import Path

import torch

from experiments.tasks.pairs15 import ENGLISH, JAPANESE, Pairs15, Pairs15Task

OPTIONS = Pairs15("pairs15", label_smoothing=0.0)


def build(seed: int = 0, batch_size: int = 5) -> Pairs15Task:
    task = OPTIONS.build(seed=seed, batch_size=batch_size, cache=Path())
    assert isinstance(task, Pairs15Task)
    return task


def sentences(task: Pairs15Task, split: str) -> list[tuple[str, str]]:
    return [
        (task.source.text(source), task.target.text(target))
        for batch in task.split(split)
        for source, target in zip(batch.inputs[0].tolist(), batch.target.tolist(), strict=True)
    ]


def test_the_fifteen_pairs_are_those_of_the_exercise() -> None:
    pairs = sentences(build(), "train")
    assert len(set(pairs)) == 15
    assert pairs[0] == ("one", "一")
    assert pairs[9] == ("ten", "十")
    assert pairs[-1] == ("nine ten", "九 十")


def test_all_other_combinations_of_two_words_are_held_out() -> None:
    task = build()
    known, new = dict(sentences(task, "train")), dict(sentences(task, "held_out"))
    assert len(new) == 95
    assert not known.keys() & new.keys()
    words = dict(zip(ENGLISH, JAPANESE, strict=True))
    for english, japanese in (known | new).items():
        assert " ".join(words[word] for word in english.split()) == japanese


def test_three_batches_of_five_are_an_epoch() -> None:
    task = build()
    for epoch in (0, 1):
        batches = [task.batch(3 * epoch + index) for index in range(3)]
        trained_texts = [task.source.text(row) for b in batches for row in b.inputs[0].tolist()]
        assert sorted(trained_texts) == sorted(english for english, _ in sentences(task, "train"))
    assert not torch.equal(build(seed=1).batch(0).inputs[0], task.batch(0).inputs[0])


def test_a_batch_is_never_larger_than_the_fifteen() -> None:
    assert len(build(batch_size=64).batch(0).target) == 15


def test_all_held_out_combinations_are_judged_and_no_known_sentence() -> None:
    task = build()
    judged = [task.source.text(row) for b in task.evaluation() for row in b.inputs[0].tolist()]
    assert judged == [english for english, _ in sentences(task, "held_out")]
    assert len(judged) == 95
    assert task.labels == ("train", "held_out")
    assert task.length == OPTIONS.sizes().length
    assert max(len(e.split()) for e, _ in sentences(task, "train")) == OPTIONS.sizes().source_length
