"""Compare the numerical errors, memory and time of attention kernels at growing lengths.

Queries, keys and values come from one initialised attention layer. They are the same for every arm
of one seed; only the kernel differs. Nothing is trained. For each length, a trial measures:

- the errors against the attention formula in float64, and the difference to the naive kernel;
- the bytes that autograd saves for the backward pass, and the peak memory;
- the time, under an exclusive lock of the machine.

`time_backward` and `peak_backward` cover a forward and a backward pass together.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

from experiments import Question, measurement_only, question
from experiments.metrics import METRICS
from experiments.metrics.flash_attention import DECLARATIONS
from experiments.rules import check_at_least, check_has_fields

if TYPE_CHECKING:
    from experiments.nn.kernels.kernel import AttentionKernel
    from experiments.probes.kernels import KernelInputs
    from runner.trial.trial import Trial

METRICS.update(DECLARATIONS)  # the definitions of the metrics that `run` and `timing` record


@question("flash_attention")
@dataclass
class FlashOptions(Question):
    """Options of `experiment=flash_attention`.

    Attributes:
        lengths: sequence lengths, in ascending order.
        length: the length whose values are also recorded under names without `/length{length}`.
        causal: whether a query sees only its own and earlier positions.
        block_q: rows of a tile; null chooses the fastest at each length.
        block_k: columns of a tile; null likewise.
        reference_up_to: the largest length at which errors are measured; the float64 formula holds
            all scores at once.
        rounds: timed calls of each pass in one timing pass.
        warmup: calls before the first timed one.
    """

    parts: ClassVar[tuple[str, ...]] = ("attention",)
    timed: ClassVar[bool] = True
    lengths: list[int] = field(metadata=measurement_only())
    length: int
    causal: bool
    block_q: int | None
    block_k: int | None
    reference_up_to: int = field(metadata=measurement_only())
    rounds: int = field(metadata=measurement_only())
    warmup: int = field(metadata=measurement_only("flash/time"))

    def __post_init__(self) -> None:
        lengths = list(self.lengths)
        if not lengths or min(lengths) < 1 or sorted(set(lengths)) != lengths:
            raise ValueError(
                f"lengths={lengths} must be one or more numbers of positions in ascending order, "
                "without repeats"
            )
        check_at_least(0, reference_up_to=self.reference_up_to)
        check_at_least(1, rounds=self.rounds, warmup=self.warmup)
        for name in ("block_q", "block_k"):
            value = getattr(self, name)
            if value is not None:
                check_at_least(1, **{name: value})

    def check(self, groups: Mapping[str, Any]) -> None:
        """Raise ValueError where attention has no kernel to choose."""
        why = "experiment=flash_attention compares kernels"
        if (attention := groups["attention"]).is_plain:
            raise ValueError(
                f"attention={attention.kind} is a plain part without a kernel of ablab, and {why}; "
                "choose another attention"
            )
        check_has_fields("attention", groups["attention"], "n_heads", "kernel", why=why)


def run(trial: "Trial") -> None:
    """Record memory and errors of the arm's kernel at every length; `timing` records the times."""
    # Imports are local, so that `plan=only` can import this module without loading torch.
    from experiments.nn.kernels.kernel import naive_attention
    from experiments.nn.kernels.tiled import choose_tiles
    from experiments.probes.kernels import kernel_errors, measure_saved_bytes

    # Set up: peak memory of all lengths comes first, since a process keeps memory that it used.
    kernel, options = chosen_kernel(trial), trial.config.options
    peaks = [(True, length) for length in options.lengths]
    for is_peak, length in trial.resumable_loop([*peaks, *((False, n) for n in options.lengths)]):
        if is_peak:
            trial.extend_table("memory", list(measure_memory(trial, kernel, length)))
            continue
        # Measure: saved bytes and, for tiles, the share of the scores that is computed.
        x = kernel_inputs(trial, length)
        record_at_length(trial, length, {"saved_bytes": measure_saved_bytes(kernel, x)}, "bytes")
        if trial.config.parts.attention.kernel == "tiled":
            tiles = choose_tiles(x.query, x.key, causal=options.causal, **blocks(options))
            record_at_length(trial, length, {"executed_share": tiles.executed_share()}, "1")
        # Compare with the formula in float64, at lengths whose scores fit into memory.
        if length <= options.reference_up_to:
            errors = kernel_errors(kernel, partial(naive_attention, causal=options.causal), x)
            record_at_length(trial, length, errors, "1")
            trial.log({f"flash/{name}": value for name, value in errors.items()}, length)


def timing(trial: "Trial") -> None:
    """Record the median time of a forward, and of a forward and backward; a table has all samples.

    This runs after `run`, under an exclusive lock, so that no other trial slows it down.
    """
    from experiments.probes.kernels import run_forward, run_forward_backward
    from runner.trial.measure import time_interleaved

    kernel, options = chosen_kernel(trial), trial.config.options
    rows = []
    for length in options.lengths:
        # Both passes are timed in turn, so that a slow spell of the machine affects both.
        x = kernel_inputs(trial, length)
        passes: dict[str, Callable[[], object]]
        passes = {
            "time": partial(run_forward, kernel, x),
            "time_backward": partial(run_forward_backward, kernel, x),
        }
        samples = time_interleaved(
            passes,
            rounds=options.rounds,
            warmup=options.warmup,
            min_seconds=0.02,
            seed=trial.seed + trial.passes,
        )
        # Conclude: medians over the samples of this timing pass and of earlier ones.
        pooled = trial.pool_samples({f"{name}/length{length}": s for name, s in samples.items()})
        for name in samples:
            seconds = pooled[f"{name}/length{length}"]
            record_at_length(trial, length, {name: 1e3 * median(seconds)}, "ms")
            rows += [
                {"length": length, "pass": name, "round": i, "ms": 1e3 * sample}
                for i, sample in enumerate(seconds)
            ]
    trial.table("times", rows)


def chosen_kernel(trial: "Trial") -> "AttentionKernel":
    """Return the arm's kernel with its options; only the tiled one takes block sizes."""
    from experiments.probes.kernels import bind_kernel

    options = trial.config.options
    name = trial.config.parts.attention.kernel.value
    return bind_kernel(name, causal=options.causal, **blocks(options))


def blocks(options: FlashOptions) -> dict[str, Any]:
    """Return the block sizes, as keyword arguments of the tiled kernel."""
    return {"block_q": options.block_q, "block_k": options.block_k}


def kernel_inputs(trial: "Trial", length: int) -> "KernelInputs":
    """Return inputs that depend on the seed and the length alone; all lengths share the weights."""
    from experiments.probes import kernels

    parts, batch = trial.config.parts, trial.config.training.batch_size
    d_model = parts.model.d_model
    layer = parts.attention.build(d_model)
    x = kernels.draw_kernel_inputs(
        layer, batch=batch, length=length, d_model=d_model, seed=trial.seed
    )
    return kernels.KernelInputs(*(t.contiguous().to(trial.device, trial.dtype) for t in x))


def measure_memory(
    trial: "Trial", kernel: "AttentionKernel", length: int
) -> Iterator[dict[str, float | str]]:
    """Record the peak memory above the inputs, and the textbook's formula; yield rows for a figure.

    A row has the length, the name of the metric, and MiB.
    """
    from experiments.probes.kernels import run_forward, run_forward_backward
    from runner.trial.measure import can_measure_peak, cuda_peak_mib, peak_mib

    passes = {"peak": run_forward, "peak_backward": run_forward_backward}
    for name, function in passes.items():

        def prepare(function: Callable[..., object] = function) -> Callable[[], object]:
            return partial(function, kernel, kernel_inputs(trial, length))

        if trial.device.type == "cuda":
            peak = cuda_peak_mib(prepare)
        elif trial.device.type == "cpu" and can_measure_peak():
            peak = peak_mib(prepare)
        else:
            print(f"{name} is not measured: peak memory requires Linux or CUDA")  # noqa: T201
            continue
        record_at_length(trial, length, {name: peak}, "MiB")
        yield {"length": length, "memory": name, "mib": peak}
    formula = memory_formula(trial, length)
    record_at_length(trial, length, {"peak_formula": formula}, "bytes")
    yield {"length": length, "memory": "peak_formula", "mib": formula / 2**20}


def memory_formula(trial: "Trial", length: int) -> int:
    """Return the bytes that a forward allocates by the textbook's formula.

    The naive kernel holds all scores, length numbers per query. The others hold the output and one
    sum per query, d_head + 1 numbers.
    """
    attention, d_model = trial.config.parts.attention, trial.config.parts.model.d_model
    batch, n_heads = trial.config.training.batch_size, attention.n_heads
    per_query = length if attention.kernel == "naive" else d_model // n_heads + 1
    return batch * n_heads * length * per_query * trial.dtype.itemsize


def record_at_length(trial: "Trial", length: int, values: dict[str, float], unit: str) -> None:
    """Record values of a length; those of `options.length` also under names without a suffix."""
    trial.record({f"flash/{name}/length{length}": value for name, value in values.items()}, unit)
    if length == trial.config.options.length:
        trial.record({f"flash/{name}": value for name, value in values.items()}, unit)
