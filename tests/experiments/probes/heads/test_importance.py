"""Taylor importance against finite differences, and of heads that do nothing."""

import pytest
import torch
from torch.nn import functional as F

from experiments.probes.heads.ablation import split_even_odd, transform_head_outputs
from experiments.probes.heads.attention_weights import attention_layers
from experiments.probes.heads.importance import taylor_importance
from experiments.tasks.batch import Batch
from tests.support.attention_models import (
    N_HEADS,
    N_LAYERS,
    make_attention_model,
    make_induction_task,
)

STEP = 1e-5


def each(prediction: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The mean cross-entropy of each sequence."""
    logits = prediction.transpose(1, 2)
    return F.cross_entropy(logits, batch.target, reduction="none").mean(1)


def scaled(net, batch, loss, layer: int, head: int, factor: float) -> float:
    """The loss with the output of one head multiplied."""
    mask = torch.ones(N_HEADS, 1, dtype=torch.float64)
    mask[head] = factor
    changes = [lambda x: x] * N_LAYERS
    changes[layer] = lambda x: x * mask
    with torch.no_grad(), transform_head_outputs(net, changes):
        return loss(net(*batch.inputs).prediction, batch).sum().item()


def test_it_is_the_derivative_by_a_mask_summed_over_sequences() -> None:
    net, source = make_attention_model(double=True), make_induction_task(n_eval=6)
    (batch,) = source.evaluation()
    found = taylor_importance(net, [batch], each)
    for layer in range(N_LAYERS):
        expected = torch.zeros(N_HEADS, dtype=torch.float64)
        for one in batch.split(6):
            for head in range(N_HEADS):
                ends = [scaled(net, one, each, layer, head, 1 + h) for h in (STEP, -STEP)]
                expected[head] += abs(ends[0] - ends[1]) / (2 * STEP)
        torch.testing.assert_close(
            torch.tensor(found[layer]), (expected / expected.norm()).float(), rtol=1e-4, atol=1e-6
        )


def test_sequences_do_not_cancel_and_batches_add_up() -> None:
    net, source = make_attention_model(double=True), make_induction_task(n_eval=7)
    (batch,) = source.evaluation()
    whole = taylor_importance(net, [batch], each)
    four, three = split_even_odd([batch], torch.device("cpu"))
    parts = taylor_importance(net, [*four, *three], each)
    for one, other in zip(whole, parts, strict=True):
        assert one == pytest.approx(other)


def test_a_head_whose_output_goes_nowhere_has_none() -> None:
    net, source = make_attention_model(), make_induction_task()
    with torch.no_grad():
        attention_layers(net)[0].out.weight[:, 4:8] = 0
    found = taylor_importance(net, list(source.evaluation()), each)
    assert found[0][1] == 0
    assert min(found[0][0], *found[0][2:], *found[1]) > 0
    for layer in found:
        assert sum(value**2 for value in layer) == pytest.approx(1)


def test_a_layer_that_nothing_depends_on_has_zeros() -> None:
    net, source = make_attention_model(), make_induction_task()
    with torch.no_grad():
        attention_layers(net)[1].out.weight.zero_()
    found = taylor_importance(net, list(source.evaluation()), each)
    assert found[1] == [0.0] * N_HEADS


def test_it_leaves_no_gradients() -> None:
    net, source = make_attention_model(), make_induction_task()
    taylor_importance(net, list(source.evaluation()), each)
    assert all(parameter.grad is None for parameter in net.parameters())
