"""What the hidden units of feed-forward networks do on held-out data, read through hooks.

Legend: the hidden values of a network are what its down projection is given: after the activation
and, in a gated network, after the product. A layer is one block; of a mixture all its experts
count together, each on the tokens it was sent. Padding counts nowhere.

One definition for every arm: `zero_share` is the share of hidden values that are exactly 0, and
`small_share` the share with |h| <= eps * RMS of the hidden values of the same token, which is
blind to the scale of a network and contains every zero. An exact 0 may be rounding: GELU in float32
is exactly 0 below about -5.6, where 1 + erf rounds to 0, and in bfloat16 from nearer to 0 on.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from experiments.nn.transformer import Output
from experiments.probes.nonfinite import replace_nonfinite
from experiments.tasks.batch import Batch


class ActivationHooks:
    """Hooks that keep what one forward of a model computed; `close` takes them off again.

    Attributes:
        entered: for each layer, the values that went into the activation, (..., d_ff) a network.
        hidden: for each layer, the hidden values of the same networks.
        outputs: for each layer, what the block's feed-forward part gave back, (batch, time,
            d_model).
    """

    def __init__(self, model: nn.Module) -> None:
        blocks: Any = model.blocks
        self.entered: list[list[Tensor]] = [[] for _ in blocks]
        self.hidden: list[list[Tensor]] = [[] for _ in blocks]
        self.outputs: list[Tensor | None] = [None for _ in blocks]
        self._handles = []
        for layer, block in enumerate(blocks):
            self._handles.append(block.ffn.register_forward_hook(self._keep_output(layer)))
            for network in block.ffn.modules():
                if hasattr(network, "up") and hasattr(network, "down"):
                    self._watch(network, layer)

    def clear(self) -> None:
        """Forget the forward that was seen."""
        for values in (*self.entered, *self.hidden):
            values.clear()

    def close(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()

    def _watch(self, network: Any, layer: int) -> None:
        before = network.up if getattr(network, "gate", None) is None else network.gate

        def entered(module: nn.Module, args: Any, output: Tensor) -> None:  # noqa: ARG001
            self.entered[layer].append(output.detach())

        def hidden(module: nn.Module, args: tuple[Tensor, ...]) -> None:  # noqa: ARG001
            self.hidden[layer].append(args[0].detach())

        self._handles.append(before.register_forward_hook(entered))
        self._handles.append(network.down.register_forward_pre_hook(hidden))

    def _keep_output(self, layer: int) -> Any:
        def output(module: nn.Module, args: Any, result: Any) -> None:  # noqa: ARG001
            self.outputs[layer] = result[0].detach()

        return output


class ActivationProbe:
    """Shares of zero and of small hidden values, and the size of the output, for each layer.

    Streams over the (batch, output) of one evaluation; `metrics` ends it and takes the hooks off.
    Metrics of a layer carry the suffix `/layer{l}`; without it they are the mean over layers.
    Where a value or its square is not finite, they are NaN.
    """

    def __init__(self, model: nn.Module, *, eps: float) -> None:
        self.eps = eps
        self._watch = ActivationHooks(model)
        self._layers = [LayerActivations() for _ in self._watch.hidden]

    def update(self, batch: Batch, output: Output) -> None:  # noqa: ARG002 - hooks have seen it
        """Count one batch, whose forward was the last one of the model."""
        seen = zip(self._layers, self._watch.hidden, self._watch.outputs, strict=True)
        for layer, hidden, result in seen:
            for values in hidden:
                layer.count(drop_padding(values, batch.keep), self.eps)
            if result is not None:
                layer.count_output(drop_padding(result, batch.keep))
        self._watch.clear()

    def metrics(self) -> dict[str, float]:
        """`ffn/zero_share`, `ffn/small_share` (no unit) and `ffn/output_rms`."""
        self._watch.close()
        found: dict[str, float] = {}
        per_layer = [layer.metrics() for layer in self._layers]
        for name in per_layer[0]:
            values = [metrics[name] for metrics in per_layer]
            found[f"ffn/{name}"] = sum(values) / len(values)
            found |= {f"ffn/{name}/layer{index}": value for index, value in enumerate(values)}
        return replace_nonfinite(found)


class LayerActivations:
    """The counts of one layer."""

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
        """Shares, where the networks have a hidden layer, and the RMS of the output."""
        found = {}
        if self.n_values:
            finite = math.isfinite(self.squares)
            found["zero_share"] = self.n_zero / self.n_values if finite else math.nan
            found["small_share"] = self.n_small / self.n_values if finite else math.nan
        return found | {"output_rms": math.sqrt(self.output_squares / self.n_outputs)}


class InputSparsity:
    """The share of small hidden values against the value that entered the activation, over layers.

    In a gated network that is the gate's value, and the other factor is whatever the data make it.
    """

    def __init__(self, model: nn.Module, *, eps: float, limit: float = 3.0, bins: int = 60) -> None:
        self.eps, self.limit, self.bins = eps, limit, bins
        self._watch = ActivationHooks(model)
        self._count = torch.zeros(bins, dtype=torch.int64)
        self._small = torch.zeros(bins, dtype=torch.int64)
        self._total, self._finite = 0, True

    def update(self, batch: Batch, output: Output) -> None:  # noqa: ARG002 - hooks have seen it
        """Count one batch, whose forward was the last one of the model."""
        for entered, hidden in zip(self._watch.entered, self._watch.hidden, strict=True):
            for before, after in zip(entered, hidden, strict=True):
                self._add(drop_padding(before, batch.keep), drop_padding(after, batch.keep))
        self._watch.clear()

    def metrics(self) -> dict[str, float]:
        """No scalars; takes the hooks off."""
        self._watch.close()
        return {}

    def rows(self, least: int = 50) -> list[dict[str, float | str]]:
        """A row a bin and kind: `small_share` of the bin, `density` of values entering there.

        The share of a bin with fewer than `least` values is left out. Where a value was not finite,
        densities are NaN and there are no shares.
        """
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
        place = (before.float().flatten() + self.limit) / (2 * self.limit) * self.bins
        inside = (place >= 0) & (place < self.bins)
        index = place[inside].long()
        self._count += torch.bincount(index, minlength=self.bins).cpu()
        self._small += torch.bincount(index[small[inside]], minlength=self.bins).cpu()
        self._total += len(place)


def is_small(hidden: Tensor, eps: float) -> Tensor:
    """Whether |h| <= eps * RMS over the hidden values of its token; `hidden` is (..., d_ff)."""
    size = hidden.float().abs()
    rms = size.square().mean(dim=-1, keepdim=True).sqrt()
    return size <= eps * rms


def drop_padding(values: Tensor, keep: Tensor) -> Tensor:
    """Rows of kept positions; an expert's rows, (tokens, d_ff), hold no padding to begin with."""
    if values.ndim < 3:
        return values
    return values.flatten(0, 1) if bool(keep.all()) else values[keep]
