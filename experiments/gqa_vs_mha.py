"""Compare numbers of KV heads (keys and values): the cost of decoding, and the held-out loss.

A trial trains a small decoder-only Transformer on labelled text. Training has two phases, so that
all arms see the same data:

1. An arm with a conversion trains with one KV head per query head, as the arm `mha` does. The
   other arms train with their own number of KV heads.
2. The conversion then pools the KV heads of each group into one. All arms train for the same
   number of further steps.

Parameters and bytes of the KV cache are counted on allocated tensors. These are timed under an
exclusive lock of the machine:

- one attention layer that decodes one token with a filled cache, and a plain read of this cache;
- the same layer on a whole prompt, and its attention kernel alone;
- greedy generation with the whole model.

Attention without known KV heads, such as that of a plain part, trains in the same two phases. Its
loss, its parameters and the time of prompts are measured. Caches, decoding, generation and savings
are left out, and a note of the trial says so.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import Question, measurement_only, question
from experiments.metrics import METRICS
from experiments.metrics.gqa_vs_mha import DECLARATIONS
from experiments.parts.transformer import build_transformer
from experiments.rules import check_at_least, check_fraction
from experiments.trial_setup import build_model, build_task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from experiments.nn.transformer import Transformer
    from runner.trial.trial import Trial

Functions = dict[str, Callable[[], object]]
MIN_SAMPLE_SECONDS = 0.005
"""A shorter call is repeated for at least this time, so that the clock resolves it."""
N_NEW, BYTES = 32, 256
"""The number of generated tokens, and the size of their vocabulary."""


class Conversion(StrEnum):
    """The head that replaces a group's KV heads: none, their mean, their first, or a random one."""

    none = "none"
    mean = "mean"
    first = "first"
    random = "random"


METRICS.update(DECLARATIONS)  # the definitions of the metrics that `run` and `timing` record


@question("gqa_vs_mha")
@dataclass
class GQAOptions(Question):
    """Options of `experiment=gqa_vs_mha`.

    Attributes:
        convert: the conversion of the trained model.
        uptrain_share: steps of the second training phase, as a share of those of the first.
        d_model: width of the timed layer.
        batch_size: sequences that are decoded at the same time.
        lengths: cached tokens before the decoded one, in ascending order.
        rounds: timed calls per length in one timing pass; 0 skips timing.
        prefill_lengths: tokens of a prompt, in ascending order.
        prefill_rounds: the same as `rounds`, for prompts and for generation.
    """

    timed: ClassVar[bool] = True
    convert: Conversion
    uptrain_share: float
    d_model: int = field(metadata=measurement_only("gqa/"))
    batch_size: int = field(metadata=measurement_only("gqa/"))
    lengths: list[int] = field(
        metadata=measurement_only("gqa/decode", "gqa/read_limit", "gqa/cache")
    )
    rounds: int = field(metadata=measurement_only())
    prefill_lengths: list[int] = field(
        metadata=measurement_only("gqa/prefill", "gqa/mixing", "gqa/generation")
    )
    prefill_rounds: int = field(metadata=measurement_only())

    def __post_init__(self) -> None:
        check_fraction(uptrain_share=self.uptrain_share)
        check_at_least(
            1, d_model=self.d_model, batch_size=self.batch_size, prefill_rounds=self.prefill_rounds
        )
        check_at_least(0, rounds=self.rounds)
        for name in ("lengths", "prefill_lengths"):
            values = list(getattr(self, name))
            if not values or min(values) < 1 or sorted(set(values)) != values:
                raise ValueError(
                    f"{name}={values} must be one or more numbers of tokens in ascending order, "
                    "without repeats"
                )

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where no head can be converted, or heads do not divide the width."""
        attention = groups["attention"]
        if not has_kv_heads(attention):
            if self.convert is not Conversion.none:
                raise ValueError(
                    f"attention={attention.kind} has no KV heads that ablab knows, so "
                    f"options.convert={self.convert} cannot convert them; set options.convert=none"
                )
            if self.rounds:
                attention.check(self.d_model)
            return
        heads = attention.n_heads
        if self.d_model % heads:
            raise ValueError(
                f"options.d_model={self.d_model} must be a multiple of attention.n_heads={heads}"
            )


def has_kv_heads(attention: Any) -> bool:
    """Return whether a part has the KV heads, the kernel and the cache of ablab's attention."""
    names = {each.name for each in fields(attention)}
    return not attention.is_plain and {"n_heads", "n_kv_heads", "kernel"} <= names


def run(trial: "Trial") -> None:
    """Train the model of one arm and seed, convert it if the arm says so, and record its sizes."""
    if has_kv_heads(trial.config.parts.attention):
        run_with_kv_heads(trial)
    else:
        run_without_kv_heads(trial)


def run_without_kv_heads(trial: "Trial") -> None:
    """Train the model in the same two phases, and record its loss between them and its size."""
    from runner.trial.training import SecondPhase, evaluate, train

    options, training = trial.config.options, trial.config.training
    task = build_task(trial)
    model = build_model(trial, task)
    trial.note(
        f"attention={trial.config.parts.attention.kind}: no known KV heads; left out: cache, "
        "decoding, generation, savings; its prefill fills no cache"
    )

    def record_loss(loss: float) -> None:
        trial.record({"gqa/loss_converted": loss}, task.unit)

    def evaluate_between(model: "nn.Module") -> "nn.Module":
        record_loss(evaluate(model, task, [], trial.device)["val/loss"])
        return model

    second_phase = SecondPhase(evaluate_between, round(options.uptrain_share * training.steps))
    train(trial, model, task, second_phase=second_phase)
    if "gqa/loss_converted" not in trial.results:  # it diverged in the first phase
        record_loss(math.nan)
    trial.record({"gqa/attention_parameters": count_attention_parameters(model)}, "1")


def run_with_kv_heads(trial: "Trial") -> None:
    """Train the model, convert it if the arm says so, and record its sizes."""
    # Imports are local, so that `plan=only` can import this module without loading torch.
    from experiments.nn.kv_head_conversion import convert_kv_heads
    from experiments.nn.transformer import Transformer
    from runner.trial.training import SecondPhase, evaluate, train

    # Set up: build the timed layer first, so that sizes that do not fit fail before training.
    parts, options, training = trial.config.parts, trial.config.options, trial.config.training
    layer = build_timed_layer(trial)
    for length in options.lengths:
        cache = layer.to("meta").new_cache(options.batch_size, length)
        trial.record({f"gqa/cache_of_layer/length{length}": cache.nbytes}, "bytes")
    n_heads, n_kv_heads = parts.attention.n_heads, parts.attention.n_kv_heads
    task = build_task(trial)

    def model_with(n: int) -> Transformer:
        return build_model(trial, task, attention=replace(parts.attention, n_kv_heads=n))

    def convert_model(model: "nn.Module") -> "nn.Module":
        assert isinstance(model, Transformer)
        if options.convert is not Conversion.none:
            pooling = options.convert.value
            model = convert_kv_heads(model, n_kv_heads=n_kv_heads, pooling=pooling, seed=trial.seed)
        record_loss(evaluate(model, task, [], trial.device)["val/loss"])
        return model

    def record_loss(loss: float) -> None:
        trial.record({"gqa/loss_converted": loss}, task.unit)

    # Measure: train in two phases. `convert_model` runs between them and records the loss.
    n_at_start = n_kv_heads if options.convert is Conversion.none else n_heads
    second_phase = SecondPhase(convert_model, round(options.uptrain_share * training.steps))
    train(trial, model_with(n_at_start), task, second_phase=second_phase)
    if "gqa/loss_converted" not in trial.results:  # it diverged in the first phase
        record_loss(math.nan)

    # Conclude: sizes of this arm, compared with one KV head per query head.
    record_sizes(trial, model_with(n_kv_heads), model_with(n_heads).to("meta"))


def record_sizes(trial: "Trial", model: "Transformer", full: "Transformer") -> None:
    """Record attention parameters and cache bytes of `model`, and its savings relative to `full`.

    `full` has one KV head per query head.
    """
    options = trial.config.options
    batch, length = options.batch_size, options.lengths[-1]
    parameters, n_full = count_attention_parameters(model), count_attention_parameters(full)
    cache_bytes = sum(cache.nbytes for cache in model.new_caches(batch, length))
    full_bytes = sum(cache.nbytes for cache in full.new_caches(batch, length))
    trial.record({"gqa/attention_parameters": parameters}, "1")
    trial.record({"gqa/cache_bytes": cache_bytes}, "bytes")
    trial.record({"gqa/parameter_reduction": 100 * (1 - parameters / n_full)}, "%")
    trial.record({"gqa/cache_reduction": 100 * (1 - cache_bytes / full_bytes)}, "%")


def timing(trial: "Trial") -> None:
    """Time decoding, prompts and generation of the arm, unless `options.rounds` is 0.

    This runs after `run`, under an exclusive lock, so that no other trial slows it down.
    """
    import torch

    if trial.config.options.rounds:
        with torch.no_grad():
            if has_kv_heads(trial.config.parts.attention):
                time_decoding(trial)
            else:
                time_prompts(trial)


def time_prompts(trial: "Trial") -> None:
    """Time one attention layer without known KV heads on whole prompts, and record the medians."""
    import torch

    from runner.trial.measure import time_interleaved

    options = trial.config.options
    layer = build_timed_layer(trial)
    source = torch.Generator(trial.device).manual_seed(trial.seed)
    shape = (options.batch_size, options.prefill_lengths[-1], options.d_model)
    x = torch.randn(shape, generator=source, device=trial.device, dtype=trial.dtype)
    prompts: Functions = {
        f"prefill/{n}": partial(layer, x[:, :n], None) for n in options.prefill_lengths
    }
    seed = trial.seed + trial.passes
    samples = time_interleaved(prompts, rounds=options.prefill_rounds, warmup=1, seed=seed)
    record_medians(trial, tabulate_times(trial, trial.pool_samples(samples)))


def time_decoding(trial: "Trial") -> None:
    """Time one attention layer at each length, and generation by the whole model; record both."""
    import torch
    from torch import Tensor

    from experiments.nn.decoding.kv_cache import KVCache
    from experiments.nn.kernels.kernel import KERNELS
    from runner.trial.measure import time_interleaved

    # Set up: a layer, a cache filled with random numbers, and random inputs of a prompt's length.
    options = trial.config.options
    layer = build_timed_layer(trial)
    longest = max(*options.lengths, *options.prefill_lengths)
    cache: KVCache = layer.new_cache(options.batch_size, longest)
    source = torch.Generator(trial.device).manual_seed(trial.seed)
    for tensor in (cache.keys, cache.values):
        tensor.normal_(generator=source)
    shape = (options.batch_size, options.prefill_lengths[-1], options.d_model)
    x = torch.randn(shape, generator=source, device=trial.device, dtype=trial.dtype)

    def call_after(n_cached: int, new: Tensor) -> Callable[[], Tensor]:
        def call() -> Tensor:
            # The whole cache holds numbers, so any position can be its last.
            cache.length = n_cached
            return layer(new, cache=cache)

        return call

    # Decoding: one more token at each length. The plain sum bounds it: it reads the cache once.
    read = cache.keys[:, :, : options.lengths[-1]], cache.values[:, :, : options.lengths[-1]]
    tokens: Functions = {f"decode/{n}": call_after(n - 1, x[:, :1]) for n in options.lengths}
    tokens["decode/read"] = lambda: [tensor.sum() for tensor in read]
    # Prompts: the layer and its kernel alone, at each length; and the whole model.
    prompts: Functions = {"generation/all": generation(trial, source)}
    kernel = KERNELS[trial.config.parts.attention.kernel]
    for n in options.prefill_lengths:
        prompts[f"prefill/{n}"] = call_after(0, x[:, :n])
        prompts[f"mixing/{n}"] = partial(kernel, *layer.project(x[:, :n]), causal=True)
    # Measure: calls of one set take turns in random order, so that noise affects all of them.
    seed = trial.seed + trial.passes
    samples = time_interleaved(
        tokens, rounds=options.rounds, min_seconds=MIN_SAMPLE_SECONDS, seed=seed
    ) | time_interleaved(prompts, rounds=options.prefill_rounds, warmup=1, seed=seed)
    # Conclude: pool the samples with those of earlier timing passes.
    pooled = trial.pool_samples(samples)
    record_times(trial, pooled, n_bytes=sum(tensor.nbytes for tensor in read))


def generation(trial: "Trial", source: "torch.Generator") -> "Callable[[], Tensor]":
    """Return a call that generates with the whole model; untrained weights take the same time."""
    import torch

    from experiments.nn.decoding.generation import generate_greedily

    options = trial.config.options
    model = build_transformer(trial.config.parts, vocabulary=BYTES, width=None, seed=trial.seed)
    model = model.to(trial.device, trial.dtype).eval()
    shape = (options.batch_size, options.prefill_lengths[-1])
    prompt = torch.randint(BYTES, shape, generator=source, device=trial.device)
    return partial(generate_greedily, model, prompt, n_new=N_NEW)


def record_times(trial: "Trial", samples: dict[str, list[float]], *, n_bytes: int) -> None:
    """Record all samples as a table, and their medians, slope over lengths, bandwidth and speed.

    `samples` maps stage/length to seconds per call. `n_bytes` are the bytes of the cache at the
    last length.
    """
    options = trial.config.options
    ms = tabulate_times(trial, samples)
    read, generate = ms.pop("decode/read"), ms.pop("generation/all")
    record_medians(trial, ms)
    decode = [ms[f"decode/{length}"] for length in options.lengths]
    trial.record({"gqa/decode_time": decode[-1]}, "ms")
    if len(decode) > 1:
        thousands = [length / 1000 for length in options.lengths]
        slope = statistics.linear_regression(thousands, decode).slope
        trial.record({"gqa/decode_slope": slope}, "ms")  # per 1000 tokens in the cache
    # Bytes per millisecond over 1e6 are GB/s.
    speeds = {"decode_bandwidth": n_bytes / decode[-1], "read_limit": n_bytes / read}
    trial.record({f"gqa/{name}": value / 1e6 for name, value in speeds.items()}, "GB/s")
    n_generated = options.batch_size * N_NEW
    trial.record({"gqa/generation": 1e3 * n_generated / generate}, "tokens/s")


def tabulate_times(trial: "Trial", samples: dict[str, list[float]]) -> dict[str, float]:
    """Save all samples as a table, and return their medians in ms, by stage/length."""
    rows = [
        {"stage": stage, "length": length, "round": index, "ms": 1e3 * seconds}
        for (stage, length), values in (
            (name.split("/"), values) for name, values in samples.items()
        )
        for index, seconds in enumerate(values)
    ]
    trial.table("times", rows)
    return {name: 1e3 * statistics.median(values) for name, values in samples.items()}


def record_medians(trial: "Trial", ms: dict[str, float]) -> None:
    """Record the median times of stages at each length."""
    for name, value in ms.items():
        stage, length = name.split("/")
        trial.record({f"gqa/{stage}_time/length{length}": value}, "ms")


def build_timed_layer(trial: "Trial") -> Any:
    """Return one initialised attention layer of this arm, with the width of the timed layer.

    It decodes with plain matrix products at every length. By default it would use another path for
    short caches, up to a length that depends on the arm. One slope would then mix two paths.
    """
    from experiments.nn.initialise import initialise

    layer: Any = trial.config.parts.attention.build(trial.config.options.d_model)
    initialise(layer, trial.seed)
    layer.use_matmul = True
    return layer.to(trial.device, trial.dtype).eval()


def count_attention_parameters(model: "Transformer") -> int:
    """Return the number of parameters of all attention layers."""
    layers: list[Any] = [block.attention for block in model.blocks]
    return sum(p.numel() for layer in layers for p in layer.parameters())
