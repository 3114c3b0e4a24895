"""A probe of a mixture's routers on held-out data: load, balance and specialisation of experts.

Legend: n_experts; a label is the domain of a whole sequence, a symbol an input token id. Only kept
tokens count, and padding does not. Shares are of assignments, of which a token makes top_k.

A router with a probability that is not finite still chooses experts, but the choices mean nothing.
All metrics of its layer are then NaN, and so are the means over layers.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from experiments.nn.transformer import Output
from experiments.probes.information import mutual_information_share
from experiments.probes.nonfinite import replace_nonfinite
from experiments.tasks.batch import Batch

DEAD = 0.1
"""An expert is dead if its load is below this fraction of the mean load."""
BALANCE_METRICS = (
    *("load_max_violation", "load_cv", "dead_experts", "effective_experts"),
    *("router_entropy", "dropped_share", "balance_loss"),
)
"""The names of `LayerRouting.balance_metrics`."""


class RoutingProbe:
    """A probe of the routers of a mixture, which sees every batch of one evaluation.

    Metrics of one layer have the suffix `/layer{l}`; those without it are means over the layers. A
    dense model has no metrics.
    """

    def __init__(self, labels: tuple[str, ...], n_experts: int, n_permutations: int) -> None:
        self.labels, self.n_experts, self.n_permutations = labels, n_experts, n_permutations
        self._layers: list[LayerRouting] = []
        self._symbols: list[NDArray[np.int64]] = []
        self._sequence_labels: list[NDArray[np.int64]] = []
        self._token_labels: list[NDArray[np.int64]] = []

    def update(self, batch: Batch, output: Output) -> None:
        """Count one batch; `output` is the model's on `batch.inputs`, in eval mode."""
        routings = [routing for routing in output.routings if routing is not None]
        if not routings:
            return
        if not self._layers:
            # A plain part may route without declaring `experts`.
            self._layers = [
                LayerRouting(self.n_experts or each.probabilities.shape[1]) for each in routings
            ]
        keep = batch.keep.cpu().numpy()
        label = batch.label.cpu().numpy()
        self._sequence_labels.append(label)
        inputs = batch.inputs[0]
        if inputs.ndim == 2 and not inputs.is_floating_point():
            self._symbols.append(inputs.cpu().numpy()[keep])
            self._token_labels.append(np.repeat(label, keep.sum(axis=1)))
        for layer, routing in zip(self._layers, routings, strict=True):
            probabilities = routing.probabilities.detach().float().cpu().numpy()
            layer.update(routing.experts.cpu().numpy(), probabilities, keep)

    def metrics(self) -> dict[str, float]:
        """Return the metrics that need no permutations.

        Mutual information is raw, with the upward bias of a finite sample.
        """
        if not self._layers:
            return {}
        labels = self._labels()
        per_layer = [layer.balance_metrics() for layer in self._layers]
        for values, layer in zip(per_layer, self._layers, strict=True):
            values["nmi_domain"] = float(mutual_information_share(layer.counts_by_label(labels)[0]))
            if self._symbols:
                values["nmi_token"] = float(
                    mutual_information_share(layer.counts_by_symbol(self._ids()))
                )
            if not layer.finite:
                values |= dict.fromkeys(values, math.nan)
        metrics = with_mean(per_layer)
        for index, layer in enumerate(self._layers):
            for expert, share in enumerate(layer.load_shares()):
                metrics[f"moe/load/layer{index}/expert{expert}"] = float(share)
            counts = layer.counts_by_label(labels)[0]
            for label, row in zip(self.labels, counts, strict=False):
                if row.sum():  # 0 for a label without sequences in this evaluation
                    for expert, share in enumerate(row / row.sum()):
                        name = f"moe/selection/layer{index}/{label}/expert{expert}"
                        metrics[name] = float(share) if layer.finite else math.nan
        return replace_nonfinite(metrics)

    def final_metrics(self, seed: int) -> dict[str, float]:
        """Return `metrics`, with mutual information above chance, and the raw values as `_raw`.

        Chance is the mean over `n_permutations` random permutations, the null:

        - For the domain, the labels of whole sequences are permuted, because the tokens of one
          sequence are not independent.
        - For the token, the tokens of each domain are permuted among themselves. A router that uses
          only the domain is therefore at chance.

        All layers share a permutation, so the mean over layers has a null, too. The p-value is
        (1 + #{null >= raw}) / (1 + n_permutations).
        """
        metrics = self.metrics()
        if not metrics:
            return metrics
        rng = np.random.default_rng(seed)
        labels, n = self._labels(), self.n_permutations
        shuffled = rng.permuted(np.tile(labels, (n, 1)), axis=1)
        null = [mutual_information_share(layer.counts_by_label(shuffled)) for layer in self._layers]
        metrics |= self._above_null("nmi_domain", np.stack(null), metrics)
        if self._symbols:
            # One permutation at a time: all at once would take n times the memory of the tokens.
            ids, tokens = self._ids(), np.concatenate(self._token_labels)
            domains = [np.flatnonzero(tokens == label) for label in np.unique(tokens)]
            values, order = np.empty((len(self._layers), n)), np.empty_like(ids)
            for index in range(n):
                for domain in domains:
                    order[domain] = rng.permutation(ids[domain])
                for row, layer in enumerate(self._layers):
                    values[row, index] = mutual_information_share(layer.counts_by_symbol(order))
            metrics |= self._above_null("nmi_token", values, metrics)
        return metrics

    def _above_null(
        self, name: str, null: NDArray[np.float64], raw: dict[str, float]
    ) -> dict[str, float]:
        """Return raw - mean(null), by layer and as a mean; `null` is (n_layers, n_permutations)."""
        mean_null = null.mean(axis=0)
        observed = raw[f"moe/{name}"]
        # Equal values may differ by rounding, and must still count as equal.
        n_reached = int((mean_null >= observed - 1e-12).sum())
        metrics = {
            f"moe/{name}": observed - float(mean_null.mean()),
            f"moe/{name}_raw": observed,
            f"moe/{name}_null": float(mean_null.mean()),
            f"moe/{name}_p": (1 + n_reached) / (1 + len(mean_null)),
        }
        if not math.isfinite(observed):
            metrics |= dict.fromkeys(metrics, math.nan)
        for index, values in enumerate(null):
            key = f"{name}/layer{index}"
            metrics[f"moe/{key}"] = raw[f"moe/{key}"] - float(values.mean())
            metrics[f"moe/{name}_raw/layer{index}"] = raw[f"moe/{key}"]
        return replace_nonfinite(metrics)

    def _labels(self) -> NDArray[np.int64]:
        return np.concatenate(self._sequence_labels)

    def _ids(self) -> NDArray[np.int64]:
        """Return the symbol of each kept token, renumbered from 0 without gaps."""
        return np.unique(np.concatenate(self._symbols), return_inverse=True)[1]


class LayerRouting:
    """Counts of assignments, and sums of router probabilities, of one mixture layer."""

    def __init__(self, n_experts: int) -> None:
        self.n_experts = n_experts
        self._experts: list[NDArray[np.int64]] = []  # (kept tokens, top_k)
        self._per_sequence: list[NDArray[np.int64]] = []  # (sequences, n_experts)
        self._probability = np.zeros(n_experts)
        self._entropy = 0.0
        self._n_tokens = 0

    def update(
        self,
        experts: NDArray[np.int64],
        probabilities: NDArray[np.float32],
        keep: NDArray[np.bool_],
    ) -> None:
        """Count one batch.

        `experts` is (batch * time, top_k), `probabilities` (batch * time, n_experts), and `keep`
        (batch, time).
        """
        chosen, p = experts[keep.ravel()], probabilities[keep.ravel()].astype(np.float64)
        sequence = np.repeat(np.arange(len(keep)), keep.sum(axis=1))
        counts = count_assignments(sequence, chosen, (len(keep), self.n_experts))
        self._experts.append(chosen)
        self._per_sequence.append(counts)
        self._probability += p.sum(axis=0)
        self._entropy -= float((p * np.log(np.maximum(p, 1e-30))).sum())
        self._n_tokens += len(p)

    @property
    def finite(self) -> bool:
        """Whether all router probabilities were finite."""
        return bool(np.isfinite(self._probability).all())

    def load(self) -> NDArray[np.int64]:
        """Return the number of assignments of each expert, (n_experts,)."""
        return np.concatenate(self._per_sequence).sum(axis=0)

    def load_shares(self) -> NDArray[np.float64]:
        """Return each expert's share of the load, (n_experts,).

        Shares are NaN if a probability was not finite or no token was kept.
        """
        load = self.load()
        total = float(load.sum()) if self.finite else math.nan
        return load / (total or math.nan)

    def balance_metrics(self) -> dict[str, float]:
        """Return how evenly the experts are used: router_entropy in nats, the others without unit.

        load_max_violation is MaxVio of Wang et al. 2024, (max - mean) / mean, computed from the
        assignments on held-out data.
        """
        load, share, n = self.load(), self.load_shares(), self.n_experts
        if not np.isfinite(share).all():
            return dict.fromkeys(BALANCE_METRICS, math.nan)
        top_k = self._experts[0].shape[1]
        used = share[share > 0]
        return {
            "load_max_violation": float(share.max() * n - 1),
            "load_cv": float(load.std() / load.mean()),
            "dead_experts": float((share < DEAD / n).sum()),
            "effective_experts": float(np.exp(-(used * np.log(used)).sum()) / n),
            "router_entropy": self._entropy / self._n_tokens,
            "dropped_share": 1 - float(load.sum()) / (self._n_tokens * top_k),
            "balance_loss": float(n * (share * self._probability / self._n_tokens).sum()),
        }

    def counts_by_label(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return assignments (n, n_labels, n_experts) under n labellings (n, sequences)."""
        labels = np.atleast_2d(labels)
        one_hot = labels[:, None, :] == np.arange(labels.max() + 1)[:, None]
        # As floats: BLAS has no product of integer matrices.
        counts = np.concatenate(self._per_sequence).astype(np.float64)
        return (one_hot.astype(np.float64) @ counts).astype(np.int64)

    def counts_by_symbol(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return assignments (symbols, n_experts); `ids` has the symbol of each kept token."""
        return count_assignments(
            ids, np.concatenate(self._experts), (int(ids.max()) + 1, self.n_experts)
        )


def count_assignments(
    rows: NDArray[np.int64], chosen: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Return the numbers of (row, expert) pairs, of shape `shape`.

    `rows` has one value per token, and `chosen` is (tokens, top_k).
    """
    code = rows[:, None] * shape[1] + chosen
    return np.bincount(code.ravel(), minlength=shape[0] * shape[1]).reshape(shape)


def with_mean(per_layer: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return `moe/{name}/layer{l}` of each layer, and `moe/{name}`, their mean."""
    layers = list(per_layer)
    metrics = {f"moe/{name}": sum(v[name] for v in layers) / len(layers) for name in layers[0]}
    for index, values in enumerate(layers):
        metrics |= {f"moe/{name}/layer{index}": value for name, value in values.items()}
    return metrics
