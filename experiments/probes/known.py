"""How well sentences are known that were learnt from, apart from those that judge."""

import torch

from experiments.nn.encoder_decoder import EncoderDecoder
from experiments.nn.transformer import Output
from experiments.probes.translation import TranslationProbe
from experiments.tasks.batch import Batch
from experiments.tasks.translation import TranslationTask


class KnownSentences:
    """The first `most` sentences that were learnt from (None: all), beside those that judge.

    `translation/loss/train` under teacher forcing, `translation/exact_match/train` by decoding:
    both show what is known by heart, so they stand apart from `val/loss`.
    """

    def __init__(self, model: EncoderDecoder, task: TranslationTask, most: int | None) -> None:
        self.model, self.task, self.most = model, task, most
        self.found: dict[str, float] = {}

    def update(self, batch: Batch, output: Output | None = None) -> None:  # noqa: ARG002
        """Score the known sentences, once; what is held out is not looked at.

        Here and not in `metrics`, since the model is in eval mode while batches are shown.
        """
        if self.found:
            return
        decoded = TranslationProbe(self.model, self.task, self.most)
        for known in self.task.split("train", self.most):
            decoded.update(known.to(batch.keep.device))
        loss = mean_loss(self.model, self.task, "train", self.most)
        self.found = {"translation/loss/train": loss} | decoded.metrics()

    def metrics(self) -> dict[str, float]:
        """What was found."""
        return self.found


@torch.no_grad()
def mean_loss(model: EncoderDecoder, task: TranslationTask, split: str, most: int | None) -> float:
    """The loss a token over the first `most` sentences of a split, under teacher forcing."""
    device = next(model.parameters()).device
    total, count = 0.0, 0
    for there in task.split(split, most):
        batch = there.to(device)
        n = int(batch.keep.sum())
        prediction = model(*batch.inputs, keep=batch.keep).prediction
        total += task.loss(prediction, batch).item() * n
        count += n
    return total / count
