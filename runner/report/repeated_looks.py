"""How often the same arms were looked at: each report over other seeds is another look. No torch.

`outputs/<experiment>/looks.jsonl` has a line for each report that was written. Whoever adds seeds
until an arm is better, or tries other seeds, has had several chances; so "better" is judged at
alpha divided by the looks.
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

    number    how many there are, this one included
    sets      the seeds of each, the oldest first
    left_out  seeds that were computed for these arms and are not among this run's
    """

    number: int = 1
    sets: list[list[int]] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)

    @property
    def words(self) -> str:
        """E.g. "third look (8, 9, 10 seeds)"; "" for the first."""
        if self.number < 2:
            return ""
        known = self.number <= len(ORDINALS)
        ordinal = ORDINALS[self.number - 1] if known else f"{self.number}th"
        return f"{ordinal} look ({self._seeds})"

    @property
    def left_out_words(self) -> str:
        """The seeds that were left out, as a sentence without its full stop; "" without any."""
        if not self.left_out:
            return ""
        one = len(self.left_out) == 1
        were = (
            "was computed for these arms and is" if one else "were computed for these arms and are"
        )
        return f"seed{'' if one else 's'} {format_seed_ranges(self.left_out)} {were} left out of this run"

    @property
    def _seeds(self) -> str:
        """How many seeds each look had, where all start at the same one; else which."""
        one_start = len({min(seeds) for seeds in self.sets if seeds}) == 1
        by_size = pairwise(sorted(self.sets, key=len))
        if one_start and all(set(fewer) < set(more) for fewer, more in by_size):
            return f"{', '.join(str(len(seeds)) for seeds in self.sets)} seeds"
        return f"seeds {', '.join(format_seed_ranges(seeds) for seeds in self.sets)}"


def format_seed_ranges(seeds: Sequence[int]) -> str:
    """Seeds in few words, e.g. "0-7, 9"."""
    words: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if words and seed == words[-1][-1] + 1:
            words[-1] = [words[-1][0], seed]
        else:
            words.append([seed])
    return ", ".join("-".join(map(str, dict.fromkeys(ends))) for ends in words)


@dataclass(frozen=True)
class ReportedComparison:
    """What a report compares: arms by name with their identities, and the seeds they ran under.

    An identity leaves the common seed offset out, which is in the seeds instead: `seed=8` and
    `seed_offset=8` are the same other seeds. An A/A copy keeps what its offset differs by.
    """

    arms: Mapping[str, str]
    baselines: Sequence[str]
    seeds: Sequence[int]

    def ledger_line(self, *, time: str, scale: str) -> dict[str, Any]:
        """The line of a report in the ledger."""
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
    """What a plan's report compares; the first of `baselines` is the study's."""
    offsets = {arm.name: arm.config.seed_offset for arm in arms}
    common = offsets[baselines[0]]
    identities = {
        arm.name: arm_identity(arm.signature_text, offsets[arm.name] - common) for arm in arms
    }
    names = [name for name in dict.fromkeys(baselines) if name in identities]
    return ReportedComparison(identities, names, [seed + common for seed in seeds])


def arm_identity(signed: str, offset: int) -> str:
    """The signature that an arm has at seed offset 0, with what its own differs by."""
    what = json.loads(signed)
    what["config"]["seed_offset"] = 0
    plain = store.signature(json.dumps(what, sort_keys=True))
    return f"{plain}{offset:+d}" if offset else plain


def looks_path(outputs: Path, experiment: str) -> Path:
    """The ledger of an experiment's looks."""
    return outputs / experiment / "looks.jsonl"


def count_looks(
    run: ReportedComparison, lines: Sequence[Mapping[str, Any]], left_out: Sequence[int]
) -> RepeatedLooks:
    """The looks at the arms of a run, this one included.

    A look at a pair, an arm and what it is compared with, is a set of seeds under which both were
    reported; the pair that was looked at most often counts. An A/A copy makes no pair.
    """
    own = tuple(sorted(run.seeds))
    past = [entry for entry in map(_reported, lines) if entry is not None]
    plain = {name: mark for name, mark in run.arms.items() if "+" not in mark and "-" not in mark}
    best: list[tuple[int, ...]] = [own]
    for baseline in run.baselines:
        for mark in plain.values():
            pair = {run.arms[baseline], mark}
            if len(pair) < 2:
                continue
            sets = dict.fromkeys(seeds for seeds, marks in past if pair <= marks)
            sets |= {own: None}
            if len(sets) > len(best):
                best = list(sets)
    return RepeatedLooks(len(best), [list(seeds) for seeds in best], sorted(left_out))


def _reported(line: Mapping[str, Any]) -> tuple[tuple[int, ...], set[str]] | None:
    """The seeds and arms of a line; None where it does not have its form."""
    seeds, arms = line.get("seeds"), line.get("arms")
    if not isinstance(seeds, list) or not isinstance(arms, dict):
        return None
    if not all(isinstance(seed, int) for seed in seeds):
        return None
    return tuple(sorted(set(seeds))), {mark for mark in arms.values() if isinstance(mark, str)}


def find_other_finished_seeds(
    there: Store, signatures: Sequence[str], seeds: Sequence[int]
) -> list[int]:
    """Seeds that were finished for any of these arms, and are not this run's."""
    known = {*seeds}
    return sorted(
        {
            seed
            for mark in dict.fromkeys(signatures)
            for seed, slot in there.slots_by_seed(mark).items()
            if seed not in known and slot.first_finish_time() is not None
        }
    )


def append_look(run: ReportedComparison, where: Path, *, time: str, scale: str) -> str:
    """Add a report to the ledger; a line that says why that failed, "" if it did not."""
    reason = ledger.append(where, run.ledger_line(time=time, scale=scale))
    return f"this look is not counted by later runs, {where.name}: {reason}" if reason else ""


def comparison_of_plan(plan: Plan, outline: ReportSpec) -> ReportedComparison | None:
    """What a report compares with what; None for a smoke run, which shows nothing."""
    if outline.scale == "smoke":
        return None
    own = [headline.baseline for headline in outline.headline if headline.baseline]
    return build_comparison(
        plan.arms, [effective_baseline(plan.arms, plan.study), *own], plan.seeds
    )


def load_looks(plan: Plan, outline: ReportSpec) -> RepeatedLooks | None:
    """The looks at the arms of a plan, this run included; None for a smoke run."""
    comparison = comparison_of_plan(plan, outline)
    if comparison is None:
        return None
    written = ledger.read_entries(looks_path(plan.outputs, plan.experiment))
    return count_looks(comparison, written, find_left_out_seeds(plan))


def looks_warnings(plan: Plan, outline: ReportSpec) -> list[str]:
    """Lines before a run: the ledger is damaged, or too few seeds to tell anything by now."""
    look = load_looks(plan, outline)
    if look is None:
        return []
    fault = ledger.describe_damage(looks_path(plan.outputs, plan.experiment))
    lines = [fault] if fault else []
    enough = least_deciding_seeds(look.number)
    if look.number < 2 or len(plan.seeds) >= enough:
        return lines
    return [
        *lines,
        f"this is the {look.words}: with {len(plan.seeds)} seeds no arm can be called better or "
        f"worse any more; that takes {enough} (n_seeds={enough})",
    ]


def find_left_out_seeds(plan: Plan) -> list[int]:
    """Seeds that were computed for the arms of a plan, and are not in it."""
    marks = [arm.signature for arm in plan.arms]
    return find_other_finished_seeds(Store(plan.outputs, plan.experiment), marks, plan.seeds)


def is_single_seed_of_sweep(plan: Plan) -> bool:
    """Whether this run computes one seed of a sweep: a share of the work, and nothing to look at.

    `-m seed=0,1,2,3 n_seeds=1` fills the store from many machines; a run over all seeds reports.
    """
    known = HydraConfig.initialized()
    return len(plan.seeds) == 1 and known and HydraConfig.get().mode is RunMode.MULTIRUN
