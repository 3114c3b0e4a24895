"""Train a complete encoder-decoder, and score its translations of unseen sentences.

The model learns from pairs of sentences by teacher forcing. It is scored by greedy decoding of
held-out sentences, with a KV cache: the share of exact matches, and chrF. Training sentences, and
splits that are harder than the training data, are scored separately and do not enter the held-out
loss. Tables show decoded sentences, and the attention of the decoder to the source.
"""

from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from experiments import Question, measurement_only, question
from experiments.metrics import METRICS
from experiments.metrics.translation import DECLARATIONS
from experiments.parts.encoder_decoder import build_encoder_decoder
from experiments.rules import check_at_least
from experiments.trial_setup import build_task, note_limits

if TYPE_CHECKING:
    from experiments.nn.encoder_decoder import EncoderDecoder
    from experiments.tasks.translation import TranslationTask
    from runner.trial.trial import Trial

METRICS.update(DECLARATIONS)  # the definitions of the metrics that `run` records


@question("translation")
@dataclass
class TranslationOptions(Question):
    """Options of `experiment=translation`.

    Attributes:
        n_probe: sentences of each split that are decoded at every evaluation in training.
        n_samples: decoded sentences of each split that the table `samples` shows.
    """

    pairs: ClassVar[bool] = True
    n_probe: int = field(metadata=measurement_only())
    n_samples: int = field(metadata=measurement_only())

    def __post_init__(self) -> None:
        check_at_least(1, n_probe=self.n_probe, n_samples=self.n_samples)


def run(trial: "Trial") -> None:
    """Train the model of one arm and seed, decode all held-out sentences, and record the scores."""
    # Imports are local, so that `plan=only` can import this module without loading torch.
    from experiments.probes.extra_splits import ExtraSplitsProbe
    from experiments.probes.translation import TranslationProbe
    from experiments.tasks.translation import TranslationTask
    from runner.trial.training import train

    # Set up: the sentence pairs and the initialised encoder-decoder.
    parts, options = trial.config.parts, trial.config.options
    task = build_task(trial)
    if not isinstance(task, TranslationTask):
        raise ValueError(f"task={parts.task.kind} has no translations; use task=numbers or pairs15")
    model = translator_of(trial, task)

    # Measure while training: both probes decode `n_probe` sentences of a split per evaluation.
    probes = (TranslationProbe, ExtraSplitsProbe)
    train(trial, model, task, probes=[partial(p, model, task, options.n_probe) for p in probes])

    # Conclude: decode with the trained model.
    translate(trial, model.eval(), task)


def translator_of(trial: "Trial", task: "TranslationTask") -> "EncoderDecoder":
    """Return the initialised encoder-decoder of a trial."""
    from experiments.nn import encoder_decoder
    from experiments.tasks import translation

    # `experiments.nn` imports no task, so the id of padding is defined in both packages.
    assert encoder_decoder.PAD == translation.PAD
    sizes = trial.config.parts.task.sizes()
    model = build_encoder_decoder(
        trial.config.parts,
        source_vocabulary=len(task.source),
        target_vocabulary=len(task.target),
        seed=trial.seed,
        lengths=(sizes.length, sizes.source_length),
    )
    note_limits(trial, model)
    return model.to(trial.device, trial.dtype)


def translate(trial: "Trial", model: "EncoderDecoder", task: "TranslationTask") -> None:
    """Decode all held-out sentences, and at most as many of each other split; record the scores."""
    from experiments.probes.extra_splits import extra_split_losses
    from experiments.probes.translation import (
        TranslationProbe,
        chrf_of_samples,
        cross_attention_rows,
        exact_match_by_digits,
    )

    # Decode. `samples` of the probe then holds source, expected and predicted sentences.
    n_held_out = sum(len(batch.keep) for batch in task.split(task.held_out_split))
    probe = TranslationProbe(model, task, n_held_out)
    for split in task.labels:
        for batch in task.split(split, n_held_out):
            probe.update(batch.to(trial.device))
    trial.record(probe.metrics(), "1")
    trial.record(extra_split_losses(model, task, n_held_out), task.unit)

    # Score numbers by their digits, and every split by chrF.
    by_split = {split: probe.samples_of_split(split) for split in task.labels}
    if task.numbers:
        numbers = {name: part for name, part in by_split.items() if name in ("iid", "length")}
        trial.record(exact_match_by_digits(task.numbers, numbers), "1")
    scores = []
    for split, samples in by_split.items():
        score, signature = chrf_of_samples(samples)
        scores.append({"split": split, "sentences": len(samples), "chrf": score, "by": signature})
    trial.table("scores", scores)
    n_samples = trial.config.options.n_samples
    # The splits take turns, so that the first rows, which a report shows, cover all splits.
    turns = zip_longest(*(samples[:n_samples] for samples in by_split.values()))
    trial.table("samples", [sample.row() for turn in turns for sample in turn if sample])
    # Record where the decoder looks in the longest sentence of the first held-out batch.
    first = next(task.split(task.held_out_split)).to(trial.device)
    trial.table("cross_attention", cross_attention_rows(model, task, first))
