"""A look at later tokens is found at every position of short sequences, in parts and models."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from experiments.estimates.causality_faults import plan_stages
from experiments.estimates.inspected_module import InspectedModule
from experiments.estimates.module_faults import find_fault, inspect_module
from experiments.estimates.probe_tokens import (
    LAST_KIND,
    OTHER_KINDS,
    TokenKind,
    modes_and_kinds,
)
from tests.support.inspected_parts import (
    D_MODEL,
    FormulaModel,
    Function,
    fault,
    formula,
    model_formula,
    plain,
)


def looks_ahead(position: int, lag: int = 1, *, training: bool = True) -> Function:
    """Return a function whose output at one position depends on a later one."""

    def leak(module: nn.Module, y: Tensor) -> Tensor:
        if (module.training and not training) or y.shape[1] <= position + lag:
            return y
        one = torch.arange(y.shape[1]) == position
        return y + 0.01 * torch.roll(y, -lag, dims=1) * one[:, None]

    return leak


@pytest.mark.parametrize("position", range(23))
def test_a_model_that_looks_ahead_at_one_position_is_found(position: int):
    message = fault("language_model", model_formula(looks_ahead(position)))
    assert message.startswith(f"its logits at position {position} depend on later tokens")


@pytest.mark.parametrize("position", [0, 37, 45, 62])
@pytest.mark.parametrize(("group", "build"), [("language_model", model_formula), ("ffn", formula)])
def test_every_position_of_a_long_task_is_probed_in_short_sequences(position, group, build):
    message = fault(group, build(looks_ahead(position)), length=1500)
    assert f"at position {position} depend" in message


@pytest.mark.parametrize(("group", "build"), [("language_model", model_formula), ("ffn", formula)])
def test_all_positions_of_a_task_are_probed_by_a_fast_module(group: str, build):
    message = fault(group, build(looks_ahead(147, training=False)), length=200)
    assert "at position 147 depend" in message


def test_a_vocabulary_of_two_replaces_each_token():
    """A random token would be the same one half of the time."""
    for position in range(20):
        build = plain("language_model", model_formula(looks_ahead(position)))
        message = find_fault("language_model", build, 2, 24)
        assert f"logits at position {position} depend" in message


@pytest.mark.parametrize("vocabulary", [1, 2])
def test_a_small_vocabulary_has_no_fault(vocabulary: int):
    model = plain("language_model", model_formula(lambda _, y: y))
    assert find_fault("language_model", model, vocabulary, 24) == ""


class Dropped(FormulaModel):
    def forward(self, ids):
        return nn.functional.dropout(super().forward(ids), 0.3, self.training)


def test_a_model_that_draws_numbers_in_training_is_probed():
    assert fault("language_model", lambda v: Dropped(v, lambda _, y: y)) == ""
    message = fault("language_model", lambda v: Dropped(v, looks_ahead(19)))
    assert "at position 19 depend on later tokens" in message


def test_a_module_of_one_length_is_probed_at_this_length():
    def one_length(_: nn.Module, y: Tensor) -> Tensor:
        if y.shape[1] != 100:
            raise RuntimeError("100 positions only")
        return looks_ahead(71)(_, y)

    assert "at position 71 depend" in fault("language_model", model_formula(one_length), length=100)


def test_fast_modules_skip_no_probe():
    model = plain("language_model", model_formula(lambda _, y: y))
    assert inspect_module("language_model", model, D_MODEL, 1024)[:2] == ("", [])
    inspected = InspectedModule("language_model", model, D_MODEL, 1024)
    stages, n_needed = plan_stages(inspected, inspected.build())
    assert [(stage.length, stage.tokens) for stage in stages] == [
        (1024, TokenKind.usual),
        (64, TokenKind.similar),
        (1024, TokenKind.usual),
        (64, TokenKind.usual),
        (1024, TokenKind.usual),
    ]
    certain, _, first, every, others = (stage.cuts for stage in stages)
    assert sorted(every) == [*range(1, 64)]
    assert sorted(certain + first + others) == [*range(1, 1024)]
    assert n_needed == 4


def test_a_slow_module_is_probed_with_usual_tokens_in_both_modes(monkeypatch: pytest.MonkeyPatch):
    module = plain("ffn", formula(lambda _, y: y))
    inspected = InspectedModule("ffn", module, D_MODEL, 24)
    probes = [(False, TokenKind.usual), (True, TokenKind.usual)]
    assert [*modes_and_kinds(inspected, TokenKind)][:2] == probes
    assert inspected.skipped == []
    monkeypatch.setattr(InspectedModule, "seconds", lambda _: LAST_KIND + 0.1)
    assert [*modes_and_kinds(inspected, TokenKind)] == probes
    assert inspect_module("ffn", module, D_MODEL, 24)[:2] == ("", [OTHER_KINDS])


@pytest.mark.parametrize("step", [-1, 1])
@pytest.mark.parametrize(("group", "build"), [("language_model", model_formula), ("ffn", formula)])
def test_a_look_at_the_next_or_the_previous_sequence_is_found(step: int, group: str, build):
    """The first sequence, or the last one, looks at no other."""

    def mix(_: nn.Module, y: Tensor) -> Tensor:
        is_inner = torch.arange(len(y)) != (0 if step == 1 else len(y) - 1)
        return y + y.roll(step, 0) * is_inner[:, None, None]

    assert "on other sequences of the batch" in fault(group, build(mix))


def causal(scores: Tensor) -> Tensor:
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)


def products(x: Tensor) -> Tensor:
    return x @ x.mT


def cosines(x: Tensor) -> Tensor:
    return 100 * products(nn.functional.normalize(x, dim=-1))


def distances(x: Tensor) -> Tensor:
    return -(torch.cdist(x, x) ** 2)


def threshold(x: Tensor) -> Tensor:
    return 9.0 * (products(x) > x.shape[-1] / 2)


class ContentAttention(nn.Module):
    """Attention without queries and keys: tokens look at similar ones."""

    def __init__(self, d_model: int, scores: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self.scores = nn.Linear(d_model, d_model), scores

    def forward(self, x):
        return self.linear(self.scores(x).softmax(-1) @ x)


@pytest.mark.parametrize(
    ("scores", "d_model"),
    [
        *itertools.product([products, cosines, distances, threshold], [16, 64]),
        (products, 768),
    ],
)
def test_attention_to_similar_tokens_is_found(scores, d_model: int):
    """Between random tokens of a wide stream, each token would only look at itself."""

    def find(scores: Callable[[Tensor], Tensor]) -> str:
        part = plain("attention", lambda width: ContentAttention(width, scores))
        return find_fault("attention", part, d_model, 64)

    assert "depends on later tokens" in find(scores)
    assert find(lambda x: causal(scores(x))) == ""


def test_attention_to_similar_tokens_of_other_sequences_and_of_padding_is_found():
    class Mixed(ContentAttention):
        def forward(self, x):
            return super().forward(x.flatten(0, 1)[None]).view_as(x)

    part = plain("attention", lambda width: Mixed(width, products))
    assert "on other sequences of the batch" in find_fault("attention", part, 64, 24)
    part = plain("norm", lambda width: ContentAttention(width, lambda x: causal(products(x))))
    assert "it mixes positions" in find_fault("norm", part, 64, 24, is_padded=True)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x[:, :, None] == x[:, None]).all(-1).sum(-1, keepdim=True),
        lambda x: (x == x[:, -1:]).all(-1, keepdim=True),
        lambda x: (x.abs().amax((1, 2), keepdim=True) > 8).float(),
    ],
)
def test_a_comparison_with_later_tokens_is_found(function):
    class Compared(nn.Linear):
        def forward(self, x):
            return super().forward(x) * (1 + function(x))

    part = plain("ffn", lambda width: Compared(width, width))
    assert "depends on later tokens" in find_fault("ffn", part, 64, 48)


def test_a_module_may_refuse_unusual_tokens():
    class Refuses(nn.Linear):
        def forward(self, x):
            assert 0.2 < x.std() < 5
            return super().forward(x).exp()

    part = plain("ffn", lambda width: Refuses(width, width))
    assert find_fault("ffn", part, 16, 24) == ""


@pytest.mark.parametrize("vocabulary", [2, 300])
def test_a_model_that_looks_at_later_similar_or_equal_tokens_is_found(vocabulary: int):
    class Model(nn.Module):
        def __init__(self, width: int, function: Function) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(width, 64), nn.Linear(64, width)
            self.function = function

        def forward(self, ids):
            return self.head(self.function(ids, self.embedding(ids)))

    def find(function: Function) -> str:
        part = plain("language_model", lambda width: Model(width, function))
        return find_fault("language_model", part, vocabulary, 48)

    def count_equal(ids: Tensor, x: Tensor) -> Tensor:
        return x * (ids[:, :, None] == ids[:, None]).sum(-1, keepdim=True)

    def attend(_: Tensor, x: Tensor) -> Tensor:
        x = 8 * nn.functional.normalize(x, dim=-1)
        return products(x).softmax(-1) @ x

    assert "later tokens" in find(count_equal)
    assert "later tokens" in find(attend)
    assert find(lambda _, x: causal(products(x)).softmax(-1) @ x) == ""
