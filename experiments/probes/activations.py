"""Probes of feed-forward networks: shares of zero and small hidden values, and the output's size.

Legend: hidden values are the inputs of a network's down projection. They come after the activation
and, in a gated network, after the product. A layer is one block; all experts of a mixture count
together, each on the tokens that it receives. Padding does not count. In the module of a plain
part, the layers that return its output take the place of the down projection. If ablab knows none,
its hidden values are left out. The inputs of its activation are always left out.

Definitions, the same for every arm:

- `zero_share`: the share of hidden values that are exactly 0. A 0 may come from rounding: GELU in
  float32 is exactly 0 below about -5.6, where 1 + erf rounds to 0. In bfloat16 this happens closer
  to 0.
- `small_share`: the share with |h| <= eps * RMS of the hidden values of the same token. It does not
  depend on the scale of a network, and includes every zero.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from experiments.nn.adapter import Adapter
from experiments.nn.transformer import Output
from experiments.probes.nonfinite import replace_nonfinite
from experiments.tasks.batch import Batch


class ActivationHooks:
    """Hooks that store the feed-forward values of one forward pass; `close` removes them.

    Attributes:
        entered: for each layer, the inputs of the activation, (..., d_ff) for each network.
        hidden: for each layer, the hidden values of the same networks.
        outputs: for each layer, the output of the block's feed-forward part, (batch, time,
            d_model).
    """

    def __init__(self, model: nn.Module) -> None:
        blocks: Any = model.blocks
        self.entered: list[list[Tensor]] = [[] for _ in blocks]
        self.hidden: list[list[Tensor]] = [[] for _ in blocks]
        self.outputs: list[Tensor | None] = [None for _ in blocks]
        self._handles = []
        for layer, block in enumerate(blocks):
            self._handles.append(block.ffn.register_forward_hook(self._output_hook(layer)))
            if isinstance(block.ffn, Adapter):
                for writer in block.ffn.residual_writers():
                    self._add_hidden_hook(writer, layer)
                continue
            for network in block.ffn.modules():
                if hasattr(network, "up") and hasattr(network, "down"):
                    self._add_entered_hook(network, layer)
                    self._add_hidden_hook(network.down, layer)

    def clear(self) -> None:
        """Delete the stored values of the last forward pass."""
        for values in (*self.entered, *self.hidden):
            values.clear()

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _add_entered_hook(self, network: Any, layer: int) -> None:
        # The activation acts on the gate where there is one, otherwise on the up projection.
        before = network.up if getattr(network, "gate", None) is None else network.gate

        def entered(module: nn.Module, args: Any, output: Tensor) -> None:  # noqa: ARG001
            self.entered[layer].append(output.detach())

        self._handles.append(before.register_forward_hook(entered))

    def _add_hidden_hook(self, down: nn.Module, layer: int) -> None:
        def hidden(module: nn.Module, args: tuple[Tensor, ...]) -> None:  # noqa: ARG001
            self.hidden[layer].append(args[0].detach())

        self._handles.append(down.register_forward_pre_hook(hidden))

    def _output_hook(self, layer: int) -> Any:
        def output(module: nn.Module, args: Any, result: Any) -> None:  # noqa: ARG001
            self.outputs[layer] = result[0].detach()

        return output


class ActivationProbe:
    """A probe of the shares of zero and small hidden values, and the RMS of the output, by layer.

    It sees every batch of one evaluation; `metrics` ends it and removes the hooks. Metrics of one
    layer have the suffix `/layer{l}`; those without it are means over the layers. They are NaN
    where a value or its square is not finite.
    """

    def __init__(self, model: nn.Module, *, eps: float) -> None:
        self.eps = eps
        self._hooks = ActivationHooks(model)
        self._layers = [LayerActivations() for _ in self._hooks.hidden]

    def update(self, batch: Batch, output: Output) -> None:  # noqa: ARG002 - hooks have seen it
        """Count one batch; the model's last forward pass must be the one on this batch."""
        layers = zip(self._layers, self._hooks.hidden, self._hooks.outputs, strict=True)
        for layer, hidden, result in layers:
            for values in hidden:
                layer.count(drop_padding(values, batch.keep), self.eps)
            if result is not None:
                layer.count_output(drop_padding(result, batch.keep))
        self._hooks.clear()

    def metrics(self) -> dict[str, float]:
        """Return `ffn/zero_share`, `ffn/small_share` and `ffn/output_rms`, without units."""
        self._hooks.close()
        metrics: dict[str, float] = {}
        per_layer = [layer.metrics() for layer in self._layers]
        for name in per_layer[0]:
            values = [of_layer[name] for of_layer in per_layer]
            metrics[f"ffn/{name}"] = sum(values) / len(values)
            metrics |= {f"ffn/{name}/layer{index}": value for index, value in enumerate(values)}
        return replace_nonfinite(metrics)


class LayerActivations:
    """Counts and sums of squares over the hidden values and outputs of one layer."""

    def __init__(self) -> None:
        self.n_values = self.n_zero = self.n_small = self.n_outputs = 0
        self.squares = self.output_squares = 0.0

    def count(self, hidden: Tensor, eps: float) -> None:
        """Add hidden values (tokens, d_ff)."""
        self.n_values += hidden.numel()
        self.n_zero += int((hidden == 0).sum())
        self.n_small += int(is_small(hidden, eps).sum())
        self.squares += float(hidden.float().square().sum())

    def count_output(self, output: Tensor) -> None:
        """Add outputs (tokens, d_model)."""
        self.n_outputs += output.numel()
        self.output_squares += float(output.float().square().sum())

    def metrics(self) -> dict[str, float]:
        """Return shares, if the networks have a hidden layer, and the RMS of the output."""
        metrics = {}
        if self.n_values:
            finite = math.isfinite(self.squares)
            metrics["zero_share"] = self.n_zero / self.n_values if finite else math.nan
            metrics["small_share"] = self.n_small / self.n_values if finite else math.nan
        return metrics | {"output_rms": math.sqrt(self.output_squares / self.n_outputs)}


class InputSparsity:
    """A probe of the share of small hidden values as a function of the activation's input.

    All layers count together. Inputs in [-limit, limit] are sorted into bins. In a gated network
    the input is that of the gate; the other factor takes any value that the data give it.
    """

    def __init__(self, model: nn.Module, *, eps: float, limit: float = 3.0, bins: int = 60) -> None:
        self.eps, self.limit, self.bins = eps, limit, bins
        self._hooks = ActivationHooks(model)
        self._count = torch.zeros(bins, dtype=torch.int64)
        self._small = torch.zeros(bins, dtype=torch.int64)
        self._total, self._finite = 0, True

    def update(self, batch: Batch, output: Output) -> None:  # noqa: ARG002 - hooks have seen it
        """Count one batch; the model's last forward pass must be the one on this batch."""
        for entered, hidden in zip(self._hooks.entered, self._hooks.hidden, strict=True):
            for before, after in zip(entered, hidden if entered else (), strict=True):
                self._add(drop_padding(before, batch.keep), drop_padding(after, batch.keep))
        self._hooks.clear()

    def metrics(self) -> dict[str, float]:
        """Remove the hooks; this probe has no scalars."""
        self._hooks.close()
        return {}

    def rows(self, least: int = 50) -> list[dict[str, float | str]]:
        """Return two rows for each bin: `density` of the inputs, and `small_share` in the bin.

        A bin with fewer than `least` values has no share. If any value was not finite, densities
        are NaN and no bin has a share. Without any value there are no rows.
        """
        if not self._total:
            return []
        width = 2 * self.limit / self.bins
        rows: list[dict[str, float | str]] = []
        for index, (count, small) in enumerate(zip(self._count, self._small, strict=True)):
            x = round(-self.limit + (index + 0.5) * width, 6)
            density = float(count) / (max(self._total, 1) * width) if self._finite else math.nan
            rows.append({"kind": "density", "x": x, "value": density})
            if count >= least and self._finite:
                rows.append({"kind": "small_share", "x": x, "value": float(small / count)})
        return rows

    def _add(self, before: Tensor, after: Tensor) -> None:
        self._finite &= bool(before.isfinite().all() and after.float().square().sum().isfinite())
        small = is_small(after, self.eps).flatten()
        position = (before.float().flatten() + self.limit) / (2 * self.limit) * self.bins
        inside = (position >= 0) & (position < self.bins)
        index = position[inside].long()
        self._count += torch.bincount(index, minlength=self.bins).cpu()
        self._small += torch.bincount(index[small[inside]], minlength=self.bins).cpu()
        self._total += len(position)


def is_small(hidden: Tensor, eps: float) -> Tensor:
    """Return where |h| <= eps * RMS of the hidden values of the same token; shapes (..., d_ff)."""
    size = hidden.float().abs()
    rms = size.square().mean(dim=-1, keepdim=True).sqrt()
    return size <= eps * rms


def drop_padding(values: Tensor, keep: Tensor) -> Tensor:
    """Return the rows of kept positions; the rows of an expert, (tokens, d_ff), have no padding."""
    if values.ndim < 3:
        return values
    return values.flatten(0, 1) if bool(keep.all()) else values[keep]
