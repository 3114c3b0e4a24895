"""Typed options of the parts that experiments compare; no torch, so that planning stays fast.

One dataclass per idea; `OPTIONS[group][kind]` is the dataclass behind an option file of
`conf/<group>/`. The values live in the YAML files: a field has no default here, so a key that is
forgotten there is an error and never a silent choice. Rules within one dataclass are checked in
`__post_init__`, rules across groups in `check_together`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, TypeVar

OPTIONS: dict[str, dict[str, type]] = {}
QUESTIONS: dict[str, type] = {}

T = TypeVar("T", bound=type)


def option(group: str, kind: str) -> Callable[[T], T]:
    """Register a dataclass as the schema of `kind` in a config group."""

    def register(schema: T) -> T:
        OPTIONS.setdefault(group, {})[kind] = schema
        return schema

    return register


def question(name: str) -> Callable[[T], T]:
    """Register an experiment's own options; their `parts` are the groups the experiment has."""

    def register(schema: T) -> T:
        QUESTIONS[name] = schema
        return schema

    return register


def at_least(minimum: float, **values: float) -> None:
    """Raise ValueError for the first value below `minimum`, naming its field."""
    for name, value in values.items():
        if value < minimum:
            raise ValueError(f"{name}={value} is too small; it must be at least {minimum}")


def share(**values: float) -> None:
    """Raise ValueError for the first value outside [0, 1), naming its field."""
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value} must lie in [0, 1)")


class Activation(StrEnum):
    """Pointwise functions of a feed-forward network."""

    relu = "relu"
    gelu = "gelu"
    silu = "silu"
    relu2 = "relu2"
    sigmoid = "sigmoid"
    identity = "identity"


class Position(StrEnum):
    """How attention learns about order."""

    rotary = "rotary"
    sinusoidal = "sinusoidal"
    none = "none"


class Kernel(StrEnum):
    """How softmax attention is computed: the whole matrix, by tiles, or by torch's own kernel."""

    naive = "naive"
    tiled = "tiled"
    fused = "fused"


class Placement(StrEnum):
    """Where the norms stand around a part f of a block; `SLOTS` spells it out."""

    pre = "pre"
    post = "post"
    peri = "peri"
    deepnorm = "deepnorm"


class Slots(NamedTuple):
    """The norms of a placement: x becomes outer(alpha * x + behind(f(before(x)))).

    `final` is a norm behind the last block, for a stream that no norm of a block has bounded.
    `deep` sets alpha = (2 n_layers)^(1/4), else 1, and the starting weights that belong to it; an
    encoder-decoder has constants of its own (`experiments.nn.norm`).
    """

    before: bool = False
    behind: bool = False
    outer: bool = False
    final: bool = False
    deep: bool = False


SLOTS = {
    Placement.pre: Slots(before=True, final=True),
    Placement.post: Slots(outer=True),
    Placement.peri: Slots(before=True, behind=True, final=True),
    Placement.deepnorm: Slots(outer=True, deep=True),
}


class Init(StrEnum):
    """Whether matrices that write into the residual stream start smaller in deeper models."""

    scaled = "scaled"
    plain = "plain"


class Conversion(StrEnum):
    """What a group's heads of keys and values become: left, their mean, the first, a fresh one."""

    none = "none"
    mean = "mean"
    first = "first"
    random = "random"


class NormType(StrEnum):
    """LayerNorm or RMSNorm."""

    layer = "layer"
    rms = "rms"


class Balance(StrEnum):
    """How experts are balanced: not at all, by an auxiliary loss, or by a selection bias."""

    none = "none"
    aux = "aux"
    bias = "bias"


class Predict(StrEnum):
    """What `waves` and `patterns` ask of a model: the sequence itself, or its next value."""

    reconstruct = "reconstruct"
    next = "next"


class Unit(StrEnum):
    """What a token of a source sentence is."""

    word = "word"
    character = "character"


@dataclass
class Model:
    """The body that parts are put into."""

    d_model: int
    n_layers: int
    init: Init = Init.scaled

    def __post_init__(self) -> None:
        at_least(1, d_model=self.d_model, n_layers=self.n_layers)


@option("attention", "multihead")
@dataclass
class Attention:
    """Multi-head attention; `n_kv_heads` makes it MHA, GQA or MQA."""

    kind: str
    n_heads: int
    n_kv_heads: int
    bias: bool
    dropout: float
    position: Position
    kernel: Kernel

    def __post_init__(self) -> None:
        at_least(1, n_heads=self.n_heads, n_kv_heads=self.n_kv_heads)
        share(dropout=self.dropout)
        if self.dropout and self.kernel is not Kernel.fused:
            raise ValueError(
                f"dropout={self.dropout}: kernel={self.kernel} has no dropout; "
                "set dropout=0 or kernel=fused"
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_kv_heads={self.n_kv_heads} must divide n_heads={self.n_heads}, so that "
                "groups of queries are equal"
            )


@option("ffn", "dense")
@dataclass
class FeedForward:
    """A position-wise feed-forward network, gated (three matrices) or not (two)."""

    kind: str
    d_ff: int
    activation: Activation
    gated: bool
    bias: bool
    dropout: float

    def __post_init__(self) -> None:
        at_least(1, d_ff=self.d_ff)
        share(dropout=self.dropout)


@option("ffn", "moe")
@dataclass
class MixtureOfExperts:
    """A mixture of `n_experts` feed-forward networks, `top_k` of them active for a token."""

    kind: str
    n_experts: int
    top_k: int
    d_ff: int
    activation: Activation
    gated: bool
    bias: bool
    dropout: float
    balance: Balance
    aux_weight: float
    z_weight: float
    bias_rate: float

    def __post_init__(self) -> None:
        at_least(1, n_experts=self.n_experts, top_k=self.top_k, d_ff=self.d_ff)
        at_least(0, aux_weight=self.aux_weight, z_weight=self.z_weight, bias_rate=self.bias_rate)
        share(dropout=self.dropout)
        if self.top_k > self.n_experts:
            raise ValueError(
                f"top_k={self.top_k} of n_experts={self.n_experts}: a token can choose at most "
                "n_experts experts"
            )


@option("norm", "norm")
@dataclass
class Norm:
    """Which normalisation, and where."""

    kind: str
    placement: Placement
    type: NormType
    eps: float

    def __post_init__(self) -> None:
        if self.eps <= 0:
            raise ValueError(f"eps={self.eps} must be above 0")


@option("task", "domains")
@dataclass
class Domains:
    """Byte-level language modelling on real text of labelled domains, from installed packages."""

    kind: str
    length: int
    domains: list[str]
    train_bytes: int
    n_eval: int

    def __post_init__(self) -> None:
        at_least(2, length=self.length)
        at_least(1, n_eval=self.n_eval, train_bytes=self.train_bytes)
        known = ("code", "english", "japanese")
        if not self.domains or len(set(self.domains)) < len(self.domains):
            raise ValueError(
                f"domains={list(self.domains)} must name each domain once, from {', '.join(known)}"
            )
        for name in self.domains:
            if name not in known:
                raise ValueError(f"domains names {name!r}; there are {', '.join(known)}")


@option("task", "text")
@dataclass
class Text:
    """Byte-level language modelling on the user's files: documents, in folders that are domains."""

    kind: str
    length: int
    path: str
    eval_share: float
    n_eval: int

    def __post_init__(self) -> None:
        at_least(2, length=self.length)
        at_least(1, n_eval=self.n_eval)
        if not self.path:
            raise ValueError("path is empty; give a file or a glob, e.g. task.path='my/*.md'")
        if not 0 < self.eval_share < 1:
            raise ValueError(f"eval_share={self.eval_share} must lie in (0, 1)")


@option("task", "waves")
@dataclass
class Waves:
    """Three kinds of sequence: a slow sine, a fast sine, noise."""

    kind: str
    length: int
    width: int
    n_samples: int
    n_eval: int
    noise: float
    predict: Predict

    def __post_init__(self) -> None:
        at_least(2, length=self.length)
        at_least(1, width=self.width)
        at_least(3, n_samples=self.n_samples, n_eval=self.n_eval)
        at_least(0, noise=self.noise)


@option("task", "patterns")
@dataclass
class Patterns:
    """Noise that depends on the last step, on half a sequence ago, or on a period ago."""

    kind: str
    length: int
    width: int
    n_eval: int
    local: float
    long_range: float
    periodic: float
    period: int
    predict: Predict

    def __post_init__(self) -> None:
        at_least(1, width=self.width)
        at_least(3, n_eval=self.n_eval)
        if not 2 <= self.period < self.length:
            raise ValueError(
                f"period={self.period} must be at least 2 and below length={self.length}"
            )
        for name in ("local", "periodic"):
            if not -1 < getattr(self, name) < 1:
                raise ValueError(
                    f"{name}={getattr(self, name)} must lie in (-1, 1), or sequences would "
                    "grow without bound"
                )


@option("task", "function")
@dataclass
class Function:
    """Regression of sin_weight * sin(x) + cos_weight * cos(2x) from sequences of random x."""

    kind: str
    length: int
    width: int
    n_samples: int
    n_eval: int
    sin_weight: float
    cos_weight: float

    def __post_init__(self) -> None:
        at_least(
            1, length=self.length, width=self.width, n_samples=self.n_samples, n_eval=self.n_eval
        )


@option("task", "pairs15")
@dataclass
class Pairs15:
    """The exercise's fifteen English-Japanese pairs; other combinations of words are held out."""

    kind: str

    @property
    def source_length(self) -> int:
        """Tokens of the longest source; a task that has one needs an encoder-decoder."""
        return 2

    @property
    def length(self) -> int:
        """Tokens of the longest target with its end mark."""
        return 3


@option("task", "numbers")
@dataclass
class Numbers:
    """Numbers of up to `digits` digits in English words, to be written in Japanese."""

    kind: str
    digits: int
    source_unit: Unit
    n_train: int
    n_eval: int

    def __post_init__(self) -> None:
        at_least(1, n_train=self.n_train, n_eval=self.n_eval)
        if not 3 <= self.digits <= 8:
            raise ValueError(f"digits={self.digits} must lie between 3 and 8")
        there = 10**self.digits // 16  # half of those held out, which are one in eight
        for name, most in (("n_train", 7 * there), ("n_eval", there)):
            if getattr(self, name) > most:
                raise ValueError(
                    f"{name}={getattr(self, name)} must be at most {most} with digits={self.digits}"
                )

    @property
    def source_length(self) -> int:
        """Tokens of the longest source.

        777 has 5 words and 31 characters, and a power of 1000 is at most " thousand, ".
        """
        groups = -(-self.digits // 3)
        return 6 * groups - 1 if self.source_unit is Unit.word else 42 * groups - 11

    @property
    def length(self) -> int:
        """Tokens of the longest target with its end mark: a digit and its power each."""
        return 2 * self.digits


@question("moe")
@dataclass
class MoEOptions:
    """Options of the experiment moe."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    n_permutations: int = field()

    def __post_init__(self) -> None:
        at_least(1, n_permutations=self.n_permutations)


@question("head_analysis")
@dataclass
class HeadAnalysisOptions:
    """Options of the experiment head_analysis."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    train: bool
    block: int

    def __post_init__(self) -> None:
        at_least(1, block=self.block)


@question("ffn")
@dataclass
class FFNOptions:
    """Options of the experiment ffn."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    eps: float

    def __post_init__(self) -> None:
        share(eps=self.eps)


@question("norm_stability")
@dataclass
class NormStabilityOptions:
    """Options of the experiment norm_stability."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    depths: list[int]
    init_batches: int
    init_batch_size: int | None

    def __post_init__(self) -> None:
        at_least(1, init_batches=self.init_batches)
        if self.init_batch_size is not None:
            at_least(1, init_batch_size=self.init_batch_size)
        for depth in self.depths:
            at_least(1, depths=depth)
        if self.depths and len(set(self.depths)) < max(2, len(self.depths)):
            raise ValueError(
                f"depths={list(self.depths)} must be two or more different numbers of layers, as "
                "a slope over depth is fitted, or [] to look at nothing before training"
            )


@question("translation")
@dataclass
class TranslationOptions:
    """Options of the experiment translation, the one whose tasks are pairs of sequences."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    pairs: ClassVar[bool] = True
    n_probe: int
    n_samples: int

    def __post_init__(self) -> None:
        at_least(1, n_probe=self.n_probe, n_samples=self.n_samples)


@question("gqa_vs_mha")
@dataclass
class GQAOptions:
    """Options of gqa_vs_mha: conversion of a trained MHA, and the one layer that is timed."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    timed: ClassVar[bool] = True
    convert: Conversion
    uptrain_share: float
    d_model: int
    batch_size: int
    lengths: list[int]
    rounds: int
    prefill_lengths: list[int]
    prefill_rounds: int

    def __post_init__(self) -> None:
        share(uptrain_share=self.uptrain_share)
        at_least(
            1, d_model=self.d_model, batch_size=self.batch_size, prefill_rounds=self.prefill_rounds
        )
        at_least(0, rounds=self.rounds)
        for name in ("lengths", "prefill_lengths"):
            values = list(getattr(self, name))
            if not values or min(values) < 1 or sorted(set(values)) != values:
                raise ValueError(
                    f"{name}={values} must be one or more numbers of tokens, each larger than "
                    "the one before"
                )


@question("flash_attention")
@dataclass
class FlashOptions:
    """Options of the experiment flash_attention; null block sizes are those fastest at a length."""

    parts: ClassVar[tuple[str, ...]] = ("attention",)
    timed: ClassVar[bool] = True
    lengths: list[int]
    length: int
    causal: bool
    block_q: int | None
    block_k: int | None
    reference_up_to: int
    rounds: int
    warmup: int

    def __post_init__(self) -> None:
        lengths = list(self.lengths)
        if not lengths or min(lengths) < 1 or sorted(set(lengths)) != lengths:
            raise ValueError(
                f"lengths={lengths} must be one or more numbers of positions, each larger than "
                "the one before"
            )
        at_least(0, reference_up_to=self.reference_up_to)
        at_least(1, rounds=self.rounds, warmup=self.warmup)
        for name in ("block_q", "block_k"):
            value = getattr(self, name)
            if value is not None:
                at_least(1, **{name: value})


def check_together(experiment: str, groups: dict[str, Any]) -> None:
    """Raise ValueError where options do not fit each other or the experiment.

    `groups` maps the names of groups, `model` and `options` to their dataclasses.
    """
    task = groups.get("task")
    if task is not None:
        pairs = getattr(QUESTIONS[experiment], "pairs", False)
        if hasattr(task, "source_length") != pairs:
            has, needs = ("sequences", "pairs") if pairs else ("pairs", "sequences")
            raise ValueError(f"task={task.kind} has {has}, but {experiment} learns from {needs}")
    model, attention = groups.get("model"), groups.get("attention")
    options = groups.get("options")
    heads = getattr(attention, "n_heads", 1)
    if isinstance(options, GQAOptions) and options.d_model % heads:
        raise ValueError(
            f"options.d_model={options.d_model} must be a multiple of attention.n_heads={heads}"
        )
    if isinstance(attention, Attention) and model is not None:
        if model.d_model % attention.n_heads:
            raise ValueError(
                f"model.d_model={model.d_model} must be a multiple of "
                f"attention.n_heads={attention.n_heads}"
            )
        if attention.position is Position.rotary and (model.d_model // attention.n_heads) % 2:
            raise ValueError(
                f"rotary positions need an even head size; model.d_model={model.d_model} / "
                f"attention.n_heads={attention.n_heads} is {model.d_model // attention.n_heads}"
            )
