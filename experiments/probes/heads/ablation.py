"""Mean ablation of attention heads: the outputs of some heads are replaced by their means.

A head is (layer, head); its output is its part of the input of the layer's output projection. A
mean over other data, and not zeros, removes the information about a sequence, and keeps the stream
in the range that later layers expect (Wang et al. 2023, Interpretability in the Wild). Means and
measurements come from disjoint halves of the held-out data.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import combinations
from math import comb, isfinite
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.probes.heads.attention_weights import attention_layers
from experiments.tasks.batch import Batch

Head = tuple[int, int]
ModelMetric = Callable[[nn.Module], float]
OutputTransform = Callable[[Tensor], Tensor]
MAX_GROUPS = 20
"""The largest number of pairs, or of larger groups, of heads that are ablated for one mean."""


def split_even_odd(
    batches: Iterable[Batch], device: torch.device
) -> tuple[list[Batch], list[Batch]]:
    """Return two lists: the even and the odd sequences of each batch, without empty batches."""
    halves: tuple[list[Batch], list[Batch]] = ([], [])
    for batch in batches:
        for first, half in enumerate(halves):
            selected = batch.select(slice(first, None, 2))
            if len(selected.keep):
                half.append(selected.to(device))
    return halves


def all_heads(model: nn.Module) -> list[Head]:
    """Return every head, layer by layer."""
    return [
        (index, head)
        for index, layer in enumerate(attention_layers(model))
        for head in range(layer.n_heads)
    ]


@contextmanager
def transform_head_outputs(model: nn.Module, changes: Sequence[OutputTransform]) -> Iterator[None]:
    """Within this context, apply the transform of each layer to the outputs of its heads.

    Outputs are (batch, time, n_heads, d_head).
    """

    def apply(
        change: OutputTransform, n_heads: int, _: Any, arguments: tuple[Tensor]
    ) -> tuple[Tensor]:
        return (change(arguments[0].unflatten(-1, (n_heads, -1))).flatten(-2),)

    handles = [
        layer.out.register_forward_pre_hook(partial(apply, change, layer.n_heads))
        for layer, change in zip(attention_layers(model), changes, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def mean_outputs(model: nn.Module, batches: Iterable[Batch]) -> list[Tensor]:
    """Return, for each layer, the mean outputs of its heads over kept positions.

    They are (n_heads, d_head), float64, on the CPU, since some accelerators have no float64.
    """
    layers = attention_layers(model)
    sums = [torch.zeros(layer.n_heads, layer.d_head, dtype=torch.float64) for layer in layers]
    n, keep = 0, torch.empty(0)

    def add(index: int, outputs: Tensor) -> Tensor:
        sums[index] += outputs[keep].float().sum(0).cpu().double()
        return outputs

    with transform_head_outputs(model, [partial(add, index) for index in range(len(layers))]):
        for batch in batches:
            keep = batch.keep
            n += int(keep.sum())
            model(*batch.inputs, keep=keep)
    return [total / max(n, 1) for total in sums]


@contextmanager
def ablate_heads(
    model: nn.Module, heads: Collection[Head], means: Sequence[Tensor]
) -> Iterator[None]:
    """Within this context, replace the outputs of `heads` by their means."""

    def put_mean(mean: Tensor, is_ablated: Tensor, outputs: Tensor) -> Tensor:
        return torch.where(is_ablated[:, None], mean, outputs)

    changes: list[OutputTransform] = []
    for index, (layer, mean) in enumerate(zip(attention_layers(model), means, strict=True)):
        is_ablated = torch.tensor([(index, head) in heads for head in range(len(mean))])
        weight = layer.out.weight
        changes.append(partial(put_mean, mean.to(weight), is_ablated.to(weight.device)))
    with transform_head_outputs(model, changes):
        yield


def choose_head_groups(
    induction: Sequence[Sequence[float]], entropy: Sequence[Sequence[float]], *, seed: int
) -> dict[str, list[tuple[Head, ...]]]:
    """Return, by name, the groups of heads that are ablated together.

    The result of a name is a mean over its groups. Scores are indexed by layer and head. Names:

        induction        the two heads of the highest induction score
        random           pairs of other heads from the same layers as these two
        entropy_matched  for each of the two, the other head of its layer with the closest entropy
        any_layer        pairs of other heads from all layers
        all_induction    every head with at least half of the highest induction score
        as_many_others   groups of the remaining heads, as large as `all_induction`

    `random`, `any_layer` and `as_many_others` have all groups, or MAX_GROUPS drawn with `seed`.
    `entropy_matched` is left out where `random` has a single pair, since both would be the same.
    `any_layer` may include heads that induction heads depend on, such as a previous-token head
    (Olsson et al. 2022). Names without a group are left out. The result is {} for fewer than four
    heads, or where a score is not finite.
    """
    heads = [(layer, head) for layer, row in enumerate(induction) for head in range(len(row))]
    score = {(layer, head): induction[layer][head] for layer, head in heads}
    # Two pairs need four heads, and NaN scores have no order.
    if len(heads) < 4 or not all(map(isfinite, score.values())):
        return {}
    # The heads under test, and all others, which serve as controls.
    top = sorted(heads, key=score.__getitem__, reverse=True)[:2]
    others = [head for head in heads if head not in top]
    # Controls from the same layers: the layer alone may decide how much an ablation costs.
    layers = sorted(layer for layer, _ in top)
    pairs = list(combinations(others, 2))
    same_layers = [pair for pair in pairs if sorted(layer for layer, _ in pair) == layers]
    # Induction heads can replace each other, so all of them are ablated together, too.
    strong = tuple(head for head in heads if score[head] >= score[top[0]] / 2)
    rest = [head for head in heads if head not in strong]
    groups: dict[str, list[tuple[Head, ...]]] = {
        "induction": [tuple(top)],
        "random": draw_pairs(same_layers, seed),
        "entropy_matched": [match_entropy(top, others, entropy)] if len(same_layers) > 1 else [],
        "any_layer": draw_pairs(pairs, seed),
        "all_induction": [strong],
        "as_many_others": draw_groups(rest, len(strong), seed),
    }
    return {name: of_name for name, of_name in groups.items() if of_name}


def measure_drops(
    model: nn.Module,
    measure: ModelMetric,
    means: Sequence[Tensor],
    groups: Mapping[str, Sequence[Collection[Head]]],
) -> dict[str, float]:
    """Return, for each name, how much `measure` falls when a group is ablated: mean over groups."""
    intact = measure(model)

    def drop(heads: Collection[Head]) -> float:
        with ablate_heads(model, heads, means):
            return intact - measure(model)

    return {name: fmean(map(drop, of_name)) for name, of_name in groups.items()}


def draw_pairs(pairs: Sequence[tuple[Head, ...]], seed: int) -> list[tuple[Head, ...]]:
    """Return all pairs, or MAX_GROUPS different ones drawn with `seed`."""
    if len(pairs) <= MAX_GROUPS:
        return list(pairs)
    drawn = np.random.default_rng([seed, len(pairs)]).choice(len(pairs), MAX_GROUPS, replace=False)
    return [pairs[index] for index in sorted(drawn)]


def draw_groups(heads: Sequence[Head], n: int, seed: int) -> list[tuple[Head, ...]]:
    """Return all groups of n heads, or MAX_GROUPS different ones drawn with `seed`."""
    if comb(len(heads), n) <= MAX_GROUPS:
        return list(combinations(heads, n))
    # Groups are drawn one by one, since there may be too many to list.
    draw = np.random.default_rng([seed, len(heads), n])
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < MAX_GROUPS:
        drawn.add(tuple(sorted(draw.choice(len(heads), n, replace=False).tolist())))
    return [tuple(heads[index] for index in group) for group in sorted(drawn)]


def match_entropy(
    top: Sequence[Head], others: Sequence[Head], entropy: Sequence[Sequence[float]]
) -> tuple[Head, ...]:
    """Return, for each head of `top`, the other head of its layer with the closest entropy.

    Each of the others is used once at most.
    """
    unused, matches = list(others), []
    for layer, head in top:
        goal = entropy[layer][head]
        candidates = [other for other in unused if other[0] == layer]
        closest = min(candidates, key=lambda other: abs(entropy[other[0]][other[1]] - goal))
        unused.remove(closest)
        matches.append(closest)
    return tuple(matches)
