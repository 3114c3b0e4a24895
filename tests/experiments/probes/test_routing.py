"""The routing probe on planted routings."""

import math

import numpy as np
import pytest
import torch

from experiments.nn.moe.routing import Routing, balance_loss
from experiments.nn.transformer import Output
from experiments.probes.information import mutual_information_share
from experiments.probes.routing import BALANCE_METRICS, LayerRouting, RoutingProbe
from experiments.tasks.batch import Batch

LABELS = ("a", "b", "c", "d")
N = 4


def routing(experts: torch.Tensor, keep: torch.Tensor, logits: torch.Tensor | None = None):
    logits = torch.zeros(len(experts), N) if logits is None else logits
    probabilities = logits.softmax(dim=1)
    weights = torch.ones(experts.shape)
    return Routing(logits, probabilities, experts, weights, keep.flatten(), torch.zeros(()))


def observed(*layers, n_sequences=40, length=10, continuous=False, n_permutations=50, padded=False):
    """A probe that saw one batch; a layer is a function of (labels, symbols) of each token."""
    source = torch.Generator().manual_seed(0)
    label = torch.arange(n_sequences) % len(LABELS)
    symbols = torch.randint(0, 9, (n_sequences, length), generator=source)
    keep = torch.ones(n_sequences, length, dtype=torch.bool)
    if padded:
        keep[:, length // 2 :] = False
    per_token = label[:, None].expand(-1, length).flatten()
    inputs = torch.randn(n_sequences, length, 3) if continuous else symbols
    batch = Batch((inputs,), symbols, keep, label)
    routings = tuple(routing(f(per_token, symbols.flatten()), keep) for f in layers)
    probe = RoutingProbe(LABELS, N, n_permutations)
    probe.update(batch, Output(torch.zeros(1, 1, 1), torch.zeros(()), routings))
    return probe


def by_label(labels, symbols):  # noqa: ARG001
    return labels[:, None]


def by_symbol(labels, symbols):  # noqa: ARG001
    return symbols[:, None] % N


def at_random(seed):
    source = torch.Generator().manual_seed(seed)
    return lambda labels, _: torch.rand(len(labels), N, generator=source).topk(2).indices


def collapsed(labels, symbols):  # noqa: ARG001
    return torch.zeros(len(labels), 1, dtype=torch.long)


def test_an_expert_for_each_domain() -> None:
    found = observed(by_label).final_metrics(0)
    assert found["moe/nmi_domain_raw"] == pytest.approx(1.0)
    assert found["moe/nmi_domain"] == pytest.approx(1 - found["moe/nmi_domain_null"])
    assert found["moe/nmi_domain_p"] == pytest.approx(1 / 51)
    assert found["moe/nmi_token_p"] > 0.02  # symbols are drawn apart from the labels
    for index, label in enumerate(LABELS):
        shares = [found[f"moe/selection/layer0/{label}/expert{e}"] for e in range(N)]
        assert shares == [float(e == index) for e in range(N)]


def test_an_expert_for_each_symbol() -> None:
    found = observed(by_symbol).final_metrics(0)
    assert found["moe/nmi_token_p"] == pytest.approx(1 / 51)
    assert found["moe/nmi_token"] > 0.5
    assert abs(found["moe/nmi_domain"]) < 0.02


def test_random_routing_tells_nothing_once_the_null_is_off() -> None:
    raw, over_null, p_values = [], [], []
    for seed in range(40):
        probe = observed(at_random(seed), n_permutations=19)
        found = probe.final_metrics(seed)
        raw.append(found["moe/nmi_token_raw"])
        over_null.append((found["moe/nmi_token"], found["moe/nmi_domain"]))
        p_values.append((found["moe/nmi_token_p"], found["moe/nmi_domain_p"]))
    assert min(raw) > 0.001  # what a finite sample shows of nothing
    mean, error = np.mean(over_null, axis=0), np.std(over_null, axis=0) / 40**0.5
    assert (np.abs(mean) < 4 * error).all()
    assert (np.abs(mean) < 0.1 * np.mean(raw)).all()
    # p is uniform over 1/20 .. 20/20: mean 0.525, and 0.29 / sqrt(40) = 0.046 off by chance.
    assert np.mean(p_values, axis=0) == pytest.approx([0.525, 0.525], abs=0.15)


def test_tokens_of_one_sequence_are_not_independent_evidence() -> None:
    # Sequences, not domains, choose the expert: with 4 sequences, permuting tokens
    # would find a domain effect, and permuting sequences must not.
    def by_sequence(labels, symbols):  # noqa: ARG001
        return (torch.arange(len(labels)) // 100 % 2)[:, None]

    found = observed(by_sequence, n_sequences=4, length=100).final_metrics(0)
    assert found["moe/nmi_domain_raw"] > 0.3
    assert found["moe/nmi_domain_p"] > 0.05


def test_load_of_a_collapsed_layer() -> None:
    found = observed(collapsed, by_label).metrics()
    assert found["moe/load_max_violation/layer0"] == pytest.approx(N - 1)
    assert found["moe/load_max_violation/layer1"] == pytest.approx(0)
    assert found["moe/load_max_violation"] == pytest.approx((N - 1) / 2)
    assert found["moe/load_cv/layer0"] == pytest.approx(math.sqrt(N - 1))  # loads 4, 0, 0, 0
    assert found["moe/dead_experts/layer0"] == N - 1
    assert found["moe/dead_experts/layer1"] == 0
    assert found["moe/effective_experts/layer0"] == pytest.approx(1 / N)
    assert found["moe/effective_experts/layer1"] == pytest.approx(1)
    assert [found[f"moe/load/layer0/expert{e}"] for e in range(N)] == [1, 0, 0, 0]
    assert found["moe/nmi_domain/layer0"] == 0


def test_router_entropy_and_balance_loss() -> None:
    found = observed(collapsed).metrics()
    assert found["moe/router_entropy"] == pytest.approx(math.log(N))  # logits all 0
    assert found["moe/balance_loss"] == pytest.approx(1)  # P is uniform, f is not
    source = torch.Generator().manual_seed(1)
    logits = torch.randn(12, N, generator=source)
    keep = torch.rand(3, 4, generator=source) < 0.7
    seen = routing(logits.topk(2).indices, keep, logits)
    batch = Batch((torch.zeros(3, 4, dtype=torch.long),), torch.zeros(3, 4), keep, torch.arange(3))
    probe = RoutingProbe(LABELS, N, 1)
    probe.update(batch, Output(torch.zeros(1, 1, 1), torch.zeros(()), (seen,)))
    expected = balance_loss(seen.probabilities, seen.experts, seen.keep).item()
    assert probe.metrics()["moe/balance_loss"] == pytest.approx(expected, rel=1e-5)


def test_batches_add_up() -> None:
    whole, parts = RoutingProbe(LABELS, N, 5), RoutingProbe(LABELS, N, 5)
    source = torch.Generator().manual_seed(0)
    experts = torch.randint(0, N, (24, 1), generator=source)
    symbols, label = torch.randint(0, 5, (6, 4), generator=source), torch.arange(6) % 4
    keep = torch.rand(6, 4, generator=source) < 0.8

    def see(probe: RoutingProbe, rows: slice) -> None:
        chosen = experts.view(6, 4, 1)[rows].flatten(0, 1)
        batch = Batch((symbols[rows],), symbols[rows], keep[rows], label[rows])
        output = Output(torch.zeros(1, 1, 1), torch.zeros(()), (routing(chosen, keep[rows]),))
        probe.update(batch, output)

    see(whole, slice(0, 6))
    see(parts, slice(0, 2))
    see(parts, slice(2, 6))
    assert parts.final_metrics(3) == pytest.approx(whole.final_metrics(3))


def test_padding_counts_nowhere() -> None:
    def padding_elsewhere(labels, symbols):  # noqa: ARG001
        second_half = torch.arange(len(labels)) % 10 >= 5
        return torch.where(second_half, 3, 0)[:, None]

    found = observed(padding_elsewhere, padded=True).metrics()
    assert found["moe/load/layer0/expert0"] == 1


def test_continuous_inputs_have_no_symbols() -> None:
    assert not any("token" in name for name in observed(by_label, continuous=True).final_metrics(0))


def test_dense_models_have_no_metrics() -> None:
    probe = observed()
    assert probe.metrics() == probe.final_metrics(0) == {}


def test_the_null_follows_the_seed() -> None:
    probe = observed(at_random(0))
    assert probe.final_metrics(1) == probe.final_metrics(1) != probe.final_metrics(2)


def test_information_by_hand() -> None:
    assert mutual_information_share(np.diag([3, 5, 2])) == pytest.approx(1)
    assert mutual_information_share(np.outer([1, 2], [3, 4])) == pytest.approx(0)
    # a of two even values decides nothing about half of b: I = H(b) - H(b | a).
    counts = np.array([[2, 0], [1, 1]])
    h_a, h_b = math.log(2), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    share = 2 * (h_b - 0.5 * math.log(2)) / (h_a + h_b)
    assert mutual_information_share(counts) == pytest.approx(share)
    both = mutual_information_share(np.stack([counts, np.diag([1, 1])]))
    assert both == pytest.approx([share, 1])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_router_that_is_not_finite_has_no_numbers(bad: float) -> None:
    logits = torch.zeros(12, N)
    logits[5, 2] = bad
    logits = logits if math.isnan(bad) or bad > 0 else torch.full((12, N), bad)
    keep = torch.ones(3, 4, dtype=torch.bool)
    broken, good = (routing(x.topk(2).indices, keep, x) for x in (logits, torch.randn(12, N)))
    symbols = torch.arange(12).view(3, 4) % 5
    batch = Batch((symbols,), symbols, keep, torch.arange(3))
    for layers in ((broken,), (good, broken)):
        probe = RoutingProbe(LABELS, N, 5)
        probe.update(batch, Output(torch.zeros(1, 1, 1), torch.zeros(()), layers))
        found = probe.final_metrics(0)
        last = f"layer{len(layers) - 1}"
        numbers = {name for name, value in found.items() if not math.isnan(value)}
        assert not {name for name in numbers if "layer" not in name or last in name}
        # A layer that is whole keeps its numbers.
        assert (len(numbers) > 20) == (len(layers) == 2)
        assert "moe/nmi_token_p" in found


def test_a_layer_fed_nan_probabilities_has_no_balance() -> None:
    layer = LayerRouting(N)
    layer.update(np.zeros((4, 1), int), np.full((4, N), np.nan, np.float32), np.ones((1, 4), bool))
    found = layer.balance_metrics()
    assert {"dead_experts", "effective_experts", "load_cv", "dropped_share"} <= set(found)
    assert all(map(math.isnan, found.values()))
    assert set(found) == set(BALANCE_METRICS)


def test_a_router_that_sees_the_domain_alone_knows_no_token() -> None:
    # Symbols differ between domains, as letters do between languages.
    label = torch.arange(40) % len(LABELS)
    source = torch.Generator().manual_seed(3)
    symbols = 4 * label[:, None] + torch.randint(0, 6, (40, 10), generator=source)
    keep = torch.ones(40, 10, dtype=torch.bool)
    experts = label[:, None].expand(-1, 10).reshape(-1, 1)
    probe = RoutingProbe(LABELS, N, 20)
    seen = (routing(experts, keep),)
    probe.update(
        Batch((symbols,), symbols, keep, label), Output(torch.zeros(1, 1, 1), torch.zeros(()), seen)
    )
    found = probe.final_metrics(0)
    assert found["moe/nmi_token_raw"] > 0.3
    assert found["moe/nmi_token"] == pytest.approx(0, abs=1e-9)
    assert found["moe/nmi_token_p"] == 1
    assert found["moe/nmi_domain"] > 0.9


def test_a_router_that_sees_the_token_is_above_its_null_in_each_domain() -> None:
    found = observed(by_symbol, padded=True).final_metrics(0)
    assert found["moe/nmi_token"] > 0.5


@pytest.mark.parametrize("counts", [[[0, 0], [0, 0]], [[math.nan, 1], [1, 1]]])
def test_no_information_from_no_numbers(counts) -> None:
    assert math.isnan(float(mutual_information_share(np.array(counts))))
