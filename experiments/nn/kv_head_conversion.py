"""Fewer key and value heads for a trained model (Ainslie et al. 2023, section 2.1).

Legend: n_kv_heads heads of keys and values become n_groups; group j is made of the `size`
neighbouring heads from j * size on, which are those whose query heads it will serve.
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
    """The mean of a group's heads: what the paper recommends."""
    return heads.mean(dim=1)


def first_head(heads: Heads, _: torch.Generator) -> Float[Tensor, "n_groups d_head *d_model"]:
    """The first head of each group; the others are lost."""
    return heads[:, 0]


def random_head(heads: Heads, source: torch.Generator) -> Float[Tensor, "n_groups d_head *d_model"]:
    """A head as an untrained model has it: nothing is kept (biases, which start at 0, are 0)."""
    head = torch.zeros_like(heads[:, 0])
    if head.ndim == 3:
        head += (draw_normal(head, source) * head.shape[-1] ** -0.5).to(head)
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
    """A copy of `model` whose attention layers have `n_kv_heads` heads of keys and values.

    Raises:
        ValueError: the present heads cannot be grouped evenly, or `pooling` is no conversion.
    """
    if pooling not in POOLS:
        raise ValueError(f"how={pooling} converts nothing; choose {', '.join(POOLS)}")
    converted = copy.deepcopy(model)
    for path, part in converted.named_modules():
        if isinstance(part, Attention):
            if part.n_kv_heads % n_kv_heads:
                raise ValueError(
                    f"{path} has {part.n_kv_heads} heads of keys and values, which cannot be "
                    f"grouped into n_kv_heads={n_kv_heads}; it must divide them"
                )
            for name in ("key", "value"):
                source = named_generator(seed, f"convert.{path}.{name}")
                setattr(
                    part,
                    name,
                    pool_projection(
                        getattr(part, name), part.d_head, n_kv_heads, POOLS[pooling], source
                    ),
                )
            part.n_kv_heads = n_kv_heads
    return converted


def pool_projection(
    layer: nn.Linear, d_head: int, n_groups: int, pool: Pool, source: torch.Generator
) -> nn.Linear:
    """A projection with one head for each group of heads."""
    small = nn.Linear(
        layer.in_features,
        n_groups * d_head,
        bias=layer.bias is not None,
        dtype=layer.weight.dtype,
        device=layer.weight.device,
    )
    for name, parameter in small.named_parameters():
        heads = getattr(layer, name).unflatten(0, (n_groups, -1, d_head))
        parameter.copy_(pool(heads, source).flatten(0, 1))
    return small
