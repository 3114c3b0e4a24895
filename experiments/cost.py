"""What a body costs, from its options alone: no torch, so that planning and matching stay fast.

Embeddings and the output head are left out: they are the same in every arm and would hide
differences. Tests hold these numbers against the built module and torch's FLOP counter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from experiments.config import (
    SLOTS,
    Attention,
    FeedForward,
    MixtureOfExperts,
    NoFeedForward,
    Norm,
    NormType,
)


@dataclass(frozen=True)
class Cost:
    """Of a part, or of a whole body.

    Attributes:
        parameters: all of them.
        active_parameters: those that work on one token: of a mixture the router and top_k experts.
        flops_per_token: of a forward, 2 per weight of an active matrix and token, plus the two
            products of attention. Pointwise work (norms, activations, softmax, biases) is not
            counted.
        kv_bytes_per_token: keys and values that decoding keeps for each token, in float32.
    """

    parameters: int = 0
    active_parameters: int = 0
    flops_per_token: float = 0.0
    kv_bytes_per_token: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.active_parameters + other.active_parameters,
            self.flops_per_token + other.flops_per_token,
            self.kv_bytes_per_token + other.kv_bytes_per_token,
        )

    def __mul__(self, times: int) -> "Cost":
        return Cost(
            self.parameters * times,
            self.active_parameters * times,
            self.flops_per_token * times,
            self.kv_bytes_per_token * times,
        )


PartCost = Callable[[Any, int, int], Cost]
P = TypeVar("P", bound=PartCost)
COSTS: dict[type, PartCost] = {}


def part_cost(schema: type) -> Callable[[P], P]:
    """Register the cost of one `schema` module: a function of options, d_model and length."""

    def register(function: P) -> P:
        COSTS[schema] = function
        return function

    return register


def of_part(options: object, d_model: int, length: int) -> Cost:
    """The cost of one module.

    Raises:
        ValueError: where nothing is registered for this type of options.
    """
    if type(options) not in COSTS:
        raise ValueError(
            f"no cost for {type(options).__name__}; register one with @part_cost of "
            "experiments/cost.py"
        )
    return COSTS[type(options)](options, d_model, length)


@part_cost(Attention)
def _attention(options: Attention, d_model: int, length: int) -> Cost:
    d_kv = d_model // options.n_heads * options.n_kv_heads
    matrices = 2 * d_model * d_model + 2 * d_model * d_kv
    parameters = matrices + options.bias * (2 * d_model + 2 * d_kv)
    # A causal token at position t sees t + 1 keys, on average (length + 1) / 2, and spends 2 FLOPs
    # for each key and coordinate in each of two products. Kernels that compute the masked half too
    # do twice that.
    products = 2 * 2 * d_model * (length + 1) / 2 if length else 0.0
    return Cost(parameters, parameters, 2 * matrices + products, 2 * d_kv * 4)


@part_cost(FeedForward)
def _feed_forward(
    options: FeedForward | MixtureOfExperts,
    d_model: int,
    length: int,  # noqa: ARG001
) -> Cost:
    n_up = 2 if options.gated else 1
    matrices = (n_up + 1) * d_model * options.d_ff
    parameters = matrices + options.bias * (n_up * options.d_ff + d_model)
    return Cost(parameters, parameters, 2.0 * matrices)


@part_cost(NoFeedForward)
def _no_feed_forward(options: NoFeedForward, d_model: int, length: int) -> Cost:  # noqa: ARG001
    return Cost()


@part_cost(MixtureOfExperts)
def _mixture(options: MixtureOfExperts, d_model: int, length: int) -> Cost:
    expert = _feed_forward(options, d_model, length)
    router = d_model * options.n_experts
    return Cost(
        options.n_experts * expert.parameters + router,
        options.top_k * expert.parameters + router,
        options.top_k * expert.flops_per_token + 2 * router,
    )


@part_cost(Norm)
def _norm(options: Norm, d_model: int, length: int) -> Cost:  # noqa: ARG001
    parameters = {NormType.layer: 2, NormType.rms: 1}[options.type] * d_model
    return Cost(parameters, parameters)


def cost(groups: Mapping[str, Any], *, length: int | None = None) -> Cost:
    """The cost of a body of `groups` (model, attention, ffn, norm); what it lacks costs nothing.

    How many norms a layer has, and whether there is a final one, depends on their placement.
    `length` is the context of the attention products; None: that of groups["task"], and without a
    task the products are left out. A task that has a source is translated by `encoder_decoder`.
    """
    model, norm = groups["model"], groups.get("norm")
    task = groups.get("task")
    if task is not None and task.pairs:
        return encoder_decoder(groups)
    if length is None:
        length = task.sizes().length if task is not None else 0
    mixing = [groups[name] for name in ("attention", "ffn") if name in groups]
    layer = sum((of_part(part, model.d_model, length) for part in mixing), Cost())
    if norm is None:
        return layer * model.n_layers
    slots = SLOTS[norm.placement]
    normed = 2 - _lacks_ffn(groups)
    n_norms = normed * model.n_layers * (slots.before + slots.behind + slots.outer) + slots.final
    return layer * model.n_layers + of_part(norm, model.d_model, length) * n_norms


def encoder_decoder(groups: Mapping[str, Any]) -> Cost:
    """The cost of n_layers encoder and n_layers decoder blocks, on the task's longest sentences.

    What a sentence costs is spread over the tokens of its target: the FLOPs of the encoder, and the
    keys and values that decoding keeps for the source.
    """
    model, norm, task = groups["model"], groups["norm"], groups["task"].sizes()
    source_share = task.source_length / task.length  # source tokens for each target token
    causal = of_part(groups["attention"], model.d_model, task.length)
    # Seeing all of n keys costs what causal attention costs over 2n - 1 positions, on average.
    full = of_part(groups["attention"], model.d_model, 2 * task.source_length - 1)
    ffn = of_part(groups["ffn"], model.d_model, task.length)
    # Attention to the source computes keys and values (4 bytes each) of source tokens.
    keys_values = 2 * model.d_model * full.kv_bytes_per_token / 4
    flops = (full.flops_per_token + ffn.flops_per_token) * source_share
    flops += causal.flops_per_token + ffn.flops_per_token
    flops += full.flops_per_token + keys_values * (source_share - 1)
    slots = SLOTS[norm.placement]
    normed = 5 - 2 * _lacks_ffn(groups)
    n_norms = normed * model.n_layers * (slots.before + slots.behind + slots.outer)
    n_norms += 2 * slots.final
    body = (full + full + causal + ffn + ffn) * model.n_layers
    body += of_part(norm, model.d_model, task.length) * n_norms
    kept = model.n_layers * causal.kv_bytes_per_token * (1 + source_share)
    return replace(body, flops_per_token=flops * model.n_layers, kv_bytes_per_token=round(kept))


def _lacks_ffn(groups: Mapping[str, Any]) -> bool:
    """Whether blocks are attention-only: around what is not there stand no norms."""
    return isinstance(groups.get("ffn"), NoFeedForward)
