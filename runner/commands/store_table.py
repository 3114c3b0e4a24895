"""The text of `python -m runner store`: tables of trials and sizes, and lists of deletions."""

import datetime
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from runner.commands.verb_arguments import DEFAULT_OUTPUTS, OUTPUTS
from runner.inventory.inventory import ExperimentInventory, Inventory
from runner.inventory.prune_plan import (
    Deletion,
    PrunePlan,
    PruneRequest,
    in_use_reason,
    make_prune_plan,
)
from runner.inventory.stored_trials import StoredTrial, TrialState
from runner.wording.names import format_count
from runner.wording.output import first_lines, join_names, truncate_middle
from runner.wording.phrases import join_with_and
from runner.wording.quantity import format_quantity

TRIAL_HEAD = (
    *("trials", "done", "failed", "interrupted", "running", "stale", "unreferenced", "newest"),
)
DISK_HEAD = ("disk", "weights", "records", "reports", "other", "runs", "newest")
MAX_NAMES = 4


def describe_inventory(inventory: Inventory) -> str:
    """Return the text of a list: a table of trials, a table of sizes, and lines on the rest."""
    experiments = inventory.experiments
    if not experiments:
        nothing = f"{inventory.outputs}: there are no trials and no runs"
        return "\n".join([nothing, *remarks(inventory)])
    sizes = sum(each.weights + each.records + each.reports + each.other for each in experiments)
    total = sizes + inventory.sweeps + inventory.other
    head = (
        f"{inventory.outputs}: "
        f"{format_count(sum(len(each.trials) for each in experiments), 'trial')}, "
        f"{format_count(sum(len(each.runs) for each in experiments), 'run')}, {format_bytes(total)}"
    )
    lines = [head, ""]
    lines += format_rows([TRIAL_HEAD, *map(trial_row, experiments)])
    lines += ["", *format_rows([DISK_HEAD, *map(disk_row, experiments)])]
    if inventory.n_sweeps:
        sweeps = format_count(inventory.n_sweeps, "sweep")
        lines += ["", f"sweeps/ has {sweeps}: {format_bytes(inventory.sweeps)}"]
    if inventory.other:
        lines += ["", f"Prepared texts and other files: {format_bytes(inventory.other)}"]
    return "\n".join([*lines, *remarks(inventory)])


def trial_row(experiment: ExperimentInventory) -> tuple[str, ...]:
    """Return the row of an experiment in the table of trials."""
    newest = max((trial.time for trial in experiment.trials), default=0.0)
    counts = [experiment.count(state) for state in TrialState]
    return (
        truncate_middle(experiment.name, 24),
        *map(str, [*counts, len(experiment.stale), len(experiment.unreferenced)]),
        format_time(newest),
    )


def disk_row(experiment: ExperimentInventory) -> tuple[str, ...]:
    """Return the row of an experiment in the table of sizes."""
    sizes = (experiment.weights, experiment.records, experiment.reports, experiment.other)
    newest = max((run.time for run in experiment.runs), default="")
    return (
        truncate_middle(experiment.name, 24),
        *map(format_bytes, sizes),
        str(len(experiment.runs)),
        newest or "-",
    )


def remarks(inventory: Inventory) -> list[str]:
    """Return lines on running trials, other versions, unknown files, and unreferenced trials."""
    lines: list[str] = []
    for each in inventory.experiments:
        running = [trial.name for trial in each.trials if trial.state is TrialState.running]
        if running:
            lines.append(f"{each.name}: running now: {join_names(running, MAX_NAMES)}")
        elif each.in_use:
            lines.append(f"{each.name}: a running command may use its trials")
        if other := [trial for trial in each.trials if trial.has_other_format]:
            lines.append(
                f"{each.name}: {format_count(len(other), 'trial')} of another version of ablab "
                f"({format_formats(other)}): {describe_next_run(other)}"
            )
        if each.unknown_references:
            lines.append(f"{each.name}: {each.unknown_references}: its trials are unknown")
        unknown = [trial for trial in each.trials if trial.unknown]
        own = {os.fspath(trial.slot.folder) for trial in unknown}
        lines += first_lines(
            [f"{each.name}: {trial.name} holds {trial.unknown[0]}: it stays" for trial in unknown],
            MAX_NAMES,
        )
        outside = [link for link in each.links if not any(link.startswith(path) for path in own)]
        lines += first_lines(
            [f"{os.path.relpath(link, inventory.outputs)} is a link: it stays" for link in outside],
            MAX_NAMES,
        )
    lines += first_lines(
        [f"{name} is a link, which is not followed" for name in inventory.links], MAX_NAMES
    )
    lines += describe_unreferenced(inventory)
    return ["", *lines] if lines else []


def describe_unreferenced(inventory: Inventory) -> list[str]:
    """Return a line on the trials that no run refers to, and how many of them prune would delete.

    The reasons why trials stay are lines of their own.
    """
    n_all = sum(len(each.unreferenced) for each in inventory.experiments)
    if not n_all:
        return []
    request = PruneRequest(unreferenced=True)
    plans = [make_prune_plan(each, request, in_use_reason(each)) for each in inventory.experiments]
    whole = [deletion for plan in plans for deletion in plan.whole]
    head = f"No run refers to {format_count(n_all, 'trial')}"
    if not whole:
        return [f"{head}. Prune deletes none of them, for the reasons above."]
    size = format_bytes(sum(deletion.size for deletion in whole))
    choice = f" {shlex.quote(f'experiment={inventory.chosen}')}" if inventory.chosen else ""
    command = f"python -m runner store prune unreferenced=true{choice}{name_outputs(inventory)}"
    if len(whole) == n_all:
        return [f"{head} ({size}): {command}"]
    n_stay = n_all - len(whole)
    stay = "stays" if n_stay == 1 else "stay"
    return [f"{head}. {n_stay} of them {stay}, as above. To delete the others ({size}): {command}"]


def format_formats(trials: Sequence[StoredTrial]) -> str:
    """Return the formats of the records of some trials: `format 1 and none`."""
    formats = {trial.record_format for trial in trials}
    known = sorted((truncate_middle(one, 20) for one in formats if one is not None), key=str)
    texts = [*known, *(["none"] if None in formats else [])]
    return f"{'format' if len(texts) == 1 else 'formats'} {join_with_and(texts)}"


def describe_next_run(trials: Sequence[StoredTrial]) -> str:
    """Return what a run does with trials of other versions."""
    newer = [trial.name for trial in trials if trial.is_newer]
    if not newer:
        return "a run computes them again"
    return f"a run is refused, because a newer version has written {join_names(newer, MAX_NAMES)}"


def name_outputs(inventory: Inventory) -> str:
    """Return what a command needs to find this folder: ` outputs=DIR`, or "" for the default."""
    if inventory.outputs.absolute() == Path(DEFAULT_OUTPUTS).absolute():
        return ""
    return f" {shlex.quote(f'{OUTPUTS}={inventory.outputs}')}"


def describe_plans(
    plans: Sequence[PrunePlan], request: PruneRequest, *, is_done: bool = False
) -> str:
    """Return the lines of a list of deletions, which are planned or done."""
    lines = []
    verb = "deleted" if is_done else "to delete"
    for plan in plans:
        name = plan.experiment.name
        if plan.whole:
            size = format_bytes(sum(each.size for each in plan.whole))
            trials = format_count(len(plan.whole), "trial")
            lines.append(f"{name}: {verb}: {trials} that no run refers to ({size}):")
            lines += list_arms(plan.whole)
        if weights := [each for each in plan.weights if not each.is_state]:
            rest = ", except of the best seed of each arm" if request.keep_weights == "best" else ""
            lines.append(f"{name}: {verb}: weights of {describe_trials(weights)}{rest}:")
            lines += list_arms(weights)
        if states := [each for each in plan.weights if each.is_state]:
            lines.append(f"{name}: {verb}: optimizer states of {describe_trials(states)}:")
            lines += list_arms(states)
        if plan.experiment.graves and not is_done:
            lines.append(f"{name}: {verb}: the rest of a prune that was interrupted")
        lines += first_lines([f"{name}: {note}" for note in plan.notes], MAX_NAMES)
    total = sum(plan.size for plan in plans)
    if is_done:
        lines.append(f"{format_bytes(total)} are free.")
    elif not any(plan.deletions or plan.experiment.graves for plan in plans):
        lines.append("There is nothing to delete.")
    return "\n".join(lines)


def list_arms(deletions: Sequence[Deletion]) -> list[str]:
    """Return a line for each arm with its seeds: `  dense: seeds 0-3, 7`."""
    seeds: dict[str, set[int]] = {}
    for each in deletions:
        seeds.setdefault(each.trial.arm, set()).add(each.trial.seed)
    return [f"  {arm}: {format_seeds(sorted(mine))}" for arm, mine in seeds.items()]


def format_seeds(seeds: Sequence[int]) -> str:
    """Return sorted seeds in words: `seed 3`, or `seeds 0-3, 7`."""
    runs: list[list[int]] = []
    for seed in seeds:
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return f"{'seed' if len(seeds) == 1 else 'seeds'} {', '.join(texts)}"


def describe_trials(deletions: Sequence[Deletion]) -> str:
    """Return the number of trials of some deletions, and the bytes that they free."""
    trials = format_count(len({each.trial.key for each in deletions}), "finished trial")
    return f"{trials} ({format_bytes(sum(each.size for each in deletions))})"


def format_rows(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table as lines: the first column is aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def format_bytes(size: int) -> str:
    """Return a size with its unit; 0 bytes are `0`."""
    return format_quantity(size, "bytes", digits=3) if size else "0"


def format_time(seconds: float) -> str:
    """Return the date and time of a moment; `-` for none."""
    if seconds <= 0:
        return "-"
    return datetime.datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
