"""Count repeated looks: reports on the same arms under other seeds. Imports no torch.

`outputs/<experiment>/looks.jsonl` has a line for each report. A user who adds seeds until an arm is
better, or who tries other seeds, has several chances of a false finding. So "better" is judged at
alpha divided by the number of looks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from runner.plan.plan import Plan, PlannedArm, effective_baseline
from runner.plan.report_spec import ReportSpec
from runner.records import ledger, store
from runner.records.store import Store
from runner.stats.standing import least_deciding_seeds

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


@dataclass(frozen=True)
class RepeatedLooks:
    """The looks at the arms of a run.

    number    number of looks, including this one
    sets      the seeds of each look, the oldest first
    left_out  seeds that were computed for these arms and are not in this run
    """

    number: int = 1
    sets: list[list[int]] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)

    @property
    def words(self) -> str:
        """The look in words, e.g. "third look (8, 9, 10 seeds)"; "" for the first."""
        if self.number < 2:
            return ""
        known = self.number <= len(ORDINALS)
        ordinal = ORDINALS[self.number - 1] if known else f"{self.number}th"
        return f"{ordinal} look ({self._seeds})"

    @property
    def left_out_words(self) -> str:
        """A clause on the seeds that were left out; "" if there are none."""
        if not self.left_out:
            return ""
        one = len(self.left_out) == 1
        were = (
            "was computed for these arms and is" if one else "were computed for these arms and are"
        )
        seeds = format_seed_ranges(self.left_out)
        return f"seed{'' if one else 's'} {seeds} {were} left out of this run"

    @property
    def _seeds(self) -> str:
        """The number of seeds of each look, if each look only added seeds; otherwise its seeds."""
        one_start = len({min(seeds) for seeds in self.sets if seeds}) == 1
        by_size = pairwise(sorted(self.sets, key=len))
        if one_start and all(set(fewer) < set(more) for fewer, more in by_size):
            return f"{', '.join(str(len(seeds)) for seeds in self.sets)} seeds"
        return f"seeds {', '.join(format_seed_ranges(seeds) for seeds in self.sets)}"


def format_seed_ranges(seeds: Sequence[int]) -> str:
    """Return seeds as ranges, e.g. "0-7, 9"."""
    ranges: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if ranges and seed == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], seed]
        else:
            ranges.append([seed])
    return ", ".join("-".join(map(str, dict.fromkeys(ends))) for ends in ranges)


@dataclass(frozen=True)
class ReportedComparison:
    """The comparison that a report makes: arm name -> identity, baselines, and seeds.

    The seed offset that all arms share is in the seeds, not in the identities: `seed=8` and
    `seed_offset=8` are the same seeds. The second arm of an A/A pair keeps its relative offset.
    """

    arms: Mapping[str, str]
    baselines: Sequence[str]
    seeds: Sequence[int]

    def ledger_line(self, *, time: str, scale: str) -> dict[str, Any]:
        """Return the line of this report in the ledger."""
        baselines = [self.arms[name] for name in self.baselines]
        return {
            "time": time,
            "scale": scale,
            "seeds": list(self.seeds),
            "arms": dict(self.arms),
            "baseline": baselines,
        }


def build_comparison(
    arms: Sequence[PlannedArm], baselines: Sequence[str], seeds: Sequence[int]
) -> ReportedComparison:
    """Return the comparison of a plan's report; the first of `baselines` is the study's."""
    offsets = {arm.name: arm.config.seed_offset for arm in arms}
    common = offsets[baselines[0]]
    identities = {
        arm.name: arm_identity(arm.signature_text, offsets[arm.name] - common) for arm in arms
    }
    names = [name for name in dict.fromkeys(baselines) if name in identities]
    return ReportedComparison(identities, names, [seed + common for seed in seeds])


def arm_identity(signature_text: str, offset: int) -> str:
    """Return the signature that an arm has at seed offset 0, followed by its relative offset."""
    signed = json.loads(signature_text)
    signed["config"]["seed_offset"] = 0
    without_offset = store.signature(json.dumps(signed, sort_keys=True))
    return f"{without_offset}{offset:+d}" if offset else without_offset


def looks_path(outputs: Path, experiment: str) -> Path:
    """Return the path of the ledger of an experiment's looks."""
    return outputs / experiment / "looks.jsonl"


def count_looks(
    run: ReportedComparison, lines: Sequence[Mapping[str, Any]], left_out: Sequence[int]
) -> RepeatedLooks:
    """Return the looks at the arms of a run, including this one.

    A look at an arm and its baseline is a set of seeds under which both were reported. The arm with
    the most looks counts. The second arm of an A/A pair does not count, as it is not compared.
    """
    own = tuple(sorted(run.seeds))
    past = [entry for entry in map(_seeds_and_arms, lines) if entry is not None]
    compared = {name: arm for name, arm in run.arms.items() if "+" not in arm and "-" not in arm}
    most: list[tuple[int, ...]] = [own]
    for baseline in run.baselines:
        for arm in compared.values():
            pair = {run.arms[baseline], arm}
            if len(pair) < 2:
                continue
            sets = dict.fromkeys(seeds for seeds, arms in past if pair <= arms)
            sets |= {own: None}
            if len(sets) > len(most):
                most = list(sets)
    return RepeatedLooks(len(most), [list(seeds) for seeds in most], sorted(left_out))


def _seeds_and_arms(line: Mapping[str, Any]) -> tuple[tuple[int, ...], set[str]] | None:
    """Return the seeds and arms of a line; None if it does not match the schema."""
    seeds, arms = line.get("seeds"), line.get("arms")
    if not isinstance(seeds, list) or not isinstance(arms, dict):
        return None
    if not all(isinstance(seed, int) for seed in seeds):
        return None
    return tuple(sorted(set(seeds))), {arm for arm in arms.values() if isinstance(arm, str)}


def find_other_finished_seeds(
    trial_store: Store, signatures: Sequence[str], seeds: Sequence[int]
) -> list[int]:
    """Return the seeds that were finished for any of these arms and are not in `seeds`."""
    own = {*seeds}
    return sorted(
        {
            seed
            for signature in dict.fromkeys(signatures)
            for seed, slot in trial_store.slots_by_seed(signature).items()
            if seed not in own and slot.first_finish_time() is not None
        }
    )


def append_look(run: ReportedComparison, path: Path, *, time: str, scale: str) -> str:
    """Add a report to the ledger; return a line that says why that failed, or ""."""
    reason = ledger.append(path, run.ledger_line(time=time, scale=scale))
    return f"later runs will not count this look, {path.name}: {reason}" if reason else ""


def comparison_of_plan(plan: Plan, outline: ReportSpec) -> ReportedComparison | None:
    """Return the comparison of a plan's report; None for a smoke run, which is no evidence."""
    if outline.scale == "smoke":
        return None
    own = [headline.baseline for headline in outline.headline if headline.baseline]
    return build_comparison(
        plan.arms, [effective_baseline(plan.arms, plan.study), *own], plan.seeds
    )


def load_looks(plan: Plan, outline: ReportSpec) -> RepeatedLooks | None:
    """Return the looks at the arms of a plan, including this run; None for a smoke run."""
    comparison = comparison_of_plan(plan, outline)
    if comparison is None:
        return None
    lines = ledger.read_entries(looks_path(plan.outputs, plan.experiment))
    return count_looks(comparison, lines, find_left_out_seeds(plan))


def looks_warnings(plan: Plan, outline: ReportSpec) -> list[str]:
    """Return warnings before a run: a damaged ledger, or too few seeds for this look."""
    looks = load_looks(plan, outline)
    if looks is None:
        return []
    fault = ledger.describe_damage(looks_path(plan.outputs, plan.experiment))
    lines = [fault] if fault else []
    needed = least_deciding_seeds(looks.number)
    if looks.number < 2 or len(plan.seeds) >= needed:
        return lines
    return [
        *lines,
        f"this is the {looks.words} at these arms: with {len(plan.seeds)} seeds, no arm can be "
        f"called better or worse; that takes at least {needed} seeds (n_seeds={needed})",
    ]


def find_left_out_seeds(plan: Plan) -> list[int]:
    """Return the seeds that were computed for the arms of a plan and are not in it."""
    signatures = [arm.signature for arm in plan.arms]
    return find_other_finished_seeds(Store(plan.outputs, plan.experiment), signatures, plan.seeds)


def is_single_seed_of_sweep(plan: Plan) -> bool:
    """Return whether this run computes one seed of a sweep, which does not count as a look.

    `-m seed=0,1,2,3 n_seeds=1` fills the store from many machines; a run over all seeds reports.
    """
    has_hydra = HydraConfig.initialized()
    return len(plan.seeds) == 1 and has_hydra and HydraConfig.get().mode is RunMode.MULTIRUN
