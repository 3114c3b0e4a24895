"""The metrics of `experiments/moe.py`. No torch.

N is the number of experts. Each kept token makes top_k assignments; f_i is the share of expert i in
all assignments, and P_i its mean router probability. A name without `/layer{layer}` is the mean
over the layers.
"""

from runner.metric_names import Metric

DECLARATIONS = {
    "moe/load": Metric(
        label="share of assignments",
        meaning="Share of the held-out assignments of one layer that one expert gets.",
        unit="1",
        formula="f_i = n_i / Σ_j n_j, with n_i the assignments of expert i",
        source="Switch Transformers (Fedus et al. 2021), equation 5, there for top-1",
        lowest=0,
        highest=1,
        exchangeable="expert",
    ),
    "moe/load_max_violation": Metric(
        label="load violation (MaxVio)",
        meaning="Load of the busiest expert above the mean load: 0 is even, N - 1 collapsed.",
        unit="1",
        formula="max_i f_i · N - 1 = (max load - mean load) / mean load",
        source="Auxiliary-Loss-Free Load Balancing (Wang et al. 2024), MaxVio, on held-out data",
        better="less",
        lowest=0,
    ),
    "moe/load_cv": Metric(
        label="variation of the experts' loads",
        meaning="Coefficient of variation of the experts' loads.",
        unit="1",
        formula="SD_i n_i / mean_i n_i",
        source="Shazeer et al. 2017, whose load loss is its square",
        better="less",
        lowest=0,
    ),
    "moe/dead_experts": Metric(
        label="experts with hardly any load",
        meaning="Number of experts that get less than a tenth of their fair share of the load.",
        unit="1",
        formula="#{i : f_i < 0.1 / N}",
        source="own definition",
        better="less",
        lowest=0,
    ),
    "moe/effective_experts": Metric(
        label="effective share of the experts",
        meaning="Perplexity of the load, divided by N: 1 is even, 1/N collapsed.",
        unit="1",
        formula="exp(-Σ_i f_i ln f_i) / N",
        source="own definition",
        better="greater",
        lowest=0,
        highest=1,
    ),
    "moe/router_entropy": Metric(
        label="entropy of the router's choice",
        meaning="Mean entropy of the router's probabilities of a token.",
        unit="nats",
        formula="mean_t -Σ_i p_i(t) ln p_i(t)",
        lowest=0,
    ),
    "moe/dropped_share": Metric(
        label="share of assignments that no expert takes",
        meaning="Share of the assignments that no expert takes; 0 for built-in mixtures.",
        unit="1",
        formula="1 - Σ_i n_i / (top_k · kept tokens)",
        source="Switch Transformers (Fedus et al. 2021), dropped tokens",
        better="less",
        lowest=0,
        highest=1,
    ),
    "moe/balance_loss": Metric(
        label="balance loss",
        meaning="Balance loss on held-out data, without its weight: 1 if even, N if collapsed.",
        unit="1",
        formula="N Σ_i f_i P_i",
        source="Switch Transformers (Fedus et al. 2021), equations 4 to 6, without alpha",
        better="less",
        lowest=0,
    ),
    "moe/selection": Metric(
        label="share of a domain's assignments",
        meaning="Share of the assignments of one domain's tokens that one expert of a layer gets.",
        unit="1",
        formula="n_di / Σ_j n_dj, with n_di the assignments of domain d to expert i",
        lowest=0,
        highest=1,
        exchangeable="expert",
    ),
    "moe/nmi_domain": Metric(
        label="agreement of experts and domains above chance",
        meaning=(
            "How much the choice of an expert reveals about the sequence's domain, above chance. "
            "Curves over the training show it without the correction for chance."
        ),
        unit="1",
        formula="moe/nmi_domain_raw - moe/nmi_domain_null",
        source="own definition, not the adjusted mutual information",
        lowest=-1,
        highest=1,
    ),
    "moe/nmi_domain_raw": Metric(
        label="agreement of experts and domains",
        meaning="Normalised mutual information of expert and domain: 0 independent, 1 one-to-one.",
        unit="1",
        formula="2 I(e; d) / (H(e) + H(d)), from counts of assignments",
        source="scikit-learn, normalized_mutual_info_score (arithmetic mean)",
        lowest=0,
        highest=1,
    ),
    "moe/nmi_domain_null": Metric(
        label="agreement of experts and domains by chance",
        meaning="Mean of `moe/nmi_domain_raw` where the labels of whole sequences are permuted.",
        unit="1",
        formula="mean over options.n_permutations permutations",
        source="permutation null",
        lowest=0,
        highest=1,
    ),
    "moe/nmi_domain_p": Metric(
        label="p-value of experts agreeing with domains",
        meaning="Permutation p-value of `moe/nmi_domain_raw`.",
        unit="1",
        formula="(1 + #{null ≥ raw}) / (1 + options.n_permutations)",
        source="permutation test",
        better="less",
        lowest=0,
        highest=1,
    ),
    "moe/nmi_token": Metric(
        label="agreement of experts and tokens above chance",
        meaning=(
            "How much the choice of an expert reveals about the token, beyond its domain. Curves "
            "over the training show it without the correction for chance."
        ),
        unit="1",
        formula="moe/nmi_token_raw - moe/nmi_token_null",
        source="own definition, not the adjusted mutual information",
        lowest=-1,
        highest=1,
    ),
    "moe/nmi_token_raw": Metric(
        label="agreement of experts and tokens",
        meaning="Normalised mutual information of expert and token: 0 independent, 1 one-to-one.",
        unit="1",
        formula="2 I(e; s) / (H(e) + H(s)), from counts of assignments",
        source="scikit-learn, normalized_mutual_info_score (arithmetic mean)",
        lowest=0,
        highest=1,
    ),
    "moe/nmi_token_null": Metric(
        label="agreement of experts and tokens by chance",
        meaning="Mean of `moe/nmi_token_raw` where the tokens of each domain are permuted.",
        unit="1",
        formula="mean over options.n_permutations permutations",
        source="permutation null",
        lowest=0,
        highest=1,
    ),
    "moe/nmi_token_p": Metric(
        label="p-value of experts agreeing with tokens",
        meaning="Permutation p-value of `moe/nmi_token_raw`.",
        unit="1",
        formula="(1 + #{null ≥ raw}) / (1 + options.n_permutations)",
        source="permutation test",
        better="less",
        lowest=0,
        highest=1,
    ),
}
