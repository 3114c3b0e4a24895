"""Tasks from plain dataclasses: a class with `sample(rng, n)` and no base class is a whole task.

`derive_task` makes `TaskOptions` of it. A plan checks its samples: their shapes and values, and
that equal seeds give equal samples.
"""

import dataclasses
import functools
import inspect
import json
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from experiments.class_rules import check_function, check_names, check_no_fields
from experiments.rules import check_at_least
from experiments.tasks.base import Sizes, TaskData, TaskOptions, hash_json
from experiments.tasks.plain_samples import (
    PlainSample,
    Sampler,
    SplitName,
    call_user_code,
    count_shared,
)
from runner.config import Evaluation
from runner.metric_names import MACHINE_UNITS

if TYPE_CHECKING:
    from experiments.tasks.plain_batches import PlainTask

USER_METHODS = ("sample", "split", "loss", "metrics", "fingerprint")
"""The methods of a plain task; all but `sample` are optional."""
N_CHECKED = 1024
"""Training sequences among which a plan looks for held-out ones."""
N_MEASURED = 256
"""Sequences of each side from which a missing `vocabulary` is inferred."""


@dataclass(frozen=True)
class PlainSizes:
    """The sizes of a plain task's samples; one of `vocabulary` and `width` is None."""

    length: int
    vocabulary: int | None
    width: int | None


@dataclass
class PlainTaskOptions(TaskOptions):
    """The options of a task that is one plain class.

    Attributes:
        n_eval: held-out sequences.
        user_methods: the methods that the class defines, of `USER_METHODS`.
        labels: the names of the labels; () without labels.
        unit: the unit of the loss; "" for the unit of the default loss.
    """

    has_tuning_data: ClassVar[bool] = True
    user_methods: ClassVar[Mapping[str, Callable[..., Any]]] = {}
    labels: ClassVar[tuple[str, ...]] = ()
    unit: ClassVar[str] = ""

    n_eval: int = field(default=192, kw_only=True)

    def plain_sizes(self) -> PlainSizes:
        """Return the sizes that the class names, or the sizes of drawn samples.

        Raises:
            ValueError: a sample is not as the rules say.
        """
        length, vocabulary, width = (
            self._named_size(name) for name in ("length", "vocabulary", "width")
        )
        if length is not None and (vocabulary is not None) != (width is not None):
            return PlainSizes(length, vocabulary, width)
        return infer_sizes(type(self), repr(self), self)

    def _named_size(self, name: str) -> int | None:
        """Return a size that the class names as a field, attribute or property."""
        value = getattr(self, name, None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"{name}={value!r} must be a whole number")
        check_at_least(1, **{name: value})
        return value

    def sampler(self, sizes: PlainSizes | None = None) -> Sampler:
        """Return the functions that draw samples, which must have these sizes."""
        sample, split = self.user_methods["sample"], self.user_methods.get("split")
        return Sampler(
            f"task={self.kind}",
            functools.partial(sample, self),
            None if split is None else functools.partial(split, self),
            takes_split="split" in inspect.signature(sample).parameters,
            n_labels=len(self.labels),
            length=sizes.length if sizes else self._named_size("length"),
            vocabulary=sizes.vocabulary if sizes else self._named_size("vocabulary"),
            width=sizes.width if sizes else self._named_size("width"),
        )

    def sizes(self) -> Sizes:
        """Return how large the task is."""
        check_at_least(1, n_eval=self.n_eval)
        sizes = self.plain_sizes()
        n_values = self.n_eval * sizes.length
        return Sizes(
            sizes.length,
            n_outputs=sizes.vocabulary or sizes.width or 1,
            n_eval=self.n_eval,
            data_bytes=2 * n_values * (8 if sizes.vocabulary else 4 * (sizes.width or 1)),
        )

    def held_out(self, evaluation: Evaluation) -> PlainSample:
        """Return the held-out sequences for the report or for tuning, the same for every seed."""
        split = SplitName.tuning if evaluation is Evaluation.tuning else SplitName.held_out
        return self.sampler(self.plain_sizes()).draw(self.n_eval, [], split)

    def fingerprint_inputs(self) -> object:
        """Return the hashes of the code, the user's own inputs, and a hash of held-out symbols.

        The hash of symbols detects data that differ in another process. Real values have none,
        since they may round differently on another machine.
        """
        of_user = self.own_fingerprint()
        held_out = self.held_out(Evaluation.report)
        rows = [row.hex() for row in held_out.rows()] if held_out.is_symbols else []
        return [super().fingerprint_inputs(), of_user, hash_json(rows)]

    def own_fingerprint(self) -> object:
        """Return the user's own inputs of the fingerprint; None without a method `fingerprint`.

        Raises:
            ValueError: they are no JSON data. The text of another object may have its address,
                which differs in every process.
        """
        if (own := self.user_methods.get("fingerprint")) is None:
            return None
        name = f"task={self.kind}: fingerprint()"
        returned = call_user_code(name, own, self)
        try:
            json.dumps(returned, sort_keys=True)
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(
                f"{name} returned {type(returned).__name__}, which is not JSON data; return text, "
                "numbers, or lists of these"
            ) from error
        return returned

    def fingerprint(self, cache: Path) -> str:  # noqa: ARG002
        """Return the fingerprint: a hash of the options and the other inputs."""
        return hash_json([asdict(self), self.fingerprint_inputs()])

    def prepare(
        self, cache: Path, evaluation: Evaluation = Evaluation.report, *, keep: bool = True
    ) -> TaskData:
        """Check the samples, and return their record.

        Raises:
            ValueError: equal seeds give other samples, a sample is not as the rules say, or two
                calls of `fingerprint` differ.
        """
        _INFERRED.pop((type(self), repr(self)), None)  # data of the user may have changed
        if hash_json(self.own_fingerprint()) != hash_json(self.own_fingerprint()):
            raise ValueError(
                f"task={self.kind}: two calls of fingerprint() differ; it must depend on the data "
                "alone, such as on the hash of a file"
            )
        data = super().prepare(cache, evaluation, keep=keep)
        return dataclasses.replace(data, summary=self.check_samples())

    def check_samples(self) -> str:
        """Draw samples of all sides; return a note where training may repeat a held-out sequence.

        Raises:
            ValueError: equal seeds give other samples, or a side of the user's split has sequences
                of another side.
        """
        sampler = self.sampler(self.plain_sizes())
        train = sampler.draw(N_CHECKED, [0, 1], SplitName.train)
        report, tuning = self.held_out(Evaluation.report), self.held_out(Evaluation.tuning)
        again = self.held_out(Evaluation.report), sampler.draw(N_CHECKED, [0, 1], SplitName.train)
        if not (same_sample(report, again[0]) and same_sample(train, again[1])):
            raise ValueError(
                f"task={self.kind}: sample() returned other sequences for the same generator; draw "
                "all random numbers from `rng`, and change no state"
            )
        pairs = {
            "held-out sequences also occur in training": (report, train),
            "tuning sequences also occur in training": (tuning, train),
            "tuning sequences are held out for the report too": (tuning, report),
        }
        counts = {words: count_shared(*pair) for words, pair in pairs.items()}
        facts = [f"{n} of {self.n_eval} {words}" for words, n in counts.items() if n]
        if not facts:
            return ""
        note = f"task={self.kind}: {', '.join(facts)} ({N_CHECKED} training sequences checked)"
        if sampler.takes_split or sampler.split:
            raise ValueError(f"{note}; its split must keep them apart")
        return f"{note}; a method split(sequences), or a parameter split of sample(), prevents it"

    def build(
        self,
        *,
        seed: int,
        batch_size: int,
        evaluation: Evaluation = Evaluation.report,
        **_: object,
    ) -> "PlainTask":
        """Return the task."""
        return self.build_with(self.held_out(evaluation), seed=seed, batch_size=batch_size)

    def build_with(self, held_out: PlainSample, *, seed: int, batch_size: int) -> "PlainTask":
        """Return the task with these held-out sequences."""
        from experiments.tasks.plain_batches import PlainTask

        sizes = self.plain_sizes()
        default_unit = "mse" if sizes.vocabulary is None else "nats/token"
        own = {name: functools.partial(f, self) for name, f in self.user_methods.items()}
        return PlainTask(
            self.sampler(sizes),
            held_out,
            labels=self.labels or (self.kind,),
            unit=self.unit or ("1" if "loss" in own else default_unit),
            loss=own.get("loss"),
            metrics=own.get("metrics"),
            seed=seed,
            batch_size=batch_size,
        )


def same_sample(one: PlainSample, other: PlainSample) -> bool:
    """Return whether two samples have equal arrays."""
    pairs = zip(one.arrays(), other.arrays(), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


_INFERRED: dict[tuple[type, str], PlainSizes] = {}


def infer_sizes(cls: type, key: str, options: PlainTaskOptions) -> PlainSizes:
    """Return the sizes of drawn samples; `cls` and `key` identify the options.

    The vocabulary ends at the largest symbol of `N_MEASURED` sequences of each side.
    """
    if (cls, key) not in _INFERRED:
        sampler = options.sampler()
        n = 1 if sampler.vocabulary or sampler.width else N_MEASURED
        drawn = [sampler.draw(n, [0, 0], split) for split in SplitName]
        inputs = drawn[0].inputs
        largest = max(int(max(x.inputs.max(), x.target.max())) for x in drawn)
        vocabulary = (sampler.vocabulary or largest + 1) if drawn[0].is_symbols else None
        width = None if drawn[0].is_symbols else inputs.shape[2]
        _INFERRED[cls, key] = PlainSizes(inputs.shape[1], vocabulary, width)
    return _INFERRED[cls, key]


def derive_task(name: str, options: Any) -> type[PlainTaskOptions]:
    """Return `TaskOptions` that have the fields and methods of a plain dataclass.

    Args:
        name: the decorator and class in messages.
        options: the plain class.

    Raises:
        ValueError: a member has a name that `TaskOptions` uses, or a method has other parameters.
    """
    if options.__dataclass_params__.frozen:
        raise ValueError(f"{name}: it is frozen; write @dataclass without frozen=True")
    check_signatures(name, options)
    check_no_fields(name, options, "labels", "unit", "code_modules")
    field_names = {each.name for each in dataclasses.fields(options)}
    allowed = {*USER_METHODS, "labels", "unit", "code_modules", "n_eval"}
    reserved = {*dir(PlainTaskOptions), "kind"} - allowed
    conflicts = {n for n in {*vars(options), *field_names} if not n.startswith("_")} & reserved
    conflicts |= field_names & {*USER_METHODS}
    if conflicts:
        raise ValueError(f"{name}: ablab uses the name {min(conflicts)} itself; rename yours")
    members = {
        "__module__": options.__module__,
        "__qualname__": options.__qualname__,
        "__doc__": options.__doc__,
        "user_methods": {n: getattr(options, n) for n in USER_METHODS if hasattr(options, n)},
        "labels": check_labels(name, getattr(options, "labels", ())),
        "unit": check_unit(name, getattr(options, "unit", "")),
        "fingerprint": PlainTaskOptions.fingerprint,
        "symbols": property(lambda self: self.plain_sizes().vocabulary is not None),
    }
    derived = types.new_class(
        options.__name__,
        (options, PlainTaskOptions),
        exec_body=lambda namespace: namespace.update(members),
    )
    return dataclass(derived)


def check_signatures(name: str, options: Any) -> None:
    """Raise ValueError where a method of a plain task has other parameters than the rules say."""
    expected: dict[str, tuple[str, ...]] = {
        "sample": ("rng", "n"),
        "split": ("sequences",),
        "loss": ("prediction", "target"),
        "metrics": ("prediction", "target"),
        "fingerprint": (),
    }
    for method, ours in expected.items():
        if not hasattr(options, method):
            continue
        function = getattr(options, method)
        names = [*inspect.signature(function).parameters] if callable(function) else []
        if method == "sample" and "split" in names:
            ours = (*ours, "split")
        header = ("self", *ours)
        check_function(name, method, function, header)
        if len(names) != len(header):
            raise ValueError(
                f"{name}: {method}({', '.join(names)}) must be {method}({', '.join(header)})"
            )


def check_labels(name: str, labels: Any) -> tuple[str, ...]:
    """Return the labels of a plain task, which become a segment of metric names."""
    checked = check_names(name, "labels", labels)
    if wrong := next((each for each in checked if not re.fullmatch(r"[\w .-]+", each)), None):
        raise ValueError(
            f"{name}: labels has {wrong!r}; use letters, digits, spaces, dots, - and _"
        )
    return checked


def check_unit(name: str, unit: Any) -> str:
    """Return the unit of a plain task's loss, which is not a unit of time or of memory."""
    if not isinstance(unit, str) or unit != " ".join(unit.split()):
        raise ValueError(f"{name}: unit = {unit!r} must be a short text, such as 'nats/token'")
    if unit in MACHINE_UNITS:
        raise ValueError(
            f"{name}: unit = {unit!r} is for measurements of the machine, and no loss has it; "
            "write another, such as 'error'"
        )
    return unit
