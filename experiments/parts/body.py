"""The body that parts are put into: its options, and what it costs.

Costs leave embeddings and the output head out: they are the same in every arm and would hide
differences. Tests hold the costs against the built module and torch's FLOP counter. The modules are
built in `transformer.py` and `translator.py`: what a body costs is behind every arm's numbers, how
an encoder-decoder is built only behind those of translations.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from experiments.parts import Cost, Part
from experiments.rules import check_at_least


class Init(StrEnum):
    """Whether matrices that write into the residual stream start smaller in deeper models."""

    scaled = "scaled"
    plain = "plain"


@dataclass
class ModelOptions:
    """The body that parts are put into."""

    d_model: int
    n_layers: int
    init: Init

    def __post_init__(self) -> None:
        check_at_least(1, d_model=self.d_model, n_layers=self.n_layers)


def body_cost(groups: Mapping[str, Any], *, length: int | None = None) -> Cost:
    """Return the cost of a body of `groups` (model, attention, ffn, norm); absent ones cost 0.

    How many norms a layer has, and whether there is a final one, depends on the norm's slots.
    `length` is the context of the attention products; None: that of groups["task"], and without a
    task the products are left out. A task of pairs makes it an encoder and a decoder.
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
    slots = norm.norm_slots
    n_norms = (
        count_residual_writers(*mixing)
        * model.n_layers
        * (slots.before + slots.behind + slots.outer)
        + slots.final
    )
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
    slots = norm.norm_slots
    attention = groups["attention"]
    normed = count_residual_writers(attention, groups["ffn"]) + count_residual_writers(
        attention, attention, groups["ffn"]
    )
    n_norms = normed * model.n_layers * (slots.before + slots.behind + slots.outer)
    n_norms += 2 * slots.final
    body = (full + full + causal + ffn + ffn) * model.n_layers
    body += norm.cost(model.d_model, task.length) * n_norms
    kept = model.n_layers * causal.kv_bytes_per_token * (1 + source_share)
    return replace(body, flops_per_token=flops * model.n_layers, kv_bytes_per_token=round(kept))


def count_residual_writers(*parts: Part) -> int:
    """Return how many of the parts of a block write into the stream."""
    return sum(part.writes_to_residual for part in parts)
