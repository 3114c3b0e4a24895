"""The page `compare`: whole language models, their costs, their checks and their training."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from experiments.estimates.module_faults import find_fault
from experiments.nn.initialise import initialise
from experiments.parts import PARTS, load
from experiments.parts.body import body_cost
from experiments.parts.counted_cost import CostCounter
from experiments.parts.plain import derive_part
from runner.config import ConfigError
from tests.conftest import MakePlan

VOCABULARY = 11
TINY = ("experiment=compare", "scale=smoke", "task=induction", "training.steps=6")


class Small(nn.Module):
    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(vocabulary, 4), nn.Linear(4, vocabulary)

    def forward(self, ids: torch.Tensor) -> Any:
        return self.head(self.embedding(ids))


class Pair(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        return super().forward(ids), "state"


class Named(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        return SimpleNamespace(logits=super().forward(ids))


class LooksAhead(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        return super().forward(ids.roll(-1, 1))


class TooNarrow(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        return super().forward(ids)[..., :-1]


class Infinite(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        return super().forward(ids) + math.inf


class Random(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        self.count = getattr(self, "count", 0) + 1
        return super().forward(ids) + self.count


class Detached(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        return super().forward(ids).detach()


class ZeroHead(LooksAhead):
    def __init__(self, vocabulary: int) -> None:
        super().__init__(vocabulary)
        nn.init.zeros_(self.head.weight)


class LooksAheadInTraining(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        return super().forward(ids.roll(-1, 1) if self.training else ids)


class MixesSequences(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        logits = super().forward(ids)
        return logits + logits.mean(0)


class Half(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        return super().forward(ids).half()


class InfiniteGradient(Small):
    def forward(self, ids: torch.Tensor) -> Any:
        logits = super().forward(ids)
        return logits + (logits * 0).sqrt()


class RunningNorm(Small):
    def __init__(self, vocabulary: int) -> None:
        super().__init__(vocabulary)
        self.norm = nn.BatchNorm1d(vocabulary).eval()

    def forward(self, ids: torch.Tensor) -> Any:
        logits = super().forward(ids)
        scale = self.norm.running_mean.exp()
        self.norm(logits.mT.detach())
        return logits * scale


def shared() -> Callable[[int], nn.Module]:
    model = Small(VOCABULARY)
    return lambda _: model


def part_of(network: Callable[[int], nn.Module]) -> Any:
    """Return a plain part whose model is of a class."""

    @dataclass
    class Options:
        def build(self, vocabulary: int) -> nn.Module:
            return network(vocabulary)

    return derive_part("language_model", "mine", Options)()


@pytest.mark.parametrize("network", [Small, Pair, Named])
def test_logits_may_be_alone_first_or_named(network: type[nn.Module]) -> None:
    assert find_fault("language_model", part_of(network), VOCABULARY, 8) == ""
    output = part_of(network).build(VOCABULARY)(torch.zeros(2, 3, dtype=torch.int64))
    assert output.prediction.shape == (2, 3, VOCABULARY)
    assert output.aux_loss == 0


@pytest.mark.parametrize(
    ("network", "fault"),
    [
        (LooksAhead, r"logits at position \d+ depend on later tokens"),
        (TooNarrow, r"must return logits of shape \(2, 8, 11\)"),
        (Infinite, "its logits have infinity"),
        (Random, "keeps state between calls or draws random numbers"),
        (Detached, "have no gradient"),
        (ZeroHead, r"logits at position \d+ depend on later tokens \("),
        (LooksAheadInTraining, r"depend on later tokens in training \("),
        (MixesSequences, "depend on other sequences of the batch;"),
        (Half, "its logits are float16; return float32"),
        (InfiniteGradient, r"the gradient of \S+ has (NaN|infinity) at the start"),
        (RunningNorm, r"calls in training change its later logits \(buffer norm.running_mean"),
        (shared(), "two calls of build share the parameter"),
    ],
)
def test_a_fault_of_a_model_is_named(network: Callable[[int], nn.Module], fault: str) -> None:
    assert re.search(fault, find_fault("language_model", part_of(network), VOCABULARY, 8))


def test_padding_is_refused() -> None:
    model = part_of(Small).build(VOCABULARY)
    ids = torch.zeros(1, 2, dtype=torch.int64)
    assert model(ids, torch.ones(1, 2, dtype=torch.bool)).prediction.shape == (1, 2, VOCABULARY)
    with pytest.raises(ValueError, match="the batch has padding"):
        model(ids, torch.tensor([[True, False]]))


def test_initial_weights_depend_on_the_seed_alone() -> None:
    weights = []
    for seed in (3, 3, 4):
        torch.rand(1)
        model = part_of(Small).build(VOCABULARY)
        initialise(model, seed)
        weights.append(model.module.head.weight.detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_keys_and_values_of_a_model_without_attention_are_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(CostCounter, "elsewhere", None)
    assert math.isnan(part_of(Small).cost(VOCABULARY, 8).kv_bytes_per_token)


def test_costs_of_a_plain_model_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CostCounter, "elsewhere", None)  # a plan of another test may have set it
    cost = part_of(Small).cost(VOCABULARY, 8)
    assert cost.parameters == sum(each.numel() for each in Small(VOCABULARY).parameters())
    assert cost.flops_per_token == 2 * 4 * VOCABULARY


def test_costs_of_the_own_transformer_are_those_of_its_module() -> None:
    load()
    own = PARTS["language_model"]["transformer"]("transformer", 8, 2, 2, 12)  # type: ignore[call-arg]
    cost, model = own.cost(VOCABULARY, 6), own.build(VOCABULARY)
    assert cost.parameters == sum(each.numel() for each in model.parameters())
    parts = {"model": own.model, "attention": own.attention, "ffn": own.ffn, "norm": own.norm}
    head = 2 * 8 * VOCABULARY
    assert cost.flops_per_token == body_cost(parts, length=6).flops_per_token + head
    with pytest.raises(ValueError, match="d_model=9 must be a multiple of 2 n_heads=4"):
        type(own)("transformer", 9, 2, 2, 12)  # type: ignore[call-arg]


def test_a_task_of_real_values_is_refused(plan: MakePlan) -> None:
    with pytest.raises(ConfigError, match="task=waves has real numbers"):
        plan("experiment=compare", "scale=smoke", "task=waves")


def test_arms_have_no_body_of_ablabs_models(plan: MakePlan) -> None:
    (arm, *_) = plan(*TINY).arms
    assert sorted(vars(arm.config.parts)) == ["language_model", "task"]
    assert not any(key.startswith("model") for key in arm.config.signature_tree())


@pytest.mark.slow
def test_a_study_records_loss_costs_and_the_time_of_a_step(
    run: Callable[..., None], tmp_path: Path
) -> None:
    run(*TINY, "arm=[transformer,shallow]", "training.eval_every=3")
    (results,) = tmp_path.glob("outputs/compare/runs/*/results.csv")
    metrics = pd.read_csv(results).groupby("metric").value.count()
    expected = {"val/loss", "time/step", "time/throughput", "cost/parameters"}
    assert expected <= {*metrics.index}
    assert set(metrics) == {4}
