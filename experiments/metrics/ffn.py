"""The metrics of `experiments/ffn.py`. No torch."""

from runner.metric_names import DivergedValue, Metric

DECLARATIONS = {
    "ffn/zero_share": Metric(
        label="share of hidden values that are exactly zero",
        meaning=(
            "Share of a feed-forward network's hidden values that are exactly 0, on held-out data; "
            "mean over layers."
        ),
        unit="1",
        formula="#{h = 0} / #{h}, over kept tokens and hidden units",
        source="The Lazy Neuron Phenomenon (Li et al. 2023)",
        lowest=0,
        highest=1,
    ),
    "ffn/small_share": Metric(
        label="share of hidden values that are small",
        meaning=(
            "Share of hidden values that are small relative to the others of the same token, on "
            "held-out data; mean over layers."
        ),
        unit="1",
        formula="#{|h_i| ≤ eps · √(mean_j h_j²)} / #{h}, the mean over the token's hidden units",
        source="own definition; ReLU² Wins (arXiv 2402.03804) has a threshold on magnitude too",
        better="greater",
        lowest=0,
        highest=1,
    ),
    "ffn/output_rms": Metric(
        label="size of the feed-forward output (RMS)",
        meaning="Root mean square of the feed-forward part's output; mean over layers.",
        unit="1",
        formula="√(Σ y² / #{y}), over kept tokens and features",
        lowest=0,
    ),
    "ffn/*_init": Metric(
        DivergedValue.kept,
        label="initial *",
        meaning="Value of the metric `*` before training.",
        unit="1",
        formula="as ffn/*, of the initialised model",
        lowest=0,
    ),
    "ffn/*_change": Metric(
        label="change over training: *",
        meaning="Change of the metric `*` over the training.",
        unit="1",
        formula="ffn/* - ffn/*_init",
    ),
}
