"""Fewer heads of keys and values: what decoding saves, and what quality it costs.

Every arm trains the same small decoder-only Transformer on labelled text; arms differ in the number
of heads of keys and values. An arm with a conversion trains with a head of keys and values for
every query head first, as the arm `mha` does, then pools them and trains on; the others train on
for as long, so that all have seen the same data. Parameters and cache bytes are asked from what was
allocated. Time is taken alone on the machine: of one layer, one token against a full cache, beside
reading the same cache once, and a prompt at once; and of the whole model, which generates.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import Question, measuring, question
from experiments.metrics import METRICS
from experiments.metrics.gqa_vs_mha import DECLARATIONS
from experiments.parts.transformer import build_transformer
from experiments.rules import at_least, has_fields, share
from experiments.start import model_of, task_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from experiments.nn.transformer import Transformer
    from runner.trial.trial import Trial

Functions = dict[str, Callable[[], object]]
SHORTEST_SAMPLE = 0.005
"""Seconds; a shorter call is repeated until they are over, so that the clock is fine enough."""
N_NEW, BYTES = 32, 256
"""Tokens that are generated, and their vocabulary."""


class Conversion(StrEnum):
    """What a group's heads of keys and values become: left, their mean, the first, a fresh one."""

    none = "none"
    mean = "mean"
    first = "first"
    random = "random"


METRICS.update(DECLARATIONS)


@question("gqa_vs_mha")
@dataclass
class GQAOptions(Question):
    """Conversion of a trained MHA, and the one layer that is timed."""

    timed: ClassVar[bool] = True
    convert: Conversion
    uptrain_share: float
    d_model: int = field(metadata=measuring("gqa/"))
    batch_size: int = field(metadata=measuring("gqa/"))
    lengths: list[int] = field(metadata=measuring("gqa/decode", "gqa/read_limit", "gqa/cache"))
    rounds: int = field(metadata=measuring())
    prefill_lengths: list[int] = field(
        metadata=measuring("gqa/prefill", "gqa/mixing", "gqa/generation")
    )
    prefill_rounds: int = field(metadata=measuring())

    def __post_init__(self) -> None:
        share(uptrain_share=self.uptrain_share)
        at_least(
            1, d_model=self.d_model, batch_size=self.batch_size, prefill_rounds=self.prefill_rounds
        )
        at_least(0, rounds=self.rounds)
        for name in ("lengths", "prefill_lengths"):
            values = list(getattr(self, name))
            if not values or min(values) < 1 or sorted(set(values)) != values:
                raise ValueError(
                    f"{name}={values} must be one or more numbers of tokens, each larger than "
                    "the one before"
                )

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where there are no heads, or they cannot share the timed width."""
        attention, why = groups["attention"], "experiment=gqa_vs_mha compares numbers of heads"
        has_fields("attention", attention, "n_heads", "n_kv_heads", "kernel", why=why)
        heads = attention.n_heads
        if self.d_model % heads:
            raise ValueError(
                f"options.d_model={self.d_model} must be a multiple of attention.n_heads={heads}"
            )


def run(trial: "Trial") -> None:
    """Train one arm under one seed, convert it where the arm says so, count what it allocates."""
    from experiments.nn.convert import convert
    from experiments.nn.transformer import Transformer
    from runner.trial.training import Further, evaluate, train

    parts, options, training = trial.config.parts, trial.config.options, trial.config.training
    layer = timed_layer(trial)  # sizes that do not fit are errors now, not after the training
    for length in options.lengths:
        cache = layer.to("meta").new_cache(options.batch_size, length)
        trial.record({f"gqa/cache_of_layer/length{length}": cache.nbytes}, "bytes")
    n_heads, n_kv_heads = parts.attention.n_heads, parts.attention.n_kv_heads
    task = task_of(trial)

    def model_with(heads: int) -> Transformer:
        return model_of(trial, task, attention=replace(parts.attention, n_kv_heads=heads))

    def change(model: "nn.Module") -> "nn.Module":
        assert isinstance(model, Transformer)
        if options.convert is not Conversion.none:
            how = options.convert.value
            model = convert(model, n_kv_heads=n_kv_heads, how=how, seed=trial.seed)
        record_loss(evaluate(model, task, [], trial.device)["val/loss"])
        return model

    def record_loss(loss: float) -> None:
        trial.record({"gqa/loss_converted": loss}, task.unit)

    first = n_kv_heads if options.convert is Conversion.none else n_heads
    more = Further(change, round(options.uptrain_share * training.steps))
    train(trial, model_with(first), task, further=more)
    if "gqa/loss_converted" not in trial.results:  # diverged before it could be converted
        record_loss(math.nan)
    record_sizes(trial, model_with(n_kv_heads), model_with(n_heads).to("meta"))


def record_sizes(trial: "Trial", model: "Transformer", full: "Transformer") -> None:
    """Record parameters and cache bytes of the arm, and its savings over all heads (`full`)."""
    options = trial.config.options
    batch, length = options.batch_size, options.lengths[-1]
    parameters, of_full = attention_parameters(model), attention_parameters(full)
    cached = sum(cache.nbytes for cache in model.new_caches(batch, length))
    cached_of_full = sum(cache.nbytes for cache in full.new_caches(batch, length))
    trial.record({"gqa/attention_parameters": parameters}, "1")
    trial.record({"gqa/cache_bytes": cached}, "bytes")
    trial.record({"gqa/parameter_reduction": 100 * (1 - parameters / of_full)}, "%")
    trial.record({"gqa/cache_reduction": 100 * (1 - cached / cached_of_full)}, "%")


def timing(trial: "Trial") -> None:
    """Time decoding against cache length and reading the cache once; a prompt; a generation."""
    import torch

    if trial.config.options.rounds:
        with torch.no_grad():
            time_decoding(trial)


def time_decoding(trial: "Trial") -> None:
    """Time one attention layer at each length, and the whole model; record what was timed."""
    import torch
    from torch import Tensor

    from experiments.nn.decoding.kv_cache import KVCache
    from experiments.nn.kernels.kernel import KERNELS
    from runner.trial.measure import interleaved

    options = trial.config.options
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
    tokens: Functions = {f"decode/{n}": after(n - 1, x[:, :1]) for n in options.lengths}
    tokens["decode/read"] = lambda: [kept.sum() for kept in read]
    prompts: Functions = {"generation/all": generation(trial, source)}
    kernel = KERNELS[trial.config.parts.attention.kernel]
    for n in options.prefill_lengths:
        prompts[f"prefill/{n}"] = after(0, x[:, :n])
        prompts[f"mixing/{n}"] = partial(kernel, *layer.project(x[:, :n]), causal=True)
    seed = trial.seed + trial.passes
    samples = interleaved(
        tokens, rounds=options.rounds, min_seconds=SHORTEST_SAMPLE, seed=seed
    ) | interleaved(prompts, rounds=options.prefill_rounds, warmup=1, seed=seed)
    record_times(trial, trial.pooled(samples), n_bytes=sum(kept.nbytes for kept in read))


def generation(trial: "Trial", source: "torch.Generator") -> "Callable[[], Tensor]":
    """Return a call that decodes with the whole model; fresh weights cost the same."""
    import torch

    from experiments.nn.decoding.generate import greedy

    options = trial.config.options
    model = build_transformer(trial.config.parts, vocabulary=BYTES, width=None, seed=trial.seed)
    model = model.to(trial.device, trial.dtype).eval()
    shape = (options.batch_size, options.prefill_lengths[-1])
    prompt = torch.randint(BYTES, shape, generator=source, device=trial.device)
    return partial(greedy, model, prompt, n_new=N_NEW)


def record_times(trial: "Trial", samples: dict[str, list[float]], *, n_bytes: int) -> None:
    """Record samples as a table, and medians, slope over lengths, bandwidth and speed.

    Keys are stage/length; `n_bytes` are those of the cache at the last length.
    """
    options = trial.config.options
    rows = [
        {"stage": stage, "length": length, "round": index, "ms": 1e3 * seconds}
        for (stage, length), values in (
            (name.split("/"), values) for name, values in samples.items()
        )
        for index, seconds in enumerate(values)
    ]
    trial.table("times", rows)
    ms = {name: 1e3 * statistics.median(values) for name, values in samples.items()}
    read, generated = ms.pop("decode/read"), ms.pop("generation/all")
    for name, value in ms.items():
        stage, length = name.split("/")
        trial.record({f"gqa/{stage}_time/length{length}": value}, "ms")
    decode = [ms[f"decode/{length}"] for length in options.lengths]
    trial.record({"gqa/decode_time": decode[-1]}, "ms")
    if len(decode) > 1:
        thousands = [length / 1000 for length in options.lengths]
        slope = statistics.linear_regression(thousands, decode).slope
        trial.record({"gqa/decode_slope": slope}, "ms")  # for every 1000 tokens in the cache
    speeds = {"decode_bandwidth": n_bytes / decode[-1], "read_limit": n_bytes / read}
    trial.record({f"gqa/{name}": value / 1e6 for name, value in speeds.items()}, "GB/s")
    new = options.batch_size * N_NEW
    trial.record({"gqa/generation": 1e3 * new / generated}, "tokens/s")


def timed_layer(trial: "Trial") -> Any:
    """Return one attention layer of this arm, in the width that is timed.

    It decodes by plain products at every length: left to itself it would take another path for
    short caches, from a length that depends on the arm, and one slope would mix the two.
    """
    from experiments.nn.initialise import initialise

    layer: Any = trial.config.parts.attention.build(trial.config.options.d_model)
    initialise(layer, trial.seed)
    layer.plain = True
    return layer.to(trial.device, trial.dtype).eval()


def attention_parameters(model: "Transformer") -> int:
    """Return the parameters of all attention layers."""
    layers: list[Any] = [block.attention for block in model.blocks]
    return sum(p.numel() for layer in layers for p in layer.parameters())
