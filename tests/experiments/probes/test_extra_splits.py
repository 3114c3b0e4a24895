"""Splits that do not judge are scored one by one, with no sentence among them that judges."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from experiments.nn.encoder_decoder import EncoderDecoder
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.encoder_decoder import build_encoder_decoder
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.probes.extra_splits import ExtraSplitsProbe, extra_split_losses, mean_loss
from experiments.probes.translation import CROSS, TranslationProbe
from experiments.tasks.numbers import Numbers, SourceUnit
from experiments.tasks.pairs15 import Pairs15, Pairs15Task
from experiments.tasks.translation import TranslationTask


@pytest.fixture
def task() -> Pairs15Task:
    return Pairs15("pairs15", label_smoothing=0.3).build(seed=0, batch_size=5)


@pytest.fixture
def arm() -> SimpleNamespace:
    return SimpleNamespace(
        model=ModelOptions(16, 1, Init.scaled),
        attention=AttentionOptions(
            "multihead", 2, 2, False, 0.0, Position.sinusoidal, Kernel.fused
        ),
        ffn=FeedForwardOptions("dense", 16, Activation.relu, False, False, 0.0),
        norm=NormOptions("norm", Placement.pre, NormType.layer, 1e-5),
    )


def made(arm: SimpleNamespace, task: TranslationTask) -> EncoderDecoder:
    sizes = {"source_vocabulary": len(task.source), "target_vocabulary": len(task.target)}
    return build_encoder_decoder(arm, **sizes, seed=0).eval()


@pytest.fixture
def model(arm: SimpleNamespace, task: Pairs15Task) -> EncoderDecoder:
    return made(arm, task)


@torch.no_grad()
def test_known_sentences_are_scored_apart(model: EncoderDecoder, task: Pairs15Task) -> None:
    known = ExtraSplitsProbe(model, task, 4)
    for batch in task.evaluation():
        known.update(batch)
    found = known.metrics()
    assert set(found) == {"translation/loss/train", "translation/exact_match/train"}
    [batch] = task.split("train", 4)
    prediction = model(*batch.inputs, keep=batch.keep).prediction
    plain = F.cross_entropy(prediction[batch.keep], batch.target[batch.keep])
    assert found["translation/loss/train"] == pytest.approx(plain.item())


def test_each_harder_split_has_its_own_loss_and_share(arm: SimpleNamespace) -> None:
    options = Numbers("numbers", 5, 1, True, SourceUnit.word, 200, 20, 0.0)
    task = options.build(seed=0, batch_size=8)
    model = made(arm, task)
    other = ExtraSplitsProbe(model, task, 6)
    for batch in task.evaluation():
        other.update(batch)
    names = ("train", "compositional", "length")
    assert set(other.metrics()) == {
        f"translation/{what}/{name}" for what in ("loss", "exact_match") for name in names
    }
    found = extra_split_losses(model, task, None)
    for name in names:
        total, n = 0.0, 0
        for batch in task.split(name):
            log_p = model(*batch.inputs, keep=batch.keep).prediction.log_softmax(dim=-1)
            right = log_p.gather(-1, batch.target[..., None])[..., 0]
            total -= right[batch.keep].sum().item()
            n += int(batch.keep.sum())
        assert found[f"translation/loss/{name}"] == pytest.approx(total / n, rel=1e-5)


def test_batches_weigh_as_many_tokens_as_they_have(
    model: EncoderDecoder, task: Pairs15Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = mean_loss(model, task, "train", None)
    [whole] = task.split("train")
    monkeypatch.setattr(task, "split", lambda *_: whole.split(5))
    assert len(whole.split(5)) > 1
    assert mean_loss(model, task, "train", None) == pytest.approx(expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_model_without_numbers_has_no_scores(
    model: EncoderDecoder, task: Pairs15Task, bad: float
) -> None:
    # Logits that are not finite have a largest one too, and so a decoded sentence.
    with torch.no_grad():
        model.head.weight.fill_(bad)
    model.eval()
    probe, others = TranslationProbe(model, task, 2), ExtraSplitsProbe(model, task, 2)
    for batch in task.evaluation():
        probe.update(batch)
        others.update(batch)
    found = probe.metrics() | others.metrics()
    assert {"translation/chrf", "translation/exact_match", "translation/loss/train"} <= set(found)
    assert all(map(math.isnan, found.values())), found
    assert {sample.row()["ok"] for sample in probe.samples} == {CROSS}
    assert set(probe.samples[0].row()) == {"split", "source", "expected", "predicted", "ok"}
