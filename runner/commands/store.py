"""`python -m runner store`: list the trials and runs in outputs, and delete unneeded trials."""

import sys
from collections.abc import Sequence
from pathlib import Path

from runner.commands.store_table import describe_inventory, describe_plans
from runner.commands.verb_arguments import (
    OUTPUTS,
    VerbArguments,
    asks_for_help,
    existing_outputs,
    load_verb_options,
    read_verb_arguments,
)
from runner.config import ConfigError
from runner.inventory.deletion import prune_experiment
from runner.inventory.inventory import Inventory, take_inventory
from runner.inventory.prune_plan import (
    KEEP_WEIGHTS,
    PrunePlan,
    PruneRequest,
    in_use_reason,
    make_prune_plan,
)
from runner.plan.user_arguments import CONFIG_DIR, PLUGINS, read_plugin_list
from runner.report.index_page import renew_index
from runner.wording.names import name_hint
from runner.wording.output import escape_unprintable, truncate_middle

USAGE = "python -m runner store [prune] [outputs=<folder>] [<key>=<value> ...]"
HELP = f"""usage: {USAGE}

List trials, runs and their sizes, and delete the trials that you choose.
docs/store.md describes each file, and the files that you may delete.

  store                           list outputs/ and write outputs/index.html
  store outputs=DIR               list another folder
  store experiment=moe            list one experiment
  store 'plugins=[my_ffn]'        also know the code of your modules
  store prune unreferenced=true   list trials that no run refers to
  store prune keep_weights=best   list weights, except those of the best seed of
                                  each arm; none: list all weights; all: list no
                                  weights, only the rests of checkpoints
  store prune unreferenced=true older_than=30d
                                  only trials that are as old: 30d, 12h
  store prune unreferenced=true experiment=moe
                                  only one experiment
  store prune unreferenced=true yes=true
                                  delete the listed files, also from a script,
                                  without a question

Without yes=true, a terminal asks before it deletes. Without a terminal, prune
only lists.

A trial that a run refers to is never deleted, nor one that is running. A run
needs no weights: its report, its reuse and redraw work without them."""
PRUNE = "prune"
UNREFERENCED, KEEP, OLDER_THAN, EXPERIMENT, YES = (
    *("unreferenced", "keep_weights", "older_than"),
    *("experiment", "yes"),
)
PRUNE_KEYS = (UNREFERENCED, KEEP, OLDER_THAN, YES)
AGE_UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def manage_store(arguments: Sequence[str]) -> None:
    """Print the contents of a folder of outputs, or delete a part of it.

    Raises:
        ConfigError: an argument is wrong, or the folder is missing or cannot be written.
    """
    if asks_for_help(arguments):
        print(HELP)  # noqa: T201
        return
    keys = (OUTPUTS, PLUGINS, CONFIG_DIR, EXPERIMENT, *PRUNE_KEYS)
    read = read_verb_arguments(USAGE, arguments, keys, most_words=1)
    for word in read.words:
        if word != PRUNE:
            raise ConfigError(
                f"{truncate_middle(word, 80)}: store has no such command; "
                f"{name_hint(word, [PRUNE])}"
            )
    request = read_request(read)
    is_sure = read.is_true(YES)
    outputs = existing_outputs(read)
    load_verb_options(read)
    inventory = select_experiment(
        take_inventory(outputs, read_plugin_list(read.values.get(PLUGINS, "[]"))),
        read.values.get(EXPERIMENT),
    )
    if not read.words:
        print(escape_unprintable(describe_inventory(inventory)))  # noqa: T201
        renew_page(outputs, inventory)
        return
    plans = [make_prune_plan(each, request, in_use_reason(each)) for each in inventory.experiments]
    print(escape_unprintable(describe_plans(plans, request)))  # noqa: T201
    if not any(plan.deletions or plan.experiment.graves for plan in plans):
        return
    if is_sure or agrees():
        prune(plans, request)
    else:
        print("Nothing is deleted without yes=true.")  # noqa: T201


def read_request(read: VerbArguments) -> PruneRequest:
    """Return the choice in the arguments of `prune`.

    Raises:
        ConfigError: a value is wrong, or a key needs `prune`.
    """
    if not read.words:
        for key in PRUNE_KEYS:
            if key in read.values:
                choice = "" if key in (UNREFERENCED, KEEP) else f"{UNREFERENCED}=true "
                command = f"python -m runner store prune {choice}{key}=..."
                raise ConfigError(f"{key}= needs prune: {command}")
    request = PruneRequest(
        unreferenced=read.is_true(UNREFERENCED),
        keep_weights=read.choice(KEEP, KEEP_WEIGHTS),
        min_age=read_age(read.values.get(OLDER_THAN)),
    )
    if read.words and not request.unreferenced and request.keep_weights is None:
        raise ConfigError(
            "store prune: choose the trials to delete: unreferenced=true (no run refers to them), "
            "keep_weights=best or keep_weights=none"
        )
    return request


def read_age(text: str | None) -> float:
    """Return an age such as `30d` in seconds.

    Raises:
        ConfigError: the text is not an age.
    """
    if text is None:
        return 0.0
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and len(number) < 6 and unit in AGE_UNITS):
        raise ConfigError(
            f"{OLDER_THAN}={truncate_middle(text, 80)} must be a whole number and a unit: 90m, "
            "12h, 30d or 4w"
        )
    return float(int(number) * AGE_UNITS[unit])


def select_experiment(inventory: Inventory, name: str | None) -> Inventory:
    """Return the inventory of one experiment; of all if `name` is None.

    Raises:
        ConfigError: there is no such experiment in the folder.
    """
    if name is None:
        return inventory
    names = [each.name for each in inventory.experiments]
    if name not in names:
        raise ConfigError(
            f"experiment={truncate_middle(name, 80)}: {truncate_middle(inventory.outputs, 80)} has "
            f"no such experiment; {name_hint(name, names)}"
        )
    chosen = tuple(each for each in inventory.experiments if each.name == name)
    return Inventory(inventory.outputs, chosen, chosen=name)


def renew_page(outputs: Path, inventory: Inventory) -> None:
    """Write the page of all runs, if there are any, and print its path."""
    if not any(each.runs for each in inventory.experiments) and not inventory.n_sweeps:
        return
    fault = renew_index(outputs)
    print(f"note: {fault}" if fault else f"\nAll runs on one page: {outputs / 'index.html'}")  # noqa: T201


def agrees() -> bool:
    """Return whether the user agrees to the deletion; False without a terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return input("Delete this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def prune(plans: Sequence[PrunePlan], request: PruneRequest) -> None:
    """Delete the paths of the plans, and print the result.

    Raises:
        ConfigError: a store cannot be written.
    """
    done = []
    for plan in plans:
        if not plan.deletions and not plan.experiment.graves:
            continue
        try:
            done.append(prune_experiment(plan, request))
        except (OSError, NotImplementedError) as error:
            raise ConfigError(
                f"{truncate_middle(plan.experiment.folder, 120)}: nothing can be deleted there "
                f"({error})"
            ) from error
    print(escape_unprintable(describe_plans(done, request, is_done=True)))  # noqa: T201
