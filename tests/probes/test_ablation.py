"""Mean-ablation against weights made by hand, and the heads that are chosen for it."""

from contextlib import contextmanager
from itertools import combinations

import pytest
import torch
from repeating import N_HEADS, N_LAYERS, model, task

from experiments.probes import ablation
from experiments.probes.ablation import (
    MANY,
    ablated,
    all_heads,
    drawn,
    halves,
    induction_drops,
    mean_outputs,
)
from experiments.probes.attention_weights import attention_layers, watch, weights

CPU = torch.device("cpu")


def data():
    return halves(task().evaluation(), CPU)


def test_halves_are_disjoint_and_everything() -> None:
    one, other = data()
    sizes = [len(batch.keep) for batch in task().evaluation()]
    assert sizes == [16, 16, 8]
    assert [len(batch.keep) for batch in one] == [8, 8, 4]
    whole = torch.cat([batch.inputs[0] for batch in task().evaluation()])
    assert torch.equal(torch.cat([batch.inputs[0] for batch in one]), whole[0::2])
    assert torch.equal(torch.cat([batch.inputs[0] for batch in other]), whole[1::2])
    alone = halves(task(n_eval=1).evaluation(), CPU)
    assert [len(part) for part in alone] == [1, 0]


@pytest.mark.parametrize("n_kv_heads", [4, 2])
def test_means_are_those_of_weights_times_values(n_kv_heads: int) -> None:
    net, (batches, _) = model(n_kv_heads=n_kv_heads), data()
    found = mean_outputs(net, batches)
    outputs = [[] for _ in range(N_LAYERS)]
    values: list[torch.Tensor] = []
    for layer in attention_layers(net):
        layer.value.register_forward_hook(lambda _, __, y: values.append(y))
    for batch in batches:
        seen = []
        values.clear()
        watch(net, batch, lambda _, query, key, seen=seen: seen.append(weights(query, key)))
        for index, (p, v) in enumerate(zip(seen, values, strict=True)):
            v = v.unflatten(-1, (n_kv_heads, -1)).transpose(1, 2)
            outputs[index].append(p @ v.repeat_interleave(N_HEADS // n_kv_heads, dim=1))
    for mean, parts in zip(found, outputs, strict=True):
        expected = torch.cat(parts).mean(dim=(0, 2))  # over sequences and positions
        torch.testing.assert_close(mean.float(), expected)


def test_a_head_gone_is_its_slice_of_the_projection_replaced_by_a_constant() -> None:
    net, (batches, judged) = model(), data()
    means = mean_outputs(net, batches)
    inputs = judged[0].inputs[0]
    whole = net(inputs).prediction
    with ablated(net, [(1, 2)], means):
        found = net(inputs).prediction
    assert torch.equal(net(inputs).prediction, whole)  # the hooks are gone
    out = attention_layers(net)[1].out
    part = slice(2 * 4, 3 * 4)  # heads are 16 / 4 wide
    constant = (out.weight[:, part] @ means[1][2].float()).detach()
    with torch.no_grad():
        out.weight[:, part] = 0
        out.bias = torch.nn.Parameter(constant)
    torch.testing.assert_close(found, net(inputs).prediction)
    assert (found - whole).abs().max() > 1e-3


def test_without_heads_to_ablate_nothing_changes() -> None:
    net, (batches, judged) = model(), data()
    with ablated(net, [], mean_outputs(net, batches)):
        found = net(*judged[0].inputs).prediction
    assert torch.equal(found, net(*judged[0].inputs).prediction)


def test_without_any_head_a_prediction_depends_on_its_token_alone() -> None:
    net, (batches, _) = model(), data()
    with ablated(net, all_heads(net), mean_outputs(net, batches)):
        found = net(torch.tensor([[0, 3, 5, 3], [0, 9, 8, 3]])).prediction
    torch.testing.assert_close(found[0, 1], found[0, 3])
    torch.testing.assert_close(found[0, 1], found[1, 3])


INDUCTION = [[0.0, 0.1, 0.0, 0.2], [0.9, 0.3, 0.8, 0.4]]
ENTROPY = [[1.0, 2.0, 3.0, 0.2], [0.5, 0.6, 2.2, 4.0]]
WORTH = {(1, 0): 0.4, (1, 2): 0.2, (1, 1): 0.05, (0, 1): 0.1}
"""What accuracy is lost without a head, in a model in which losses add up."""


@pytest.fixture
def drops(monkeypatch: pytest.MonkeyPatch):
    gone: list[tuple[int, int]] = []

    @contextmanager
    def without(_, heads, __):
        gone[:] = heads
        yield
        gone.clear()

    monkeypatch.setattr(ablation, "ablated", without)

    def run(induction=INDUCTION, entropy=ENTROPY, seed=0):
        return induction_drops(
            torch.nn.Identity(),
            lambda _: 0.9 - sum(WORTH.get(head, 0) for head in gone),
            [],
            induction=induction,
            entropy=entropy,
            seed=seed,
        )

    return run


def test_drops_are_of_the_heads_that_they_are_named_after(drops) -> None:
    found = drops()
    assert set(found) == {"induction", "random", "entropy_matched", "any_layer"}
    assert found["induction"] == pytest.approx(0.4 + 0.2)  # (1, 0) and (1, 2)
    assert found["random"] == pytest.approx(0.05)  # the one pair left in layer 1: (1, 1), (1, 3)
    # Entropy 0.5 is nearest to that of (1, 1), 2.2 to that of (0, 1).
    assert found["entropy_matched"] == pytest.approx(0.05 + 0.1)
    assert len(list(combinations(range(6), 2))) == 15
    # Each of six heads is in 5 of 15 pairs; two of them are worth something.
    assert found["any_layer"] == pytest.approx(5 * (0.05 + 0.1) / 15)


def test_a_head_is_matched_once(drops) -> None:
    # (1, 1) is nearest to both; the second takes the next, (1, 3).
    found = drops(entropy=[[9.0, 9.0, 9.0, 9.0], [0.5, 0.5, 0.5, 0.7]])
    assert found["entropy_matched"] == pytest.approx(0.05)


def test_what_is_not_there_is_left_out(drops) -> None:
    assert drops([[0.1, 0.2, 0.3]], [[1.0, 1.0, 1.0]]) == {}
    one_each = drops([[0.9], [0.8], [0.1], [0.2]], [[1.0], [1.0], [1.0], [1.0]])
    assert set(one_each) == {"induction", "entropy_matched", "any_layer"}


def test_many_pairs_are_drawn_by_the_seed() -> None:
    pairs = list(combinations([(0, head) for head in range(9)], 2))
    one = drawn(pairs, 0)
    assert one == drawn(pairs, 0) != drawn(pairs, 1)
    assert len(set(one)) == MANY < len(pairs)
    assert drawn(pairs[:MANY], 0) == pairs[:MANY]
