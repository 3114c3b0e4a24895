"""The encoder-decoder against torch's own, and properties for every choice of parts."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from experiments.nn import encoder_decoder
from experiments.nn.encoder_decoder import PAD, EncoderDecoder
from experiments.nn.position import sinusoidal
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.encoder_decoder import build_encoder_decoder
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.moe import Balance
from experiments.parts.moe import MixturePart as MixtureOfExpertsOptions
from experiments.parts.no_ffn import NoFeedForwardPart as NoFeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement

torch.set_num_threads(1)
D_MODEL, N_HEADS, D_FF, N_LAYERS, SOURCES, TARGETS = 32, 4, 48, 2, 11, 9
MOE = MixtureOfExpertsOptions(
    *("moe", 4, 2, 24, Activation.gelu, False, False, 0.0, Balance.bias, 0.0, 0.0, 0.01)
)
NONE = NoFeedForwardOptions("none")


def build(
    *,
    n_kv_heads: int = N_HEADS,
    bias: bool = False,
    position: Position = Position.sinusoidal,
    placement: Placement = Placement.pre,
    ffn: object = None,
) -> EncoderDecoder:
    heads = (N_HEADS, n_kv_heads, bias, 0.0, position, Kernel.fused)
    dense = FeedForwardOptions("dense", D_FF, Activation.relu, False, bias, 0.0)
    arm = SimpleNamespace(
        model=ModelOptions(D_MODEL, N_LAYERS, Init.scaled),
        attention=AttentionOptions("multihead", *heads),
        ffn=ffn or dense,
        norm=NormOptions("norm", placement, NormType.layer, 1e-5),
    )
    return build_encoder_decoder(arm, source_vocabulary=SOURCES, target_vocabulary=TARGETS, seed=0)


def sentences() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return sources of 6, 4 and 1 tokens, targets of 5, 3 and 2, and the mask of real targets."""
    draw = torch.Generator().manual_seed(1)
    source = torch.randint(1, SOURCES, (3, 6), generator=draw)
    target = torch.randint(1, TARGETS, (3, 5), generator=draw)
    source[1, 4:], source[2, 1:] = PAD, PAD
    target[1, 3:], target[2, 2:] = PAD, PAD
    return source, target, target != PAD


def copy_attention(ours: nn.Module, theirs: nn.MultiheadAttention) -> None:
    for name in ("weight", "bias"):
        parts = [getattr(getattr(ours, part), name) for part in ("query", "key", "value")]
        getattr(theirs, f"in_proj_{name}").copy_(torch.cat(parts))
    theirs.out_proj.load_state_dict(ours.out.state_dict())


def slot(residual: nn.Module) -> nn.Module:
    """Return the one norm that pre or post has around a part."""
    return residual.outer if isinstance(residual.before, nn.Identity) else residual.before


@torch.no_grad()
def torch_twin(ours: EncoderDecoder, *, pre: bool) -> nn.Transformer:
    """Return nn.Transformer with the weights of `ours`; only pre-norm has a final norm."""
    sizes = (D_MODEL, N_HEADS, D_FF, 0.0)
    layer_options = {"batch_first": True, "norm_first": pre}

    def final() -> nn.Module | None:
        return nn.LayerNorm(D_MODEL) if pre else None

    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(*sizes, **layer_options),
        N_LAYERS,
        final(),
        enable_nested_tensor=False,
    )
    decoder = nn.TransformerDecoder(
        nn.TransformerDecoderLayer(*sizes, **layer_options), N_LAYERS, final()
    )
    # Built before the weights are copied: nn.Transformer redraws the weights of its parts.
    theirs = nn.Transformer(
        D_MODEL, N_HEADS, custom_encoder=encoder, custom_decoder=decoder, batch_first=True
    )
    if pre:
        encoder.norm.load_state_dict(ours.encoder_norm.state_dict())
        decoder.norm.load_state_dict(ours.decoder_norm.state_dict())
    layers = [*encoder.layers, *decoder.layers]
    for block, layer in zip([*ours.encoder, *ours.decoder], layers, strict=True):
        copy_attention(block.attention, layer.self_attn)
        layer.linear1.load_state_dict(block.ffn.up.state_dict())
        layer.linear2.load_state_dict(block.ffn.down.state_dict())
        layer.norm1.load_state_dict(slot(block.attention_residual).state_dict())
        last = layer.norm2
        if hasattr(block, "cross"):
            copy_attention(block.cross, layer.multihead_attn)
            layer.norm2.load_state_dict(slot(block.cross_residual).state_dict())
            last = layer.norm3
        last.load_state_dict(slot(block.ffn_residual).state_dict())
    return theirs


@torch.no_grad()
def scramble(model: nn.Module) -> None:
    """Set different gains and biases, so that a norm or a bias in a wrong place is detected."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.3 * torch.randn(parameter.shape))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("placement", [Placement.pre, Placement.post])
def test_agrees_with_torch(placement: Placement, padded: bool) -> None:
    torch.manual_seed(0)
    ours = build(bias=True, placement=placement)
    scramble(ours)
    theirs = torch_twin(ours, pre=placement is Placement.pre)
    source, target, keep = sentences()
    if not padded:
        source, target, keep = source.clamp_min(1), target.clamp_min(1), torch.ones_like(keep)
    embedded, expected_grads = (
        embedding(ids) * D_MODEL**0.5 + sinusoidal(ids.shape[1], D_MODEL)
        for embedding, ids in ((ours.source_embedding, source), (ours.target_embedding, target))
    )
    memory, _, _ = ours.encode(source)
    expected = theirs.encoder(embedded, src_key_padding_mask=source == PAD)
    torch.testing.assert_close(memory[source != PAD], expected[source != PAD])

    causal = ~torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).tril()
    expected = theirs(
        embedded,
        expected_grads,
        tgt_mask=causal,
        src_key_padding_mask=source == PAD,
        tgt_key_padding_mask=~keep,
        memory_key_padding_mask=source == PAD,
    )
    prediction = ours(source, target, keep).prediction
    torch.testing.assert_close(prediction[keep], ours.head(expected)[keep])


PARTS = (
    {},
    {"n_kv_heads": 2, "position": Position.rotary},
    {"n_kv_heads": 1, "placement": Placement.post},
    {"ffn": MOE, "position": Position.none},
    {"ffn": NONE},
    {"ffn": NONE, "placement": Placement.post},
    {"placement": Placement.peri},
    {"placement": Placement.deepnorm},
)


@pytest.mark.parametrize("parts", PARTS)
def test_later_target_tokens_change_nothing_earlier(parts: dict) -> None:
    model, (source, target, _) = build(**parts), sentences()
    target = target.clamp_min(1)
    changed = target.clone()
    changed[:, 3] = changed[:, 3] % (TARGETS - 1) + 1
    before, after = model(source, target).prediction, model(source, changed).prediction
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert (after[:, 3] - before[:, 3]).abs().max() > 1e-3


@pytest.mark.parametrize("parts", PARTS)
def test_every_source_token_reaches_every_prediction(parts: dict) -> None:
    model, (source, target, _) = build(**parts), sentences()
    for place in (0, 5):
        changed = source.clone()
        changed[0, place] = changed[0, place] % (SOURCES - 1) + 1
        difference = model(changed, target).prediction - model(source, target).prediction
        assert (difference[0].abs().amax(dim=1) > 1e-5).all()
        assert difference[1:].abs().max() < 1e-5


@torch.no_grad()
def change_by_padding(model: EncoderDecoder) -> float:
    """Return how much predictions of a sentence differ if longer ones are in its batch."""
    source, target, keep = sentences()
    together = model(source, target, keep).prediction
    one_by_one = [
        model(s[s != PAD][None], t[k][None]).prediction[0]
        for s, t, k in zip(source, target, keep, strict=True)
    ]
    return float((together[keep] - torch.cat(one_by_one)).abs().max())


@pytest.mark.parametrize("parts", PARTS)
def test_padding_changes_nothing(parts: dict) -> None:
    assert change_by_padding(build(**parts)) < 1e-5


def test_a_forgotten_source_mask_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_decoder, "none_if_unpadded", lambda _: None)
    assert change_by_padding(build()) > 1e-2


def test_mixtures_of_both_sides_are_routed_balanced_and_spared_padding() -> None:
    model, (source, target, keep) = build(ffn=MOE), sentences()
    output = model(source, target, keep)
    n_real_tokens = [int(routing.keep.sum()) for routing in output.routings]
    assert n_real_tokens == [11, 11, 10, 10]  # 6 + 4 + 1 tokens of sources, 5 + 3 + 2 of targets
    model.after_step(output)
    for block in (*model.encoder, *model.decoder):
        assert block.ffn.selection_bias.abs().max() == pytest.approx(0.01)


def test_embedded_words_start_as_large_as_their_positions() -> None:
    model = build()
    for embedding in (model.source_embedding, model.target_embedding):
        assert (embedding.weight.detach() * D_MODEL**0.5).std() == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("position", list(Position))
def test_padding_on_the_left_is_as_padding_on_the_right(position: Position) -> None:
    model = build(position=position).eval()
    source, target, _ = sentences()
    for row in range(3):
        s, t = source[row : row + 1], target[row : row + 1]
        s, t = s[:, s[0] != PAD], t[:, t[0] != PAD]
        expected = model(s, t).prediction
        left = [torch.cat([torch.full((1, 2), PAD), x], dim=1) for x in (s, t)]
        prediction = model(*left, left[1] != PAD).prediction[:, 2:]
        torch.testing.assert_close(prediction, expected, rtol=1e-5, atol=1e-5)


def test_keep_must_be_of_bools() -> None:
    source, target, keep = sentences()
    with pytest.raises((ValueError, TypeError)):
        build()(source, target, keep.float())
