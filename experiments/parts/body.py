"""The body that parts are put into: its options, what it costs, and how it is built.

Costs leave embeddings and the output head out: they are the same in every arm and would hide
differences. Tests hold the costs against the built module and torch's FLOP counter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from experiments.parts import Cost, Part, Slots
from experiments.rules import at_least

if TYPE_CHECKING:
    from experiments.nn.encoder_decoder import EncoderDecoder
    from experiments.nn.norm import DeepNorm, Residual
    from experiments.nn.transformer import Transformer


class Init(StrEnum):
    """Whether matrices that write into the residual stream start smaller in deeper models."""

    scaled = "scaled"
    plain = "plain"


@dataclass
class Model:
    """The body that parts are put into."""

    d_model: int
    n_layers: int
    init: Init

    def __post_init__(self) -> None:
        at_least(1, d_model=self.d_model, n_layers=self.n_layers)


@runtime_checkable
class Arm(Protocol):
    """The options of one arm that a Transformer is made of."""

    model: Any
    attention: Any
    ffn: Any
    norm: Any


def cost(groups: Mapping[str, Any], *, length: int | None = None) -> Cost:
    """Return the cost of a body of `groups` (model, attention, ffn, norm); absent ones cost 0.

    How many norms a layer has, and whether there is a final one, depends on the norm's slots.
    `length` is the context of the attention products; None: that of groups["task"], and without a
    task the products are left out. A task that has a source is translated by `encoder_decoder`.
    """
    model, norm = groups["model"], groups.get("norm")
    task = groups.get("task")
    if task is not None and task.pairs:
        return encoder_decoder_cost(groups)
    if length is None:
        length = 0 if task is None else task.sizes().length
    mixing: list[Part] = [groups[name] for name in ("attention", "ffn") if name in groups]
    layer = sum((part.cost(model.d_model, length) for part in mixing), Cost())
    if norm is None:
        return layer * model.n_layers
    slots = norm.slots
    normed = 2 if "ffn" not in groups else writing(groups["ffn"], 2)
    n_norms = normed * model.n_layers * (slots.before + slots.behind + slots.outer) + slots.final
    return layer * model.n_layers + norm.cost(model.d_model, length) * n_norms


def encoder_decoder_cost(groups: Mapping[str, Any]) -> Cost:
    """Return the cost of n_layers encoder and decoder blocks, on the task's longest sentences.

    The cost of a sentence is spread over the tokens of its target: the FLOPs of the encoder, and
    the keys and values that decoding keeps for the source.
    """
    model, norm, task = groups["model"], groups["norm"], groups["task"].sizes()
    source_share = task.source_length / task.length  # source tokens for each target token
    causal = groups["attention"].cost(model.d_model, task.length)
    # Seeing all of n keys costs what causal attention costs over 2n - 1 positions, on average.
    full = groups["attention"].cost(model.d_model, 2 * task.source_length - 1)
    ffn = groups["ffn"].cost(model.d_model, task.length)
    # Attention to the source computes keys and values (4 bytes each) of source tokens.
    keys_values = 2 * model.d_model * full.kv_bytes_per_token / 4
    flops = (full.flops_per_token + ffn.flops_per_token) * source_share
    flops += causal.flops_per_token + ffn.flops_per_token
    flops += full.flops_per_token + keys_values * (source_share - 1)
    slots = norm.slots
    normed = writing(groups["ffn"], 2) + writing(groups["ffn"], 3)
    n_norms = normed * model.n_layers * (slots.before + slots.behind + slots.outer)
    n_norms += 2 * slots.final
    body = (full + full + causal + ffn + ffn) * model.n_layers
    body += norm.cost(model.d_model, task.length) * n_norms
    kept = model.n_layers * causal.kv_bytes_per_token * (1 + source_share)
    return replace(body, flops_per_token=flops * model.n_layers, kv_bytes_per_token=round(kept))


def writing(ffn: Part, n: int) -> int:
    """Return how many of the `n` parts that a block can have write into the stream."""
    return n if ffn.writes else n - 1


def build_residual(norm: Part, part: Part, d_model: int, *, deep: "DeepNorm") -> "Residual":
    """Return the norms around `part` of a block; `deep` are the constants, if it is DeepNorm.

    Around a part that does not write into the stream there are none: the stream passes as it is.
    """
    from experiments.nn.norm import Residual

    slots = norm.slots if part.writes else Slots()
    return Residual(
        partial(norm.build, d_model),
        before=slots.before,
        behind=slots.behind,
        outer=slots.outer,
        alpha=deep.alpha if slots.deep else 1.0,
    )


def build_transformer(
    arm: Arm, *, vocabulary: int | None, width: int | None, seed: int
) -> "Transformer":
    """Return the initialised model of an arm, for token ids or continuous vectors of `width`.

    Raises:
        ValueError: where not exactly one of `vocabulary` and `width` is given.
    """
    from torch import nn

    from experiments.nn.initialise import initialise, starting_gains
    from experiments.nn.norm import deepnorm
    from experiments.nn.transformer import Block, Transformer

    if (vocabulary is None) == (width is None):
        raise ValueError(f"give one of vocabulary={vocabulary} and width={width}, the other None")
    d_model, n_layers = arm.model.d_model, arm.model.n_layers
    slots, n_parts = arm.norm.slots, writing(arm.ffn, 2)
    residual = partial(
        build_residual, arm.norm, d_model=d_model, deep=deepnorm(n_layers, n_parts=n_parts)
    )
    embedding: nn.Module
    if vocabulary is not None:
        embedding = nn.Embedding(vocabulary, d_model)
        head = nn.Linear(d_model, vocabulary, bias=False)
    else:
        # The bias matters: without it, a norm would erase the size of a narrow input.
        assert width is not None
        embedding = nn.Linear(width, d_model)
        head = nn.Linear(d_model, width)
    model = Transformer(
        embedding=embedding,
        blocks=[
            Block(
                attention=arm.attention.build(d_model),
                ffn=arm.ffn.build(d_model),
                attention_residual=residual(arm.attention),
                ffn_residual=residual(arm.ffn),
            )
            for _ in range(n_layers)
        ],
        final_norm=arm.norm.build(d_model) if slots.final else nn.Identity(),
        head=head,
        sinusoids=arm.attention.sinusoids,
    )
    init = arm.model.init.value
    gains = starting_gains(n_layers, n_parts=n_parts, init=init, deep=slots.deep)
    initialise(model, seed, gains=gains)
    return model


def build_encoder_decoder(
    arm: Arm, *, source_vocabulary: int, target_vocabulary: int, seed: int
) -> "EncoderDecoder":
    """Return the initialised translation model: n_layers blocks encode, n_layers decode."""
    import torch
    from torch import nn

    from experiments.nn.encoder_decoder import DecoderBlock, EncoderBlock, EncoderDecoder
    from experiments.nn.initialise import encoder_decoder_gains, initialise
    from experiments.nn.norm import deepnorm_decoder, deepnorm_encoder

    d_model, n_layers = arm.model.d_model, arm.model.n_layers
    slots = arm.norm.slots

    def parts(deep: "DeepNorm", *names: str) -> dict[str, Any]:
        modules: dict[str, Any] = {}
        for name in names:
            part = arm.ffn if name == "ffn" else arm.attention
            modules[name] = part.build(d_model)
            modules[f"{name}_residual"] = build_residual(arm.norm, part, d_model, deep=deep)
        return modules

    encoding = deepnorm_encoder(n_layers, n_layers)
    decoding = deepnorm_decoder(n_layers, n_parts=writing(arm.ffn, 3))
    model = EncoderDecoder(
        source_embedding=nn.Embedding(source_vocabulary, d_model),
        target_embedding=nn.Embedding(target_vocabulary, d_model),
        encoder=[EncoderBlock(**parts(encoding, "attention", "ffn")) for _ in range(n_layers)],
        decoder=[
            DecoderBlock(**parts(decoding, "attention", "cross", "ffn")) for _ in range(n_layers)
        ],
        encoder_norm=arm.norm.build(d_model) if slots.final else nn.Identity(),
        decoder_norm=arm.norm.build(d_model) if slots.final else nn.Identity(),
        head=nn.Linear(d_model, target_vocabulary, bias=False),
        sinusoids=arm.attention.sinusoids,
    )
    gains = encoder_decoder_gains(
        n_layers,
        n_parts=(writing(arm.ffn, 2), writing(arm.ffn, 3)),
        init=arm.model.init.value,
        deep=slots.deep,
    )
    initialise(model, seed, gains=gains)
    with torch.no_grad():
        # The model multiplies embeddings by sqrt(d_model), which has a point only where they start
        # small (Vaswani 2017): else positions of size 1 would drown in words of size sqrt(d_model).
        for embedding in (model.source_embedding, model.target_embedding):
            embedding.weight.mul_(d_model**-0.5)
    return model
