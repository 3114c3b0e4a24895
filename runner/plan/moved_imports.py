"""Hints for plug-ins whose imports fail, such as those of modules or names of an earlier version.

`runner.plugins` is part of every trial's code. The hints are not in it, so that a new hint does not
make trials stale.
"""

import os
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from runner import plugins
from runner.wording.names import did_you_mean, similar_names
from runner.wording.output import truncate_middle

ROOT = Path(__file__).resolve().parents[2]
OWN_PACKAGES = ("experiments", "runner")

REPLACED = {
    "experiments.config": "use `part` from experiments.parts, `task` from experiments.tasks, "
    "`question` from experiments",
    "experiments.cost": "a part has a method `cost`, and `Cost` is in experiments.parts",
    "experiments.nn.build": "a part has a method `build`, with `part` from experiments.parts",
    "experiments.tasks.build": "a task's options have a method `build`, with `task` from "
    "experiments.tasks; a page calls `build_task` of experiments.trial_setup",
    "experiments.probes.cost": "remove the call; the engine records costs (runner.trial.compute)",
    "experiments.nn.moe.MixtureOfExperts": "use `MixtureOfExperts` from experiments.nn.moe.mixture",
    "runner.trial.Trial": "use `Trial` from runner.trial.trial",
    "runner.study.run_and_report": "use `run_and_report` from runner.invocation",
    "experiments.corpora": "a task's options have `prepare` and `fingerprint`; text is read by "
    "experiments.tasks.corpora",
}
"""Imports with a new form, which is more than another name."""

MODULES = {
    "experiments.memory": "experiments.estimates.memory",
    "experiments.recorded": "experiments.estimates.expected_metrics",
    "experiments.start": "experiments.trial_setup",
    "experiments.estimates.recorded": "experiments.estimates.expected_metrics",
    "experiments.estimates.together": "experiments.estimates.compatibility",
    "experiments.nn.convert": "experiments.nn.kv_head_conversion",
    "experiments.nn.decode": "experiments.nn.decoding.translation",
    "experiments.nn.decoding.decode": "experiments.nn.decoding.translation",
    "experiments.nn.decoding.generate": "experiments.nn.decoding.generation",
    "experiments.nn.dispatch": "experiments.nn.moe.dispatch",
    "experiments.nn.generate": "experiments.nn.decoding.generation",
    "experiments.nn.keep": "experiments.nn.padding",
    "experiments.nn.kernels.online": "experiments.nn.kernels.online_softmax",
    "experiments.nn.kernels.work": "experiments.nn.kernels.head_chunks",
    "experiments.nn.kv_cache": "experiments.nn.decoding.kv_cache",
    "experiments.nn.routing": "experiments.nn.moe.routing",
    "experiments.parts.translator": "experiments.parts.encoder_decoder",
    "experiments.probes.finite": "experiments.probes.nonfinite",
    "experiments.probes.head_scores": "experiments.probes.heads.scores",
    "experiments.probes.heads.portraits": "experiments.probes.heads.summaries",
    "experiments.probes.heads.record": "experiments.probes.heads.head_metrics",
    "experiments.probes.heads.removals": "experiments.probes.heads.ablation_metrics",
    "experiments.probes.other_splits": "experiments.probes.extra_splits",
    "experiments.probes.saved": "experiments.probes.saved_activations",
    "experiments.tasks.corpora.alike": "experiments.tasks.corpora.normalisation",
    "experiments.tasks.corpora.build": "experiments.tasks.corpora.corpus_arrays",
    "experiments.tasks.corpora.cached": "experiments.tasks.corpora.cache_files",
    "experiments.tasks.corpora.files": "experiments.tasks.corpora.user_text",
    "experiments.tasks.corpora.find": "experiments.tasks.corpora.file_search",
    "experiments.tasks.corpora.sources": "experiments.tasks.corpora.package_text",
    "runner.training": "runner.trial.training",
    "runner.measure": "runner.trial.measure",
    "runner.protocols": "runner.trial.protocols",
    "runner.optimizer": "runner.trial.optimizer",
    "runner.checkpoint": "runner.trial.checkpoint",
    "runner.store": "runner.records.store",
    "runner.provenance": "runner.records.provenance",
    "runner.plots": "runner.figures",
    "runner.claims.copies": "runner.claims.aa_pairs",
    "runner.claims.keys": "runner.claims.claim_keys",
    "runner.claims.measured": "runner.claims.measurement",
    "runner.claims.rig": "runner.claims.preconditions",
    "runner.records.forms": "runner.records.schemas",
    "runner.records.private": "runner.records.private_folders",
    "runner.records.source": "runner.records.module_source",
    "runner.study.passes": "runner.study.timing_passes",
}
"""Former modules, and their new names."""

NAMES = {
    "experiments": {"measuring": "measurement_only"},
    "experiments.questions": {"measuring": "measurement_only"},
    "experiments.rules": {
        "at_least": "check_at_least",
        "has_fields": "check_has_fields",
        "share": "check_fraction",
    },
    "experiments.trial_setup": {
        "assemble": "build_task_and_model",
        "model_of": "build_model",
        "task_of": "build_task",
    },
    "experiments.estimates.compatibility": {"check_together": "check_compatible_options"},
    "experiments.estimates.expected_metrics": {
        "Recorded": "ExpectedMetrics",
        "recorded": "list_expected_metrics",
    },
    "experiments.nn.attention": {"one_query": "attend_one_query"},
    "experiments.nn.choice": {"check_choice": "check_known_name"},
    "experiments.nn.decoding.generation": {
        "decode": "decode_token",
        "greedy": "generate_greedily",
        "greedy_recomputed": "generate_greedily_uncached",
    },
    "experiments.nn.decoding.translation": {
        "greedy": "translate_greedily",
        "greedy_recomputing": "translate_greedily_uncached",
    },
    "experiments.nn.initialise": {"generator": "named_generator", "normal": "draw_normal"},
    "experiments.nn.kernels.kernel": {"fused": "fused_attention", "naive": "naive_attention"},
    "experiments.nn.kernels.shapes": {
        "check": "check_kernel_inputs",
        "hidden": "hidden_mask",
        "visible": "visible_mask",
    },
    "experiments.nn.kernels.tiled": {"tiled": "tiled_attention"},
    "experiments.nn.kv_head_conversion": {"convert": "convert_kv_heads"},
    "experiments.nn.moe.dispatch": {"grouped": "dispatch_grouped", "masked": "dispatch_masked"},
    "experiments.nn.moe.routing": {
        "Adapts": "AdaptsToRouting",
        "adapt": "adapt_to_routing",
        "total": "total_aux_loss",
    },
    "experiments.nn.padding": {"check_keep": "check_padding_mask", "places": "position_ids"},
    "experiments.parts": {"Slots": "NormSlots"},
    "experiments.parts.attention": {"Attention": "AttentionPart"},
    "experiments.parts.base": {"Slots": "NormSlots"},
    "experiments.parts.body": {"Model": "ModelOptions", "cost": "body_cost"},
    "experiments.parts.ffn": {"FeedForward": "FeedForwardPart"},
    "experiments.parts.moe": {"MixtureOfExperts": "MixturePart"},
    "experiments.parts.no_ffn": {"NoFeedForward": "NoFeedForwardPart"},
    "experiments.parts.norm": {"Norm": "NormPart"},
    "experiments.parts.transformer": {"Parts": "TransformerParts"},
    "experiments.probes.activations": {"Watch": "ActivationHooks"},
    "experiments.probes.extra_splits": {
        "OtherSplits": "ExtraSplitsProbe",
        "losses": "extra_split_losses",
        "others": "extra_splits",
    },
    "experiments.probes.gradients": {"Depth": "DepthProfile"},
    "experiments.probes.heads.summaries": {"portraits": "summarise_heads"},
    "experiments.probes.nonfinite": {
        "highest": "max_or_nan",
        "lowest": "min_or_nan",
        "number": "finite_or_nan",
        "numbers": "replace_nonfinite",
        "ratio": "ratio_or_nan",
    },
    "experiments.probes.routing": {"Layer": "LayerRouting", "table": "count_assignments"},
    "experiments.tasks.base": {
        "Ready": "TaskData",
        "code_of": "module_code_hashes",
        "digest": "hash_json",
    },
    "experiments.tasks.batch": {"unpadded": "unpadded_batch"},
    "experiments.tasks.byte_text": {"ByteText": "ByteTextTask"},
    "experiments.tasks.corpora.base": {"Source": "CorpusSource"},
    "experiments.tasks.corpora.corpus_arrays": {
        "arrays_of": "build_arrays",
        "shares": "split_evenly",
    },
    "experiments.tasks.corpora.cache_files": {
        "path_of": "cache_path",
        "read": "load_arrays",
        "write": "save_arrays",
    },
    "experiments.tasks.corpora.file_search": {"Found": "FoundFiles", "search": "find_files"},
    "experiments.tasks.corpora.japanese": {"japanese": "generate_japanese"},
    "experiments.tasks.corpora.normalisation": {
        "identity": "dedup_key",
        "is_text": "looks_like_text",
        "plain": "decode_to_utf8",
        "squeezed": "normalise",
    },
    "experiments.tasks.corpora.package_text": {
        "code": "read_code",
        "english": "read_english",
        "versions": "package_versions",
    },
    "experiments.tasks.corpora.user_text": {
        "Reading": "UserText",
        "read": "read_documents",
        "split": "split_held_out",
    },
    "runner.config": {"By": "MatchCost", "MOST": "INTEGER_LIMIT", "Planning": "PlanMode"},
    "runner.metric_names": {
        "KEPT": "KEPT_IF_DIVERGED",
        "NOTHING": "NOTHING_IF_DIVERGED",
        "START": "START_IF_DIVERGED",
        "Worth": "DivergedValue",
        "declared": "find_metric_or_default",
        "fill": "fill_template",
        "find": "find_metric",
        "pattern": "template_pattern",
        "worth": "value_if_diverged",
    },
    "runner.trial.measure": {
        "interleaved": "time_interleaved",
        "seconds": "mean_seconds",
        "settle": "calibrate_repeats",
    },
    "runner.trial.protocols": {
        "Batch": "BatchProtocol",
        "Output": "OutputProtocol",
        "Probe": "ProbeProtocol",
        "Task": "TaskProtocol",
        "Trial": "TrialProtocol",
    },
    "runner.trial.training": {
        "Course": "TrainingSetup",
        "Further": "SecondPhase",
        "Loop": "LoopState",
        "Stopped": "TrialStopped",
        "Watch": "StepProbe",
    },
}
"""Former names of classes, functions and constants in a module, and their new names."""


def list_moved_imports() -> Iterator[tuple[str, str]]:
    """Yield each former module or name, with a hint that has its new form."""
    yield from REPLACED.items()
    for old, module in MODULES.items():
        renamed = [f"{name} is `{new}`" for name, new in NAMES.get(module, {}).items()]
        yield old, f"use {module}" + (f": {', '.join(renamed)}" if renamed else "")
    for module, names in NAMES.items():
        for name, new in names.items():
            yield f"{module}.{name}", f"use `{new}` from {module}"


MOVED_IMPORTS = dict(list_moved_imports())


def load_plugins(modules: Iterable[str]) -> None:
    """Import plug-in modules as `runner.plugins` does, with hints for imports that have moved.

    Raises:
        ConfigError: a module cannot be imported.
    """
    plugins.import_plugins(modules, explain_import_error)


def explain_import_error(error: ImportError) -> str:
    """Return Python's message about a failed import with a hint, or that of a former name."""
    module = error.name or ""
    name = match[1] if (match := re.search(r"cannot import name '(\w+)'", str(error))) else ""
    # `from package import module`
    if hint := find_new_location(f"{module}.{name}" if name else module):
        return hint
    if name:
        is_own = module.partition(".")[0] in OWN_PACKAGES
        path = f" ({error.path})" if error.path and not is_own else ""
        hint = find_name(name, module)
        if "partially initialized" in str(error):
            hint = explain_circular_import(module, error.path or "")
        return f"cannot import name {name!r} from {module}{path}; {hint}"
    if module.partition(".")[0] in OWN_PACKAGES:
        parent, _, last = module.rpartition(".")
        similar = similar_names(last, list_submodules(parent)) if parent else []
        hint = did_you_mean([f"{parent}.{each}" for each in similar]) if similar else ""
        return f"ablab has no module {truncate_middle(module, 100)}" + (hint and f"; {hint}")
    return plugins.describe_import_error(error)


def explain_circular_import(module: str, path: str) -> str:
    """Return why the file at `path`, imported as a module, does not have its names yet."""
    top = module.partition(".")[0]
    is_library = Path(path).is_relative_to(Path(os.__file__).parent)
    if top in sys.stdlib_module_names and not is_library:
        return f"this file hides Python's own module {top}; rename it"
    return (
        "it is imported while its own imports run, so modules import each other; "
        "import the name inside the function that needs it"
    )


def find_name(name: str, module: str) -> str:
    """Return where a name is that a module does not have, or names of the module like it."""
    if module.partition(".")[0] in OWN_PACKAGES and (places := find_definitions(name)):
        return f"it is in {' and '.join(places[:2])}"
    known = [each for each in dir(sys.modules.get(module)) if not each.startswith("_")]
    similar = similar_names(name, known) if module in sys.modules else []
    return did_you_mean(similar) if similar else "it has no such name"


def find_definitions(name: str) -> list[str]:
    """Return the modules of ablab that define a name at their top level."""
    pattern = re.compile(rf"^(?:class |def |){name}\b(?=[(:\[]| *[:=])", re.MULTILINE)
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in OWN_PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if pattern.search(path.read_text(encoding="utf-8"))
    ]


def list_submodules(package: str) -> list[str]:
    """Return the names of the modules in a package of ablab."""
    return [module.name for module in pkgutil.iter_modules([str(ROOT / Path(*package.split(".")))])]


def find_new_location(module: str) -> str:
    """Return the hint for a former module, or for a name in one; "" if there is none."""
    for old, new in MOVED_IMPORTS.items():
        if module == old or module.startswith(f"{old}."):
            return f"{old} no longer exists: {new} (docs/bring_your_own.md)"
    return ""
