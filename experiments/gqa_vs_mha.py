"""Fewer heads of keys and values: what decoding saves, and what quality it costs.

Every arm trains the same small decoder-only Transformer on labelled text; arms differ in the number
of heads of keys and values. An arm with a conversion trains with a head of keys and values for
every query head first, as the arm `mha` does, then pools them and trains on; the others train on
for as long, so that all have seen the same data. Parameters and cache bytes are asked from what was
allocated. Time is that of one layer, alone on the machine: a prompt at once, then one token against
a full cache, with the time that reading the same cache once takes beside it.
"""

import dataclasses
import statistics
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from experiments.config import Conversion
from experiments.nn.build import build, build_transformer
from experiments.nn.convert import convert
from experiments.nn.initialise import initialise
from experiments.nn.kv_cache import KVCache
from experiments.nn.transformer import Transformer
from experiments.probes.cost import record_cost
from experiments.tasks.build import build_task
from runner.measure import interleaved
from runner.training import Further, evaluate, train
from runner.trial import Trial

Functions = dict[str, Callable[[], object]]
SHORTEST_SAMPLE = 0.005
"""Seconds; a shorter call is repeated until they are over, so that the clock is fine enough."""


def run(trial: Trial) -> None:
    """Train one arm under one seed, convert it where the arm says so, count what it allocates."""
    parts, options, training = trial.config.parts, trial.config.options, trial.config.training
    timed_layer(trial)  # sizes that do not fit are errors now, not after the training
    n_heads, n_kv_heads = parts.attention.n_heads, parts.attention.n_kv_heads
    task = build_task(
        parts.task, seed=trial.seed, batch_size=training.batch_size, cache=trial.cache
    )

    def model_with(heads: int) -> Transformer:
        arm = with_kv_heads(parts, heads)
        model = build_transformer(
            arm, vocabulary=task.vocabulary, width=task.width, seed=trial.seed
        )
        return model.to(trial.device, trial.dtype)

    def change(model: nn.Module) -> nn.Module:
        assert isinstance(model, Transformer)
        if options.convert is not Conversion.none:
            model = convert(model, n_kv_heads=n_kv_heads, how=options.convert, seed=trial.seed)
        record_loss(evaluate(model, task, [], trial.device)["val/loss"])
        return model

    def record_loss(loss: float) -> None:
        trial.record({"gqa/loss_converted": loss}, task.unit)

    first = n_kv_heads if options.convert is Conversion.none else n_heads
    more = Further(change, round(options.uptrain_share * training.steps))
    train(trial, model_with(first), task, further=more)
    if trial.diverged:
        record_loss(trial.results["val/loss"][0])
    record_sizes(trial, model_with(n_kv_heads), model_with(n_heads).to("meta"))
    record_cost(trial, task)


def record_sizes(trial: Trial, model: Transformer, full: Transformer) -> None:
    """Parameters and cache bytes of the arm, and its savings over `full`, which has all heads."""
    options = trial.config.options
    batch, length = options.batch_size, options.lengths[-1]
    parameters, of_full = attention_parameters(model), attention_parameters(full)
    cached = sum(cache.nbytes for cache in model.new_caches(batch, length))
    cached_of_full = sum(cache.nbytes for cache in full.new_caches(batch, length))
    trial.record({"gqa/attention_parameters": parameters}, "1")
    trial.record({"gqa/cache_bytes": cached}, "bytes")
    trial.record({"gqa/parameter_reduction": 100 * (1 - parameters / of_full)}, "%")
    trial.record({"gqa/cache_reduction": 100 * (1 - cached / cached_of_full)}, "%")


@torch.no_grad()
def timing(trial: Trial) -> None:
    """Time one layer: a prefill, decoding against cache length, reading the cache once."""
    options = trial.config.options
    if not options.rounds:
        return
    layer = timed_layer(trial)
    longest = max(*options.lengths, *options.prefill_lengths)
    cache: KVCache = layer.new_cache(options.batch_size, longest)
    source = torch.Generator(trial.device).manual_seed(trial.seed)
    for kept in (cache.keys, cache.values):
        kept.normal_(generator=source)
    shape = (options.batch_size, options.prefill_lengths[-1], options.d_model)
    x = torch.randn(shape, generator=source, device=trial.device, dtype=trial.dtype)

    def after(length: int, new: Tensor) -> Callable[[], Tensor]:
        def call() -> Tensor:
            cache.length = length  # it is filled to its end: any position can be the last
            return layer(new, cache=cache)

        return call

    read = cache.keys[:, :, : options.lengths[-1]], cache.values[:, :, : options.lengths[-1]]
    decode: Functions = {str(n): after(n - 1, x[:, :1]) for n in options.lengths}
    decode["read"] = lambda: [kept.sum() for kept in read]
    prefill: Functions = {str(n): after(0, x[:, :n]) for n in options.prefill_lengths}
    decoded = interleaved(
        decode, rounds=options.rounds, min_seconds=SHORTEST_SAMPLE, seed=trial.seed
    )
    filled = interleaved(prefill, rounds=options.prefill_rounds, warmup=1, seed=trial.seed)
    record_times(trial, decoded, filled, n_bytes=sum(kept.nbytes for kept in read))


def record_times(
    trial: Trial, decoded: dict[str, list[float]], filled: dict[str, list[float]], *, n_bytes: int
) -> None:
    """Raw samples as a table; medians, the slope over lengths and the bandwidth as results."""
    stages = {"decode": decoded, "prefill": filled}
    rows = [
        {"stage": stage, "length": length, "round": index, "ms": 1e3 * seconds}
        for stage, samples in stages.items()
        for length, values in samples.items()
        for index, seconds in enumerate(values)
    ]
    trial.table("times", rows)
    decode_ms = {length: 1e3 * statistics.median(values) for length, values in decoded.items()}
    read_ms, longest_ms = decode_ms.pop("read"), decode_ms[str(trial.config.options.lengths[-1])]
    for length, ms in decode_ms.items():
        trial.record({f"gqa/decode_time/length{length}": ms}, "ms")
    for length, values in filled.items():
        trial.record({f"gqa/prefill_time/length{length}": 1e3 * statistics.median(values)}, "ms")
    if len(decode_ms) > 1:
        thousands = [int(length) / 1000 for length in decode_ms]
        slope = statistics.linear_regression(thousands, list(decode_ms.values())).slope
        trial.record({"gqa/decode_slope": slope}, "ms")  # for every 1000 tokens in the cache
    trial.record(
        {
            "gqa/decode_bandwidth": n_bytes / longest_ms / 1e6,
            "gqa/read_limit": n_bytes / read_ms / 1e6,
        },
        "GB/s",
    )


def timed_layer(trial: Trial) -> Any:
    """One attention layer of this arm, in the width that is timed."""
    layer = build(trial.config.parts.attention, trial.config.options.d_model)
    initialise(layer, trial.seed)
    return layer.to(trial.device, trial.dtype).eval()


def with_kv_heads(parts: SimpleNamespace, n_kv_heads: int) -> SimpleNamespace:
    """The same parts with another number of heads of keys and values."""
    attention = dataclasses.replace(parts.attention, n_kv_heads=n_kv_heads)
    return SimpleNamespace(**{**vars(parts), "attention": attention})


def attention_parameters(model: Transformer) -> int:
    """Parameters of all attention layers."""
    layers: list[Any] = [block.attention for block in model.blocks]
    return sum(p.numel() for layer in layers for p in layer.parameters())
