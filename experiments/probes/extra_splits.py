"""A probe of the translations of every split except the held-out one."""

import torch

from experiments.nn.encoder_decoder import EncoderDecoder
from experiments.nn.transformer import Output
from experiments.probes.nonfinite import finite_or_nan, replace_nonfinite
from experiments.probes.translation import TranslationProbe
from experiments.tasks.batch import Batch
from experiments.tasks.translation import TranslationTask


class ExtraSplitsProbe:
    """A probe that scores the first `most` sentences (None: all) of each extra split.

    Extra splits are all except the held-out one. `train` shows how well the model reproduces its
    training data; the others are harder than it. So none of them enters `val/loss`. Metrics:

        translation/loss/{split}         under teacher forcing
        translation/exact_match/{split}  by greedy decoding
    """

    def __init__(self, model: EncoderDecoder, task: TranslationTask, most: int | None) -> None:
        self.model, self.task, self.most = model, task, most
        self._metrics: dict[str, float] = {}

    def update(self, batch: Batch, output: Output | None = None) -> None:  # noqa: ARG002
        """Score the extra splits at the first batch; the held-out sentences are not used.

        This is not done in `metrics`, because the model is in eval mode only during updates.
        """
        if self._metrics:
            return
        probe = TranslationProbe(self.model, self.task, self.most)
        for name in extra_splits(self.task):
            for sentences in self.task.split(name, self.most):
                probe.update(sentences.to(batch.keep.device))
        self._metrics = extra_split_losses(self.model, self.task, self.most) | probe.metrics()

    def metrics(self) -> dict[str, float]:
        """Return the losses and the shares of exact matches."""
        return replace_nonfinite(self._metrics)


def extra_splits(task: TranslationTask) -> list[str]:
    """Return the names of all splits except the held-out one."""
    return [name for name in task.labels if name != task.held_out_split]


def extra_split_losses(
    model: EncoderDecoder, task: TranslationTask, most: int | None
) -> dict[str, float]:
    """Return `translation/loss/{split}` of the extra splits, in nats per token."""
    losses = {name: mean_loss(model, task, name, most) for name in extra_splits(task)}
    return {f"translation/loss/{name}": loss for name, loss in losses.items()}


@torch.no_grad()
def mean_loss(model: EncoderDecoder, task: TranslationTask, split: str, most: int | None) -> float:
    """Return the loss per token of the first `most` sentences of a split, with teacher forcing."""
    device = next(model.parameters()).device
    total, count = 0.0, 0
    for sentences in task.split(split, most):
        batch = sentences.to(device)
        n = int(batch.keep.sum())
        prediction = model(*batch.inputs, keep=batch.keep).prediction
        total += task.loss(prediction, batch).item() * n
        count += n
    return finite_or_nan(total / count)
