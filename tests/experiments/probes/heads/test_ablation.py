"""Mean-ablation against weights made by hand, and the heads that are chosen for it."""

import math
from contextlib import contextmanager
from itertools import combinations

import pytest
import torch

from experiments.probes.heads import ablation
from experiments.probes.heads.ablation import (
    MAX_GROUPS,
    ablate_heads,
    all_heads,
    choose_head_groups,
    draw_groups,
    draw_pairs,
    mean_outputs,
    measure_drops,
    split_even_odd,
)
from experiments.probes.heads.attention_weights import (
    attention_layers,
    self_attention_weights,
    visit_queries_keys,
)
from tests.support.attention_models import (
    N_HEADS,
    N_LAYERS,
    make_attention_model,
    make_induction_task,
)

CPU = torch.device("cpu")


def data():
    return split_even_odd(make_induction_task().evaluation(), CPU)


def test_halves_are_disjoint_and_everything() -> None:
    one, other = data()
    sizes = [len(batch.keep) for batch in make_induction_task().evaluation()]
    assert sizes == [16, 16, 8]
    assert [len(batch.keep) for batch in one] == [8, 8, 4]
    whole = torch.cat([batch.inputs[0] for batch in make_induction_task().evaluation()])
    assert torch.equal(torch.cat([batch.inputs[0] for batch in one]), whole[0::2])
    assert torch.equal(torch.cat([batch.inputs[0] for batch in other]), whole[1::2])
    alone = split_even_odd(make_induction_task(n_eval=1).evaluation(), CPU)
    assert [len(part) for part in alone] == [1, 0]


@pytest.mark.parametrize("n_kv_heads", [4, 2])
def test_means_are_those_of_weights_times_values(n_kv_heads: int) -> None:
    net, (batches, _) = make_attention_model(n_kv_heads=n_kv_heads), data()
    found = mean_outputs(net, batches)
    outputs = [[] for _ in range(N_LAYERS)]
    values: list[torch.Tensor] = []
    for layer in attention_layers(net):
        layer.value.register_forward_hook(lambda _, __, y: values.append(y))
    for batch in batches:
        seen = []
        values.clear()
        visit_queries_keys(
            net,
            batch,
            lambda _, query, key, seen=seen: seen.append(self_attention_weights(query, key)),
        )
        for index, (p, v) in enumerate(zip(seen, values, strict=True)):
            v = v.unflatten(-1, (n_kv_heads, -1)).transpose(1, 2)
            outputs[index].append(p @ v.repeat_interleave(N_HEADS // n_kv_heads, dim=1))
    for mean, parts in zip(found, outputs, strict=True):
        expected = torch.cat(parts).mean(dim=(0, 2))  # over sequences and positions
        torch.testing.assert_close(mean.float(), expected)


def test_a_head_gone_is_its_slice_of_the_projection_replaced_by_a_constant() -> None:
    net, (batches, judged) = make_attention_model(), data()
    means = mean_outputs(net, batches)
    inputs = judged[0].inputs[0]
    whole = net(inputs).prediction
    with ablate_heads(net, [(1, 2)], means):
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
    net, (batches, judged) = make_attention_model(), data()
    with ablate_heads(net, [], mean_outputs(net, batches)):
        found = net(*judged[0].inputs).prediction
    assert torch.equal(found, net(*judged[0].inputs).prediction)


def test_without_any_head_a_prediction_depends_on_its_token_alone() -> None:
    net, (batches, _) = make_attention_model(), data()
    with ablate_heads(net, all_heads(net), mean_outputs(net, batches)):
        found = net(torch.tensor([[0, 3, 5, 3], [0, 9, 8, 3]])).prediction
    torch.testing.assert_close(found[0, 1], found[0, 3])
    torch.testing.assert_close(found[0, 1], found[1, 3])


INDUCTION = [[0.0, 0.1, 0.0, 0.2], [0.9, 0.3, 0.8, 0.5]]
ENTROPY = [[1.0, 2.0, 3.0, 0.2], [0.5, 0.6, 2.2, 4.0]]


def test_heads_are_chosen_as_their_names_say() -> None:
    found = choose_head_groups(INDUCTION, ENTROPY, seed=0)
    assert set(found) == {"induction", "random", "any_layer", "all_induction", "as_many_others"}
    assert found["induction"] == [((1, 0), (1, 2))]
    assert found["random"] == [((1, 1), (1, 3))]  # the one pair left in layer 1
    rest = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 1), (1, 3)]
    assert found["any_layer"] == list(combinations(rest, 2))
    assert found["all_induction"] == [((1, 0), (1, 2), (1, 3))]  # 0.45 or more
    rest.remove((1, 3))
    assert found["as_many_others"] == list(combinations(rest, 3))


def test_entropy_is_matched_within_the_layer_where_that_is_a_choice() -> None:
    # 2.0 in layer 0 and 0.55 in layer 1 are nearest to what the best two have, 2.2 and 0.5.
    entropy = [[2.0, 0.5, 2.2, 9.0], [2.2, 4.0, 0.55, 0.5]]
    apart = choose_head_groups([[0.1, 0.1, 0.9, 0.1], [0.1, 0.1, 0.1, 0.8]], entropy, seed=0)
    assert apart["induction"] == [((0, 2), (1, 3))]
    assert apart["entropy_matched"] == [((0, 0), (1, 2))]
    assert len(apart["random"]) == 9
    together = choose_head_groups([[0.9, 0.8, 0.1, 0.1, 0.1]], [[1.0, 1.1, 5.0, 1.2, 1.3]], seed=0)
    # The fourth is nearest to both; the second takes the next.
    assert together["entropy_matched"] == [((0, 3), (0, 4))]
    assert len(together["random"]) == 3


def test_what_is_not_there_is_left_out() -> None:
    assert choose_head_groups([[0.1, 0.2, 0.3]], [[1.0, 1.0, 1.0]], seed=0) == {}
    assert choose_head_groups([[math.nan] * 4], [[1.0] * 4], seed=0) == {}
    one_each = choose_head_groups(
        [[0.9], [0.8], [0.1], [0.2]], [[1.0], [1.0], [1.0], [1.0]], seed=0
    )
    assert set(one_each) == {"induction", "any_layer", "all_induction", "as_many_others"}
    alike = choose_head_groups([[0.9, 0.8, 0.7, 0.6]], [[1.0] * 4], seed=0)
    assert set(alike) == {"induction", "random", "any_layer", "all_induction"}  # no others left


def test_a_drop_is_the_mean_of_what_is_lost_without_each_group(monkeypatch) -> None:
    worth = {(1, 0): 0.4, (1, 2): 0.2, (0, 1): 0.1}
    gone: list[tuple[int, int]] = []

    @contextmanager
    def without(_, heads, __):
        gone[:] = heads
        yield
        gone.clear()

    monkeypatch.setattr(ablation, "ablate_heads", without)
    found = measure_drops(
        torch.nn.Identity(),
        lambda _: 0.9 - sum(worth.get(head, 0) for head in gone),
        [],
        {"both": [((1, 0), (1, 2))], "several": [((0, 1),), ((1, 1),), ((1, 0), (0, 1))]},
    )
    assert found == pytest.approx({"both": 0.6, "several": (0.1 + 0 + 0.5) / 3})


def test_many_pairs_are_drawn_by_the_seed() -> None:
    pairs = list(combinations([(0, head) for head in range(9)], 2))
    one = draw_pairs(pairs, 0)
    assert one == draw_pairs(pairs, 0) != draw_pairs(pairs, 1)
    assert len(set(one)) == MAX_GROUPS < len(pairs)
    assert draw_pairs(pairs[:MAX_GROUPS], 0) == pairs[:MAX_GROUPS]


def test_large_groups_are_drawn_by_the_seed_and_never_listed() -> None:
    heads = [(0, head) for head in range(60)]  # 1.2e17 groups of 30
    one = draw_groups(heads, 30, 0)
    assert one == draw_groups(heads, 30, 0) != draw_groups(heads, 30, 1)
    assert len(set(one)) == MAX_GROUPS
    assert all(len(set(group)) == 30 for group in one)
    assert draw_groups(heads[:3], 2, 0) == list(combinations(heads[:3], 2))
    assert draw_groups(heads[:3], 4, 0) == []
