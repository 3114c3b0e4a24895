"""One invocation of the command: plan, tune where asked, compute, report. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

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
from runner.study.entries import list_trials, lock_store, raise_if_any_failed
from runner.study.run import run_trials
from runner.wording.names import format_count
from runner.wording.output import describe_error, escape_unprintable, truncate_middle


def run_and_report(config: DictConfig, overrides: Sequence[str], command: str = "") -> str:
    """The whole of one invocation: plan, tune where asked, compute, report; a line that sums it up.

    Raises:
        ConfigError: bad input; nothing is computed then.
        StudyError: some trials failed; everything else is computed and reported (where it is tuning
            trials that failed, nothing is reported: what arms to compute is not known). Or there
            is no report; the trials are kept.
    """
    check_encodable(config)
    plan = planning.make_plan(config, overrides, command=escape_unprintable(command))
    if plan.study.plan is PlanMode.only:
        return tell(plan, config, overrides)
    texts, written = read_report_spec(plan.study), plan.study.arms
    tuned = None
    if plan.study.tune.key is not None:
        plan, tuned = tuning.tune(plan, config, overrides)
    interrupts.raise_if_interrupted()
    registrations = register_plan_claims(plan, texts, written)
    plan.notes.extend(repeated_looks.looks_warnings(plan, texts))
    try:
        entries = run_trials(plan)
    except ConfigError as error:
        if tuned is None:
            raise
        raise StudyError(str(error)) from error  # tuning has computed: nothing was refused
    interrupts.raise_if_interrupted()
    folder, failure = None, None
    try:
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
    raise_if_any_failed(plan, entries, unreported, failure)
    if folder is None:
        raise StudyError(no_report(plan, unreported)) from failure
    reused = sum(entry.reused for entry in entries)
    return f"{plan.experiment}: {len(entries)} trials, {reused} reused: {folder / 'report.html'}"


def tell(plan: Plan, config: DictConfig, overrides: Sequence[str]) -> str:
    """Print what a plan would compute, and write nothing; a line that sums it up."""
    tuned = plan.study.tune.key is not None
    grid = tuning.grid_plan(plan, config, overrides) if tuned else None
    entries = list_trials(plan)
    print(  # noqa: T201
        preview.format_preview(plan, entries, (grid, list_trials(grid)) if grid else None),
        flush=True,
    )
    missing = sum(not entry.reused for entry in entries)
    return f"{plan.experiment}: {format_count(len(entries), 'trial')} planned, {missing} of them missing"


def no_report(plan: Plan, unreported: str) -> str:
    """What says why there is no report, and where the results lie."""
    return (
        f"{unreported}\n"
        f"all results are kept in {Store.trials_folder(plan.outputs, plan.experiment)}; the same command "
        "computes none of them again"
    )


def register_plan_claims(
    plan: Plan, texts: ReportSpec, written: Mapping[str, list[str]]
) -> dict[str, Registration]:
    """Register the claims of a plan before it computes anything; a smoke run decides none.

    `written` are the arms as they were before tuning.
    """
    if texts.scale == "smoke" or not texts.claims:
        return {}
    setting = registration.RegistrationContext(
        experiment=plan.experiment,
        scale=texts.scale,
        arms=written,
        signatures={arm.name: arm.signature for arm in plan.arms},
        seeds=plan.seeds,
        signature_texts={arm.name: arm.signature_text for arm in plan.arms},
    )
    where = registration.claim_ledger_path(plan.outputs, plan.experiment)
    try:
        with lock_store(plan) as store:
            now = provenance.current_time()
            return registration.register_in_ledger(
                texts.claims, setting, store, where, now, plan.notes
            )
    except OSError as error:
        plan.notes.append(
            f"claims could not be written down ({describe_error(error)}): all are invalid"
        )
        unknown = Registration(shipped=False, registered="", late=True)
        return {claim.id: replace(unknown, hash=claim.fingerprint) for claim in texts.claims}
