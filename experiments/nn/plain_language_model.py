"""The adapter that gives any language model the interface of ablab's Transformer.

Legend of shapes: batch, sequences; time, positions; vocabulary, token ids.
"""

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Bool, Int
from torch import Tensor, nn

from experiments.nn.adapter import Adapter
from experiments.nn.descriptions import describe_value
from experiments.nn.initialise import named_seed
from experiments.nn.plain_module import PlainSource
from experiments.nn.transformer import Output


class PlainLanguageModel(Adapter):
    """Any module from token ids to logits, with the output of a `Transformer`.

    All initial weights are those of the constructor, which runs with seeded random numbers.

    Args:
        source: the origin of the module. Its `d_model` is the number of token ids.
    """

    def __init__(self, source: PlainSource) -> None:
        super().__init__()
        self.source = source
        self.module = source.build(named_seed(0, source.name))
        self.notes = []

    def draw_initial_weights(
        self,
        seed: int,
        path: str,
        gain: Callable[[str], float],  # noqa: ARG002
        lengths: Sequence[int] = (),  # noqa: ARG002
    ) -> None:
        """Build the module again with this seed. Modules on the meta device stay as they are."""
        if not any(parameter.is_meta for parameter in self.module.parameters()):
            self.module = self.source.build(named_seed(seed, path)).train(self.training)

    def residual_writers(self) -> list[nn.Module]:
        """Return []: ablab does not know the layers of the model."""
        return []

    def forward(
        self, inputs: Int[Tensor, "batch time"], keep: Bool[Tensor, "batch time"] | None = None
    ) -> Output:
        """Return the logits (batch, time, vocabulary), and no auxiliary loss.

        Raises:
            ValueError: the batch has padding, or the module returns no logits of this shape.
        """
        if keep is not None and not bool(keep.all()):
            raise ValueError(
                f"{self.source.name}: the batch has padding, and a whole model takes no mask; "
                "choose a task whose sequences have one length"
            )
        logits = first_result(self.module(inputs))
        shape = (*inputs.shape, self.source.d_model)
        if not isinstance(logits, Tensor) or tuple(logits.shape) != shape:
            raise ValueError(
                f"{self.source.name}: forward returned {describe_value(logits)} for token ids of "
                f"shape {tuple(inputs.shape)}; it must return logits of shape {shape}, alone or "
                "first in a tuple"
            )
        return Output(logits, logits.new_zeros(()), ())

    def after_step(self, output: Output) -> None:
        """Do nothing: a plain model has no state that follows the routing of a step."""


def first_result(result: Any) -> Any:
    """Return the logits of a model's result: a tensor, `result.logits`, or its first item."""
    if isinstance(result, Tensor):
        return result
    if hasattr(result, "logits"):
        return result.logits
    return result[0] if isinstance(result, tuple | list) and result else result
