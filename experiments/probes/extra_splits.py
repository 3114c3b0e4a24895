"""How well sentences of the splits that do not judge are translated, each split apart."""

import torch

from experiments.nn.encoder_decoder import EncoderDecoder
from experiments.nn.transformer import Output
from experiments.probes.nonfinite import finite_or_nan, replace_nonfinite
from experiments.probes.translation import TranslationProbe
from experiments.tasks.batch import Batch
from experiments.tasks.translation import TranslationTask


class ExtraSplitsProbe:
    """The first `most` sentences of each split that does not judge (None: all).

    `translation/loss/{split}` under teacher forcing, `translation/exact_match/{split}` by decoding.
    The split `train` shows what is known by heart, and the others are harder than what was learnt
    from, so all of them stand apart from `val/loss`.
    """

    def __init__(self, model: EncoderDecoder, task: TranslationTask, most: int | None) -> None:
        self.model, self.task, self.most = model, task, most
        self.found: dict[str, float] = {}

    def update(self, batch: Batch, output: Output | None = None) -> None:  # noqa: ARG002
        """Score the other splits, once; the sentences that judge are not looked at.

        Here and not in `metrics`, since the model is in eval mode while batches are shown.
        """
        if self.found:
            return
        decoded = TranslationProbe(self.model, self.task, self.most)
        for name in extra_splits(self.task):
            for there in self.task.split(name, self.most):
                decoded.update(there.to(batch.keep.device))
        self.found = extra_split_losses(self.model, self.task, self.most) | decoded.metrics()

    def metrics(self) -> dict[str, float]:
        """What was found."""
        return replace_nonfinite(self.found)


def extra_splits(task: TranslationTask) -> list[str]:
    """The splits that do not judge."""
    return [name for name in task.labels if name != task.held_out_split]


def extra_split_losses(
    model: EncoderDecoder, task: TranslationTask, most: int | None
) -> dict[str, float]:
    """`translation/loss/{split}` of the splits that do not judge, in nats a token."""
    found = {name: mean_loss(model, task, name, most) for name in extra_splits(task)}
    return {f"translation/loss/{name}": loss for name, loss in found.items()}


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
    return finite_or_nan(total / count)
