"""Counted costs are those of our own formulas, and of modules counted by hand."""

import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from experiments.nn.moe.routing import Routing
from experiments.parts import Cost, Part, counted_cost
from experiments.parts.attention import AttentionPart, Kernel, Position
from experiments.parts.counted_cost import count_in_this_process
from experiments.parts.ffn import Activation, FeedForwardPart
from experiments.parts.moe import Balance, MixturePart
from experiments.parts.norm import NormPart, NormType, Placement
from experiments.parts.plain import derive_part


def plain(group: str, build: Callable[[int], object]):
    class Mine:
        def build(self, d_model: int):
            return build(d_model)

    return derive_part(group, "mine", Mine)()


def count(group: str, build: Callable[[int], object], d_model: int = 16, length: int = 12) -> Cost:
    return count_in_this_process(plain(group, build), d_model, length)


def mixture(n_experts: int, top_k: int) -> MixturePart:
    return MixturePart(
        *("moe", n_experts, top_k, 24, Activation.silu, True, True, 0.0),
        *(Balance.none, 0.0, 0.0, 0.0),  # a loss would add products of its own
    )


OURS: list[tuple[str, Part]] = [
    *(
        ("attention", AttentionPart("multihead", 4, n, bias, 0.0, Position.rotary, kernel))
        for n in (1, 2, 4)
        for bias in (False, True)
        for kernel in (Kernel.naive, Kernel.fused)
    ),
    *(
        ("ffn", FeedForwardPart("dense", 40, Activation.relu, gated, bias, 0.1))
        for gated in (False, True)
        for bias in (False, True)
    ),
    ("ffn", mixture(4, 2)),
    ("ffn", mixture(8, 1)),
    ("norm", NormPart("norm", Placement.pre, NormType.layer, 1e-5)),
]


@pytest.mark.parametrize(("group", "part"), OURS, ids=str)
@pytest.mark.parametrize("length", [0, 1, 9, 64])
def test_our_parts_count_as_their_formulas_say(group: str, part: Part, length: int):
    assert count(group, part.build, 16, length) == part.cost(16, length)


class OwnAttention(nn.Module):
    """Causal attention without torch's kernel."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        scores = (q @ k.transpose(1, 2)).masked_fill(hidden, -torch.inf)
        return scores.softmax(dim=-1) @ v


def test_masked_products_count_half_and_unknown_keys_and_values_are_nan():
    cost = count("attention", OwnAttention)
    assert cost.flops_per_token == 2 * 3 * 16 * 16 + 2 * 2 * 16 * (12 + 1) / 2
    assert math.isnan(cost.kv_bytes_per_token)
    without = count("attention", OwnAttention, length=0)
    assert without.flops_per_token == 2 * 3 * 16 * 16


class DependsOnValues(nn.Linear):
    def forward(self, x):
        return super().forward(x) if float(x.sum()) < 1e9 else x


@pytest.mark.parametrize("length", [0, 12, 5000])
def test_a_forward_that_depends_on_values_is_counted_on_the_cpu(length: int):
    cost = count("ffn", lambda d: DependsOnValues(d, d), length=length)
    assert cost == Cost(16 * 17, 16 * 17, 2.0 * 16 * 16, 0)


def test_a_module_of_one_length_is_counted():
    class Spatial(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(12, 12))

        def forward(self, x):
            return self.weight @ x

    # Half of the square does not show at one length: all of it counts.
    assert count("attention", lambda _: Spatial()).flops_per_token == 2 * 12 * 16


def test_keys_and_values_come_from_the_cache_or_from_attention():
    class Attention(nn.Module):
        def forward(self, x):
            shared = x[:, None, :, :4].expand(-1, 4, -1, -1)  # one head for all queries
            heads = x.unflatten(-1, (4, 4)).transpose(1, 2)
            mixed = F.scaled_dot_product_attention(heads, key=shared, value=shared, is_causal=True)
            return mixed.transpose(1, 2).flatten(2)

    class WithCache(Attention):
        def new_cache(self, batch: int, capacity: int):
            return SimpleNamespace(states=[torch.zeros(batch, capacity, 7), torch.zeros(3)])

    assert count("attention", lambda _: Attention()).kv_bytes_per_token == 4 * 2 * 4
    assert count("attention", lambda _: WithCache()).kv_bytes_per_token == 4 * 7


class Experts(nn.Module):
    """Four experts in one tensor, all computed, of which the best one counts."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.router = nn.Linear(d_model, 4, bias=False)
        self.up = nn.Parameter(torch.zeros(4, d_model, d_model))

    def forward(self, x):
        logits = self.router(x).flatten(0, 1)
        chosen = logits.argmax(-1, keepdim=True)
        weight = F.one_hot(chosen[:, 0], 4) * logits.softmax(-1)
        y = torch.einsum("btd,edf,bte->btf", x, self.up, weight.unflatten(0, x.shape[:2]))
        routing = Routing(
            *(logits, logits.softmax(-1), chosen, logits.softmax(-1).gather(1, chosen)),
            *(torch.ones(len(logits), dtype=torch.bool), logits.sum()),
        )
        return y, routing


def test_a_token_uses_the_router_and_the_experts_that_it_is_sent_to():
    cost = count("ffn", Experts)
    assert (cost.parameters, cost.active_parameters) == (4 * 16 + 4 * 256, 4 * 16 + 256)


def test_counting_leaves_the_random_state():
    state = torch.get_rng_state()
    count("ffn", lambda d: DependsOnValues(d, d))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_module_that_cannot_run_is_an_error():
    with pytest.raises(ValueError, match="ffn=mine: its cost cannot be counted: with d_model=16"):
        count("ffn", lambda _: nn.Linear(3, 3))


class Recurrent(nn.Module):
    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        # A forward that depends on values is counted on the CPU, where fused kernels exist.
        return self.layer(x)[0] * float(x[0, 0, 0] > -99)


@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.RNN])
def test_each_weight_of_a_recurrent_layer_has_two_flops_a_token(layer):
    layers = layer(16, 16, num_layers=2, batch_first=True)
    weights = sum(each.numel() for each in layers.parameters() if each.ndim > 1)
    cost = count("ffn", lambda d: Recurrent(layer(d, d, num_layers=2, batch_first=True)))
    assert cost.flops_per_token == 2 * weights


class TorchAttention(nn.Module):
    def __init__(self, d_model: int, *, is_block: bool) -> None:
        super().__init__()
        self.is_block = is_block
        self.own = nn.MultiheadAttention(d_model, 4, batch_first=True)
        self.block = nn.TransformerEncoderLayer(d_model, 4, 32, batch_first=True)

    def forward(self, x):
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        if self.is_block:
            return self.block(x, src_mask=mask, is_causal=True)
        return self.own(x, x, x, attn_mask=mask, need_weights=False, is_causal=True)[0]


@pytest.mark.parametrize("is_block", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_keys_and_values_of_torch_s_own_attention_are_counted(is_block: bool, training: bool):
    cost = count("attention", lambda d: TorchAttention(d, is_block=is_block).train(training))
    assert cost.kv_bytes_per_token == 4 * 2 * 16


def test_a_huge_module_is_not_built_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(counted_cost, "LARGEST_ON_CPU", 100)
    with pytest.raises(ValueError, match=r"it has \d+ parameters, too many to run it on the CPU"):
        count("ffn", lambda d: Recurrent(nn.GRU(d, d, batch_first=True)))
