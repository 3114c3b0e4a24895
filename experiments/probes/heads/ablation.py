"""What a model can do without some of its heads: their outputs are replaced by their mean.

A head is (layer, head); its output is what it hands to the layer's output projection. Replacing it
by its mean over other data, and not by zeros, takes away what it says of a sequence and leaves the
stream where the next layers expect it (Wang et al. 2023, Interpretability in the Wild). What is
measured and what is replaced come from disjoint halves of the held-out data.
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
"""Pairs, or larger groups, of heads that are tried at most."""


def split_even_odd(
    batches: Iterable[Batch], device: torch.device
) -> tuple[list[Batch], list[Batch]]:
    """The even and the odd sequences of each batch; a part without sequences is left out."""
    parts: tuple[list[Batch], list[Batch]] = ([], [])
    for batch in batches:
        for first, part in enumerate(parts):
            chosen = batch.select(slice(first, None, 2))
            if len(chosen.keep):
                part.append(chosen.to(device))
    return parts


def all_heads(model: nn.Module) -> list[Head]:
    """Every head, layer by layer."""
    return [
        (index, head)
        for index, layer in enumerate(attention_layers(model))
        for head in range(layer.n_heads)
    ]


@contextmanager
def transform_head_outputs(model: nn.Module, changes: Sequence[OutputTransform]) -> Iterator[None]:
    """Pass the heads' outputs (batch, time, n_heads, d_head) of each layer through its change."""

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
    """The mean output of each head over kept positions: (n_heads, d_head) of each layer, float64.

    On the CPU, as some accelerators have no float64.
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
    """The model with the outputs of `heads` replaced by their means."""

    def put(mean: Tensor, gone: Tensor, outputs: Tensor) -> Tensor:
        return torch.where(gone[:, None], mean, outputs)

    changes: list[OutputTransform] = []
    for index, (layer, mean) in enumerate(zip(attention_layers(model), means, strict=True)):
        gone = torch.tensor([(index, head) in heads for head in range(len(mean))])
        weight = layer.out.weight
        changes.append(partial(put, mean.to(weight), gone.to(weight.device)))
    with transform_head_outputs(model, changes):
        yield


def choose_head_groups(
    induction: Sequence[Sequence[float]], entropy: Sequence[Sequence[float]], *, seed: int
) -> dict[str, list[tuple[Head, ...]]]:
    """Which heads to take away at once, by name; a choice is a mean over the groups it lists.

    induction        the two of the highest induction score
    random           two others from the same layers: all pairs, or MANY that `seed` draws
    entropy_matched  for each of the two the other head of its layer whose entropy is nearest; not
                     there where `random` has a single pair, which it would be once more
    any_layer        two of all others, likewise; among them are heads that induction heads read
                     from (Olsson et al. 2022: a previous-token head), without which those are lost
    all_induction    every head that has at least half the highest score
    as_many_others   as many of the rest, likewise

    What has no group is left out. Scores are given by layer and head; {} where there are not two
    others than the best two, or where one is not finite.
    """
    heads = [(layer, head) for layer, row in enumerate(induction) for head in range(len(row))]
    score = {(layer, head): induction[layer][head] for layer, head in heads}
    if len(heads) < 4 or not all(map(isfinite, score.values())):
        return {}
    top = sorted(heads, key=score.__getitem__, reverse=True)[:2]
    others = [head for head in heads if head not in top]
    layers = sorted(layer for layer, _ in top)
    pairs = list(combinations(others, 2))
    alike = [pair for pair in pairs if sorted(layer for layer, _ in pair) == layers]
    strong = tuple(head for head in heads if score[head] >= score[top[0]] / 2)
    rest = [head for head in heads if head not in strong]
    found: dict[str, list[tuple[Head, ...]]] = {
        "induction": [tuple(top)],
        "random": draw_pairs(alike, seed),
        "entropy_matched": [match_entropy(top, others, entropy)] if len(alike) > 1 else [],
        "any_layer": draw_pairs(pairs, seed),
        "all_induction": [strong],
        "as_many_others": draw_groups(rest, len(strong), seed),
    }
    return {name: several for name, several in found.items() if several}


def measure_drops(
    model: nn.Module,
    measure: ModelMetric,
    means: Sequence[Tensor],
    chosen: Mapping[str, Sequence[Collection[Head]]],
) -> dict[str, float]:
    """By how much `measure` falls without the heads of a choice: the mean over its groups."""
    whole = measure(model)

    def without(heads: Collection[Head]) -> float:
        with ablate_heads(model, heads, means):
            return whole - measure(model)

    return {name: fmean(map(without, several)) for name, several in chosen.items()}


def draw_pairs(pairs: Sequence[tuple[Head, ...]], seed: int) -> list[tuple[Head, ...]]:
    """All pairs, or MANY different ones that the seed draws."""
    if len(pairs) <= MAX_GROUPS:
        return list(pairs)
    chosen = np.random.default_rng([seed, len(pairs)]).choice(len(pairs), MAX_GROUPS, replace=False)
    return [pairs[index] for index in sorted(chosen)]


def draw_groups(heads: Sequence[Head], n: int, seed: int) -> list[tuple[Head, ...]]:
    """All groups of n heads, or MANY different ones that the seed draws; they are not listed."""
    if comb(len(heads), n) <= MAX_GROUPS:
        return list(combinations(heads, n))
    draw = np.random.default_rng([seed, len(heads), n])
    found: set[tuple[int, ...]] = set()
    while len(found) < MAX_GROUPS:
        found.add(tuple(sorted(draw.choice(len(heads), n, replace=False).tolist())))
    return [tuple(heads[index] for index in group) for group in sorted(found)]


def match_entropy(
    top: Sequence[Head], others: Sequence[Head], entropy: Sequence[Sequence[float]]
) -> tuple[Head, ...]:
    """For each head the one of the others of its layer nearest in entropy, each taken once."""
    free, found = list(others), []
    for layer, head in top:
        goal = entropy[layer][head]
        near = [at for at in free if at[0] == layer]
        nearest = min(near, key=lambda at: abs(entropy[at[0]][at[1]] - goal))
        free.remove(nearest)
        found.append(nearest)
    return tuple(found)
