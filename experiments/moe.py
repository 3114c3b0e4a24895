"""What a mixture of experts gains over a dense network of equal active cost, and what experts do.

A small decoder-only Transformer is trained on sequences of labelled domains; its feed-forward
networks are dense or mixtures of experts. Everything is measured on held-out data, while the model
trains and at the end: loss without auxiliary terms, load of each expert, balance, and how much the
choice of an expert tells about the domain and about the token, minus chance.
"""

from experiments.config import MixtureOfExperts
from experiments.nn.build import build_transformer
from experiments.probes.cost import record_cost
from experiments.probes.routing import RoutingProbe
from experiments.tasks.build import task_of
from runner.trial.training import evaluate, train
from runner.trial.trial import Trial

NATS = {"moe/router_entropy"}


def run(trial: Trial) -> None:
    """Train one arm under one seed, look at its routing, record."""
    parts, options = trial.config.parts, trial.config.options
    task = task_of(trial)
    model = build_transformer(parts, vocabulary=task.vocabulary, width=task.width, seed=trial.seed)
    model = model.to(trial.device, trial.dtype)
    n_experts = parts.ffn.n_experts if isinstance(parts.ffn, MixtureOfExperts) else 1

    def probe() -> RoutingProbe:
        return RoutingProbe(task.labels, n_experts, options.n_permutations)

    train(trial, model, task, probes=[probe])

    final = probe()
    evaluate(model, task, [final], trial.device)
    for name, value in final.final_metrics(trial.seed).items():
        trial.record({name: value}, "nats" if name.split("/layer")[0] in NATS else "1")
    record_cost(trial, task)
