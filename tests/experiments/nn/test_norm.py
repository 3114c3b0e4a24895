"""Norms and their placements against formulas and torch's own layers; DeepNorm's constants."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.nn.norm import build_norm, deepnorm
from experiments.nn.transformer import Block, Transformer
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer

D_MODEL, N_HEADS, D_FF, EPS = 16, 4, 24, 1e-5


def model(
    placement: Placement,
    *,
    n_layers: int = 3,
    bias: bool = False,
    position: Position = Position.rotary,
    init: Init = Init.plain,
) -> Transformer:
    arm = SimpleNamespace(
        model=ModelOptions(D_MODEL, n_layers, init),
        attention=AttentionOptions(
            "multihead", N_HEADS, N_HEADS, bias, 0.0, position, Kernel.fused
        ),
        ffn=FeedForwardOptions("dense", D_FF, Activation.relu, False, bias, 0.0),
        norm=NormOptions("norm", placement, NormType.layer, EPS),
    )
    return build_transformer(arm, vocabulary=11, width=None, seed=0)


def spread_norms(net: nn.Module) -> None:
    """Set different gains and biases for every norm, so that no two are interchangeable."""
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.LayerNorm):
                part.weight.copy_(1 + torch.rand(D_MODEL, generator=source))
                part.bias.copy_(torch.randn(D_MODEL, generator=source))


def written_out(block: Block, placement: Placement, x: Tensor, n_layers: int) -> Tensor:
    """Compute the block as the papers write it."""

    def ffn(y: Tensor) -> Tensor:
        return block.ffn(y)[0]

    one, two = block.attention_residual, block.ffn_residual
    if placement is Placement.pre:
        x = x + block.attention(one.before(x))
        return x + ffn(two.before(x))
    if placement is Placement.post:
        x = one.outer(x + block.attention(x))
        return two.outer(x + ffn(x))
    if placement is Placement.peri:
        x = x + one.behind(block.attention(one.before(x)))
        return x + two.behind(ffn(two.before(x)))
    alpha = (2 * n_layers) ** (1 / 4)
    x = one.outer(alpha * x + block.attention(x))
    return two.outer(alpha * x + ffn(x))


@pytest.mark.parametrize("kind", list(NormType))
def test_norm_is_its_formula_and_torchs(kind: NormType) -> None:
    x = 3 + 2 * torch.randn(4, 16)
    norm = build_norm(16, type=kind, eps=0.1)
    gain = torch.rand(16)
    with torch.no_grad():
        norm.weight.copy_(gain)
    if kind is NormType.layer:
        expected = (x - x.mean(-1, keepdim=True)) / (
            x.var(-1, keepdim=True, correction=0) + 0.1
        ).sqrt()
        theirs = F.layer_norm(x, (16,), gain, torch.zeros(16), eps=0.1)
    else:
        expected = x / (x.square().mean(-1, keepdim=True) + 0.1).sqrt()
        theirs = F.rms_norm(x, (16,), gain, eps=0.1)
    torch.testing.assert_close(norm(x), expected * gain)
    assert torch.equal(norm(x), theirs)


@pytest.mark.parametrize("placement", list(Placement))
def test_a_block_is_its_formula(placement: Placement) -> None:
    net, x = model(placement), torch.randn(2, 5, D_MODEL)
    spread_norms(net)
    for block in net.blocks:
        torch.testing.assert_close(block(x)[0], written_out(block, placement, x, 3))


NORMS_OF_A_BLOCK = {
    Placement.pre: {"before"},
    Placement.post: {"outer"},
    Placement.peri: {"before", "behind"},
    Placement.deepnorm: {"outer"},
}


@pytest.mark.parametrize("placement", list(Placement))
def test_norms_are_where_they_belong(placement: Placement) -> None:
    net = model(placement)
    for block in net.blocks:
        for residual in (block.attention_residual, block.ffn_residual):
            norm_names = {
                n for n, part in residual.named_children() if isinstance(part, nn.LayerNorm)
            }
            assert norm_names == NORMS_OF_A_BLOCK[placement]
    # A pre- or peri-norm block does not bound the stream, so a norm must follow the last block.
    final = nn.LayerNorm if placement in (Placement.pre, Placement.peri) else nn.Identity
    assert type(net.final_norm) is final


def test_constants_of_deepnorm() -> None:
    # M = 12 (Wang 2022, decoder-only): alpha = 24^(1/4), gain = 96^(-1/4).
    assert deepnorm(12).alpha == pytest.approx(2.2134, abs=5e-5)
    assert deepnorm(12).gain == pytest.approx(0.3195, abs=5e-5)
    net = model(Placement.deepnorm, n_layers=12)
    assert net.blocks[0].ffn_residual.alpha == net.blocks[11].attention_residual.alpha
    assert net.blocks[0].ffn_residual.alpha == pytest.approx(2.2134, abs=5e-5)
    assert model(Placement.post, n_layers=12).blocks[0].ffn_residual.alpha == 1


@pytest.mark.parametrize("init", list(Init))
def test_starting_weights_of_deepnorm(init: Init) -> None:
    plain = model(Placement.post).state_dict()
    deep = model(Placement.deepnorm, init=init).state_dict()
    gained = {"value", "out", "up", "down"}
    names = {n for n in plain if n.startswith("blocks") and plain[n].ndim == 2}
    assert {n.split(".")[-2] for n in names} == {*gained, "query", "key"}
    for name in names:
        gain = 24**-0.25 if name.split(".")[-2] in gained else 1.0
        torch.testing.assert_close(deep[name], gain * plain[name])
    assert torch.equal(deep["head.weight"], plain["head.weight"])


def test_plain_and_scaled_starts() -> None:
    plain, scaled = (
        model(Placement.pre, init=init).state_dict() for init in (Init.plain, Init.scaled)
    )
    for name, value in plain.items():
        smaller = name.split(".")[-2] in ("out", "down")
        torch.testing.assert_close(scaled[name], value * (6**-0.5 if smaller else 1.0))


@pytest.mark.parametrize("placement", [Placement.pre, Placement.post])
def test_a_block_is_torchs_encoder_layer(placement: Placement) -> None:
    """nn.TransformerEncoderLayer with the same weights and a causal mask agrees with the block."""
    block = model(placement, bias=True, position=Position.none).blocks[1]
    spread_norms(block)
    theirs = nn.TransformerEncoderLayer(
        D_MODEL,
        N_HEADS,
        D_FF,
        dropout=0.0,
        activation="relu",
        layer_norm_eps=EPS,
        batch_first=True,
        norm_first=placement is Placement.pre,
    )
    slot = "before" if placement is Placement.pre else "outer"
    ours = {name: torch.randn_like(value) * 0.3 for name, value in block.state_dict().items()}
    block.load_state_dict(ours)
    parts = ("query", "key", "value")
    renamed = {
        f"self_attn.in_proj_{leaf}": torch.cat([ours[f"attention.{p}.{leaf}"] for p in parts])
        for leaf in ("weight", "bias")
    }
    for leaf in ("weight", "bias"):
        renamed[f"self_attn.out_proj.{leaf}"] = ours[f"attention.out.{leaf}"]
        renamed[f"linear1.{leaf}"] = ours[f"ffn.up.{leaf}"]
        renamed[f"linear2.{leaf}"] = ours[f"ffn.down.{leaf}"]
        renamed[f"norm1.{leaf}"] = ours[f"attention_residual.{slot}.{leaf}"]
        renamed[f"norm2.{leaf}"] = ours[f"ffn_residual.{slot}.{leaf}"]
    theirs.load_state_dict(renamed)
    x = torch.randn(2, 6, D_MODEL)
    causal = nn.Transformer.generate_square_subsequent_mask(6)
    torch.testing.assert_close(block(x)[0], theirs(x, src_mask=causal, is_causal=True))
