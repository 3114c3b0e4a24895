"""A study: arms x seeds -> the trials that are missing -> compute them -> report. No torch."""

import contextlib
import errno
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from filelock import AcquireReturnProxy, BaseFileLock, FileLock, Timeout
from omegaconf import DictConfig

from runner import registry
from runner.claims import registration
from runner.claims.registration import Registration
from runner.config import ConfigError, Planning
from runner.plan import planning
from runner.plan.letters import refuse_unwritable
from runner.plan.outline import Outline, outline
from runner.plan.planning import Arm, Plan, cache_folder
from runner.records import provenance
from runner.records.files import fits, is_folder, read_json, refuse_links, remove, write_json
from runner.records.job import Job, Stage
from runner.records.store import ARM, Reading, Slot, Store
from runner.study import interrupts, pool, tuning
from runner.study.ends import Ends
from runner.study.passes import noise
from runner.study.progress import Progress
from runner.wording.names import several
from runner.wording.output import described, first, listed, printable, shortened

LINES = 9  # trials that have a line of their own where their records were changed
PATIENCE = 1  # seconds until a line tells that another command is waited for


class StudyError(RuntimeError):
    """Some trials failed, or the report did; the others are computed and reported."""


@dataclass(frozen=True)
class Entry:
    """One trial of a plan: its arm, seed and place, and whether its result was there already.

    `ended` is the status of a trial that failed where it could not be written, e.g. on a full disk.
    """

    arm: Arm
    seed: int
    slot: Slot
    reused: bool
    ended: Mapping[str, Any] | None = field(default=None, compare=False)

    def status(self) -> Mapping[str, Any]:
        """The status of the trial."""
        return self.ended or self.slot.status()


def run_and_report(config: DictConfig, overrides: Sequence[str], command: str = "") -> str:
    """The whole of one invocation: plan, tune where asked, compute, report; a line that sums it up.

    Raises:
        ConfigError: bad input; nothing is computed then.
        StudyError: some trials failed; everything else is computed and reported (where it is tuning
            trials that failed, nothing is reported: what arms to compute is not known). Or there
            is no report; the trials are kept.
    """
    from runner.report import gather

    refuse_unwritable(config)
    plan = planning.plan(config, overrides, command=printable(command))
    if plan.study.plan is Planning.only:
        return tell(plan, config, overrides)
    texts, written = outline(plan.study), plan.study.arms
    tuned = None
    if plan.study.tune.key is not None:
        plan, tuned = tune(plan, config, overrides)
    interrupts.check()
    registrations = register(plan, texts, written)
    plan.notes.extend(gather.looks_ahead(plan, texts))
    try:
        entries = run(plan)
    except ConfigError as error:
        if tuned is None:
            raise
        raise StudyError(str(error)) from error  # tuning has computed: nothing was refused
    interrupts.check()
    folder, failure = None, None
    try:
        folder = gather.report(plan, entries, texts, tuned, registrations)
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
    from runner.plan import summary

    tuned = plan.study.tune.key is not None
    grid = tuning.grid_plan(plan, config, overrides) if tuned else None
    entries = survey(plan)
    print(summary.text(plan, entries, (grid, survey(grid)) if grid else None), flush=True)  # noqa: T201
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


def tune(plan: Plan, config: DictConfig, overrides: Sequence[str]) -> tuple[Plan, tuning.Tuned]:
    """Compute the tuning trials of a plan; the plan in which every arm has its best value."""
    grid = tuning.grid_plan(plan, config, overrides)
    entries = run(grid, f"{plan.experiment}, tuning")
    fail_if_any(
        grid, entries, "there is no report: the arms are known once all tuning trials are computed"
    )
    try:
        tuned = tuning.choose(plan, entries)
    except ConfigError as error:  # the trials are computed: nothing was refused
        raise StudyError(str(error)) from error
    arms = {arm.name: [*plan.study.arms[arm.name], tuned.overrides[arm.name]] for arm in plan.arms}
    best = planning.plan(config, overrides, arms=arms, command=plan.command, texts=plan.texts)
    return best, tuned


def fail_if_any(
    plan: Plan, entries: Sequence[Entry], unreported: str = "", failure: Exception | None = None
) -> None:
    """Raise StudyError for trials that have no result of the plan's code.

    With `reuse=accept` one that is reused may be of other code; `survey` notes it. `unreported`
    says why there is no report, or is ""; `failure` is that of the report.
    """
    accept = plan.study.reuse == "accept"
    failed = [
        entry
        for entry in entries
        if not (entry.slot.result() if accept and entry.reused else entry.slot.finished(plan.code))
    ]
    if failed:
        one = failed[0]
        status = one.status()
        why = status.get("message") or f"its state is {status['state']}"
        log = one.slot.folder / "log.txt"
        if unreported or not log.is_file():
            where = f"all trials are kept in {one.slot.folder.parents[1]}"
        else:
            where = f"its log is {log}"
        lines = [
            f"{len(failed)} of {len(entries)} trials failed, the first: "
            f"{one.arm.name} seed {one.seed}: {shortened(why, 160)}",
            f"{where}; the same command computes only what is missing",
            *([unreported] if unreported else []),
        ]
        raise StudyError("\n".join(lines)) from failure


def survey(plan: Plan) -> list[Entry]:
    """All trials of a plan, seed by seed, and which of them are there already.

    A result of other code is stale: it is computed again, or kept with `reuse=accept`; where this
    code's own result lies beside it (`Slot.earlier`), that is used. One whose records were changed
    or have another format is computed again in any case. All are noted.
    """
    store = Store(plan.outputs, plan.experiment)
    accept = plan.study.reuse == "accept"
    entries: list[Entry] = []
    readings: dict[Slot, Reading] = {}
    places: dict[Slot, Slot | None] = {}
    faults: list[tuple[str, str]] = []
    stale = 0
    for seed in plan.seeds:
        for arm in plan.arms:
            slot = store.slot(arm.name, arm.signature, seed)
            if slot not in readings:  # arms of one signature share their trials
                readings[slot] = slot.read()
                places[slot] = slot.usable(plan.code, any_code=accept)
                if places[slot] is None and (fault := readings[slot].unusable):
                    faults.append((f"{arm.name} seed {seed}", fault))
            place, result = places[slot], readings[slot].result
            changed = result is not None and result["code"] != plan.code
            stale += changed and place in (None, slot)
            entries.append(Entry(arm, seed, place or slot, place is not None))
    if stale:
        what = (
            "kept, as reuse=accept says"
            if accept
            else "computed again (keep them with reuse=accept)"
        )
        plan.notes.append(f"{stale} finished trials were computed by other code: {what}")
    plan.notes.extend(damage_notes(faults))
    return entries


def damage_notes(faults: Sequence[tuple[str, str]]) -> list[str]:
    """A line for each trial whose records cannot be used; beyond `LINES` one line counts them."""
    lines = [f"{trial}: {fault}: computed again" for trial, fault in faults[:LINES]]
    if rest := [trial for trial, _ in faults[LINES:]]:
        lines.append(
            f"{len(rest)} more were changed or have another format, and are computed again: "
            f"{listed(rest)}"
        )
    return lines


@contextlib.contextmanager
def locked(plan: Plan) -> Iterator[Store]:
    """The store of a plan's experiment, which no other command enters meanwhile.

    Where nothing can be written there is no lock, and nothing to protect by one.
    """
    root = Store.root_of(plan.outputs, plan.experiment)
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, NotImplementedError):
            root.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(root / ".lock") and not fits(root / ".lock", folder=False):
                remove(root / ".lock")
            held.enter_context(waited_for(FileLock(root / ".lock")))
        yield Store(plan.outputs, plan.experiment)


def waited_for(lock: BaseFileLock) -> AcquireReturnProxy:
    """A lock once it is held; after `PATIENCE` a line tells what is waited for."""
    try:
        return lock.acquire(timeout=PATIENCE)
    except Timeout:
        print(f"waits: another command uses {lock.lock_file}", flush=True)  # noqa: T201
    return lock.acquire()


def enter(plan: Plan) -> list[Entry]:
    """As `survey`; the folders of arms that are to be computed are made.

    One command at a time does so: two that start together and call an arm by different names find
    each other's folder by its signature.

    Raises:
        ConfigError: trials are missing, and nothing can be written where they belong.
    """
    with locked(plan) as store:
        entries = survey(plan)
        missing = [entry for entry in entries if not entry.reused]
        refuse_links({entry.slot.arm_folder for entry in entries})  # each gets an arm.json
        refuse_links(entry.slot.folder for entry in missing)
        try:
            if missing:
                store.root.mkdir(parents=True, exist_ok=True)
                for left in store.root.glob(".probe-*"):  # by a command that was killed
                    remove(left)
                probe = store.root / f".probe-{provenance.token()}"
                probe.touch()
                probe.unlink()
            plan.notes.extend(mend(entries))
            for folder in {entry.slot.folder.parent for entry in missing}:
                folder.mkdir(exist_ok=True)
        except OSError as error:
            if missing and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise ConfigError(
                    f"outputs={shortened(plan.outputs, 120)}: {len(missing)} of {len(entries)} "
                    f"trials are missing and cannot be written ({error.strerror}); give another "
                    "folder"
                ) from error
            if missing:  # a full disk, say, which may have room again when they run
                plan.notes.append(f"nothing can be written there: {described(error)}")
    return entries


def mend(entries: Sequence[Entry]) -> list[str]:
    """Make room where trials are to be computed, and write damaged arm.json anew.

    Returns lines on the first of these changes, and one that counts the rest.

    Room is taken by a file where a folder must be, a folder where a file must be, and by what
    nobody can read.
    """
    notes = []
    for folder, entry in {e.slot.arm_folder: e for e in entries}.items():
        if os.path.lexists(folder) and not is_folder(folder):
            remove(folder)
            notes.append(f"{entry.arm.name}: {folder.name} was no folder and was removed")
        record, signed = folder / ARM, json.loads(entry.arm.signed)
        if os.path.lexists(record) and read_json(record) != signed:
            if not fits(record, folder=False):
                remove(record)
            write_json(record, signed)
            notes.append(f"{entry.arm.name}: {ARM} was damaged and is written anew")
    for slot, entry in {e.slot: e for e in entries if not e.reused}.items():
        trial = f"{entry.arm.name} seed {entry.seed}"
        places = ["its folder" if name == "." else name for name in slot.mend()]
        notes += [f"{trial}: {place} could not be used and was removed" for place in places]
    return first(notes)


def run(plan: Plan, title: str = "") -> list[Entry]:
    """Compute the missing trials of a plan; returns all. Failures are in their status."""
    entries = enter(plan)
    plan.notes[:] = map(printable, plan.notes)  # names of files may hold anything
    for note in plan.notes:
        print(f"note: {note}", flush=True)  # noqa: T201
    trials = {entry.slot.folder: entry for entry in reversed(entries)}
    missing = {e.slot.folder: trials[e.slot.folder] for e in entries if not e.reused}
    workers = pool.cores() if plan.study.workers == "auto" else int(plan.study.workers)
    unwritten: dict[Slot, Mapping[str, Any]] = {}
    with Progress(
        title or plan.experiment, total=len(trials), reused=len(trials) - len(missing)
    ) as progress:
        if missing:
            unwritten = compute(
                plan,
                list(missing.values()),
                list(trials.values()),
                min(workers, len(missing)),
                progress,
            )
        elif noisy := noise_words(plan, entries):
            plan.notes.append(f"{noisy}: this run reuses all trials and times none again")
    return [replace(entry, ended=unwritten.get(entry.slot)) for entry in entries]


def compute(
    plan: Plan,
    entries: Sequence[Entry],
    everything: Sequence[Entry],
    workers: int,
    progress: Progress,
) -> dict[Slot, Mapping[str, Any]]:
    """Compute trials in processes, keep their status truthful, show how far they are.

    `entries` are those to compute among `everything` that the plan has. Returns the statuses that
    could not be written.

    What is timed comes second and alone: trial by trial, the arms of a seed in random order, so
    that a slow moment of the machine hits no arm more than another. On a noisy machine all of it is
    timed in further passes.
    """
    ends = Ends(progress)
    try:
        for jobs in batches(plan, entries, everything, progress.note):
            pool.run_jobs(jobs, workers if jobs[0].stage is Stage.run else 1, ends.hear)
    except KeyboardInterrupt:
        ends.interrupted(plan.code)
        pool.end_server()
        raise
    return ends.unwritten


def batches(
    plan: Plan,
    entries: Sequence[Entry],
    everything: Sequence[Entry],
    note: Callable[[str], None],
) -> Iterator[list[Job]]:
    """The jobs of each stage and pass, one behind the other, as what came before has left them."""
    began, jobs = time.monotonic(), list[Job]()
    for stage in Stage if registry.timed(plan.experiment) else [Stage.run]:
        began = time.monotonic()
        if jobs := [job(plan, entry, stage) for entry in due(plan, entries, stage)]:
            yield jobs
    each = (time.monotonic() - began) / max(1, len(jobs))
    yield from further_passes(plan, entries, everything, note, each)


def due(plan: Plan, entries: Sequence[Entry], stage: Stage) -> list[Entry]:
    """The trials whose stage is to be computed now; a second stage needs the first to be done."""
    if stage is Stage.run:
        return [entry for entry in entries if entry.slot.untimed(plan.code) is None]
    ready = [entry for entry in entries if entry.slot.untimed(plan.code) is not None]
    return in_random_order(ready)


def in_random_order(entries: Sequence[Entry], passes: int = 0) -> list[Entry]:
    """Trials seed by seed, the arms of a seed in random order, which differs between passes."""
    order = {
        entry.slot: random.Random(f"{entry.seed}/{entry.arm.signature}/{passes}").random()
        for entry in entries
    }
    return sorted(entries, key=lambda entry: (entry.seed, order[entry.slot]))


def further_passes(
    plan: Plan,
    entries: Sequence[Entry],
    everything: Sequence[Entry],
    note: Callable[[str], None],
    each: float,
) -> Iterator[list[Job]]:
    """The jobs of each further pass over what was timed, while it is too noisy; see `Timing`.

    The noise is that of all timed trials of the plan. Those with the fewest passes are timed again,
    of `entries`, which this run computes, and of an earlier run that was stopped within a pass. All
    other trials that were finished before stay as they are.

    Args:
        plan: what the trials belong to.
        entries: the trials that this run computes.
        everything: all trials of the plan.
        note: what tells the user a line.
        each: seconds that a trial took in the pass before.
    """
    timing, spent = plan.study.timing, 0.0
    before = passes_of(everything)
    most = max(before.values(), default=0)
    own = {entry.slot for entry in entries}
    candidates = [
        entry
        for entry in everything
        if (entry.slot in own or before.get(entry.slot, most) < most)
        and entry.slot in before
        and entry.slot.finished(plan.code)
    ]
    while noisy := noise_words(plan, everything):
        counts = passes_of(candidates)
        if not counts:
            plan.notes.append(f"{noisy}: no trial is left to be timed again")
            return
        passes = min(counts.values())
        due_now = [entry for entry in candidates if counts.get(entry.slot) == passes]
        seconds = each * len(due_now)
        late = spent + seconds > 60 * timing.minutes
        if late or passes >= timing.passes:
            limit = f"minutes={timing.minutes:g}" if late else f"passes={timing.passes}"
            plan.notes.append(f"{noisy}: timing.{limit} allows no further pass")
            return
        note(f"{noisy}: {counted(len(due_now))} timed once more")
        began = time.monotonic()
        order = in_random_order(due_now, passes)
        yield [replace(job(plan, entry, Stage.timing), passes=passes) for entry in order]
        taken = time.monotonic() - began
        each, spent = taken / len(due_now), spent + taken
        # A trial whose pass has failed keeps its earlier times and is not tried again.
        after = passes_of(due_now)
        failed = {entry.slot for entry in due_now if after.get(entry.slot, 0) <= passes}
        candidates = [entry for entry in candidates if entry.slot not in failed]


def counted(trials: int) -> str:
    """How many trials, with the verb that follows."""
    return "1 trial is" if trials == 1 else f"{trials} trials are"


def timed(entries: Sequence[Entry]) -> dict[Slot, tuple[Entry, dict[str, Any]]]:
    """The trials that have timings, and their results."""
    return {
        entry.slot: (entry, result)
        for entry in entries
        if (result := entry.slot.result()) and result.get("samples")
    }


def passes_of(entries: Sequence[Entry]) -> dict[Slot, int]:
    """In how many passes each timed trial was timed."""
    return {slot: result["passes"] for slot, (_, result) in timed(entries).items()}


def noise_words(plan: Plan, entries: Sequence[Entry]) -> str:
    """Say how noisy the timings of a plan's trials are; "" where they are steady enough."""
    results = timed(entries).values()
    error, quantity = noise((entry.arm.name, result["samples"]) for entry, result in results)
    steady = plan.study.timing.steady
    if error <= steady:
        return ""
    passes = sorted({result["passes"] for _, result in results})
    count = f"{passes[0]}" if len(passes) == 1 else f"{passes[0]} to {passes[-1]}"
    return (
        f"after {count} timing {'pass' if passes == [1] else 'passes'} the standard error of an "
        f"arm's mean time ({quantity}) is {error:.1%} of it, above {steady:.1%}"
    )


def job(plan: Plan, entry: Entry, stage: Stage) -> Job:
    """What a process needs to compute a stage of a trial."""
    return Job(
        arm=entry.arm.name,
        seed=entry.seed,
        config=entry.arm.config,
        device=entry.arm.device,
        slot=entry.slot,
        signed=entry.arm.signed,
        cache=cache_folder(plan.outputs),
        code=plan.code,
        data=entry.arm.data,
        plugins=tuple(plan.study.plugins),
        stage=stage,
        timeout_s=plan.study.timeout_s,
    )
