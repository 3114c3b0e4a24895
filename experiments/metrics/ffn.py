"""The metrics of `experiments/ffn.py`. No torch."""

from runner.metric_names import DivergedValue, Metric

DECLARATIONS = {
    "ffn/zero_share": Metric(
        meaning=(
            "Share of a feed-forward network's hidden values that are exactly 0, on held-out data; "
            "mean over layers."
        ),
        unit="1",
        formula="#{h = 0} / #{h}, over kept tokens and hidden units",
        source="The Lazy Neuron Phenomenon (Li et al. 2023)",
        better="greater",
    ),
    "ffn/small_share": Metric(
        meaning=(
            "Share of hidden values that are small relative to the others of the same token, on "
            "held-out data; mean over layers."
        ),
        unit="1",
        formula="#{|h_i| ≤ eps · √(mean_j h_j²)} / #{h}, the mean over the token's hidden units",
        source="own definition; ReLU² Wins (arXiv 2402.03804) has a threshold on magnitude too",
        better="greater",
    ),
    "ffn/output_rms": Metric(
        meaning="Root mean square of the feed-forward part's output; mean over layers.",
        unit="1",
        formula="√(Σ y² / #{y}), over kept tokens and features",
    ),
    "ffn/*_init": Metric(
        DivergedValue.kept,
        meaning="Value of the metric `*` before training.",
        unit="1",
        formula="as ffn/*, of the initialised model",
    ),
    "ffn/*_change": Metric(
        meaning="Change of the metric `*` over the training.",
        unit="1",
        formula="ffn/* - ffn/*_init",
    ),
}
