"""Options of the questions: what an experiment measures beside training."""

from dataclasses import dataclass, field
from typing import ClassVar

from experiments.config.parts import Conversion
from experiments.config.registering import at_least, measuring, question, share


@question("moe")
@dataclass
class MoEOptions:
    """Options of the experiment moe."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    n_permutations: int = field(metadata=measuring())

    def __post_init__(self) -> None:
        at_least(1, n_permutations=self.n_permutations)


@question("head_analysis")
@dataclass
class HeadAnalysisOptions:
    """Options of the experiment head_analysis."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    train: bool
    block: int = field(metadata=measuring())
    n_orders: int = field(metadata=measuring("heads/pruning", "heads/ablation"))

    def __post_init__(self) -> None:
        at_least(1, block=self.block)
        at_least(0, n_orders=self.n_orders)


@question("ffn")
@dataclass
class FFNOptions:
    """Options of the experiment ffn."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    eps: float = field(metadata=measuring("ffn/small_share"))

    def __post_init__(self) -> None:
        share(eps=self.eps)


@question("norm_stability")
@dataclass
class NormStabilityOptions:
    """Options of the experiment norm_stability."""

    parts: ClassVar[tuple[str, ...]] = ("attention", "ffn", "norm", "task")
    depths: list[int] = field(metadata=measuring("norm/grad_slope", "norm/variance_slope"))
    init_batches: int = field(metadata=measuring("norm/grad_", "norm/grad/", "norm/variance"))
    init_batch_size: int | None = field(
        metadata=measuring("norm/grad_", "norm/grad/", "norm/variance")
    )

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
    n_probe: int = field(metadata=measuring())
    n_samples: int = field(metadata=measuring())

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
    d_model: int = field(metadata=measuring("gqa/"))
    batch_size: int = field(metadata=measuring("gqa/"))
    lengths: list[int] = field(metadata=measuring("gqa/decode", "gqa/read_limit", "gqa/cache"))
    rounds: int = field(metadata=measuring())
    prefill_lengths: list[int] = field(
        metadata=measuring("gqa/prefill", "gqa/mixing", "gqa/generation")
    )
    prefill_rounds: int = field(metadata=measuring())

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
    lengths: list[int] = field(metadata=measuring())
    length: int
    causal: bool
    block_q: int | None
    block_k: int | None
    reference_up_to: int = field(metadata=measuring())
    rounds: int = field(metadata=measuring())
    warmup: int = field(metadata=measuring("flash/time"))

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
