"""Record the scores of heads for the experiment head_analysis, with their references."""

from statistics import fmean

from torch import nn

from experiments.probes.heads.copying import CopyProbe
from experiments.probes.heads.probe import HeadProbe
from experiments.probes.heads.summaries import ScoreTable, best_planted_weights, scores_by_label
from experiments.probes.nonfinite import max_or_nan, min_or_nan
from experiments.tasks.batch import Task
from runner.trial.training import evaluate
from runner.trial.trial import Trial

UNITS = {"entropy": "nats", "distance": "positions"}


def record_scores(trial: Trial, final: HeadProbe, initial: HeadProbe) -> None:
    """Record all scores per head, overall and per label, their means, and both references.

    The references are even attention, `_uniform`, and the model before training, `_initial`.
    """
    before = initial.metrics()
    for name, value in final.metrics().items():
        score = name.split("/")[1]
        unit = UNITS.get(score.removesuffix("_spread"), "1")
        trial.record({name: value}, unit)
        if name == f"heads/{score}":  # a mean over heads
            trial.record({f"{name}_initial": before[name]}, unit)
    for score, table in final.table().items():
        unit = UNITS.get(score, "1")
        (even,) = table.pop("uniform")
        trial.record({f"heads/{score}_uniform": even}, unit)
        for layer in table:
            trial.record({f"heads/{score}/{layer}/uniform": even}, unit)
    for score in ("entropy", "distance", "diagonal"):
        contrasts = []
        for layer, head, values in scores_by_label(final, score):
            name, unit = f"{layer}/head{head}", UNITS.get(score, "1")
            for label, value in values.items():
                trial.record({f"heads/{score}/{name}/{label}": value}, unit)
            contrasts.append(max_or_nan(values.values()) - min_or_nan(values.values()))
        trial.record({f"heads/{score}_contrast": fmean(contrasts)}, unit)


def record_planted_attention(
    trial: Trial, final: HeadProbe, initial: HeadProbe, *, mean: bool
) -> None:
    """Record `heads/planted/<label>`: the best head's weight on the key that carries a pattern.

    It is measured on sequences with that pattern. Patterns at the query's own position or the
    previous one are left out, so that all arms have the same patterns. `diagonal` and `previous`
    cover these two. The residual stream carries the first without attention.

    `mean` adds `heads/planted`, the mean over the patterns. It is informative only if the task
    gives heads a reason to look there.
    """
    if not any(lag > 1 for lag in final.planted_lags.values()):
        return
    metrics = {
        "heads/planted": best_planted_weights(final),
        "heads/planted_initial": best_planted_weights(initial),
        "heads/planted_uniform": {
            label: final.table(label)[f"offset_{label}"]["uniform"][0]
            for label, lag in final.planted_lags.items()
            if lag > 1
        },
    }
    for name, values in metrics.items():
        trial.record({f"{name}/{label}": value for label, value in values.items()}, "1")
        if mean:
            trial.record({name: fmean(values.values())}, "1")


def record_copying(trial: Trial, model: nn.Module, untrained: nn.Module, task: Task) -> ScoreTable:
    """Record the copy accuracy and the copying scores of heads, after and before training.

    Returns:
        The scores of the heads after training.
    """
    final, initial = CopyProbe(model), CopyProbe(untrained)
    evaluate(model, task, [final], trial.device)
    evaluate(untrained, task, [initial], trial.device)
    before = initial.metrics()
    for name, value in final.metrics().items():
        unit = "nats" if name == "heads/icl_score" else "1"
        trial.record({name: value}, unit)
        if name.count("/") == 1:
            trial.record({f"{name}_initial": before[name]}, unit)
    scores = final.table()
    trial.record(
        {f"heads/{name}_uniform": table["uniform"][0] for name, table in scores.items()}, "1"
    )
    return scores
