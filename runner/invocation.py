"""One invocation of the command: plan, tune where asked, compute, report. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from omegaconf import DictConfig

from runner.claims import registration
from runner.claims.registration import Registration
from runner.config import ConfigError, Planning, StudyError
from runner.plan import planning
from runner.plan.letters import refuse_unwritable
from runner.plan.outline import Outline, outline
from runner.plan.plan import Plan
from runner.records import provenance
from runner.records.store import Store
from runner.report import looks
from runner.report.report import report
from runner.study import interrupts, preview, tuning
from runner.study.entries import fail_if_any, locked, survey
from runner.study.run import run
from runner.wording.names import several
from runner.wording.output import described, printable, shortened


def run_and_report(config: DictConfig, overrides: Sequence[str], command: str = "") -> str:
    """The whole of one invocation: plan, tune where asked, compute, report; a line that sums it up.

    Raises:
        ConfigError: bad input; nothing is computed then.
        StudyError: some trials failed; everything else is computed and reported (where it is tuning
            trials that failed, nothing is reported: what arms to compute is not known). Or there
            is no report; the trials are kept.
    """
    refuse_unwritable(config)
    plan = planning.plan(config, overrides, command=printable(command))
    if plan.study.plan is Planning.only:
        return tell(plan, config, overrides)
    texts, written = outline(plan.study), plan.study.arms
    tuned = None
    if plan.study.tune.key is not None:
        plan, tuned = tuning.tune(plan, config, overrides)
    interrupts.check()
    registrations = register(plan, texts, written)
    plan.notes.extend(looks.looks_ahead(plan, texts))
    try:
        entries = run(plan)
    except ConfigError as error:
        if tuned is None:
            raise
        raise StudyError(str(error)) from error  # tuning has computed: nothing was refused
    interrupts.check()
    folder, failure = None, None
    try:
        folder = report(plan, entries, texts, tuned, registrations)
    except Exception as error:
        interrupts.check()
        failure = error
    unreported = ""
    if failure:
        unreported = f"the report could not be written: {shortened(described(failure), 120)}"
    elif folder is None:
        unreported = "there is no report: no trial has a result"
    fail_if_any(plan, entries, unreported, failure)
    if folder is None:
        raise StudyError(no_report(plan, unreported)) from failure
    reused = sum(entry.reused for entry in entries)
    return f"{plan.experiment}: {len(entries)} trials, {reused} reused: {folder / 'report.html'}"


def tell(plan: Plan, config: DictConfig, overrides: Sequence[str]) -> str:
    """Print what a plan would compute, and write nothing; a line that sums it up."""
    tuned = plan.study.tune.key is not None
    grid = tuning.grid_plan(plan, config, overrides) if tuned else None
    entries = survey(plan)
    print(preview.text(plan, entries, (grid, survey(grid)) if grid else None), flush=True)  # noqa: T201
    missing = sum(not entry.reused for entry in entries)
    return f"{plan.experiment}: {several(len(entries), 'trial')} planned, {missing} of them missing"


def no_report(plan: Plan, unreported: str) -> str:
    """What says why there is no report, and where the results lie."""
    return (
        f"{unreported}\n"
        f"all results are kept in {Store.root_of(plan.outputs, plan.experiment)}; the same command "
        "computes none of them again"
    )


def register(
    plan: Plan, texts: Outline, written: Mapping[str, list[str]]
) -> dict[str, Registration]:
    """Register the claims of a plan before it computes anything; a smoke run decides none.

    `written` are the arms as they were before tuning.
    """
    if texts.scale == "smoke" or not texts.claims:
        return {}
    setting = registration.Setting(
        experiment=plan.experiment,
        scale=texts.scale,
        arms=written,
        signatures={arm.name: arm.signature for arm in plan.arms},
        seeds=plan.seeds,
        signed={arm.name: arm.signed for arm in plan.arms},
    )
    where = registration.path(plan.outputs, plan.experiment)
    try:
        with locked(plan) as store:
            now = provenance.instant()
            return registration.register(texts.claims, setting, store, where, now, plan.notes)
    except OSError as error:
        plan.notes.append(f"claims could not be written down ({described(error)}): all are invalid")
        unknown = Registration(shipped=False, registered="", late=True)
        return {claim.id: replace(unknown, hash=claim.fingerprint) for claim in texts.claims}
