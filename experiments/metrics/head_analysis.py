"""The metrics of `experiments/head_analysis.py`. No torch.

p_tj is the weight of query t on key j, n_t the number of keys that query t may see. A score is a
mean over the queries of held-out data that see more than one key. With `/layer{layer}/head{head}`
it is one head's; its name alone is the mean over all heads, unless the best head is named.

A diverged model copies nothing right, so it cannot lose accuracy. It counts as a model from which
no head can be removed (0), and the effect of an ablation is unknown (none).
"""

from runner.metric_names import DivergedValue, Metric

DECLARATIONS = {
    "heads/entropy": Metric(
        meaning="Mean entropy of the attention weights of a query.",
        unit="nats",
        formula="mean_t -Σ_j p_tj ln p_tj",
        source="What Does BERT Look At? (Clark et al. 2019)",
    ),
    "heads/entropy_share": Metric(
        meaning="Mean entropy of the attention weights, divided by the largest possible entropy.",
        unit="1",
        formula="mean_t (-Σ_j p_tj ln p_tj) / ln n_t",
        source="own definition",
    ),
    "heads/distance": Metric(
        meaning="Mean distance between a query and its keys, weighted by attention.",
        unit="positions",
        formula="mean_t Σ_j p_tj (t - j)",
        source="Vig and Belinkov 2019, attention distance",
    ),
    "heads/distance_share": Metric(
        meaning="Mean distance to the keys, divided by the largest distance in a sequence.",
        unit="1",
        formula="mean_t Σ_j p_tj (t - j) / (length - 1)",
        source="own definition",
    ),
    "heads/diagonal": Metric(
        meaning="Mean weight on the query's own position.",
        unit="1",
        formula="mean_t p_tt",
        source="after Clark et al. 2019, heads that attend to fixed offsets",
    ),
    "heads/previous": Metric(
        meaning="Mean weight on the position before the query.",
        unit="1",
        formula="mean_t p_t,t-1",
        source="after Clark et al. 2019, heads that attend to fixed offsets",
    ),
    "heads/earlier_offset": Metric(
        meaning="A head's largest mean weight on one earlier offset: `previous` or `offset_*`.",
        unit="1",
        formula="max_lag>0 mean_t p_t,t-lag",
        source="own definition",
    ),
    "heads/*_spread": Metric(
        meaning="How much the heads of a layer differ in the score `*`; mean over layers.",
        unit="1",
        formula="mean over layers of SD_heads(score)",
        source="own definition",
    ),
    "heads/entropy_spread": Metric(
        meaning="How much the heads of a layer differ in entropy; mean over layers.",
        unit="nats",
        formula="mean over layers of SD_heads(entropy)",
        source="own definition",
    ),
    "heads/distance_spread": Metric(
        meaning="How much the heads of a layer differ in distance; mean over layers.",
        unit="positions",
        formula="mean over layers of SD_heads(distance)",
        source="own definition",
    ),
    "heads/entropy_contrast": Metric(
        meaning="How much a head's entropy differs between labels of sequences; mean over heads.",
        unit="nats",
        formula="mean over heads of (max - min over labels)",
        source="own definition",
    ),
    "heads/distance_contrast": Metric(
        meaning="How much a head's distance differs between labels of sequences; mean over heads.",
        unit="positions",
        formula="mean over heads of (max - min over labels)",
        source="own definition",
    ),
    "heads/diagonal_contrast": Metric(
        meaning="How much a head's diagonal differs between labels of sequences; mean over heads.",
        unit="1",
        formula="mean over heads of (max - min over labels)",
        source="own definition",
    ),
    "heads/*_initial": Metric(
        DivergedValue.kept,
        meaning="Value of `*` for the same model before its first step.",
        unit="1",
        formula="as heads/*, of the initialised model",
    ),
    "heads/entropy_initial": Metric(
        DivergedValue.kept,
        meaning="Value of entropy for the same model before its first step.",
        unit="nats",
        formula="as heads/entropy, of the initialised model",
    ),
    "heads/entropy_spread_initial": Metric(
        DivergedValue.kept,
        meaning="Value of entropy_spread for the same model before its first step.",
        unit="nats",
        formula="as heads/entropy_spread, of the initialised model",
    ),
    "heads/distance_initial": Metric(
        DivergedValue.kept,
        meaning="Value of distance for the same model before its first step.",
        unit="positions",
        formula="as heads/distance, of the initialised model",
    ),
    "heads/distance_spread_initial": Metric(
        DivergedValue.kept,
        meaning="Value of distance_spread for the same model before its first step.",
        unit="positions",
        formula="as heads/distance_spread, of the initialised model",
    ),
    "heads/icl_score_initial": Metric(
        DivergedValue.kept,
        meaning="Value of icl_score for the same model before its first step.",
        unit="nats",
        formula="as heads/icl_score, of the initialised model",
    ),
    "heads/*_uniform": Metric(
        DivergedValue.kept,
        meaning="Score `*` of attention that is even over the keys that a query may see.",
        unit="1",
        formula="as heads/*, with p_tj = 1/n_t",
    ),
    "heads/entropy_uniform": Metric(
        DivergedValue.kept,
        meaning="Entropy of attention that is even over the keys that a query may see.",
        unit="nats",
        formula="mean_t ln n_t",
    ),
    "heads/distance_uniform": Metric(
        DivergedValue.kept,
        meaning="Distance of attention that is even over the keys that a query may see.",
        unit="positions",
        formula="mean_t Σ_j (t - j) / n_t",
    ),
    "heads/entropy/layer*/uniform": Metric(
        DivergedValue.kept,
        meaning="The same as heads/entropy_uniform, recorded for each layer.",
        unit="nats",
        formula="as heads/entropy_uniform",
    ),
    "heads/distance/layer*/uniform": Metric(
        DivergedValue.kept,
        meaning="The same as heads/distance_uniform, recorded for each layer.",
        unit="positions",
        formula="as heads/distance_uniform",
    ),
    "heads/planted": Metric(
        meaning=(
            "Best head's weight on the key that carries a pattern, in sequences with it; mean over "
            "the patterns with an offset of two or more."
        ),
        unit="1",
        formula="max over heads of mean_t p_t,t-lag",
        source="own definition",
        better="greater",
    ),
    "heads/induction": Metric(
        meaning=(
            "Best head's weight from a token of the second copy to the tokens that followed its "
            "earlier occurrences."
        ),
        unit="1",
        formula="max over heads of mean_t Σ_{j : s_(j-1) = s_t, j < t} p_tj",
        source="Olsson et al. 2022, prefix-matching score, there over all repeats",
    ),
    "heads/duplicate": Metric(
        meaning="Best head's weight from a token of the second copy to its earlier occurrences.",
        unit="1",
        formula="max over heads of mean_t Σ_{j : s_j = s_t, j < t} p_tj",
        source="TransformerLens, head_detector, duplicate token; here over rows with such a key",
    ),
    "heads/copy_accuracy": Metric(
        DivergedValue.fixed,
        0.0,
        meaning="Share of right predictions of the second copy, its first symbol left out.",
        unit="1",
        formula="#{right predictions} / #{predictions}",
        better="greater",
    ),
    "heads/icl_score": Metric(
        meaning="Loss in the second copy minus loss in the first; below 0 is in-context learning.",
        unit="nats",
        formula="mean loss of the second copy - mean loss of the first copy",
        source="after Olsson et al. 2022, loss at token 500 - loss at token 50",
        better="less",
    ),
    "heads/ablation": Metric(
        meaning=(
            "Copy accuracy that is lost when the outputs of some heads are replaced by their "
            "means; the name ends with the choice of heads."
        ),
        unit="1",
        formula="accuracy - accuracy without the heads, mean over the groups of the choice",
        source="Wang et al. 2023, Interpretability in the Wild, mean ablation; Olsson et al. 2022",
    ),
    "heads/prunable": Metric(
        DivergedValue.fixed,
        0.0,
        meaning=(
            "Share of heads that can be removed before the copy accuracy first falls by more than "
            "0.01; the name ends with the order of removal."
        ),
        unit="1",
        formula="max{n : a_k ≥ a_0 - 0.01 for all k ≤ n} / #heads, a_k without the first k heads",
        source="Michel et al. 2019, section 4, there a relative loss of BLEU",
        better="greater",
    ),
    "heads/pruning_area": Metric(
        DivergedValue.fixed,
        0.0,
        meaning="Mean copy accuracy while heads are removed one by one, in the order of the name.",
        unit="1",
        formula="area under a_k over k / #heads, by the trapezoidal rule",
        source="own definition",
        better="greater",
    ),
    # These two come last: of several patterns that match a name, the first one counts.
    "heads/*/layer*/uniform": Metric(
        DivergedValue.kept,
        meaning="The same as `heads/*_uniform`, recorded for each layer.",
        unit="1",
        formula="as heads/*_uniform",
    ),
    "heads/offset_*": Metric(
        meaning="Mean weight at the offset of the pattern `*`, in all sequences.",
        unit="1",
        formula="mean_t p_t,t-lag",
        source="after Clark et al. 2019, heads that attend to fixed offsets",
    ),
}
