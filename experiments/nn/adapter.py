"""The base class of adapters, which give a plain module the interface of a part.

Initialisation and probes know this class only. The adapters of each group are in `plain_module`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import nn


class Adapter(nn.Module, ABC):
    """A module that follows no rules of ablab, with the interface that a block expects.

    Attributes:
        module: the module as the part's `build` returned it.
        notes: sentences for the report on what ablab leaves out with this module.
    """

    module: nn.Module
    notes: list[str]

    @abstractmethod
    def draw_initial_weights(
        self, seed: int, path: str, gain: Callable[[str], float], lengths: Sequence[int] = ()
    ) -> None:
        """Set the parameters, which depend on the seed and the path of the adapter alone.

        Args:
            seed: the seed of the trial.
            path: the path of the adapter in the model.
            gain: maps the last name of one of ablab's modules, such as `down`, to the factor on its
                initial weights.
            lengths: numbers of positions with which the module will be called.

        Raises:
            ValueError: `build` does not return a new module.
        """

    @abstractmethod
    def residual_writers(self) -> list[nn.Module]:
        """Return the layers whose outputs are the module's output; [] if ablab knows none."""
