"""Compare whole language models: held-out loss, parameters, FLOPs, and the time of a step.

A trial trains one language model on sequences of token ids. The model is a module of the user's
own. It maps token ids (batch, time) to logits (batch, time, vocabulary). The trial records its
held-out loss, the time of its training steps, and its counted costs. Parameters include the
embedding and the output head, because ablab does not know which they are.

Arms that are matched have one whole-number option set, such as `language_model.width`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import Question, question
from experiments.trial_setup import build_task

if TYPE_CHECKING:
    from runner.trial.trial import Trial


@question("compare")
@dataclass
class CompareOptions(Question):
    """Options of `experiment=compare`; there are none."""

    parts: ClassVar[tuple[str, ...]] = ("language_model", "task")
    has_body: ClassVar[bool] = False

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError for a task of real values, which have no token ids."""
        task = groups["task"]
        if not task.symbols:
            raise ValueError(
                f"task={task.kind} has real numbers, and a language model takes token ids; choose "
                "another task, e.g. task=domains"
            )


def run(trial: "Trial") -> None:
    """Train the language model of one arm and seed; `train` records its loss and its times."""
    # Imports are local, so that `plan=only` can import this module without loading torch.
    from experiments.nn.initialise import initialise
    from runner.trial.training import train

    task = build_task(trial)
    assert task.vocabulary is not None  # `check` refuses tasks without token ids
    model = trial.config.parts.language_model.build(task.vocabulary)
    initialise(model, trial.seed)
    train(trial, model.to(trial.device, trial.dtype), task)
