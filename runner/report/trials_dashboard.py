"""The part of TensorBoard's view of all trials that belongs to no single trial.

    <outputs>/<experiment>/trials/dashboard.tfevents   columns of the HParams table, and a text

Each trial writes its own curves and its row of the table. This file declares the columns, for
`tensorboard --logdir <outputs>/<experiment>/trials`. Every report writes it again, as new trials
may differ in more settings.
"""

import re
from pathlib import Path

from runner.records import tensorboard
from runner.records.files import write_atomically
from runner.records.store import STATUS, Store
from runner.report.hparams_table import trial_table
from runner.report.latest_run import NAME
from runner.report.study_record import StudyRecord
from runner.wording.names import format_count

MANY_RUNS = (
    f"More than {tensorboard.MAX_RUNS} runs: none is selected. Tick boxes on the left, or type a "
    "regular expression above them."
)
"""The title of the text for a view of many runs: TensorBoard shows it although it selects none."""
FILE = "dashboard.tfevents"  # TensorBoard reads every file with `tfevents` in its name


def write_trials_dashboard(run: Path, study: StudyRecord) -> None:
    """Write the file into the store of a run.

    A run outside a store (`<experiment>/runs/<run>` next to `<experiment>/trials`) has none.
    """
    runs = run.absolute().parent
    store = Store.trials_folder(runs.parent.parent, runs.parent.name)
    if runs.name != "runs" or not store.is_dir():
        return
    n_runs = 1 + sum(1 for _ in store.glob(f"*/seed-*/{STATUS}"))
    title = MANY_RUNS if n_runs > tensorboard.MAX_RUNS else "how to select runs"
    summaries = [
        trial_table(study, store),
        tensorboard.text_summary(title, describe_selection(study, n_runs, store)),
    ]
    content = tensorboard.event_file(map(tensorboard.event, summaries))
    write_atomically(store / FILE, content)


def describe_selection(study: StudyRecord, n_runs: int, store: Path) -> str:
    """Return how to select runs in a view that may have more than TensorBoard selects.

    The names of runs begin with the folder of an arm, which may differ from the arm's name.
    """
    folder = re.escape(Path(str(study.trials["folder"].iloc[0])).parent.name)
    newest = (store.parent / NAME / "tb").as_posix()
    return "\n\n".join(
        [
            f"This view has {format_count(n_runs, 'run')}: one for each trial, and this one.",
            "If there are more than "
            f"{tensorboard.MAX_RUNS} runs, the tabs Scalars, Images and Text select none of them, "
            "and their charts are empty. Tick the box of each run that you want, or type "
            "a regular expression into the field above the runs. "
            f"`^{folder}/` selects the trials of one arm, and `seed-0$` one trial of each arm.",
            "For one run for each arm, with means over seeds, type "
            f"`tensorboard --logdir {newest}`.",
        ]
    )
