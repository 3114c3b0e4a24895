"""One invocation of the command: plan, tune if requested, compute, report. No torch."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from runner.claims import registration
from runner.claims.registration import Registration
from runner.config import ConfigError, PlanMode, StudyError
from runner.plan import planning
from runner.plan.plan import Plan
from runner.plan.report_spec import ReportSpec, read_report_spec
from runner.plan.text_encoding import check_encodable
from runner.records import provenance
from runner.records.store import Store
from runner.report import repeated_looks
from runner.report.study_report import report_study
from runner.study import interrupts, preview, tuning
from runner.study.entries import Entry, list_trials, lock_store, raise_if_any_failed
from runner.study.heartbeat import Heartbeat
from runner.study.run import run_trials
from runner.study.step_timing import time_steps_alone
from runner.study.store_use import use_trials
from runner.study.study_part import StudyPart
from runner.wording.durations import format_duration
from runner.wording.names import format_count
from runner.wording.output import describe_error, escape_unprintable, truncate_middle

PREPARING = "preparing the arms and their data"  # the first run of a task reads its texts


def with_elapsed_time(work: str) -> Callable[[], str]:
    """Return a function that returns a line on some work, with the seconds so far if they are many.

    So a line that is printed again says something new.
    """
    began = time.monotonic()

    def line() -> str:
        seconds = time.monotonic() - began
        return work if seconds < 5 else f"{work} ({format_duration(seconds)} so far)"

    return line


@dataclass(frozen=True)
class FinishedStudy:
    """The result of one invocation.

    Attributes:
        plan: the plan, after tuning.
        entries: its trials.
        folder: the run folder; None if no report was written, as with `plan=only`.
        summary: one line: `moe: 4 trials, 0 reused: outputs/moe/runs/...`; "" if it is only opened.
    """

    plan: Plan
    entries: tuple[Entry, ...]
    folder: Path | None
    summary: str


def run_and_report(config: DictConfig, overrides: Sequence[str], command: str = "") -> str:
    """Plan, tune if requested, compute and report; return a summary line: `moe: 4 trials, ...`.

    It raises the errors of `run_study`.
    """
    return run_study(config, overrides, command).summary


def run_study(
    config: DictConfig,
    overrides: Sequence[str],
    command: str = "",
    *,
    on_plan: Callable[[Plan], None] = lambda _: None,
    part: StudyPart = StudyPart.whole,
) -> FinishedStudy:
    """Plan, tune if requested, compute and report.

    Args:
        config: the composed config.
        overrides: the overrides that the config was composed from.
        command: the command that the report shows; by default it is made from the overrides.
        on_plan: is called with the plan before any trial is computed. It may add notes.
        part: the part of the study to do; by default all of it.

    Raises:
        ConfigError: bad input; no trial is computed.
        StudyError: some trials failed, or the report could not be written. All other trials are
            computed and reported, and the store keeps them. If tuning trials failed there is no
            report, because the arms to compute are unknown.
    """
    check_encodable(config)
    with Heartbeat(with_elapsed_time(PREPARING), first=1.0):
        plan = planning.make_plan(
            config,
            overrides,
            command=escape_unprintable(command),
            reports=part is not StudyPart.trials,
        )
        on_plan(plan)
    if plan.study.plan is PlanMode.only:
        return preview_plan(plan, config, overrides)
    with use_trials(plan.outputs, plan.experiment):
        return compute_and_report(plan, config, overrides, part)


def compute_and_report(
    plan: Plan, config: DictConfig, overrides: Sequence[str], part: StudyPart
) -> FinishedStudy:
    """Do a part of a planned study: tune, compute the missing trials, report; see `run_study`."""
    texts, written_arms = read_report_spec(plan.study), plan.study.arms
    tuned = None
    if part is StudyPart.opening:
        if plan.study.tune.key is None:  # a tuned arm is unknown until its tuning is done
            register_plan_claims(plan, texts, written_arms)
        return FinishedStudy(plan, (), None, "")
    if plan.study.tune.key is not None:
        plan, tuned = tuning.tune(plan, config, overrides)
    interrupts.raise_if_interrupted()
    registrations = register_plan_claims(plan, texts, written_arms)
    if part is not StudyPart.trials:
        plan.notes.extend(repeated_looks.looks_warnings(plan, texts))
    try:
        entries = list_trials(plan) if part is StudyPart.report else run_trials(plan)
        if part is not StudyPart.trials:
            time_steps_alone(plan, entries)
    except ConfigError as error:
        if tuned is None:
            raise
        raise StudyError(
            str(error)
        ) from error  # tuning has computed trials, so that this is not a refused input
    interrupts.raise_if_interrupted()
    if part is StudyPart.trials:
        raise_if_any_failed(plan, entries)
        return FinishedStudy(plan, tuple(entries), None, summarise_trials(plan, entries, part))
    folder = report_entries(plan, entries, texts, tuned, registrations)
    summary = f"{summarise_trials(plan, entries, part)}: {folder / 'report.html'}"
    return FinishedStudy(plan, tuple(entries), folder, summary)


def report_entries(
    plan: Plan,
    entries: Sequence[Entry],
    texts: ReportSpec,
    tuned: tuning.TuningResult | None,
    registrations: Mapping[str, Registration],
) -> Path:
    """Write the report of a plan's trials; return the run folder.

    Raises:
        StudyError: some trials have no result, or the report could not be written.
    """
    folder, failure = None, None
    try:
        with Heartbeat(with_elapsed_time("writing the report")):
            folder = report_study(plan, entries, texts, tuned, registrations)
    except Exception as error:
        interrupts.raise_if_interrupted()
        failure = error
    unreported = ""
    if failure:
        unreported = (
            f"the report could not be written: {truncate_middle(describe_error(failure), 120)}"
        )
    elif folder is None:
        unreported = "there is no report: no trial has a result"
    try:
        raise_if_any_failed(plan, entries, unreported, failure)
    except StudyError as error:
        error.folder = folder
        raise
    if folder is None:
        raise StudyError(describe_missing_report(plan, unreported)) from failure
    return folder


def summarise_trials(plan: Plan, entries: Sequence[Entry], part: StudyPart) -> str:
    """Return the experiment and its number of trials: `moe: 4 trials, 0 reused`.

    A report of trials that the jobs of a sweep have computed does not call them reused.
    """
    trials = f"{plan.experiment}: {format_count(len(entries), 'trial')}"
    reused = sum(entry.reused for entry in entries)
    return trials if part is StudyPart.report else f"{trials}, {reused} reused"


def preview_plan(plan: Plan, config: DictConfig, overrides: Sequence[str]) -> FinishedStudy:
    """Print the trials that a plan would compute, without writing files."""
    tuned = plan.study.tune.key is not None
    grid = tuning.grid_plan(plan, config, overrides) if tuned else None
    entries = list_trials(plan)
    print(  # noqa: T201
        preview.format_preview(plan, entries, (grid, list_trials(grid)) if grid else None),
        flush=True,
    )
    missing = sum(not entry.reused for entry in entries)
    summary = (
        f"{plan.experiment}: {format_count(len(entries), 'trial')} planned, "
        f"{missing} of them missing"
    )
    return FinishedStudy(plan, tuple(entries), None, summary)


def describe_missing_report(plan: Plan, unreported: str) -> str:
    """Return why there is no report, and the folder of the results."""
    return (
        f"{unreported}\n"
        f"all results are kept in {Store.trials_folder(plan.outputs, plan.experiment)}; "
        "the same command reuses them"
    )


def register_plan_claims(
    plan: Plan, texts: ReportSpec, written_arms: Mapping[str, list[str]]
) -> dict[str, Registration]:
    """Register the claims of a plan before any trial is computed; a smoke run judges none.

    `written_arms` are the overrides of the arms before tuning.
    """
    if texts.scale == "smoke" or not texts.claims:
        return {}
    context = registration.RegistrationContext(
        experiment=plan.experiment,
        scale=texts.scale,
        arms=written_arms,
        signatures={arm.name: arm.signature for arm in plan.arms},
        seeds=plan.seeds,
        signature_texts={arm.name: arm.signature_text for arm in plan.arms},
    )
    path = registration.claim_ledger_path(plan.outputs, plan.experiment)
    try:
        with lock_store(plan) as store:
            now = provenance.current_time()
            return registration.register_in_ledger(
                texts.claims, context, store, path, now, plan.notes
            )
    except OSError as error:
        plan.notes.append(
            f"claims could not be registered ({describe_error(error)}): all are invalid"
        )
        unknown = Registration(shipped=False, registered="", late=True)
        return {claim.id: replace(unknown, hash=claim.fingerprint) for claim in texts.claims}
