"""What a mixture of experts gains over a dense network of equal active cost, and what experts do.

A small decoder-only Transformer is trained on sequences of labelled domains; its feed-forward
networks are dense or mixtures of experts. Everything is measured on held-out data, while the model
trains and at the end: loss without auxiliary terms, load of each expert, balance, and how much the
choice of an expert tells about the domain and about the token, minus chance.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import Question, measuring, question
from experiments.metrics import METRICS
from experiments.metrics.moe import DECLARATIONS
from experiments.rules import at_least
from experiments.start import assemble

if TYPE_CHECKING:
    from runner.trial.trial import Trial

NATS = {"moe/router_entropy"}

METRICS.update(DECLARATIONS)


@question("moe")
@dataclass
class MoEOptions(Question):
    """How often labels are permuted, to learn what agreement is chance."""

    n_permutations: int = field(metadata=measuring())

    def __post_init__(self) -> None:
        at_least(1, n_permutations=self.n_permutations)


def run(trial: "Trial") -> None:
    """Train one arm under one seed, look at its routing, record."""
    from experiments.probes.routing import RoutingProbe
    from runner.trial.training import evaluate, train

    n_experts, options = trial.config.parts.ffn.experts, trial.config.options
    task, model = assemble(trial)

    def probe() -> RoutingProbe:
        return RoutingProbe(task.labels, n_experts, options.n_permutations)

    train(trial, model, task, probes=[probe])

    final = probe()
    evaluate(model, task, [final], trial.device)
    for name, value in final.final_metrics(trial.seed).items():
        trial.record({name: value}, "nats" if name.split("/layer")[0] in NATS else "1")
