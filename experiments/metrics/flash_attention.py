"""The metrics of `experiments/flash_attention.py`. No torch.

Nothing is trained here, so every value is kept. A name without `/length{length}` is the value at
options.length.
"""

from runner.metric_names import DivergedValue, Metric

DECLARATIONS = {
    "flash/saved_bytes": Metric(
        DivergedValue.kept,
        deterministic=True,
        meaning="Bytes that autograd saves in a forward for its backward, without the inputs.",
        unit="bytes",
        better="less",
    ),
    "flash/executed_share": Metric(
        DivergedValue.kept,
        deterministic=True,
        meaning="Share of the attention scores that the tiled kernel computes.",
        unit="1",
        formula="Σ_tiles rows · columns / (queries · keys), over the computed tiles",
        source="FlashAttention-2 (Dao 2023), section 3.1",
        better="less",
    ),
    "flash/peak_formula": Metric(
        DivergedValue.kept,
        deterministic=True,
        meaning="Bytes that a forward allocates according to the textbook's formula.",
        unit="bytes",
        formula=(
            "batch · heads · length · row · bytes of a number; row is length if naive, else "
            "d_head + 1"
        ),
        source="FlashAttention (Dao et al. 2022), theorem 1",
        better="less",
    ),
    "flash/peak": Metric(
        DivergedValue.kept,
        meaning="Peak memory that a forward adds to its inputs.",
        unit="MiB",
        formula="highest resident memory in the call - before it; on CUDA, of torch's allocator",
        source="own definition",
        better="less",
    ),
    "flash/peak_backward": Metric(
        DivergedValue.kept,
        meaning="Peak memory that a forward and a backward add to their inputs.",
        unit="MiB",
        formula="highest resident memory in the calls - before; on CUDA, of torch's allocator",
        source="own definition",
        better="less",
    ),
    "flash/time": Metric(
        DivergedValue.kept,
        meaning="Median time of a forward.",
        unit="ms",
        formula="median over the rounds of all timing passes",
        better="less",
    ),
    "flash/time_backward": Metric(
        DivergedValue.kept,
        meaning="Median time of a forward and a backward.",
        unit="ms",
        formula="median over the rounds of all timing passes",
        better="less",
    ),
    "flash/error_forward": Metric(
        DivergedValue.kept,
        meaning="Largest error of the output against the attention formula in float64.",
        unit="1",
        formula="max |kernel(x) - naive(x in float64)|",
        source="FlashAttention, tests/test_flash_attn.py, the authors' acceptance rule",
        better="less",
    ),
    "flash/error_grad_*": Metric(
        DivergedValue.kept,
        meaning="Largest error of the gradient of q, k or v against the formula in float64.",
        unit="1",
        formula="max |∂kernel - ∂naive in float64|",
        source="FlashAttention, tests/test_flash_attn.py, the authors' acceptance rule",
        better="less",
    ),
    "flash/error_ratio": Metric(
        DivergedValue.kept,
        meaning="Error of the output over that of the naive kernel in the same dtype.",
        unit="1",
        formula="flash/error_forward / max |naive(x) - naive(x in float64)|; 1 without an error",
        source="FlashAttention, tests/test_flash_attn.py: at most 2",
        better="less",
    ),
    "flash/error_ratio_grad": Metric(
        DivergedValue.kept,
        meaning="Largest of the corresponding ratios of the gradients of q, k and v.",
        unit="1",
        formula="max over q, k, v of the error / that of the naive kernel; 1 without an error",
        source="FlashAttention, tests/test_flash_attn.py: at most 2 or 3",
        better="less",
    ),
    "flash/difference_to_naive": Metric(
        DivergedValue.kept,
        meaning="Largest difference between the output and that of the naive kernel, in one dtype.",
        unit="1",
        formula="max |kernel(x) - naive(x)|",
        source="own definition",
    ),
}
