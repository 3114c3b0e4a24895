"""The body of a model, which contains the parts: its options and its cost.

Costs exclude embeddings and the output head. They are the same in every arm, so they would hide
differences. Tests compare the costs with the built module and with torch's FLOP counter.

`transformer.py` and `encoder_decoder.py` build the modules. They are separate files because code
hashes follow imports: every arm depends on costs, but only translations on the encoder-decoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from experiments.parts import Cost, Part
from experiments.rules import check_at_least


class Init(StrEnum):
    """The initial weights; `scaled` shrinks matrices that write into the stream with depth."""

    scaled = "scaled"
    plain = "plain"


@dataclass
class ModelOptions:
    """The options of the body: width of the stream, number of blocks, initial weights."""

    d_model: int
    n_layers: int
    init: Init

    def __post_init__(self) -> None:
        check_at_least(1, d_model=self.d_model, n_layers=self.n_layers)


def body_cost(parts: Mapping[str, Any], *, length: int | None = None) -> Cost:
    """Return the cost of a body.

    Args:
        parts: {group: options} of an arm: model, attention, ffn, norm, task. A missing group
            costs 0. The norm's slots set the number of norms. A task of pairs makes the body an
            encoder and a decoder. A language model is a whole, with its embedding and its head.
        length: the number of tokens for the attention products; None: that of the task, or
            without a task no products.
    """
    task = parts.get("task")
    if (whole := parts.get("language_model")) is not None:
        sizes = parts["task"].sizes()
        cost: Cost = whole.cost(sizes.n_outputs, sizes.length if length is None else length)
        return cost
    model, norm = parts["model"], parts.get("norm")
    if task is not None and task.pairs:
        return encoder_decoder_cost(parts)
    if length is None:
        length = 0 if task is None else task.sizes().length
    block_parts: list[Part] = [parts[name] for name in ("attention", "ffn") if name in parts]
    layer = sum((part.cost(model.d_model, length) for part in block_parts), Cost())
    if norm is None:
        return layer * model.n_layers
    slots = norm.norm_slots
    # Each part that writes into the stream has the norms of the slots; others have none.
    n_norms = (
        count_residual_writers(*block_parts)
        * model.n_layers
        * (slots.before + slots.behind + slots.outer)
        + slots.final
    )
    return layer * model.n_layers + norm.cost(model.d_model, length) * n_norms


def encoder_decoder_cost(parts: Mapping[str, Any]) -> Cost:
    """Return the cost of n_layers encoder and n_layers decoder blocks, for the longest sentences.

    Costs per token are per token of the target. They include the FLOPs of the encoder, and the keys
    and values of the source that decoding caches.
    """
    model, norm, task = parts["model"], parts["norm"], parts["task"].sizes()
    source_share = task.source_length / task.length  # source tokens for each target token
    causal = parts["attention"].cost(model.d_model, task.length)
    # A token that sees all n keys costs as much as a causal one among 2n - 1 positions on average.
    full = parts["attention"].cost(model.d_model, 2 * task.source_length - 1)
    ffn = parts["ffn"].cost(model.d_model, task.length)
    # Cross-attention computes keys and values (4 bytes each) of source, not of target tokens.
    keys_values = 2 * model.d_model * full.kv_bytes_per_token / 4
    # Encoder, then decoder self-attention and feed-forward network, then cross-attention.
    flops = (full.flops_per_token + ffn.flops_per_token) * source_share
    flops += causal.flops_per_token + ffn.flops_per_token
    flops += full.flops_per_token + keys_values * (source_share - 1)
    slots = norm.norm_slots
    attention = parts["attention"]
    # A decoder block has attention twice.
    n_normed_parts = count_residual_writers(attention, parts["ffn"]) + count_residual_writers(
        attention, attention, parts["ffn"]
    )
    n_norms = n_normed_parts * model.n_layers * (slots.before + slots.behind + slots.outer)
    n_norms += 2 * slots.final
    body = (full + full + causal + ffn + ffn) * model.n_layers
    body += norm.cost(model.d_model, task.length) * n_norms
    # Decoding caches each block's keys and values of the target and of the source.
    kv_bytes = model.n_layers * causal.kv_bytes_per_token * (1 + source_share)
    return replace(body, flops_per_token=flops * model.n_layers, kv_bytes_per_token=round(kv_bytes))


def count_residual_writers(*parts: Part) -> int:
    """Return how many of these parts write into the residual stream."""
    return sum(part.writes_to_residual for part in parts)
