"""The final metrics that the trials of an arm record, by name, without torch.

By these a plan refuses a metric that no trial will have. `layer*` in a name stands for a layer
of the model, `length*` and `depth*` for a number, and `*` for a label of the task or of a choice.
A trial that diverges may have fewer.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from experiments.ffn import FFNOptions
from experiments.flash_attention import FlashOptions
from experiments.gqa_vs_mha import GQAOptions
from experiments.head_analysis import HeadAnalysisOptions
from experiments.moe import MoEOptions
from experiments.norm_stability import NormStabilityOptions
from experiments.translation import TranslationOptions

COST = ("cost/parameters", "cost/active_parameters", "cost/flops_per_token")
TRAINED = ("val/loss", "train/spike_score", "time/step", "time/throughput")
SCORES = ("entropy", "entropy_share", "distance", "distance_share", "diagonal", "previous")
COPYING = ("induction", "duplicate")
BALANCE = ("load_max_violation", "load_cv", "dead_experts", "effective_experts", "router_entropy")


@dataclass(frozen=True)
class ExpectedMetrics:
    """Names of metrics, and how many layers, heads and experts there are."""

    names: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)

    def has(self, metric: str) -> bool:
        """Whether a trial records this metric."""
        parts = metric.split("/")
        for part in parts:
            numbered = re.fullmatch(r"(layer|head|expert)(\d{1,9})", part)
            if numbered and int(numbered[2]) >= self.counts.get(numbered[1], 0):
                return False
        return any(
            len(parts) == len(pattern) and all(map(fnmatchcase, parts, pattern))
            for pattern in (name.split("/") for name in self.names)
        )

    def may_match(self, template: str) -> bool:
        """Whether a trial may record a metric of a template, whose `{words}` stand for anything.

        Parts with a `*` on both sides are compared by their beginnings and ends alone.
        """
        if "{" not in template:
            return self.has(template)
        parts = re.sub(r"\{\w+\}", "*", template).split("/")
        return any(
            len(parts) == len(pattern) and all(map(_may_meet, parts, pattern))
            for pattern in (name.split("/") for name in self.names)
        )


def _may_meet(one: str, other: str) -> bool:
    """Whether some word may be of both patterns, as far as their beginnings and ends tell."""
    if "*" not in one or "*" not in other:
        return fnmatchcase(one, other) or fnmatchcase(other, one)
    starts, ends = (one.split("*")[0], other.split("*")[0]), (one[::-1], other[::-1])
    reversed_ends = (ends[0].split("*")[0], ends[1].split("*")[0])
    return all(a.startswith(b) or b.startswith(a) for a, b in (starts, reversed_ends))


def list_expected_metrics(options: object, parts: Mapping[str, Any]) -> ExpectedMetrics:
    """What trials record of an experiment with these options, made of these parts.

    Of options that are not known here, as those of a plug-in, everything is taken to be recorded.
    """
    if type(options) not in NAMES:
        return ExpectedMetrics(tuple("/".join(["*"] * depth) for depth in range(1, 8)))
    counts = {
        "layer": parts["model"].n_layers,
        "head": parts["attention"].heads if "attention" in parts else 0,
        "expert": parts["ffn"].experts if "ffn" in parts else 0,
    }
    if isinstance(options, NormStabilityOptions):
        # The stream has a place before the first layer and one behind each.
        counts["layer"] = 1 + max([counts["layer"], *options.depths])
    return ExpectedMetrics(tuple(NAMES[type(options)](options, parts)), counts)


def _ffn(options: FFNOptions, parts: Mapping[str, Any]) -> list[str]:  # noqa: ARG001
    names = [
        f"ffn/{name}{when}"
        for name in ("zero_share", "small_share", "output_rms")
        for when in ("", "_init", "_change")
    ]
    return [*TRAINED, *COST, *names, *(f"{name}/layer*" for name in names)]


def _moe(options: MoEOptions, parts: Mapping[str, Any]) -> list[str]:  # noqa: ARG001
    if not parts["ffn"].experts:
        return [*TRAINED, *COST]
    information = ["nmi_domain", "nmi_token"] if parts["task"].symbols else ["nmi_domain"]
    both = [*BALANCE, "dropped_share", "balance_loss"]
    both += [name + what for name in information for what in ("", "_raw")]
    names = [f"moe/{name}{where}" for name in both for where in ("", "/layer*")]
    names += [f"moe/{name}_{what}" for name in information for what in ("null", "p")]
    single = ["moe/load/layer*/expert*", "moe/selection/layer*/*/expert*"]
    return [*TRAINED, *COST, *names, *single]


def _translation(options: TranslationOptions, parts: Mapping[str, Any]) -> list[str]:  # noqa: ARG001
    names = ["exact_match", "chrf", "exact_match/*", "loss/*"]
    if parts["task"].numerals:
        names.append("exact_match_digits/*")
    return [*TRAINED, *COST, *(f"translation/{name}" for name in names)]


def _norm_stability(options: NormStabilityOptions, parts: Mapping[str, Any]) -> list[str]:  # noqa: ARG001
    names = ["loss_last", "grad_sd", "grad_max", "diverged"]
    if options.depths:
        names += ["grad_slope", "variance_slope"]
        names += [f"{name}/depth*" for name in ("grad_last", "grad_first_last", "variance_last")]
        names += [f"{name}/depth*/layer*" for name in ("grad", "grad_stream", "variance")]
    return [*TRAINED, *COST, *(f"norm/{name}" for name in names)]


def _gqa(options: GQAOptions, parts: Mapping[str, Any]) -> list[str]:  # noqa: ARG001
    names = ["cache_of_layer/length*", "cache_bytes", "attention_parameters"]
    names += ["parameter_reduction", "cache_reduction", "loss_converted"]
    if options.rounds:
        names += [f"{name}_time/length*" for name in ("decode", "prefill", "mixing")]
        names += ["decode_time", "decode_bandwidth", "read_limit", "generation"]
    if options.rounds and len(options.lengths) > 1:
        names.append("decode_slope")
    return [*TRAINED, *COST, *(f"gqa/{name}" for name in names)]


def _flash(options: FlashOptions, parts: Mapping[str, Any]) -> list[str]:
    names = ["peak", "peak_backward", "peak_formula", "saved_bytes", "time", "time_backward"]
    if parts["attention"].kernel == "tiled":
        names.append("executed_share")
    exact = ["error_forward", "error_grad_q", "error_grad_k", "error_grad_v"]
    exact += ["error_ratio", "error_ratio_grad", "difference_to_naive"]
    judged = [length for length in options.lengths if length <= options.reference_up_to]
    found = [f"flash/{name}/length*" for name in [*names, *(exact if judged else [])]]
    found += [f"flash/{name}" for name in names if options.length in options.lengths]
    return found + [f"flash/{name}" for name in exact if options.length in judged]


def _heads(options: HeadAnalysisOptions, parts: Mapping[str, Any]) -> list[str]:
    task, scores = parts["task"], [*SCORES, "earlier_offset"]
    names: list[str] = [f"{name}_contrast" for name in ("entropy", "distance", "diagonal")]
    names += [f"{name}/layer*/head*/*" for name in ("entropy", "distance", "diagonal")]
    if task.has_planted_lags:
        scores.append("offset_*")
        names += [
            f"planted{what}{of}" for what in ("", "_initial", "_uniform") for of in ("", "/*")
        ]
    if task.repeats:
        scores += COPYING
        names += [
            f"{name}{what}" for name in ("copy_accuracy", "icl_score") for what in ("", "_initial")
        ]
        if options.n_orders:
            names += ["ablation/*", "prunable/*", "pruning_area/*"]
    for score in scores:
        names += [
            f"{score}{what}" for what in ("", "_initial", "_spread", "_spread_initial", "_uniform")
        ]
        names += [f"{score}/layer*/head*", f"{score}/layer*/uniform"]
    trained = TRAINED if options.train else ("val/loss",)
    return [*trained, *COST, *(f"heads/{name}" for name in names)]


NAMES: dict[type, Callable[[Any, Mapping[str, Any]], list[str]]] = {
    FFNOptions: _ffn,
    FlashOptions: _flash,
    GQAOptions: _gqa,
    HeadAnalysisOptions: _heads,
    MoEOptions: _moe,
    NormStabilityOptions: _norm_stability,
    TranslationOptions: _translation,
}
