"""The names of the final metrics that the trials of an arm record. No torch.

A plan uses them to refuse metrics that no trial will record. In a name, `layer*` stands for a layer
of the model, and `length*` and `depth*` for a number. A plain `*` stands for a label of the task or
a choice of heads. A diverged trial may record fewer metrics.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from experiments.compare import CompareOptions
from experiments.ffn import FFNOptions
from experiments.flash_attention import FlashOptions
from experiments.gqa_vs_mha import GQAOptions, has_kv_heads
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
    """Names of metrics, and the numbers of layers, heads and experts (`counts`)."""

    names: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)

    def has(self, metric: str) -> bool:
        """Return whether a trial records this metric."""
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
        """Return whether a trial may record a metric that fits a template.

        A `{word}` in the template stands for any text. Where both the template and a name have a
        `*` in the same part, only the beginnings and ends of these parts are compared.
        """
        if "{" not in template:
            return self.has(template)
        parts = re.sub(r"\{\w+\}", "*", template).split("/")
        return any(
            len(parts) == len(pattern) and all(map(_may_overlap, parts, pattern))
            for pattern in (name.split("/") for name in self.names)
        )


def _may_overlap(one: str, other: str) -> bool:
    """Return whether a word may match both patterns, judged by their beginnings and ends."""
    if "*" not in one or "*" not in other:
        return fnmatchcase(one, other) or fnmatchcase(other, one)
    starts, mirrored = (one.split("*")[0], other.split("*")[0]), (one[::-1], other[::-1])
    mirrored_ends = (mirrored[0].split("*")[0], mirrored[1].split("*")[0])
    return all(a.startswith(b) or b.startswith(a) for a, b in (starts, mirrored_ends))


def list_expected_metrics(options: object, parts: Mapping[str, Any]) -> ExpectedMetrics:
    """Return the metrics that a trial with these options and parts records.

    For unknown options, such as those of a plug-in, every name counts as recorded.
    """
    if type(options) not in NAMES:
        return ExpectedMetrics(tuple("/".join(["*"] * depth) for depth in range(1, 8)))
    counts = {
        "layer": parts["model"].n_layers if "model" in parts else 0,
        "head": parts["attention"].heads if "attention" in parts else 0,
        "expert": parts["ffn"].experts if "ffn" in parts else 0,
    }
    if isinstance(options, NormStabilityOptions):
        # The residual stream is measured before the first layer and after every layer.
        counts["layer"] = 1 + max([counts["layer"], *options.depths])
    return ExpectedMetrics(tuple(list_names(type(options), options, parts)), counts)


def list_names(question: type, options: Any, parts: Mapping[str, Any]) -> list[str]:
    """Return the names of the metrics of a question, and of its task."""
    names = NAMES[question](options, parts)
    if "val/loss" in names and parts["task"].of_text:
        names.append("val/nats_per_byte")
    return names


def _compare(options: CompareOptions, parts: Mapping[str, Any]) -> list[str]:  # noqa: ARG001
    return [*TRAINED, *COST]


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
    per_layer = [*BALANCE, "dropped_share", "balance_loss"]
    per_layer += [name + suffix for name in information for suffix in ("", "_raw")]
    names = [f"moe/{name}{suffix}" for name in per_layer for suffix in ("", "/layer*")]
    names += [f"moe/{name}_{suffix}" for name in information for suffix in ("null", "p")]
    per_expert = ["moe/load/layer*/expert*", "moe/selection/layer*/*/expert*"]
    return [*TRAINED, *COST, *names, *per_expert]


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


def _gqa(options: GQAOptions, parts: Mapping[str, Any]) -> list[str]:
    if not has_kv_heads(parts["attention"]):
        names = ["attention_parameters", "loss_converted"]
        names += ["prefill_time/length*"] if options.rounds else []
        return [*TRAINED, *COST, *(f"gqa/{name}" for name in names)]
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
    errors = ["error_forward", "error_grad_q", "error_grad_k", "error_grad_v"]
    errors += ["error_ratio", "error_ratio_grad", "difference_to_naive"]
    compared = [length for length in options.lengths if length <= options.reference_up_to]
    metrics = [f"flash/{name}/length*" for name in [*names, *(errors if compared else [])]]
    metrics += [f"flash/{name}" for name in names if options.length in options.lengths]
    return metrics + [f"flash/{name}" for name in errors if options.length in compared]


def _heads(options: HeadAnalysisOptions, parts: Mapping[str, Any]) -> list[str]:
    task, scores = parts["task"], [*SCORES, "earlier_offset"]
    names: list[str] = [f"{name}_contrast" for name in ("entropy", "distance", "diagonal")]
    names += [f"{name}/layer*/head*/*" for name in ("entropy", "distance", "diagonal")]
    if task.has_planted_lags:
        scores.append("offset_*")
        names += [
            f"planted{suffix}{label}"
            for suffix in ("", "_initial", "_uniform")
            for label in ("", "/*")
        ]
    if task.repeats:
        scores += COPYING
        names += [
            f"{name}{suffix}"
            for name in ("copy_accuracy", "icl_score")
            for suffix in ("", "_initial")
        ]
        if options.n_orders:
            names += ["ablation/*", "prunable/*", "pruning_area/*"]
    for score in scores:
        names += [
            f"{score}{suffix}"
            for suffix in ("", "_initial", "_spread", "_spread_initial", "_uniform")
        ]
        names += [f"{score}/layer*/head*", f"{score}/layer*/uniform"]
    trained = TRAINED if options.train else ("val/loss",)
    return [*trained, *COST, *(f"heads/{name}" for name in names)]


NAMES: dict[type, Callable[[Any, Mapping[str, Any]], list[str]]] = {
    CompareOptions: _compare,
    FFNOptions: _ffn,
    FlashOptions: _flash,
    GQAOptions: _gqa,
    HeadAnalysisOptions: _heads,
    MoEOptions: _moe,
    NormStabilityOptions: _norm_stability,
    TranslationOptions: _translation,
}
