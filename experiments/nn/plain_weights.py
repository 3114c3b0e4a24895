"""The initial weights of plain modules; `experiments.nn.initialise` has the scheme."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from experiments.nn.initialise import draw_normal, named_generator

DRAWN_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)
"""The layers whose weights and biases follow the scheme."""


@contextmanager
def seeded_cpu(seed: int) -> Iterator[None]:
    """Seed torch's random numbers on the CPU; restore their state afterwards."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the accelerators, whose state is not restored.
        torch.default_generator.manual_seed(seed)
        yield


@torch.no_grad()
def draw_layers(
    module: nn.Module, seed: int, path: str, *, gains: Mapping[str, float], other_gain: float
) -> None:
    """Draw the weights of known layers in place, and set their biases to 0.

    Args:
        module: the plain module.
        seed: the seed of the trial.
        path: the path of the part in the model; names begin with it.
        gains: path of a layer in the module -> factor on its weights.
        other_gain: the factor of all other layers.
    """
    for inner, layer in module.named_modules():
        if not isinstance(layer, DRAWN_LAYERS):
            continue
        for leaf, parameter in layer.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if leaf == "bias":
                parameter.zero_()
            elif leaf == "weight":
                name = ".".join(filter(None, (path, inner, leaf)))
                # An embedding looks rows up and has no fan-in.
                is_embedding = isinstance(layer, nn.Embedding)
                std = 1.0 if is_embedding else parameter[0].numel() ** -0.5
                std *= gains.get(inner, other_gain)
                parameter.copy_(std * draw_normal(parameter, named_generator(seed, name)))
                if isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
                    parameter[layer.padding_idx].zero_()


def has_drawn_layers(module: nn.Module) -> bool:
    """Return whether the scheme draws any weight of a module."""
    return any(isinstance(layer, DRAWN_LAYERS) for layer in module.modules())


@torch.no_grad()
def find_writers(module: nn.Module, call: Callable[[], Tensor]) -> list[str]:
    """Return the paths of each nn.Linear whose output is the result of `call`, also as a view.

    The linear layer of an nn.MultiheadAttention, which torch does not call, counts as well.
    `call` runs the module. Later operations may not change the tensor, not even in place. In eval
    mode, dropout does not.
    """
    outputs: list[tuple[str, Tensor, int]] = []

    def hook(path: str) -> Callable[[nn.Module, object, Any], None]:
        def keep_output(_layer: nn.Module, _inputs: object, output: Any) -> None:
            tensor = output[0] if isinstance(output, tuple) else output
            outputs.append((path, tensor, tensor._version))

        return keep_output

    handles = []
    for path, layer in module.named_modules():
        if isinstance(layer, nn.Linear):
            handles.append(layer.register_forward_hook(hook(path)))
        elif isinstance(layer, nn.MultiheadAttention):
            writer = f"{path}.out_proj" if path else "out_proj"
            handles.append(layer.register_forward_hook(hook(writer)))
    try:
        y = call()
    finally:
        for handle in handles:
            handle.remove()
    # All outputs are still in memory, so equal addresses are the same tensor. Each operation in
    # place raises its version, which its views share.
    same = [
        path
        for path, out, version in outputs
        if (out.data_ptr(), out.numel(), version) == (y.data_ptr(), y.numel(), out._version)
    ]
    return list(dict.fromkeys(same))


def match_writers(module: nn.Module, patterns: tuple[str, ...]) -> list[str]:
    """Return the paths of the layers of a module that fit `residual_writers`.

    Raises:
        ValueError: no layer with a weight fits one of the patterns.
    """
    paths = [path for path, layer in module.named_modules() if isinstance(layer, DRAWN_LAYERS)]
    for pattern in patterns:
        if not any(fnmatchcase(path, pattern) for path in paths):
            known = ", ".join(paths[:8]) or "none"
            raise ValueError(f"residual_writers: no layer is called {pattern!r}; layers: {known}")
    return [path for path in paths if any(fnmatchcase(path, pattern) for pattern in patterns)]
