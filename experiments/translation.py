"""Whether a complete encoder-decoder translates sentences that it has never seen.

It learns from pairs by teacher forcing and is judged by greedy decoding, with cached keys and
values, of held-out sentences: the share that is right from end to end, and chrF. Known sentences,
and splits that are harder than what is learnt from, are scored apart, and are no part of the
held-out loss. Tables show what it says, sentence by sentence, and where its decoder looks.
"""

from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from experiments import Question, measuring, question
from experiments.metrics import METRICS
from experiments.metrics.translation import DECLARATIONS
from experiments.parts.translator import build_encoder_decoder
from experiments.rules import at_least
from experiments.start import task_of

if TYPE_CHECKING:
    from experiments.nn.encoder_decoder import EncoderDecoder
    from experiments.tasks.translation import TranslationTask
    from runner.trial.trial import Trial

METRICS.update(DECLARATIONS)


@question("translation")
@dataclass
class TranslationOptions(Question):
    """How many sentences are decoded while the model trains, and how many a table shows."""

    pairs: ClassVar[bool] = True
    n_probe: int = field(metadata=measuring())
    n_samples: int = field(metadata=measuring())

    def __post_init__(self) -> None:
        at_least(1, n_probe=self.n_probe, n_samples=self.n_samples)


def run(trial: "Trial") -> None:
    """Train one arm under one seed, let it translate, record."""
    from experiments.probes.other_splits import OtherSplits
    from experiments.probes.translation import TranslationProbe
    from experiments.tasks.translation import TranslationTask
    from runner.trial.training import train

    parts, options = trial.config.parts, trial.config.options
    task = task_of(trial)
    if not isinstance(task, TranslationTask):
        raise ValueError(f"task={parts.task.kind} has no translations; use task=numbers or pairs15")
    model = translator_of(trial, task)

    probes = (TranslationProbe, OtherSplits)
    train(trial, model, task, probes=[partial(p, model, task, options.n_probe) for p in probes])

    translate(trial, model.eval(), task)


def translator_of(trial: "Trial", task: "TranslationTask") -> "EncoderDecoder":
    """Return the initialised encoder-decoder of a trial."""
    from experiments.nn import encoder_decoder
    from experiments.tasks import translation

    # The modules know no task, so each has its own name for the id of padding.
    assert encoder_decoder.PAD == translation.PAD
    model = build_encoder_decoder(
        trial.config.parts,
        source_vocabulary=len(task.source),
        target_vocabulary=len(task.target),
        seed=trial.seed,
    )
    return model.to(trial.device, trial.dtype)


def translate(trial: "Trial", model: "EncoderDecoder", task: "TranslationTask") -> None:
    """Decode all sentences that judge, of the other splits as many at most; record scores."""
    from experiments.probes.other_splits import losses
    from experiments.probes.translation import TranslationProbe, attention_rows, by_digits, chrf_of

    n_held_out = sum(len(batch.keep) for batch in task.split(task.held_out_split))
    probe = TranslationProbe(model, task, n_held_out)
    for split in task.labels:
        for batch in task.split(split, n_held_out):
            probe.update(batch.to(trial.device))
    trial.record(probe.metrics(), "1")
    trial.record(losses(model, task, n_held_out), task.unit)

    of_split = {split: probe.of(split) for split in task.labels}
    if task.numbers:
        scored = {name: part for name, part in of_split.items() if name in ("iid", "length")}
        trial.record(by_digits(task.numbers, scored), "1")
    scores = []
    for split, samples in of_split.items():
        score, signature = chrf_of(samples)
        scores.append({"split": split, "sentences": len(samples), "chrf": score, "by": signature})
    trial.table("scores", scores)
    n_samples = trial.config.options.n_samples
    # The splits take turns, so that the first rows, which a report shows, are of each.
    turns = zip_longest(*(samples[:n_samples] for samples in of_split.values()))
    trial.table("samples", [sample.row() for turn in turns for sample in turn if sample])
    first = next(task.split(task.held_out_split)).to(trial.device)
    trial.table("cross_attention", attention_rows(model, task, first))
