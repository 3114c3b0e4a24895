"""A task may be one plain class: its samples are checked in the plan, and train like any other."""

# ruff: noqa: ARG002, ARG005 - methods of a task have fixed parameters
import dataclasses
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.tasks import TASKS, load, split_by_hash, task
from experiments.tasks.batch import Task
from experiments.tasks.plain import PlainTaskOptions
from experiments.tasks.values import Predict
from runner.config import Evaluation
from runner.trial.training import evaluate
from tests.support.environment import child_environment
from tests.support.tiny import TINY

load()  # the tasks of ablab register once
NUMBERS = count()


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.tasks.TASKS", dict(TASKS))


def options_of(cls: Any, **values: Any) -> PlainTaskOptions:
    """Register a plain class and return its options."""
    kind = f"plain_{next(NUMBERS)}"
    data: PlainTaskOptions = task(kind)(dataclass(cls))(kind=kind, **values)
    return data


def built(options: PlainTaskOptions, evaluation: Evaluation = Evaluation.report, **more: Any):
    return options.build(**{"seed": 0, "batch_size": 5, "evaluation": evaluation, **more})


class Echo:
    """Symbols that repeat."""

    length: int = 6
    vocabulary: int = 9

    def sample(self, rng, n):
        return np.tile(rng.integers(self.vocabulary, size=(n, 1)), self.length + 1)


class Noise:
    """Real values."""

    def sample(self, rng, n):
        return rng.standard_normal((n, 4, 3))


def test_symbols_are_predicted_one_step_ahead():
    class Count:
        """A sequence that counts from a random start."""

        def sample(self, rng, n):
            return rng.integers(5, size=(n, 1)) + np.arange(8)

    options = options_of(Count)
    data = built(options)
    assert data.vocabulary == 12  # 4 + 7 is the largest symbol
    assert (data.width, data.unit, options.symbols) == (None, "nats/token", True)
    batch = data.batch(3)
    assert batch.inputs[0].shape == (5, 7)
    assert torch.equal(batch.target, batch.inputs[0] + 1)
    assert bool(batch.keep.all())
    sizes = options.sizes()
    assert (sizes.length, sizes.n_outputs, sizes.n_eval) == (7, 12, 192)


def test_real_values_have_their_width_and_the_squared_error():
    data = built(options_of(Noise))
    assert (data.width, data.vocabulary, data.unit) == (3, None, "mse")
    batch = data.batch(0)
    assert batch.target.dtype == torch.float32
    assert torch.equal(batch.inputs[0][:, 1:], batch.target[:, :-1])
    prediction = torch.full_like(batch.target, 2.0)
    expected = (batch.target.numpy() - 2.0) ** 2
    assert data.loss(prediction, batch).item() == pytest.approx(expected.mean(), rel=1e-6)


def test_pairs_of_inputs_and_targets_are_taken_as_they_are():
    class Pairs:
        """Twice the input."""

        def sample(self, rng, n):
            x = rng.integers(4, size=(n, 5))
            return x, 2 * x

    batch = built(options_of(Pairs)).batch(1)
    assert torch.equal(batch.target, 2 * batch.inputs[0])


def test_the_default_loss_of_uniform_logits_is_the_log_of_the_vocabulary():
    data = built(options_of(Echo))
    batch = data.batch(0)
    assert data.loss(torch.zeros(5, 6, 9), batch).item() == pytest.approx(math.log(9))


@pytest.mark.parametrize("cls", [Echo, Noise])
def test_data_are_a_pure_function_of_seed_and_step(cls: type):
    options = options_of(cls)
    one, other = built(options, seed=4), built(options, seed=4)
    other.batch(1)  # an earlier draw changes nothing
    for step in (7, 2):
        assert torch.equal(one.batch(step).inputs[0], other.batch(step).inputs[0])
    assert not torch.equal(one.batch(1).target, one.batch(2).target)
    assert not torch.equal(one.batch(1).target, built(options, seed=5).batch(1).target)
    for evaluation in Evaluation:
        held_out = built(options, evaluation).held_out, built(options, evaluation, seed=9).held_out
        assert all(map(np.array_equal, *held_out))


def test_the_sides_have_streams_of_their_own():
    options = options_of(Noise)
    report, tuning = (
        built(options, evaluation).held_out[0]
        for evaluation in (Evaluation.report, Evaluation.tuning)
    )
    train = built(options, batch_size=192).batch(0).inputs[0].numpy()
    values = [set(part.ravel().tolist()) for part in (report, tuning, train)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not values[one] & values[other]


class Few:
    """Sixteen sequences of two symbols, so that random streams repeat them."""

    n_eval: int = 20

    def sample(self, rng, n):
        return rng.integers(2, size=(n, 4))


def test_the_plan_says_that_training_repeats_held_out_sequences():
    summary = options_of(Few).prepare(Path()).summary
    assert "20 of 20 held-out sequences also occur in training" in summary
    assert "(1024 training sequences checked)" in summary
    assert options_of(Noise).prepare(Path()).summary == ""


def test_a_split_of_sequences_keeps_all_sides_apart():
    class Split(Few):
        def split(self, sequences):
            return split_by_hash(sequences)

    options = options_of(Split)
    assert options.prepare(Path()).summary == ""
    sides = [built(options, evaluation, batch_size=300) for evaluation in Evaluation]
    held_out = [{(*x, *y[-1:]) for x, y, _ in zip(*side.held_out, strict=True)} for side in sides]
    batch = sides[0].batch(1)
    train = {
        (*x, *y[-1:]) for x, y in zip(batch.inputs[0].tolist(), batch.target.tolist(), strict=True)
    }
    assert all(held_out)
    assert train
    assert not held_out[0] & held_out[1]
    assert not train & (held_out[0] | held_out[1])
    assert len(batch.target) == 300


def test_a_parameter_split_of_sample_is_the_side():
    class Own:
        """Each side has a symbol of its own."""

        def sample(self, rng, n, split):
            first = ["train", "held_out", "tuning"].index(split)
            return np.full((n, 3), first) + np.array([0, 3, 3])

    options = options_of(Own)
    assert built(options).batch(0).inputs[0][0].tolist() == [0, 3]
    assert built(options).held_out[0][0].tolist() == [1, 4]
    assert built(options, Evaluation.tuning).held_out[0][0].tolist() == [2, 5]


def test_a_split_that_leaks_is_refused():
    class Leaks:
        """The same data on all sides."""

        def sample(self, rng, n, split):
            return np.zeros((n, 3), int)

    with pytest.raises(ValueError, match=r"192 of 192 held-out sequences also occur in training"):
        options_of(Leaks).prepare(Path())


def test_a_hash_splits_rows_by_their_content():
    rows = np.arange(4000).reshape(-1, 1).repeat(3, axis=1)
    sides = split_by_hash(rows)
    assert np.array_equal(split_by_hash(rows[::-1].astype(np.uint16))[::-1], sides)
    shares = {side: float((sides == side).mean()) for side in ("train", "held_out", "tuning")}
    assert shares["train"] == pytest.approx(0.75, abs=0.05)
    assert shares["held_out"] == pytest.approx(0.125, abs=0.03)
    assert shares["tuning"] == pytest.approx(0.125, abs=0.03)


def test_labels_name_the_sequences():
    class Labelled:
        """Even and odd."""

        labels = ("even", "odd")

        def sample(self, rng, n):
            first = rng.integers(8, size=n)
            return np.stack([first, first], axis=1), first % 2

    data = built(options_of(Labelled))
    batch = data.batch(0)
    assert data.labels == ("even", "odd")
    assert torch.equal(batch.label, batch.inputs[0][:, 0] % 2)
    assert built(options_of(Echo)).labels == (f"plain_{next(NUMBERS) - 1}",)


class Scored(Echo):
    """Symbols with a loss and metrics of their own."""

    unit = "points"

    def loss(self, prediction, target):
        return 3 * (prediction.mean(-1) - target).abs()

    def metrics(self, prediction, target):
        return {"largest": prediction.argmax(-1) == target, "sum/of_two": 2.0}


class Uniform(torch.nn.Module):
    """A model whose logits favour symbol 0."""

    def forward(self, inputs, keep=None):
        prediction = torch.zeros(*inputs.shape, 9)
        prediction[..., 0] = 1.0
        return type("Output", (), {"prediction": prediction})


def test_own_loss_and_metrics_are_evaluated_on_the_held_out_data():
    options = options_of(Scored, n_eval=7)
    data = built(options)
    assert data.unit == "points"
    values = evaluate(Uniform(), data, [], torch.device("cpu"))
    target = data.held_out[1]
    assert set(values) == {"val/loss", "task/largest", "task/sum/of_two"}
    assert values["val/loss"] == pytest.approx(3 * np.abs(1 / 9 - target).mean(), rel=1e-6)
    assert values["task/largest"] == pytest.approx((target == 0).mean())
    assert values["task/sum/of_two"] == 2.0


def test_a_task_without_metrics_records_only_its_loss():
    values = evaluate(Uniform(), built(options_of(Echo)), [], torch.device("cpu"))
    assert set(values) == {"val/loss"}


def test_the_fingerprint_covers_options_own_inputs_and_symbols():
    content = ["one"]

    class Reading(Noise):
        def fingerprint(self):
            return content

    class Changing:
        """Symbols that come from outside."""

        vocabulary = 9

        def sample(self, rng, n):
            return np.full((n, 3), len(content))

    reading, changing = options_of(Reading), options_of(Changing)
    before = reading.fingerprint(Path()), changing.fingerprint(Path())
    assert before == (reading.fingerprint(Path()), changing.fingerprint(Path()))
    assert dataclasses.replace(reading, n_eval=3).fingerprint(Path()) != before[0]
    content.append("two")
    assert reading.fingerprint(Path()) != before[0]
    assert changing.fingerprint(Path()) != before[1]
    with pytest.raises(ValueError, match="its source has changed since this trial was planned"):
        changing.ensure_data(Path(), before[1])


def returns(result: Callable[[Any, int], Any], **members: Any) -> type:
    """Return a plain class whose `sample` returns `result(rng, n)`."""
    return type("Bad", (), {"sample": lambda _self, rng, n: result(rng, n), **members})


STATE = np.random.default_rng(0)
SYMBOLS = {"length": 4, "vocabulary": 3, "__annotations__": {"length": int, "vocabulary": int}}


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (returns(lambda _rng, n: STATE.integers(9, size=(n, 3))), "other sequences for the same"),
        (returns(lambda _rng, n: np.zeros((n + 1, 3), int)), r"first axis must be n=\d+ sequences"),
        (returns(lambda _rng, _n: np.zeros((0, 3), int)), r"first axis must be n=\d+ sequences"),
        (returns(lambda _rng, n: np.zeros(n, int)), r"symbols have shape \(n, length \+ 1\)"),
        (returns(lambda _rng, n: np.zeros((n, 1), int)), "needs 2 steps or more"),
        (returns(lambda _rng, n: np.zeros((n, 3))), r"real values have shape \(n, length \+ 1, wi"),
        (returns(lambda _rng, n: np.full((n, 3, 1), np.nan)), "values that are not finite"),
        (returns(lambda _rng, n: np.full((n, 3), -1)), "the symbol -1; symbols are 0 or more"),
        (returns(lambda _rng, n: np.full((n, 5), 3), **SYMBOLS), "the symbol 3; with vocabulary=3"),
        (returns(lambda _rng, n: np.zeros((n, 4), int), **SYMBOLS), "has 4 steps; with length=4 t"),
        (returns(lambda _rng, n: np.zeros((n, 5, 2)), **SYMBOLS), "it must have symbols"),
        (
            returns(lambda _rng, n: [["a", "b"]] * n),
            "of type str; they must be whole or real",
        ),
        (returns(lambda _rng, n: [[None, 1]] * n), "type NoneType; they must be whole or"),
        (returns(lambda _rng, n: [[1, 2], [3]] * (n // 2)), r"sample\(\) returned no array"),
        (returns(lambda _rng, n: None), r"sample\(\) returned None; it must return sequences"),
        (returns(lambda _rng, n: (np.zeros((n, 2), int),) * 3), "has 3 arrays"),
        (
            returns(lambda _rng, n: (np.zeros((n, 2), int), np.zeros((n, 3), int))),
            "both must be symbols or both real values, of one shape",
        ),
        (returns(lambda _rng, n: 1 / 0), r"sample\(\) failed with ZeroDivisionError"),
        (returns(lambda _rng, n: np.zeros((n, 2), int), labels=("a", "b")), "has no labels"),
        (
            returns(lambda _rng, n: (np.zeros((n, 2), int), np.full(n, 2)), labels=("a", "b")),
            "the label 2; there are 2 labels",
        ),
        (
            returns(
                lambda _rng, n: np.zeros((n, 2), int), split=lambda _self, sequences: sequences
            ),
            r"must return one of .*; it returned an array of shape \(\d+, 2\) for \d+ sequences",
        ),
        *(
            (
                returns(lambda _rng, n: np.zeros((n, 2), int), split=split),
                rf"split\(\) must return one of train, held_out, tuning for each .*; {said}",
            )
            for split, said in (
                (lambda _self, sequences: sequences[:, 0] == 0, "one of its values is True"),
                (lambda _self, sequences: ["test"] * len(sequences), "one of its values is 'test'"),
                (lambda _self, sequences: [0] * len(sequences), "one of its values is 0"),
                (lambda _self, _sequences: None, "it returned None"),
                (lambda _self, sequences: ["train"] * (len(sequences) - 1), "it returned an array"),
            )
        ),
        (
            returns(
                lambda _rng, n: np.zeros((n, 2), int),
                split=lambda _self, sequences: ["train"] * len(sequences),
            ),
            r"split\(\) gave held_out to none",
        ),
        (
            returns(
                lambda _rng, n: np.zeros((n, 2), int),
                split=lambda _self, sequences: (sequences[:0], sequences),
            ),
            r"split\(\) must return one of train, held_out, tuning",
        ),
        (
            returns(lambda _rng, n: (np.zeros((n, 2), int), np.zeros(n, int))),
            r"shape \(\d+,\); it must be targets \(n, length\), or labels if the class names them",
        ),
        (
            returns(lambda _rng, n: np.zeros((n, 2), int), fingerprint=lambda _self: object()),
            r"fingerprint\(\) returned object, which is not JSON data",
        ),
        (
            returns(lambda _rng, n: np.zeros((n, 2), int), fingerprint=lambda _self: next(NUMBERS)),
            r"two calls of fingerprint\(\) differ",
        ),
        (returns(lambda _rng, n: np.zeros((n, 2), int), vocabulary=2.5), "vocabulary=2.5 must be"),
    ],
)
def test_a_bad_sample_is_refused_in_one_line(cls: type, message: str):
    options = options_of(cls)
    with pytest.raises(ValueError, match=message) as caught:
        (options.sizes(), options.prepare(Path()))
    assert "\n" not in str(caught.value)


def test_a_batch_of_training_is_checked_too():
    class Growing:
        """A rare large symbol, which the plan does not see."""

        def sample(self, rng, n):
            return np.full((n, 3), 7 if n == 5 else 2)

    data = built(options_of(Growing))
    with pytest.raises(ValueError, match="the symbol 7; with vocabulary=3 the largest is 2"):
        data.batch(0)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"sample": lambda self, n: n}, r"write def sample\(self, rng, n\)"),
        ({"metrics": lambda self, prediction: {}}, r"metrics\(self, prediction, target\)"),
        ({"prepare": 3}, "uses the name prepare itself"),
        ({"kind": "x", "__annotations__": {"kind": str}}, "uses the name kind itself"),
        ({"symbols": 12, "__annotations__": {"symbols": int}}, "uses the name symbols itself"),
    ],
)
def test_a_class_that_breaks_the_rules_is_refused(members: dict[str, Any], message: str):
    cls = dataclass(type("Bad", (Noise,), members))
    with pytest.raises(ValueError, match=rf"@task\('bad'\) on Bad: .*{message}"):
        task("bad")(cls)


def test_a_frozen_class_is_refused():
    with pytest.raises(ValueError, match="it is frozen"):
        task("bad")(dataclass(frozen=True)(type("Bad", (), {"sample": lambda self, rng, n: n})))


def test_metrics_that_are_no_numbers_by_name_are_refused():
    for returned, message in (([1.0], "a mapping of names"), ({"A b": 1.0}, "the name 'A b' must")):

        class Bad(Echo):
            result = returned

            def metrics(self, prediction, target):
                return self.result

        data = built(options_of(Bad))
        with pytest.raises(ValueError, match=message):
            data.metrics(torch.zeros(5, 6, 9), data.batch(0))


def test_a_loss_that_is_no_tensor_is_refused():
    class Bad(Echo):
        def loss(self, prediction, target):
            return 1.0

    data = built(options_of(Bad))
    with pytest.raises(ValueError, match=r"loss\(\) returned float; it must return a tensor"):
        data.loss(torch.zeros(5, 6, 9), data.batch(0))


def test_an_error_in_loss_or_metrics_names_the_task_and_the_method():
    class Bad(Echo):
        def loss(self, prediction, target):
            return prediction - target

        def metrics(self, prediction, target):
            return {"right": prediction.no_such_method()}

    options = options_of(Bad)
    data = built(options)
    for method in ("loss", "metrics"):
        with pytest.raises(ValueError, match=rf"task={options.kind}: {method}\(\) failed with"):
            getattr(data, method)(torch.zeros(5, 6, 9), data.batch(0))


def test_an_error_of_memory_in_a_loss_stays_one():
    class Large(Echo):
        def loss(self, prediction, target):
            raise torch.OutOfMemoryError("no memory")

    data = built(options_of(Large))
    with pytest.raises(torch.OutOfMemoryError):
        data.loss(torch.zeros(5, 6, 9), data.batch(0))


def test_fields_without_a_default_and_lists_serve():
    class Listed:
        """Fields of all sorts."""

        start: int
        steps: list[int] = field(default_factory=lambda: [1, 2])
        predict: Predict = Predict.next

        def sample(self, rng, n):
            return np.tile([self.start, *self.steps], (n, 1))

    options = options_of(Listed, start=3)
    assert built(options).held_out[0][0].tolist() == [3, 1]
    assert isinstance(built(options), Task)


SUMS = '''
from dataclasses import dataclass
import numpy as np
from experiments.metrics import METRICS
from experiments.tasks import split_by_hash, task
from runner.metric_names import DivergedValue, Metric

METRICS["task/right"] = Metric(DivergedValue.fixed, 0.0, label="right sums", better="greater")

@task("sums")
@dataclass
class Sums:
    """Two digits, an equals sign and the two digits of their sum: 7 8 = 1 5."""
    labels = ("small", "large")
    def sample(self, rng, n):
        a, b = rng.integers(10, size=(2, n))
        parts = a, b, np.full(n, 10), (a + b) // 10, (a + b) % 10
        return np.stack(parts, axis=1), (a + b >= 10).astype(int)
    def split(self, sequences):
        return split_by_hash(sequences)
    def metrics(self, prediction, target):
        return {"right": (prediction.argmax(-1) == target)[:, 2:].all(dim=1)}
'''


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["experiment=moe", "options.n_permutations=5"],
        ["experiment=ffn", "arm=[relu]"],
        ["experiment=norm_stability", "arm=[pre]", "baseline=pre"],
        ["experiment=gqa_vs_mha", "arm=[mha]"],
        ["experiment=head_analysis", "arm=[patterns]"],
    ],
    ids=lambda words: words[0],
)
def test_a_plain_task_trains_in_every_experiment(tmp_path: Path, words: list[str]):
    (tmp_path / "sums.py").write_text(SUMS)
    arm = '+arms.sums=["task=sums","task.n_eval=12","match.by=none"]'
    sizes = [w for w in TINY if w.startswith(("model", "training")) or w == "scale=smoke"]
    chosen = [word for word in words if not word.startswith(("arm=", "baseline="))]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "runner", *chosen, *sizes),
            *(arm, "arm=[sums]", "baseline=sums", "n_seeds=1", "plugins=[sums]"),
            "headline=[{metric: task/right, direction: greater, label: right sums}]",
        ],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("outputs/*/trials/sums/seed-0/result.json")
    values = {row["metric"]: row["value"] for row in json.loads(path.read_text())["results"]}
    assert 0 <= values["task/right"] <= 1
    assert 0 < values["val/loss"] < 6
    assert re.search(r"right sums", done.stdout)


@pytest.mark.slow
def test_a_plain_task_is_tuned_on_its_own_data(tmp_path: Path):
    (tmp_path / "sums.py").write_text(SUMS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "runner", *(w for w in TINY if not w.startswith("task"))),
            *("task=sums", "task.n_eval=12", "arm=[dense]", "n_seeds=1", "plugins=[sums]"),
            *("tune=lr", "tune.n_seeds=1", "tune.grid=[1e-3,1e-2,3e-2]"),
        ],
        cwd=tmp_path,
        env=child_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
