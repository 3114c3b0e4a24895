"""What a mixture's routers do on held-out data: load, and what the experts specialise in.

Legend: n_experts; a label is the domain of a whole sequence, a symbol an input token id. Everything
is counted over kept tokens; shares are of assignments (a token makes top_k of them). A layer whose
router gave a probability that is not finite has chosen, but its choices mean nothing: all its
numbers are NaN, and so are the means over layers.
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
"""An expert is dead below this fraction of its fair share of the load."""
BALANCE_METRICS = (
    *("load_max_violation", "load_cv", "dead_experts", "effective_experts"),
    *("router_entropy", "dropped_share", "balance_loss"),
)
"""The names of `LayerRouting.balance`."""


class RoutingProbe:
    """Streams over (batch, output) of one evaluation; a dense model has no metrics.

    Metrics of a layer carry the suffix `/layer{l}`; without it they are the mean over layers.
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
            self._layers = [LayerRouting(self.n_experts) for _ in routings]
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
        """All that needs no permutations; information is raw, with the bias of a finite sample."""
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
        found = with_mean(per_layer)
        for index, layer in enumerate(self._layers):
            for expert, part in enumerate(layer.load_shares()):
                found[f"moe/load/layer{index}/expert{expert}"] = float(part)
            counts = layer.counts_by_label(labels)[0]
            for label, row in zip(self.labels, counts, strict=False):
                if row.sum():  # a label that the evaluation lacks selects nothing
                    for expert, part in enumerate(row / row.sum()):
                        name = f"moe/selection/layer{index}/{label}/expert{expert}"
                        found[name] = float(part) if layer.finite else math.nan
        return replace_nonfinite(found)

    def final_metrics(self, seed: int) -> dict[str, float]:
        """`metrics`, with information over its permutation null instead of raw, the raw beside it.

        The domain null permutes the labels of whole sequences, since the tokens of a sequence are
        not independent; the token null permutes the tokens of each domain among themselves, so that
        a router that sees the domain and nothing else is at its null. A permutation is shared by
        the layers, so that their mean has a null of its own. p = (1 + #{null >= raw}) / (1 + n).
        """
        found = self.metrics()
        if not found:
            return found
        rng = np.random.default_rng(seed)
        labels, n = self._labels(), self.n_permutations
        shuffled = rng.permuted(np.tile(labels, (n, 1)), axis=1)
        null = [mutual_information_share(layer.counts_by_label(shuffled)) for layer in self._layers]
        found |= self._over_null("nmi_domain", np.stack(null), found)
        if self._symbols:
            ids, tokens = self._ids(), np.concatenate(self._token_labels)
            domains = [np.flatnonzero(tokens == label) for label in np.unique(tokens)]
            values, order = np.empty((len(self._layers), n)), np.empty_like(ids)
            for index in range(n):
                for domain in domains:
                    order[domain] = rng.permutation(ids[domain])
                for row, layer in enumerate(self._layers):
                    values[row, index] = mutual_information_share(layer.counts_by_symbol(order))
            found |= self._over_null("nmi_token", values, found)
        return found

    def _over_null(
        self, name: str, null: NDArray[np.float64], raw: dict[str, float]
    ) -> dict[str, float]:
        """Raw minus null mean, per layer and in the mean; `null` is (n_layers, n_permutations)."""
        mean_null = null.mean(axis=0)
        observed = raw[f"moe/{name}"]
        # Equal values may differ in the last digits, and then must still count as reached.
        reached = int((mean_null >= observed - 1e-12).sum())
        found = {
            f"moe/{name}": observed - float(mean_null.mean()),
            f"moe/{name}_raw": observed,
            f"moe/{name}_null": float(mean_null.mean()),
            f"moe/{name}_p": (1 + reached) / (1 + len(mean_null)),
        }
        if not math.isfinite(observed):
            found |= dict.fromkeys(found, math.nan)
        for index, values in enumerate(null):
            key = f"{name}/layer{index}"
            found[f"moe/{key}"] = raw[f"moe/{key}"] - float(values.mean())
            found[f"moe/{name}_raw/layer{index}"] = raw[f"moe/{key}"]
        return replace_nonfinite(found)

    def _labels(self) -> NDArray[np.int64]:
        return np.concatenate(self._sequence_labels)

    def _ids(self) -> NDArray[np.int64]:
        """The symbol of each kept token, renumbered without gaps."""
        return np.unique(np.concatenate(self._symbols), return_inverse=True)[1]


class LayerRouting:
    """The counts of one mixture layer."""

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
        """Count one batch: a row a token, and `keep` (batch, time)."""
        chosen, kept = experts[keep.ravel()], probabilities[keep.ravel()].astype(np.float64)
        sequence = np.repeat(np.arange(len(keep)), keep.sum(axis=1))
        counts = count_assignments(sequence, chosen, (len(keep), self.n_experts))
        self._experts.append(chosen)
        self._per_sequence.append(counts)
        self._probability += kept.sum(axis=0)
        self._entropy -= float((kept * np.log(np.maximum(kept, 1e-30))).sum())
        self._n_tokens += len(kept)

    @property
    def finite(self) -> bool:
        """Whether all probabilities were finite: a broken router chooses, but means nothing."""
        return bool(np.isfinite(self._probability).all())

    def load(self) -> NDArray[np.int64]:
        """Assignments of each expert."""
        return np.concatenate(self._per_sequence).sum(axis=0)

    def load_shares(self) -> NDArray[np.float64]:
        """Each expert's share of the load; NaN of a broken router and where nothing was kept."""
        load = self.load()
        total = float(load.sum()) if self.finite else math.nan
        return load / (total or math.nan)

    def balance_metrics(self) -> dict[str, float]:
        """How evenly the experts are used; router_entropy in nats, all else without a unit.

        load_max_violation is MaxVio of Wang et al. 2024, (max - mean) / mean, on held-out data and
        of assignments, of which a token makes top_k.
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
        """(n, labels, n_experts) assignments, for n labellings (n, sequences) of the sequences."""
        labels = np.atleast_2d(labels)
        one_hot = labels[:, None, :] == np.arange(labels.max() + 1)[:, None]
        counts = np.concatenate(self._per_sequence).astype(np.float64)  # BLAS knows no integers
        return (one_hot.astype(np.float64) @ counts).astype(np.int64)

    def counts_by_symbol(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """(symbols, n_experts) assignments, for the symbol of each kept token."""
        return count_assignments(
            ids, np.concatenate(self._experts), (int(ids.max()) + 1, self.n_experts)
        )


def count_assignments(
    rows: NDArray[np.int64], chosen: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Count (row, expert) pairs; `chosen` is (tokens, top_k), `rows` has one value a token."""
    code = rows[:, None] * shape[1] + chosen
    return np.bincount(code.ravel(), minlength=shape[0] * shape[1]).reshape(shape)


def with_mean(per_layer: Iterable[dict[str, float]]) -> dict[str, float]:
    """`moe/name/layer{l}` of each layer and `moe/name`, their mean."""
    layers = list(per_layer)
    found = {f"moe/{name}": sum(v[name] for v in layers) / len(layers) for name in layers[0]}
    for index, values in enumerate(layers):
        found |= {f"moe/{name}/layer{index}": value for name, value in values.items()}
    return found
