"""Compare how much the held-out loss rises when noise is added to the trained weights."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import Question, measurement_only, question
from experiments.metrics import METRICS
from experiments.rules import check_at_least
from experiments.trial_setup import build_task_and_model
from runner.metric_names import DivergedValue, Metric

if TYPE_CHECKING:
    from runner.trial.trial import Trial

METRICS["example/rise"] = Metric(
    DivergedValue.nothing,
    label="rise of the loss by noise in the weights",
    meaning="Held-out loss with noise in all weights, minus the loss without.",
    unit="nats/token",
    better="less",
)


@question("example_flatness")
@dataclass
class FlatnessOptions(Question):
    """Options of the question.

    Attributes:
        noise: the standard deviation of the noise, relative to the RMS of each weight matrix.
    """

    noise: float = field(metadata=measurement_only("example/rise"))

    def __post_init__(self) -> None:
        check_at_least(0, noise=self.noise)


def run(trial: "Trial") -> None:
    """Train the model of one arm and seed, and measure its loss with noise in the weights."""
    import torch

    from runner.trial.training import evaluate, train

    task, model = build_task_and_model(trial)
    train(trial, model, task)
    trained = evaluate(model, task, [], trial.device)["val/loss"]
    generator = torch.Generator().manual_seed(trial.seed)
    with torch.no_grad():
        for weight in model.parameters():
            noise = torch.randn(weight.shape, generator=generator).to(weight)
            weight += trial.config.options.noise * weight.square().mean().sqrt() * noise
    noisy = evaluate(model, task, [], trial.device)["val/loss"]
    trial.record({"example/rise": noisy - trained}, "nats/token")
