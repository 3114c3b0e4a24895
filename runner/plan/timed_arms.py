"""The arms whose training steps are timed alone on the machine, because a claim needs it."""

from collections.abc import Sequence

from runner.metric_names import STEP_ALONE
from runner.plan import estimates
from runner.plan.plan import PlannedArm
from runner.plan.report_spec import ReportSpec
from runner.wording.output import join_names

TRAINS = "time/step"  # every arm that trains records it


def find_timed_arms(spec: ReportSpec, arms: Sequence[PlannedArm]) -> list[str]:
    """Return the training arms that a claim or headline on step times names."""
    named = {
        arm
        for claim in spec.claims
        if STEP_ALONE in claim.named_metrics
        for arm in claim.named_arms
    }
    if any(headline.metric == STEP_ALONE for headline in spec.headline):
        named |= {arm.name for arm in arms}
    return [
        arm.name
        for arm in arms
        if arm.name in named and estimates.expected_metrics(arm.config).has(TRAINS)
    ]


def note_timed_arms(spec: ReportSpec, arms: Sequence[PlannedArm]) -> list[str]:
    """Return a note on the arms whose steps are timed after the training; none without any."""
    names = find_timed_arms(spec, arms)
    if not names:
        return []
    return [
        f"after all trainings, steps of {join_names(names)} are timed alone, one trial at a time: "
        "the estimated time leaves this out"
    ]
