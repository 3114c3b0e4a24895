"""Copying and induction scores against matrices and predictions made by hand."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from experiments.probes.heads import copying
from experiments.probes.heads.attention_weights import self_attention_weights, visit_queries_keys
from experiments.probes.heads.copying import (
    CopyProbe,
    copy_loss,
    copy_masks,
    find_periods,
    make_copy_accuracy,
    scored_keys,
    scored_rows,
)
from experiments.tasks.batch import Batch
from tests.support.attention_models import (
    REPEATING_ROW,
    VOCABULARY,
    make_attention_model,
    make_induction_task,
    make_repeating_batch,
)


def sink(time: int) -> Tensor:
    """Weights (time, time) of a head that looks at the first token alone."""
    p = torch.zeros(time, time)
    p[:, 0] = 1
    return p


def looking(pattern: dict[int, int], time: int = 7) -> Tensor:
    """As `sink`, but for the queries of the pattern, which look at one key."""
    p = sink(time)
    for query, key in pattern.items():
        p[query] = 0
        p[query, key] = 1
    return p


INDUCTION, DUPLICATE = {4: 2, 5: 3, 6: 4}, {4: 1, 5: 2, 6: 3}


def probe_of(monkeypatch: pytest.MonkeyPatch, layers: list[list[Tensor]], batch: Batch):
    """A probe that has seen these weights, by layer and head."""

    def watched(_, batch: Batch, see) -> None:
        for index, heads in enumerate(layers):
            p = torch.stack(heads).expand(len(batch.keep), -1, -1, -1)
            see(index, p, p)

    monkeypatch.setattr(copying, "visit_queries_keys", watched)
    monkeypatch.setattr(copying, "self_attention_weights", lambda query, _: query)
    probe = CopyProbe(torch.nn.Identity())
    probe.update(batch, predicting(batch.target))
    return probe


def predicting(target: Tensor, sure: float = 30.0) -> SimpleNamespace:
    logits = sure * torch.nn.functional.one_hot(target, VOCABULARY + 1).float()
    return SimpleNamespace(prediction=logits)


def transformer_lens(p: Tensor, pattern: dict[int, int]) -> float:
    """The score `mul` of TransformerLens' head_detector: all queries count."""
    wanted = torch.zeros_like(p)
    for query, key in pattern.items():
        wanted[query, key] = 1
    return float((p * wanted).sum() / p.sum())


def test_which_rows_count_and_which_columns_they_should_look_at() -> None:
    tokens = torch.tensor([REPEATING_ROW])
    assert scored_rows(tokens)[0].nonzero()[:, 0].tolist() == [4, 5, 6]  # 0 to 3 have no target
    for ahead, pattern in ((1, INDUCTION), (0, DUPLICATE)):
        assert dict(scored_keys(tokens, ahead)[0].nonzero().tolist()) == pattern


def test_a_symbol_that_r_has_twice_has_the_keys_of_all_its_occurrences(monkeypatch) -> None:
    tokens = [0, 5, 6, 5, 7, 5, 6, 5, 7]  # r = 5 6 5 7
    induction = {5: [2, 4], 6: [3], 7: [2, 4, 6], 8: [5]}
    keys = scored_keys(torch.tensor([tokens]), 1)[0]
    assert {row: keys[row].nonzero()[:, 0].tolist() for row in induction} == induction
    # Half on what followed each of two occurrences is all of it; the sink of row 7 has nothing.
    p = looking({6: 3, 8: 5}, time=9)
    p[5] = 0
    p[5, [2, 4]] = 0.5
    batch = make_repeating_batch(tokens)
    found = probe_of(monkeypatch, [[p]], batch).metrics()["heads/induction"]
    assert found == pytest.approx((1 + 1 + 0 + 1) / 4)


def test_even_attention_scores_what_it_puts_on_the_keys(monkeypatch) -> None:
    even = torch.ones(7, 7).tril() / torch.arange(1, 8)[:, None]
    probe = probe_of(monkeypatch, [[even]], make_repeating_batch(REPEATING_ROW))
    for name in ("induction", "duplicate"):
        table = probe.table()[name]
        assert table["uniform"] == pytest.approx([(1 / 5 + 1 / 6 + 1 / 7) / 3])
        assert table["layer0"] == pytest.approx(table["uniform"])
        assert probe.scores(name) == [table["layer0"]]


def test_a_perfect_head_scores_1_where_transformer_lens_says_three_sevenths(monkeypatch) -> None:
    perfect, other = looking(INDUCTION), looking(DUPLICATE)
    assert transformer_lens(perfect, INDUCTION) == pytest.approx(3 / 7)
    probe = probe_of(
        monkeypatch, [[sink(7), other], [perfect, sink(7)]], make_repeating_batch(REPEATING_ROW)
    )
    metrics = probe.metrics()
    scores = {name: value for name, value in metrics.items() if "/layer" in name}
    assert {name for name, value in scores.items() if value == 1} == {
        "heads/induction/layer1/head0",
        "heads/duplicate/layer0/head1",
    }
    assert set(scores.values()) == {0, 1}
    assert metrics["heads/induction"] == metrics["heads/duplicate"] == 1


def test_a_score_is_a_mean_over_queries(monkeypatch) -> None:
    half = 0.5 * looking({5: 3, 6: 4}) + 0.5 * sink(7)
    metrics = probe_of(monkeypatch, [[half]], make_repeating_batch(REPEATING_ROW)).metrics()
    assert metrics["heads/induction"] == pytest.approx((0 + 0.5 + 0.5) / 3)


def test_only_the_second_copy_is_scored(monkeypatch) -> None:
    rows = [0, 5, 6, 7, 5, 6, 7, 5, 6, 7]
    first = looking(INDUCTION, time=10)
    assert (
        probe_of(monkeypatch, [[first]], make_repeating_batch(rows)).metrics()["heads/induction"]
        == 1
    )


def test_short_periods_say_nothing_of_heads(monkeypatch) -> None:
    batch = make_repeating_batch([0, 5, 6, 5, 6, 5, 6], [0, 4, 4, 4, 4, 4, 4])
    metrics = probe_of(monkeypatch, [[sink(7)]], batch).metrics()
    assert math.isnan(metrics["heads/induction"])
    assert not math.isnan(metrics["heads/icl_score"])


@pytest.mark.parametrize("n_kv_heads", [4, 2])
def test_scores_of_a_model_by_their_definition(n_kv_heads: int) -> None:
    net, batches = (
        make_attention_model(n_kv_heads=n_kv_heads),
        list(make_induction_task().evaluation()),
    )
    probe = CopyProbe(net)
    expected: dict[tuple[int, int], list[float]] = {}
    for batch in batches:
        probe.update(batch, net(*batch.inputs))
        seen: list[Tensor] = []
        visit_queries_keys(
            net,
            batch,
            lambda _, query, key, seen=seen: seen.append(self_attention_weights(query, key)),
        )
        for b, p in enumerate(find_periods(batch.inputs[0]).tolist()):
            for t in range(p + 1, min(2 * p + 1, batch.keep.shape[1])) if p >= 3 else ():
                symbols = batch.inputs[0][b].tolist()
                keys = [k + 1 for k in range(t - 1) if symbols[k] == symbols[t]]
                assert t - p + 1 in keys
                for layer, matrix in enumerate(seen):
                    for head in range(4):
                        found = expected.setdefault((layer, head), [])
                        found.append(matrix[b, head, t, keys].sum().item())
    assert len(expected) == 8
    for (layer, head), values in expected.items():
        assert probe.scores()[layer][head] == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_accuracy_is_that_of_the_second_copy_but_for_its_first_symbol(monkeypatch) -> None:
    batch = make_repeating_batch([0, 5, 6, 7, 5, 6, 7, 5, 6, 7])
    first, second = copy_masks(batch.inputs[0])
    assert first[0].nonzero()[:, 0].tolist() == [0, 1, 2]  # where symbols 1, 2, 3 are predicted
    assert second[0].nonzero()[:, 0].tolist() == [4, 5]  # symbols 5 and 6; 4 begins the copy

    def accuracy(*wrong: int) -> float:
        output = predicting(batch.target)
        output.prediction[0, list(wrong)] = 0
        probe = CopyProbe(torch.nn.Identity())
        probe.update(batch, output)
        monkeypatch.setattr(probe, "scores", lambda _: [[0.0]])
        return probe.metrics()["heads/copy_accuracy"]

    monkeypatch.setattr(copying, "visit_queries_keys", lambda *_: None)
    assert accuracy() == accuracy(0, 1, 2, 3, 6, 7, 8, 9) == 1
    assert accuracy(4) == accuracy(5) == 0.5
    assert accuracy(4, 5) == 0


def test_learning_in_context_is_the_fall_of_the_loss(monkeypatch) -> None:
    monkeypatch.setattr(copying, "visit_queries_keys", lambda *_: None)
    batch = make_repeating_batch(REPEATING_ROW, REPEATING_ROW)
    logits = torch.zeros(2, 7, VOCABULARY + 1)
    logits[:, 4:] = predicting(batch.target).prediction[:, 4:]
    probe = CopyProbe(torch.nn.Identity())
    probe.update(batch, SimpleNamespace(prediction=logits))
    monkeypatch.setattr(probe, "scores", lambda _: [[0.0]])
    # Even over 17 tokens in the first copy, certain in the second.
    assert probe.metrics()["heads/icl_score"] == pytest.approx(-math.log(17), abs=1e-6)


def test_the_short_test_is_the_accuracy_of_the_probe() -> None:
    net, batches = make_attention_model(), list(make_induction_task(n_eval=400).evaluation())
    probe = CopyProbe(net)
    for batch in batches:
        probe.update(batch, net(*batch.inputs))
    accuracy = probe.metrics()["heads/copy_accuracy"]
    assert 0 < accuracy < 1
    assert make_copy_accuracy(batches)(net) == accuracy


def test_the_loss_of_copying_is_that_of_what_the_accuracy_counts() -> None:
    batch = make_repeating_batch([0, 5, 6, 7, 5, 6, 7, 5, 6, 7], [0, 4, 4, 4, 4, 4, 4, 4, 4, 4])
    logits = torch.randn(2, 10, VOCABULARY + 1, generator=torch.manual_seed(0))
    found = copy_loss(logits, batch)
    log_p = logits.log_softmax(dim=-1)
    assert found[0].item() == pytest.approx(-(log_p[0, 4, 6] + log_p[0, 5, 7]).item())
    assert found[1].item() == 0  # after one step there is only the first symbol of a copy


def test_a_query_is_no_key_of_its_own() -> None:
    tokens = torch.tensor([[0, 5, 5, 6, 7, 5, 5, 6, 7]])
    assert scored_keys(tokens, 1)[0, 6].nonzero()[:, 0].tolist() == [2, 3]
    assert scored_keys(tokens, 1)[0, 5].nonzero()[:, 0].tolist() == [2, 3]
    own = torch.eye(9, dtype=torch.bool)
    assert not any((scored_keys(tokens, ahead)[0] & own).any() for ahead in (0, 1))
    # The occurrence one period back is always among them.
    for t in range(5, 9):
        assert scored_keys(tokens, 1)[0, t, t - 3]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_predictions_that_are_no_numbers_are_not_right(monkeypatch, bad: float) -> None:
    monkeypatch.setattr(copying, "visit_queries_keys", lambda *_: None)
    batch = make_repeating_batch([0, 5, 6, 7, 5, 6, 7, 5, 6, 7])
    output = predicting(batch.target)
    output.prediction[0, 4] = bad
    probe = CopyProbe(torch.nn.Identity())
    probe.update(batch, output)
    monkeypatch.setattr(probe, "scores", lambda _: [[0.5, math.nan]])
    found = probe.metrics()
    assert math.isnan(found["heads/copy_accuracy"])
    assert math.isnan(found["heads/icl_score"])
    assert math.isnan(found["heads/induction"])  # of two heads one has no score
    accuracy = make_copy_accuracy([batch])
    assert math.isnan(accuracy(lambda tokens: SimpleNamespace(prediction=tokens[..., None] * bad)))
