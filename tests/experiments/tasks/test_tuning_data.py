"""Every task holds out two disjoint sets, one for the report and one for tuning."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.tasks import TASKS, load
from experiments.tasks.base import TaskOptions
from experiments.tasks.batch import Task
from experiments.tasks.domains import Domains
from experiments.tasks.function import Function
from experiments.tasks.induction import Induction
from experiments.tasks.numbers import Numbers, SourceUnit
from experiments.tasks.pairs15 import Pairs15
from experiments.tasks.patterns import Patterns
from experiments.tasks.tokens import IdType, Tokens
from experiments.tasks.translation import TranslationTask
from experiments.tasks.values import Predict
from experiments.tasks.waves import Waves
from runner.config import Evaluation
from tests.experiments.tasks.corpora.test_corpora import text, words

PATTERNS = {"local": 0.5, "long_range": 1.0, "periodic": 0.9, "period": 5}
NUMBERS = Numbers(
    "numbers", 5, 1, True, SourceUnit.word, n_train=300, n_eval=40, label_smoothing=0.0
)
TOKENS = Tokens("tokens", 20, "ids.bin", "", 500, IdType.uint16, 0.3, None, None, n_eval=31)
INDUCTION = Induction("induction", 12, vocabulary=16, max_period=3, n_eval=128)
OPTIONS: list[TaskOptions] = [
    Domains("domains", 32, ["code", "japanese"], train_bytes=30_000, n_eval=41),
    text("own"),
    Waves("waves", 20, 4, n_samples=100, n_eval=31, noise=0.1, predict=Predict.next),
    Patterns("patterns", 20, 4, n_eval=31, **PATTERNS, predict=Predict.reconstruct),
    Function("function", 20, 4, n_samples=100, n_eval=31, sin_weight=1, cos_weight=0.5),
    INDUCTION,
    NUMBERS,
    replace(NUMBERS, digits=3, longer=0, compositional=False, n_train=400, n_eval=31),
    TOKENS,
    replace(TOKENS, path="ids.npy"),
]


def ready(options: TaskOptions, folder: Path) -> TaskOptions:
    """Return the options; those of the user's own files name files that exist.

    The documents of a text have several spellings. Token ids are a `.bin` or a `.npy` file.
    """
    if isinstance(options, Tokens):
        path = folder / options.path
        ids = np.random.default_rng(0).integers(options.vocabulary, size=6_000).astype(np.uint16)
        ids.tofile(path) if path.suffix == ".bin" else np.save(path, ids)
        return replace(options, path=str(path))
    if options.kind != "text":
        return options
    for index in range(12):
        (folder / f"{index}.txt").write_text(words(index, 80))
    (folder / "copy.txt").write_text(words(3, 80).replace(" ", "\r\n"))
    return replace(options, path=str(folder))


def build(options: TaskOptions, cache: Path, evaluation: Evaluation, seed: int = 0) -> Task:
    planned = options.prepare(cache, evaluation)
    return options.build(
        seed=seed,
        batch_size=8,
        cache=cache,
        data=planned.fingerprint,
        evaluation=evaluation,
    )


def windows(task: Task) -> list[bytes]:
    """Return the held-out sequences of all splits, inputs with targets."""
    names = [name for name in task.labels if name != "train"]
    parts = (
        [task.split(name) for name in names]
        if isinstance(task, TranslationTask)
        else [task.evaluation()]
    )
    return [
        b" ".join(x[row].numpy().tobytes().rstrip(b"\0") for x in (*batch.inputs, batch.target))
        for part in parts
        for batch in part
        for row in range(len(batch.target))
    ]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: f"{o.kind}{getattr(o, 'digits', '')}")
def test_the_report_and_tuning_share_no_window(options: TaskOptions, tmp_path: Path) -> None:
    options, cache = ready(options, tmp_path), tmp_path / "c"
    report, tuning = (build(options, cache, which) for which in Evaluation)
    assert len(windows(report)) == len(windows(tuning)) >= options.n_eval
    assert not set(windows(report)) & set(windows(tuning))
    assert windows(tuning) == windows(build(options, cache, Evaluation.tuning, seed=5))
    assert (report.batch(3).target == tuning.batch(3).target).all()  # the same training data
    assert options.prepare(cache).fingerprint == options.prepare(cache).fingerprint


def test_every_task_is_tried_or_refused() -> None:
    load()
    assert {type(options) for options in OPTIONS} | {Pairs15} == set(TASKS.values())


def test_windows_for_tuning_do_not_occur_in_training_text(tmp_path: Path) -> None:
    for options in OPTIONS[:2]:
        chosen, cache = ready(options, tmp_path), tmp_path / "c"
        corpus = chosen.load(cache)
        train = corpus["train"].tobytes()
        assert len(corpus["tuning_windows"]) == options.n_eval
        assert (corpus["tuning_window_label"] == corpus["window_label"]).all()
        for window in corpus["tuning_windows"]:
            assert window[:-1].tobytes() not in train
            assert window[1:].tobytes() not in train


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Pairs15("pairs15", 0.0), "task=pairs15 has one set of held-out data"),
        (replace(NUMBERS, n_eval=3126), "must be at most 3125"),
        (replace(INDUCTION, n_eval=129), "must be at most 128"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_where_nothing_is_left_for_tuning_the_plan_says_so(
    options: TaskOptions, message: str, tmp_path: Path
) -> None:
    options.prepare(tmp_path)  # without tuning nothing is wrong
    with pytest.raises(ValueError, match=message) as error:
        options.prepare(tmp_path, Evaluation.tuning)
    assert "tune=none" in str(error.value)
    assert "\n" not in str(error.value)
