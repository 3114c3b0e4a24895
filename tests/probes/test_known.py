"""Known sentences are scored by themselves, with no held-out sentence among them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from experiments import config
from experiments.config import Activation, Kernel, NormType, Pairs15, Placement, Position
from experiments.nn.build import build_encoder_decoder
from experiments.nn.encoder_decoder import EncoderDecoder
from experiments.probes.known import KnownSentences, mean_loss
from experiments.tasks.pairs import Pairs15Task


@pytest.fixture
def task() -> Pairs15Task:
    return Pairs15Task(Pairs15("pairs15"), seed=0, batch_size=5, cache=Path())


@pytest.fixture
def model(task: Pairs15Task) -> EncoderDecoder:
    arm = SimpleNamespace(
        model=config.Model(16, 1),
        attention=config.Attention(
            "multihead", 2, 2, False, 0.0, Position.sinusoidal, Kernel.fused
        ),
        ffn=config.FeedForward("dense", 16, Activation.relu, False, False, 0.0),
        norm=config.Norm("norm", Placement.pre, NormType.layer, 1e-5),
    )
    sizes = {"source_vocabulary": len(task.source), "target_vocabulary": len(task.target)}
    return build_encoder_decoder(arm, **sizes, seed=0).eval()


@torch.no_grad()
def test_known_sentences_are_scored_apart(model: EncoderDecoder, task: Pairs15Task) -> None:
    known = KnownSentences(model, task, 4)
    for batch in task.evaluation():
        known.update(batch)
    found = known.metrics()
    assert set(found) == {"translation/loss/train", "translation/exact_match/train"}
    [batch] = task.split("train", 4)
    prediction = model(*batch.inputs, keep=batch.keep).prediction
    assert found["translation/loss/train"] == pytest.approx(task.loss(prediction, batch).item())


def test_batches_weigh_as_many_tokens_as_they_have(
    model: EncoderDecoder, task: Pairs15Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = mean_loss(model, task, "train", None)
    [whole] = task.split("train")
    monkeypatch.setattr(task, "split", lambda *_: whole.split(5))
    assert len(whole.split(5)) > 1
    assert mean_loss(model, task, "train", None) == pytest.approx(expected)
