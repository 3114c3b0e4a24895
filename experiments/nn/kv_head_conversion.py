"""Conversion of a trained model to fewer key and value heads (Ainslie et al. 2023, section 2.1).

Legend of shapes:
    n_groups: key and value heads after the conversion.
    size: neighbouring heads that become one. Group j has the heads from j * size on; the new head
        serves the query heads that these served.
    d_head: width of a head.
    *d_model: the input width of a weight; absent for a bias.
"""

import copy
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.nn.attention import Attention
from experiments.nn.initialise import draw_normal, named_generator
from experiments.nn.transformer import Transformer

Heads = Float[Tensor, "n_groups size d_head *d_model"]
Pool = Callable[[Heads, torch.Generator], Tensor]


def mean_head(heads: Heads, _: torch.Generator) -> Float[Tensor, "n_groups d_head *d_model"]:
    """Return the mean of each group's heads, as the paper recommends."""
    return heads.mean(dim=1)


def first_head(heads: Heads, _: torch.Generator) -> Float[Tensor, "n_groups d_head *d_model"]:
    """Return the first head of each group and discard the others."""
    return heads[:, 0]


def random_head(
    heads: Heads, generator: torch.Generator
) -> Float[Tensor, "n_groups d_head *d_model"]:
    """Return the heads of an untrained model: random weights as in `initialise`, biases 0."""
    head = torch.zeros_like(heads[:, 0])
    if head.ndim == 3:
        head += (draw_normal(head, generator) * head.shape[-1] ** -0.5).to(head)
    return head


POOLS: dict[str, Pool] = {
    "mean": mean_head,
    "first": first_head,
    "random": random_head,
}


@torch.no_grad()
def convert_kv_heads(
    model: Transformer, *, n_kv_heads: int, pooling: str, seed: int
) -> Transformer:
    """Return a copy of `model` whose attention layers have `n_kv_heads` heads of keys and values.

    Args:
        model: the trained model; it is not changed.
        n_kv_heads: heads after the conversion; it divides the present number.
        pooling: a name of `POOLS`, the way in which a group of heads becomes one.
        seed: the seed of `random`.

    Raises:
        ValueError: `n_kv_heads` does not divide the present number, or `pooling` is unknown.
    """
    if pooling not in POOLS:
        raise ValueError(f"how={pooling} is not a conversion; choose one of {', '.join(POOLS)}")
    converted = copy.deepcopy(model)
    for path, layer in converted.named_modules():
        if isinstance(layer, Attention):
            if layer.n_kv_heads % n_kv_heads:
                raise ValueError(
                    f"{path} has {layer.n_kv_heads} heads of keys and values; "
                    f"n_kv_heads={n_kv_heads} must divide that number"
                )
            for name in ("key", "value"):
                generator = named_generator(seed, f"convert.{path}.{name}")
                setattr(
                    layer,
                    name,
                    pool_projection(
                        getattr(layer, name), layer.d_head, n_kv_heads, POOLS[pooling], generator
                    ),
                )
            layer.n_kv_heads = n_kv_heads
    return converted


def pool_projection(
    layer: nn.Linear, d_head: int, n_groups: int, pool: Pool, generator: torch.Generator
) -> nn.Linear:
    """Return a projection that has one head for each group of heads of `layer`."""
    pooled = nn.Linear(
        layer.in_features,
        n_groups * d_head,
        bias=layer.bias is not None,
        dtype=layer.weight.dtype,
        device=layer.weight.device,
    )
    for name, parameter in pooled.named_parameters():
        heads = getattr(layer, name).unflatten(0, (n_groups, -1, d_head))  # groups, size, d_head
        parameter.copy_(pool(heads, generator).flatten(0, 1))
    return pooled
