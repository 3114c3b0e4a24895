"""Attention weights beside the module's own output; what a probe of heads says and must not do."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from experiments.nn.attention import Attention, causal_mask
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer
from experiments.probes.heads.attention_weights import self_attention_weights, visit_queries_keys
from experiments.probes.heads.probe import HeadProbe, self_attention_rows, standard_deviation
from experiments.probes.heads.scores import naive_row_scores, row_scores
from experiments.tasks.batch import Batch

B, TIME, WIDTH = 4, 9, 3
LABELS = ("a", "b")


def model(*, n_kv_heads=2, position=Position.rotary, dropout=0.0, placement=Placement.pre, seed=0):
    arm = SimpleNamespace(
        model=ModelOptions(16, 2, Init.scaled),
        attention=AttentionOptions(
            "multihead", 4, n_kv_heads, True, dropout, position, Kernel.fused
        ),
        ffn=FeedForwardOptions("dense", 24, Activation.gelu, False, False, 0.0),
        norm=NormOptions("norm", placement, NormType.layer, 1e-5),
    )
    return build_transformer(arm, vocabulary=None, width=WIDTH, seed=seed)


def batch(*, padded: bool = False, time: int = TIME, seed: int = 0) -> Batch:
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(B, time, WIDTH, generator=source)
    keep = torch.ones(B, time, dtype=torch.bool)
    if padded:
        keep[0, 6:] = False
        keep[1, :2] = False
    return Batch((x,), x, keep, torch.arange(B) % len(LABELS))


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("position", list(Position))
@pytest.mark.parametrize("n_kv_heads", [4, 2, 1])
def test_weights_times_values_are_the_output(n_kv_heads: int, position, padded: bool) -> None:
    net, data = model(n_kv_heads=n_kv_heads, position=position, dropout=0.5), batch(padded=padded)
    seen: list[Tensor] = []
    values, outputs = [], []
    layers = [part for part in net.modules() if isinstance(part, Attention)]
    for layer in layers:
        layer.value.register_forward_hook(lambda _, __, y: values.append(y))
        layer.register_forward_hook(lambda _, __, y: outputs.append(y))
    padding = data.keep if padded else None
    visit_queries_keys(
        net, data, lambda _, query, key: seen.append(self_attention_weights(query, key, padding))
    )
    assert len(seen) == len(layers) == 2
    for layer, p, v, output in zip(layers, seen, values, outputs, strict=True):
        torch.testing.assert_close(p.sum(-1), torch.ones(B, 4, TIME))  # dropout plays no part
        assert p.triu(1).eq(0).all()
        v = v.unflatten(-1, (-1, layer.d_head)).transpose(1, 2)
        v = v.repeat_interleave(4 // n_kv_heads, dim=1)
        ours = layer.out((p @ v).transpose(1, 2).flatten(2))
        torch.testing.assert_close(ours[data.keep], output[data.keep])
        hidden = ~causal_mask(data.keep).expand_as(p)
        assert p[hidden].eq(0).all()


def probed(net, *batches: Batch, lags=None, block: int = 4) -> HeadProbe:
    probe = HeadProbe(net, LABELS, {"a": 0, "b": 3} if lags is None else lags, block=block)
    for one in batches:
        probe.update(one, None)
    return probe


def flat(net):
    """The same model with even attention everywhere."""
    for part in net.modules():
        if isinstance(part, Attention):
            torch.nn.init.zeros_(part.query.weight)
            torch.nn.init.zeros_(part.query.bias)
    return net


@pytest.mark.parametrize("padded", [False, True])
def test_even_attention_scores_the_uniform_reference(padded: bool) -> None:
    probe = probed(flat(model()), batch(padded=padded))
    for score, table in probe.table().items():
        (expected,) = table["uniform"]
        for layer in ("layer0", "layer1"):
            assert table[layer] == pytest.approx([expected] * 4, rel=1e-5), score
    assert probe.metrics()["heads/entropy_share"] == pytest.approx(1, rel=1e-5)
    assert probe.metrics()["heads/distance_spread"] == pytest.approx(0, abs=1e-5)


def test_the_uniform_reference_by_formula() -> None:
    table = probed(model(), batch()).table()
    rows = range(2, TIME + 1)  # valid keys of each query that counts
    n = len(rows)
    expected = {
        "entropy": sum(math.log(k) for k in rows) / n,
        "distance": sum((k - 1) / 2 for k in rows) / n,
        "distance_share": sum((k - 1) / 2 for k in rows) / n / (TIME - 1),
        "diagonal": sum(1 / k for k in rows) / n,
        "offset_b": sum(1 / k for k in range(4, TIME + 1)) / (TIME - 3),
    }
    for score, value in expected.items():
        assert table[score]["uniform"] == pytest.approx([value])


@pytest.mark.parametrize("padded", [False, True])
def test_metrics_are_means_over_the_queries_that_count(padded: bool) -> None:
    net, data = model(), batch(padded=padded)
    metrics = probed(net, data).metrics()
    seen: list[Tensor] = []
    visit_queries_keys(
        net, data, lambda _, query, key: seen.append(self_attention_weights(query, key, data.keep))
    )
    for index, p in enumerate(seen):
        for head in range(4):
            rows: dict[str, list[float]] = {
                name: [] for name in ("entropy", "diagonal", "offset_b")
            }
            for b in range(B):
                keys: list[int] = []
                for t in range(TIME):
                    if not data.keep[b, t]:
                        continue
                    keys.append(t)
                    if len(keys) == 1:
                        continue
                    row = p[b, head, t].double()
                    rows["entropy"].append(-sum(float(row[j] * row[j].log()) for j in keys))
                    rows["diagonal"].append(float(row[t]))
                    if t - 3 in keys:
                        rows["offset_b"].append(float(row[t - 3]))
            for name, values in rows.items():
                found = metrics[f"heads/{name}/layer{index}/head{head}"]
                assert found == pytest.approx(sum(values) / len(values), rel=1e-4)


def test_the_earlier_offset_is_the_largest_of_a_head() -> None:
    metrics = probed(model(), batch(), lags={"a": 0, "b": 3}).metrics()
    alone = probed(model(), batch(), lags={}).metrics()
    for head in range(4):
        at = f"layer1/head{head}"
        known = [metrics[f"heads/{score}/{at}"] for score in ("previous", "offset_b")]
        assert metrics[f"heads/earlier_offset/{at}"] == max(known)
        assert alone[f"heads/earlier_offset/{at}"] == alone[f"heads/previous/{at}"]


def test_weights_that_are_no_numbers_give_scores_that_are_none() -> None:
    net = model()
    for parameter in net.parameters():
        torch.nn.init.constant_(parameter, math.nan)
    metrics = probed(net, batch()).metrics()
    assert metrics.keys() == probed(model(), batch()).metrics().keys()
    assert all(math.isnan(value) for value in metrics.values())


def test_the_spread_is_the_standard_deviation_over_heads() -> None:
    assert (
        standard_deviation([1.0, 3.0]) == 1.0
    )  # of all there are: sqrt(((1 - 2)^2 + (3 - 2)^2) / 2)
    assert standard_deviation([2.5]) == 0.0


def test_batches_add_up_and_labels_are_kept_apart() -> None:
    net, one, two = model(), batch(), batch(seed=1)
    both = Batch(
        (torch.cat([one.inputs[0], two.inputs[0]]),),
        torch.cat([one.target, two.target]),
        torch.cat([one.keep, two.keep]),
        torch.cat([one.label, two.label]),
    )
    assert probed(net, one, two).metrics() == pytest.approx(probed(net, both).metrics(), rel=1e-5)
    only = Batch((one.inputs[0][::2],), one.target[::2], one.keep[::2], one.label[::2])
    alone = probed(net, only)  # the sequences of label a
    whole = probed(net, one).table("a")
    for score, table in alone.table().items():
        assert table["layer1"] == pytest.approx(whole[score]["layer1"], rel=1e-5)
    assert "entropy" not in alone.table("b")


def test_what_lies_between_0_and_1_does() -> None:
    metrics = probed(model(), batch(padded=True)).metrics()
    for name, value in metrics.items():
        if name.split("/")[1] not in ("entropy", "distance") and "_spread" not in name:
            assert 0 <= value <= 1, name


def test_an_offset_beyond_the_sequence_has_no_score() -> None:
    metrics = probed(model(), batch(), lags={"a": TIME, "b": TIME - 1}).metrics()
    assert "heads/offset_a" not in metrics
    assert 0 < metrics["heads/offset_b"] < 1


@pytest.mark.parametrize("training", [True, False])
def test_a_probe_leaves_model_and_randomness_alone(training: bool) -> None:
    net = model(dropout=0.5).train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    first = probed(net, batch()).metrics()
    assert probed(net, batch()).metrics() == first  # dropout is off
    assert torch.equal(torch.get_rng_state(), state)
    assert net.training is training
    assert all(part.training is training for part in net.modules())
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(p.grad is None for p in net.parameters())
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()]
    assert sum(hooks) == 0


def test_hooks_go_and_the_mode_comes_back_after_an_error() -> None:
    net = model().train()

    def fail(*_: object) -> None:
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        visit_queries_keys(net, batch(), fail)
    assert net.training
    assert sum(len(m._forward_hooks) for m in net.modules()) == 0


@pytest.mark.parametrize("placement", [Placement.pre, Placement.post])
def test_scores_in_other_dtypes_are_of_float32(placement: Placement) -> None:
    exact = probed(model(placement=placement), batch()).metrics()
    net = model(placement=placement).bfloat16()
    data = batch()
    rounded = probed(net, Batch((data.inputs[0].bfloat16(),), data.target, data.keep, data.label))
    assert rounded.metrics() == pytest.approx(exact, abs=0.1)
    seen: list[torch.dtype] = []
    low = Batch((data.inputs[0].bfloat16(),), data.target, data.keep, data.label)
    visit_queries_keys(net, low, lambda _, query, key: seen.extend([query.dtype, key.dtype]))
    assert set(seen) == {torch.float32}


def test_other_than_causal_self_attention_is_refused() -> None:
    layer = Attention(16, n_heads=4, n_kv_heads=4)

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Tensor, keep: Tensor) -> Tensor:
            return self.layer(x, keep, causal=False)

    x = torch.randn(B, TIME, 16)
    with pytest.raises(ValueError, match="called with causal=False"):
        visit_queries_keys(Encoder(), Batch((x,), x, batch().keep, batch().label), lambda *_: None)


@pytest.mark.parametrize("padded", [False, True])
def test_attention_rows_are_the_weights_of_one_sequence(padded: bool) -> None:
    net, data = model(), batch(padded=padded)
    rows = self_attention_rows(net, data, sequence=1)
    assert list(rows[0]) == ["layer", "head", "query", "key", "weight"]
    n = int(data.keep[1].sum())
    assert len(rows) == 2 * 4 * n * (n + 1) // 2
    seen: list[Tensor] = []
    visit_queries_keys(
        net, data, lambda _, query, key: seen.append(self_attention_weights(query, key, data.keep))
    )
    total: dict[tuple[float, ...], float] = {}
    for row in rows:
        layer, head, query, key, weight = row.values()
        assert weight == pytest.approx(float(seen[layer][1, head, query, key]), abs=1e-6)
        assert data.keep[1, query]
        assert data.keep[1, key]
        total[layer, head, query] = total.get((layer, head, query), 0) + weight
    assert list(total.values()) == pytest.approx([1] * len(total))


def test_a_forgotten_rotation_would_be_seen() -> None:
    """It changes the scores by far more than the tests above allow."""
    plain, turned = (
        probed(model(position=position), batch()).metrics()
        for position in (Position.none, Position.rotary)
    )
    assert plain["heads/entropy/layer0/head0"] != pytest.approx(
        turned["heads/entropy/layer0/head0"], rel=1e-3
    )


@pytest.mark.parametrize("size", [math.nan, math.inf, 1e30, 1e25])
def test_logits_without_bounds_have_no_scores(size: float) -> None:
    # Logits of -1e39 or so are below those of keys that are hidden, which would then get the
    # weight: a head that looks at the future would have the distance 0.
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 2, 6, 8)
    found = row_scores(query.abs() * size, -key.abs() * size, None, [0, 1], block=4)
    assert found.entropy.isnan().all()
    assert found.distance.isnan().all()
    assert naive_row_scores(query * size, key * size, None, [0]).entropy.isnan().any()


def test_large_logits_are_as_good_as_any() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 1, 2, 6, 8)
    found = row_scores(query * 1e9, key * 1e9, None, [0, 1], block=4)
    assert found.entropy.isfinite().all()
