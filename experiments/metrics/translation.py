"""The metrics of `experiments/translation.py`. No torch."""

from runner.metric_names import DivergedValue, Metric

DECLARATIONS = {
    "translation/exact_match": Metric(
        DivergedValue.fixed,
        0.0,
        label="share of sentences translated exactly",
        meaning=(
            "Share of held-out sentences that greedy decoding translates exactly, including the "
            "end mark; with `/{split}`, of another split."
        ),
        unit="1",
        formula="#{right sentences} / #{sentences}",
        better="greater",
        lowest=0,
        highest=1,
    ),
    "translation/exact_match_digits": Metric(
        DivergedValue.fixed,
        0.0,
        label="share of numbers translated exactly",
        meaning="Share of right numbers with this many digits, in the splits iid and length.",
        unit="1",
        formula="#{right numbers of n digits} / #{numbers of n digits}",
        better="greater",
        lowest=0,
        highest=1,
    ),
    "translation/chrf": Metric(
        DivergedValue.fixed,
        0.0,
        label="character overlap (chrF)",
        meaning="chrF2 of all decoded held-out sentences together, from 0 to 100; spaces removed.",
        unit="1",
        formula="100 · (1 + β²) P R / (β² P + R), β = 2; P and R are means over n-grams, n ≤ 6",
        source="Popović 2015, chrF; Popović 2016 for β = 2; as sacrebleu computes it",
        better="greater",
        lowest=0,
        highest=100,
    ),
    "translation/loss": Metric(
        DivergedValue.start,
        label="loss with teacher forcing",
        meaning="Cross-entropy of a split other than the held-out one, with teacher forcing.",
        unit="nats/token",
        formula="mean of -ln p(token) over the target tokens",
        better="less",
        lowest=0,
    ),
}
