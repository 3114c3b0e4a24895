"""The metrics of `experiments/gqa_vs_mha.py`. No torch.

Sizes are counted on allocated tensors, and timings use untrained weights. So a diverged trial keeps
both. KV means keys and values.
"""

from runner.metric_names import DivergedValue, Metric

DECLARATIONS = {
    "gqa/cache_of_layer": Metric(
        DivergedValue.kept,
        deterministic=True,
        label="KV cache of the timed layer",
        meaning="Bytes of the timed attention layer's KV cache, at a length.",
        unit="bytes",
        formula="2 · batch · n_kv_heads · length · d_head · bytes of a number, as allocated",
        source="Shazeer 2019, Fast Transformer Decoding; GQA (Ainslie et al. 2023)",
        better="less",
        lowest=0,
    ),
    "gqa/attention_parameters": Metric(
        DivergedValue.kept,
        deterministic=True,
        label="parameters of the attention layers",
        meaning="Parameters of all attention layers of the model.",
        unit="1",
        better="less",
        lowest=0,
    ),
    "gqa/cache_bytes": Metric(
        DivergedValue.kept,
        deterministic=True,
        label="size of the KV cache",
        meaning="Bytes of the whole model's KV cache, at the longest length.",
        unit="bytes",
        formula="2 · layers · batch · n_kv_heads · length · d_head · bytes of a number",
        source="Shazeer 2019, Fast Transformer Decoding; GQA (Ainslie et al. 2023)",
        better="less",
        lowest=0,
    ),
    "gqa/parameter_reduction": Metric(
        DivergedValue.kept,
        deterministic=True,
        label="share of attention parameters saved",
        meaning="Attention parameters saved relative to one KV head per query head.",
        unit="%",
        formula="100 · (1 - parameters / parameters with n_kv_heads = n_heads)",
        better="greater",
        lowest=0,
        highest=100,
    ),
    "gqa/cache_reduction": Metric(
        DivergedValue.kept,
        deterministic=True,
        label="share of the KV cache saved",
        meaning="Cache bytes saved relative to one KV head per query head.",
        unit="%",
        formula="100 · (1 - bytes / bytes with n_kv_heads = n_heads)",
        better="greater",
        lowest=0,
        highest=100,
    ),
    "gqa/loss_converted": Metric(
        DivergedValue.start,
        curve="val/loss",
        label="held-out loss right after conversion",
        meaning=(
            "Held-out loss after the first training phase; in an arm with a conversion, right "
            "after it."
        ),
        unit="nats/token or nats/byte or mse",
        formula="as val/loss",
        source="GQA (Ainslie et al. 2023), section 2.1 and figure 4",
        better="less",
        lowest=0,
    ),
    "gqa/decode_time": Metric(
        DivergedValue.kept,
        label="decode time of a token",
        meaning=(
            "Median time in which one attention layer adds a token to a filled cache; without "
            "`/length{length}`, at the longest length."
        ),
        unit="ms",
        formula="median over the rounds of all timing passes",
        better="less",
        lowest=0,
    ),
    "gqa/prefill_time": Metric(
        DivergedValue.kept,
        label="prefill time of a prompt",
        meaning="Median time in which one attention layer reads a prompt into an empty cache.",
        unit="ms",
        formula="median over the rounds of all timing passes",
        better="less",
        lowest=0,
    ),
    "gqa/mixing_time": Metric(
        DivergedValue.kept,
        label="attention time of a prompt without projections",
        meaning="Median time of the attention kernel alone on a prompt, without projections.",
        unit="ms",
        formula="median over the rounds of all timing passes",
        better="less",
        lowest=0,
    ),
    "gqa/decode_slope": Metric(
        DivergedValue.kept,
        label="additional decode time per 1,000 cached tokens",
        meaning="Additional decoding time for 1,000 more tokens in the cache.",
        unit="ms",
        formula="least-squares slope of gqa/decode_time against length / 1000",
        source="own definition",
        better="less",
    ),
    "gqa/decode_bandwidth": Metric(
        DivergedValue.kept,
        label="bandwidth of decoding",
        meaning="Cache bytes over decoding time, at the longest length.",
        unit="GB/s",
        formula="bytes of the cache / gqa/decode_time",
        source="own definition; decoding is bound by bandwidth (Ainslie et al. 2023, section 1)",
        better="greater",
        lowest=0,
    ),
    "gqa/read_limit": Metric(
        DivergedValue.kept,
        label="bandwidth of reading the cache once",
        meaning="Bandwidth of summing the cache once, which bounds gqa/decode_bandwidth.",
        unit="GB/s",
        formula="bytes of the cache / median time of summing it",
        source="own definition",
        lowest=0,
    ),
    "gqa/generation": Metric(
        DivergedValue.kept,
        label="speed of greedy generation with the whole model",
        meaning="Tokens per second of greedy generation by the whole model, including its prompt.",
        unit="tokens/s",
        formula="batch · 32 new tokens / median time",
        better="greater",
        lowest=0,
    ),
}
