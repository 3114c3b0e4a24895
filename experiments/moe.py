"""Compare a mixture of experts with a dense network of equal active cost, and measure its routing.

A trial trains a small decoder-only Transformer on sequences from labelled domains, such as code and
English. Its feed-forward networks are dense, or mixtures of experts: a router sends each token to a
few of several networks. During training and at its end, the trial measures on held-out data:

- the loss without auxiliary terms;
- the load of each expert, and how even the loads are;
- how much the choice of an expert reveals about the domain and about the token. The part that is
  expected by chance is subtracted at the end.

The routing metrics are defined in `experiments/metrics/moe.py`.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import Question, measurement_only, question
from experiments.metrics import METRICS
from experiments.metrics.moe import DECLARATIONS
from experiments.rules import check_at_least
from experiments.trial_setup import build_task_and_model

if TYPE_CHECKING:
    from runner.trial.trial import Trial

NATS = {"moe/router_entropy"}
"""The routing metric in nats; the other routing metrics have no unit."""

METRICS.update(DECLARATIONS)  # the definitions of the metrics that `run` records


@question("moe")
@dataclass
class MoEOptions(Question):
    """Options of `experiment=moe`.

    Attributes:
        n_permutations: number of random permutations of the labels. They estimate how much experts
            and labels agree by chance.
    """

    n_permutations: int = field(metadata=measurement_only())

    def __post_init__(self) -> None:
        check_at_least(1, n_permutations=self.n_permutations)


def run(trial: "Trial") -> None:
    """Train the model of one arm and seed, and record how its routers use the experts."""
    # Imports are local, so that `plan=only` can import this module without loading torch.
    from experiments.probes.routing import RoutingProbe
    from runner.trial.training import evaluate, train

    # Set up: the data and the initialised model. A dense arm has 0 experts.
    n_experts, options = trial.config.parts.ffn.experts, trial.config.options
    task, model = build_task_and_model(trial)

    def probe() -> RoutingProbe:
        return RoutingProbe(task.labels, n_experts, options.n_permutations)

    # Measure while training: each evaluation on held-out data fills a new probe, and logs its
    # metrics and the loss. `train` also records the final loss.
    train(trial, model, task, probes=[probe])

    # Conclude: measure the trained model, now with the permutations, which are too slow for every
    # evaluation. A dense model has no routing metrics.
    final = probe()
    evaluate(model, task, [final], trial.device)
    for name, value in final.final_metrics(trial.seed).items():
        trial.record({name: value}, "nats" if name.split("/layer")[0] in NATS else "1")
