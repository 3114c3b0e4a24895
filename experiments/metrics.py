"""What the metrics of the science are worth for a diverged trial. No torch.

A name stands for all finer ones: `ffn/zero_share` for `ffn/zero_share/layer0` too. A metric that is
not declared is worth nothing, which bars it from deciding where trials diverge. A plug-in adds its
own: `METRICS["mine/score"] = Metric(Worth.fixed, 0.0)`.

How the worth was chosen:

- kept: what no training changes, such as costs, timings, and values from before the first step.
- start: losses, which say how good a model is, as the untrained model has them.
- fixed: shares of right answers, and of heads that can go without loss. 0 is the worst of these.
- nothing: what describes the inside of a model, where a broken one has no good or bad value; and
  scores without a worst value, such as what is lost without heads: a model that has nothing to
  lose has 0, which would look good.
"""

from runner.metric_names import COUNT, KEPT, NOTHING, START, Metric, Worth

NONE_RIGHT = Metric(Worth.fixed, 0.0)

METRICS: dict[str, Metric] = {
    # experiment ffn
    "ffn/zero_share": NOTHING,
    "ffn/small_share": NOTHING,
    "ffn/output_rms": NOTHING,
    "ffn/*_init": KEPT,
    "ffn/*_change": NOTHING,
    # experiment moe
    "moe/load": NOTHING,
    "moe/load_max_violation": NOTHING,
    "moe/load_cv": NOTHING,
    "moe/dead_experts": NOTHING,
    "moe/effective_experts": NOTHING,
    "moe/router_entropy": NOTHING,
    "moe/dropped_share": NOTHING,
    "moe/balance_loss": NOTHING,
    "moe/selection": NOTHING,
    "moe/nmi_domain": NOTHING,
    "moe/nmi_domain_*": NOTHING,
    "moe/nmi_token": NOTHING,
    "moe/nmi_token_*": NOTHING,
    # experiment norm_stability: before training, but for the last five
    "norm/grad_last": KEPT,
    "norm/grad_first_last": KEPT,
    "norm/variance_last": KEPT,
    "norm/grad/depth*": KEPT,
    "norm/grad_stream": KEPT,
    "norm/variance": KEPT,
    "norm/grad_slope": KEPT,
    "norm/variance_slope": KEPT,
    "norm/grad/layer*": NOTHING,
    "norm/grad_sd": NOTHING,
    "norm/grad_max": NOTHING,
    "norm/loss_last": Metric(Worth.start, curve="val/loss"),
    "norm/diverged": KEPT,
    # experiment gqa_vs_mha: counts of what is allocated, timings of fresh weights
    "gqa/cache_of_layer": COUNT,
    "gqa/attention_parameters": COUNT,
    "gqa/cache_bytes": COUNT,
    "gqa/parameter_reduction": COUNT,
    "gqa/cache_reduction": COUNT,
    "gqa/loss_converted": Metric(Worth.start, curve="val/loss"),
    "gqa/decode_time": KEPT,
    "gqa/prefill_time": KEPT,
    "gqa/mixing_time": KEPT,
    "gqa/decode_slope": KEPT,
    "gqa/decode_bandwidth": KEPT,
    "gqa/read_limit": KEPT,
    "gqa/generation": KEPT,
    # experiment flash_attention, which trains nothing; what shapes alone decide is a count
    "flash/saved_bytes": COUNT,
    "flash/executed_share": COUNT,
    "flash/peak_formula": COUNT,
    "flash/peak": KEPT,
    "flash/peak_backward": KEPT,
    "flash/time": KEPT,
    "flash/time_backward": KEPT,
    "flash/error_*": KEPT,
    "flash/difference_to_naive": KEPT,
    # experiment translation
    "translation/exact_match": NONE_RIGHT,
    "translation/exact_match_digits": NONE_RIGHT,
    "translation/chrf": NONE_RIGHT,
    "translation/loss": START,
    # experiment head_analysis
    "heads/copy_accuracy": NONE_RIGHT,
    "heads/icl_score": NOTHING,  # of chance is 0, and a model can be worse
    "heads/ablation": NOTHING,
    "heads/prunable": Metric(Worth.fixed, 0.0),  # no head can go from what does nothing right
    "heads/pruning_area": NONE_RIGHT,
    "heads/*_initial": KEPT,  # of the untrained model
    "heads/*_uniform": KEPT,  # of even attention
    "heads/*/layer*/uniform": KEPT,
    "heads/*_spread": NOTHING,
    "heads/*_contrast": NOTHING,
    "heads/entropy": NOTHING,
    "heads/entropy_share": NOTHING,
    "heads/distance": NOTHING,
    "heads/distance_share": NOTHING,
    "heads/diagonal": NOTHING,
    "heads/previous": NOTHING,
    "heads/offset_*": NOTHING,
    "heads/earlier_offset": NOTHING,
    "heads/planted": NOTHING,
    "heads/induction": NOTHING,
    "heads/duplicate": NOTHING,
}
