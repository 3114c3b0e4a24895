"""Costs against the built module and torch's own FLOP counter."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init, body_cost
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.moe import Balance
from experiments.parts.moe import MixturePart as MixtureOfExpertsOptions
from experiments.parts.no_ffn import NoFeedForwardPart
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer
from experiments.tasks.values import Predict
from experiments.tasks.waves import Waves

LENGTH, D_MODEL, VOCABULARY = 12, 32, 7


def dense(*, gated=False, bias=False):
    return FeedForwardOptions("dense", 40, Activation.silu, gated, bias, 0.0)


def mixture(*, n_experts=6, top_k=2, gated=False, bias=False):
    options = (Activation.silu, gated, bias, 0.0, Balance.none, 0.0, 0.0, 0.0)
    return MixtureOfExpertsOptions("moe", n_experts, top_k, 40, *options)


def groups(ffn, *, n_kv_heads=4, bias=False, placement=Placement.pre, norm=NormType.layer):
    return {
        "model": ModelOptions(D_MODEL, 3, Init.scaled),
        "attention": AttentionOptions(
            "multihead", 4, n_kv_heads, bias, 0.0, Position.rotary, Kernel.fused
        ),
        "ffn": ffn,
        "norm": NormOptions("norm", placement, norm, 1e-5),
    }


CASES = {
    "dense": groups(dense()),
    "biased": groups(dense(bias=True), bias=True, n_kv_heads=2),
    "swiglu_gqa_rms": groups(dense(gated=True), n_kv_heads=1, norm=NormType.rms),
    "post": groups(dense(gated=True, bias=True), placement=Placement.post),
    "peri": groups(dense(), placement=Placement.peri),
    "deepnorm": groups(dense(), placement=Placement.deepnorm, norm=NormType.rms),
    "moe": groups(mixture()),
    "moe_top1": groups(mixture(top_k=1, gated=True, bias=True), n_kv_heads=2),
    "moe_all": groups(mixture(top_k=6)),
    **{
        f"attention_only_{placement}": groups(NoFeedForwardPart("none"), placement=placement)
        for placement in Placement
    },
}
CASE = pytest.mark.parametrize("parts", CASES.values(), ids=CASES)


def built(parts):
    return build_transformer(SimpleNamespace(**parts), vocabulary=VOCABULARY, width=None, seed=0)


@CASE
def test_parameters_are_those_of_the_body(parts) -> None:
    body = {n: p for n, p in built(parts).named_parameters() if not n.startswith(("emb", "head"))}
    assert body_cost(parts).parameters == sum(p.numel() for p in body.values())
    idle = 0
    if isinstance(parts["ffn"], MixtureOfExpertsOptions):
        one = sum(p.numel() for n, p in body.items() if n.startswith("blocks.0.ffn.experts.0."))
        idle = 3 * (parts["ffn"].n_experts - parts["ffn"].top_k) * one
    assert body_cost(parts).active_parameters == body_cost(parts).parameters - idle


@CASE
def test_flops_are_those_that_torch_counts(parts) -> None:
    model, batch = built(parts), 5
    inputs = torch.randint(VOCABULARY, (batch, LENGTH))
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(inputs)
    # The counter knows no scaled_dot_product_attention on a CPU, so it counts the matrices alone.
    head = 2 * D_MODEL * VOCABULARY
    per_token = counter.get_total_flops() / (batch * LENGTH) - head
    assert body_cost(parts).flops_per_token == per_token


def test_attention_products_are_counted_causally() -> None:
    attention = CASES["dense"]["attention"]
    with_products = attention.cost(D_MODEL, LENGTH).flops_per_token
    products = (with_products - attention.cost(D_MODEL, 0).flops_per_token) * LENGTH
    # Two products of 2 * d_head FLOPs, for each head and each pair (query, key not later).
    pairs = sum(1 for query in range(LENGTH) for key in range(LENGTH) if key <= query)
    assert products == 2 * pairs * 4 * 2 * (D_MODEL // 4)


def test_length_is_the_tasks_unless_given() -> None:
    parts = CASES["dense"]
    task = Waves("waves", LENGTH, 1, 3, 3, 0.1, Predict.next)
    assert body_cost({**parts, "task": task}) == body_cost(parts, length=LENGTH)
    assert body_cost(parts, length=LENGTH).flops_per_token > body_cost(parts).flops_per_token


def test_key_and_value_bytes() -> None:
    # n_layers 3, keys and values, n_kv_heads 2, d_head 8, 4 bytes each
    assert body_cost(CASES["biased"]).kv_bytes_per_token == 3 * 2 * 2 * 8 * 4


def test_gated_at_two_thirds_costs_the_same() -> None:
    wide = FeedForwardOptions("dense", 3072, Activation.gelu, False, False, 0.0)
    gated = FeedForwardOptions("dense", 2048, Activation.silu, True, False, 0.0)
    assert wide.cost(768, 0).parameters == gated.cost(768, 0).parameters == 4_718_592
