"""How exact a tiled attention is, and what it costs in memory and time beside other kernels.

Queries, keys and values come from one initialised attention layer and are the same for every arm
under a seed; only the kernel that mixes them differs. Measured for each length: errors against the
formula in float64, the difference to the naive kernel, bytes saved for the backward, peak memory,
and, alone on the machine, time. `time_backward` and `peak_backward` are of a forward and backward.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import Question, measuring, question
from experiments.metrics import METRICS
from experiments.metrics.flash_attention import DECLARATIONS
from experiments.rules import at_least, has_fields

if TYPE_CHECKING:
    from experiments.nn.kernels.kernel import AttentionKernel
    from experiments.probes.kernels import Inputs
    from runner.trial.trial import Trial

METRICS.update(DECLARATIONS)


@question("flash_attention")
@dataclass
class FlashOptions(Question):
    """Lengths and tiles; null block sizes are those fastest at a length."""

    parts: ClassVar[tuple[str, ...]] = ("attention",)
    timed: ClassVar[bool] = True
    lengths: list[int] = field(metadata=measuring())
    length: int
    causal: bool
    block_q: int | None
    block_k: int | None
    reference_up_to: int = field(metadata=measuring())
    rounds: int = field(metadata=measuring())
    warmup: int = field(metadata=measuring("flash/time"))

    def __post_init__(self) -> None:
        lengths = list(self.lengths)
        if not lengths or min(lengths) < 1 or sorted(set(lengths)) != lengths:
            raise ValueError(
                f"lengths={lengths} must be one or more numbers of positions, each larger than "
                "the one before"
            )
        at_least(0, reference_up_to=self.reference_up_to)
        at_least(1, rounds=self.rounds, warmup=self.warmup)
        for name in ("block_q", "block_k"):
            value = getattr(self, name)
            if value is not None:
                at_least(1, **{name: value})

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where attention has no kernel to choose."""
        why = "experiment=flash_attention compares kernels"
        has_fields("attention", groups["attention"], "n_heads", "kernel", why=why)


def run(trial: "Trial") -> None:
    """Measure what has no clock: memory first, since a process that has computed keeps memory."""
    from experiments.nn.kernels.kernel import naive
    from experiments.nn.kernels.tiled import tiling
    from experiments.probes.kernels import errors, saved

    kernel, options = chosen_kernel(trial), trial.config.options
    memory = [(True, length) for length in options.lengths]
    for of_memory, length in trial.pieces([*memory, *((False, n) for n in options.lengths)]):
        if of_memory:
            trial.extend("memory", list(measure_memory(trial, kernel, length)))
            continue
        x = inputs(trial, length)
        record(trial, length, {"saved_bytes": saved(kernel, x)}, "bytes")
        if trial.config.parts.attention.kernel == "tiled":
            tiles = tiling(x.query, x.key, causal=options.causal, **blocks(options))
            record(trial, length, {"executed_share": tiles.share()}, "1")
        if length <= options.reference_up_to:
            found = errors(kernel, partial(naive, causal=options.causal), x)
            record(trial, length, found, "1")
            trial.log({f"flash/{name}": value for name, value in found.items()}, length)


def timing(trial: "Trial") -> None:
    """Record medians of forward, and of forward and backward, and every sample in a table."""
    from experiments.probes.kernels import both, forward
    from runner.trial.measure import interleaved

    kernel, options = chosen_kernel(trial), trial.config.options
    rows = []
    for length in options.lengths:
        x = inputs(trial, length)
        passes: dict[str, Callable[[], object]]
        passes = {"time": partial(forward, kernel, x), "time_backward": partial(both, kernel, x)}
        samples = interleaved(
            passes,
            rounds=options.rounds,
            warmup=options.warmup,
            min_seconds=0.02,
            seed=trial.seed + trial.passes,
        )
        pooled = trial.pooled({f"{name}/length{length}": s for name, s in samples.items()})
        for name in samples:
            seconds = pooled[f"{name}/length{length}"]
            record(trial, length, {name: 1e3 * median(seconds)}, "ms")
            rows += [
                {"length": length, "pass": name, "round": i, "ms": 1e3 * sample}
                for i, sample in enumerate(seconds)
            ]
    trial.table("times", rows)


def chosen_kernel(trial: "Trial") -> "AttentionKernel":
    """Return the arm's kernel; block sizes are for the tiled one only."""
    from experiments.probes.kernels import bound

    options = trial.config.options
    name = trial.config.parts.attention.kernel.value
    return bound(name, causal=options.causal, **blocks(options))


def blocks(options: FlashOptions) -> dict[str, Any]:
    """Return the block sizes, as keywords of the tiled kernel."""
    return {"block_q": options.block_q, "block_k": options.block_k}


def inputs(trial: "Trial", length: int) -> "Inputs":
    """Return inputs from the seed and the length alone; weights are the same for all lengths."""
    from experiments.probes import kernels

    parts, batch = trial.config.parts, trial.config.training.batch_size
    d_model = parts.model.d_model
    layer = parts.attention.build(d_model)
    x = kernels.inputs(layer, batch=batch, length=length, d_model=d_model, seed=trial.seed)
    return kernels.Inputs(*(t.contiguous().to(trial.device, trial.dtype) for t in x))


def measure_memory(
    trial: "Trial", kernel: "AttentionKernel", length: int
) -> Iterator[dict[str, float | str]]:
    """Record peaks over the inputs, and the textbook's formula; the rows of the memory figure."""
    from experiments.probes.kernels import both, forward
    from runner.trial.measure import can_measure_peak, cuda_peak_mib, peak_mib

    call = {"peak": forward, "peak_backward": both}
    for name, function in call.items():

        def prepare(function: Callable[..., object] = function) -> Callable[[], object]:
            return partial(function, kernel, inputs(trial, length))

        if trial.device.type == "cuda":
            peak = cuda_peak_mib(prepare)
        elif trial.device.type == "cpu" and can_measure_peak():
            peak = peak_mib(prepare)
        else:
            print(f"{name} is not measured: peak memory needs Linux or CUDA")  # noqa: T201
            continue
        record(trial, length, {name: peak}, "MiB")
        yield {"length": length, "memory": name, "mib": peak}
    formula = memory_formula(trial, length)
    record(trial, length, {"peak_formula": formula}, "bytes")
    yield {"length": length, "memory": "peak_formula", "mib": formula / 2**20}


def memory_formula(trial: "Trial", length: int) -> int:
    """Return the textbook's bytes of a forward: the scores, or the output and a sum per row."""
    attention, width = trial.config.parts.attention, trial.config.parts.model.d_model
    batch, n_heads = trial.config.training.batch_size, attention.n_heads
    a_row = length if attention.kernel == "naive" else width // n_heads + 1
    return batch * n_heads * length * a_row * trial.dtype.itemsize


def record(trial: "Trial", length: int, values: dict[str, float], unit: str) -> None:
    """Set final values of a length, and those of `options.length` under names without a suffix."""
    trial.record({f"flash/{name}/length{length}": value for name, value in values.items()}, unit)
    if length == trial.config.options.length:
        trial.record({f"flash/{name}": value for name, value in values.items()}, unit)
