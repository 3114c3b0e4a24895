"""Cached greedy decoding against its naive twin, token for token."""

import pytest
import torch

from experiments.nn.decoding.translation import translate_greedily, translate_greedily_uncached
from experiments.nn.encoder_decoder import PAD, EncoderDecoder
from experiments.parts.attention import Position
from experiments.parts.norm import Placement
from tests.experiments.nn.test_encoder_decoder import MOE, PARTS, SOURCES, TARGETS, build

MARKS = {"bos": 1, "eos": 2, "max_length": 12}


def model(**parts: object) -> EncoderDecoder:
    """Return an untrained float64 model, so that rounding breaks no tie; sources weigh heavily."""
    net = build(**parts).double().eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for block in net.decoder:
            block.cross.out.weight.mul_(8)
    return net


def sources(n: int = 24) -> torch.Tensor:
    """Return sentences of 1 to 7 tokens."""
    draw = torch.Generator().manual_seed(3)
    ids = torch.randint(1, SOURCES, (n, 7), generator=draw)
    lengths = torch.arange(n) % 7 + 1
    return ids.masked_fill(torch.arange(7) >= lengths[:, None], PAD)


@pytest.mark.parametrize("parts", [*PARTS, {"n_kv_heads": 2, "ffn": MOE}])
def test_equals_recomputation(parts: dict) -> None:
    net, source = model(**parts), sources()
    cached, naive = (
        translate_greedily(net, source, **MARKS),
        translate_greedily_uncached(net, source, **MARKS),
    )
    assert torch.equal(cached, naive)
    assert len({tuple(tokens) for tokens in cached.tolist()}) > 1


def alone_as_together(net: EncoderDecoder) -> bool:
    source = sources(12)
    together = translate_greedily(net, source, **MARKS)
    for row, tokens in enumerate(together):
        single = translate_greedily(net, source[row][source[row] != PAD][None], **MARKS)[0]
        if not torch.equal(single, tokens[: len(single)]) or tokens[len(single) :].any():
            return False
    return True


@pytest.mark.some(2)
@pytest.mark.parametrize("parts", PARTS)
def test_a_sentence_alone_and_in_a_padded_batch_gives_the_same_tokens(parts: dict) -> None:
    assert alone_as_together(model(**parts))


def test_a_source_mask_forgotten_in_decoding_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    started = EncoderDecoder.start_decoding

    def forgetful(self, source, *, capacity):
        state = started(self, source, capacity=capacity)
        state.source_keep = None
        return state

    monkeypatch.setattr(EncoderDecoder, "start_decoding", forgetful)
    assert not alone_as_together(model())


def test_sentences_end_with_the_end_mark_and_then_padding() -> None:
    decoded = translate_greedily(model(), sources(200), **MARKS)
    ended = (decoded == 2).any(dim=1)
    assert 0 < ended.sum() < 200
    for tokens in decoded[ended]:
        end = int((tokens == 2).nonzero()[0])
        assert not tokens[end + 1 :].any()
        assert (tokens[: end + 1] > 1).all()  # neither padding nor a start mark within
    assert decoded.max() < TARGETS


@pytest.mark.parametrize("decode", [translate_greedily, translate_greedily_uncached])
def test_a_batch_stops_when_all_have_ended_or_at_the_limit(decode) -> None:
    net = model()
    with torch.no_grad():
        net.head.weight.zero_()  # all logits are equal: the first allowed token is the end mark
    assert torch.equal(decode(net, sources(3), **MARKS), torch.full((3, 1), 2))
    net = model()
    assert decode(net, sources(200), bos=1, eos=2, max_length=4).shape == (200, 4)


@pytest.mark.parametrize("decode", [translate_greedily, translate_greedily_uncached])
def test_training_mode_is_refused(decode) -> None:
    with pytest.raises(ValueError, match="training mode"):
        decode(model().train(), sources(), **MARKS)


def test_several_tokens_at_once_are_cached_as_one_by_one() -> None:
    net, source = model(position=Position.rotary, placement=Placement.post), sources(4)
    target = torch.randint(1, TARGETS, (4, 6), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = net(source, target).prediction
        state = net.start_decoding(source, capacity=6)
        parts = [net.decode_next(target[:, a:b], state) for a, b in ((0, 3), (3, 4), (4, 6))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


def test_caches_hold_what_they_must_and_no_more() -> None:
    state = model(n_kv_heads=2).start_decoding(sources(5), capacity=12)
    # keys and values of 5 sentences, 2 heads of width 8, in 8 bytes, over 12 and over 7 positions
    assert [cache.nbytes for cache in state.caches] == [2 * 5 * 2 * 12 * 8 * 8] * 2
    assert [memory.nbytes for memory in state.memories] == [2 * 5 * 2 * 7 * 8 * 8] * 2
