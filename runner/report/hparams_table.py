"""TensorBoard's HParams tables: a row for each arm of a study, or for each trial of a store.

The columns are the settings in which the rows differ, and the metrics of headlines and claims.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from runner.claims.aa_pairs import SEED_OFFSET
from runner.config import flatten
from runner.records import tensorboard
from runner.records.files import read_json
from runner.records.store import ARM
from runner.records.tensorboard import HParam, TableColumn
from runner.report.study_record import StudyRecord

ROLE, N_SEEDS = "arm.role", "arm.seeds"  # TensorBoard sorts columns by name: these come first
LIMITS = ("mean", "low", "high")
N_SETTINGS = 3  # settings among the five columns that TensorBoard shows at first
_ABSENT = object()

Settings = Mapping[str, HParam]


def arm_hparams(study: StudyRecord) -> dict[str, dict[str, HParam]]:
    """Return the row of each arm: its role, its number of seeds, and the settings that differ."""
    settings = {arm: study.settings.get(arm, {}) for arm in study.arms}
    differing = list_differing(list(settings.values()))
    n_seeds = study.results.groupby("arm")["seed"].nunique()
    return {
        arm: {
            ROLE: describe_role(study, arm),
            N_SEEDS: int(n_seeds.get(arm, 0)),
            **{name: settings[arm][name] for name in differing if name in settings[arm]},
        }
        for arm in study.arms
    }


def describe_role(study: StudyRecord, arm: str) -> str:
    """Return the role of an arm: half of an A/A pair, control, baseline, or under study."""
    if original := study.aa_pairs.get(arm):
        return f"A/A pair with {original}"
    if arm in study.controls:
        return "control"
    return "baseline" if arm == study.baseline else "under study"


def arm_table(study: StudyRecord, rows: Sequence[Settings], tags: Set[str]) -> Any:
    """Return the declaration of the table with a row for each arm; TensorBoard adds its name.

    `tags` are those of the metrics that any row has; other metrics get no column.
    """
    labels = {ROLE: "role", N_SEEDS: "n seeds"}
    settings = [name for name in rank_settings(study, rows) if name not in labels]
    metrics = {
        tag: f"{study.label(metric)}: {part}"
        for metric in study.metrics
        for part in LIMITS
        if (tag := tensorboard.table_tag(metric, part)) in tags
    }
    first = (ROLE, N_SEEDS, *settings[:N_SETTINGS])
    return tensorboard.hparams_table(_columns(rows, first, labels), metrics)


def trial_table(study: StudyRecord, store: Path) -> Any:
    """Return the declaration of the table with a row for each trial below the folder of a store.

    The columns are the settings in which these trials differ, including those of other commands.
    A setting that has more values in the store than in this study comes first, as a user varied it.
    """
    own = [study.settings.get(arm, {}) for arm in study.arms]
    arms = [read_json(path) or {} for path in sorted(store.glob(f"*/{ARM}"))]
    trees = [tree for arm in arms if isinstance(tree := arm.get("config"), dict)]
    stored = [flatten(tree) for tree in trees]
    # A record in the store has more settings resolved, so rows of one kind are compared.
    differing = sorted({*list_differing(own), *list_differing(stored)})
    varied = [name for name in differing if len(_values(name, stored)) > len(_values(name, own))]
    trials = zip(study.trials["arm"], study.trials["seed"].tolist(), strict=True)
    rows = [
        *({"arm": arm, "seed": seed} for arm, seed in trials),
        *({name: row[name] for name in differing if name in row} for row in (*stored, *own)),
    ]
    tags = {
        metric: metric if is_curve_end(study, metric) else tensorboard.table_tag(metric)
        for metric in study.metrics
    }
    settings = dict.fromkeys([*varied, *rank_settings(study, rows)])
    first = ["arm", "seed", *[name for name in settings if name not in ("arm", "seed")]]
    columns = _columns(rows, first[: 2 + N_SETTINGS], {})
    return tensorboard.hparams_table(columns, {tags[m]: study.label(m) for m in tags})


def rank_settings(study: StudyRecord, rows: Iterable[Settings]) -> list[str]:
    """Return the names in the rows; those come first that most arms override.

    An arm overrides a setting itself, or the setting's group. `seed_offset` comes last: it tells
    halves of A/A pairs apart, which their role says.
    """
    keys = [{o.lstrip("+").partition("=")[0] for o in arm} for arm in study.arms.values()]
    n_rows = Counter(name for row in rows for name in row)

    def rank(name: str) -> tuple[Any, ...]:
        group, _, field = name.partition(".")
        n_arms = sum(bool({name, group} & own) for own in keys)
        is_overridden = any(name in own for own in keys)
        return name == SEED_OFFSET, -n_arms, field != "kind", not is_overridden, -n_rows[name], name

    return sorted(n_rows, key=rank)


def is_curve_end(study: StudyRecord, metric: str) -> bool:
    """Return whether the curve of a metric ends with its final value in every finished trial."""
    done = study.trials[study.trials["status"] == "done"][["arm", "seed"]]
    finals = study.results[study.results["metric"] == metric].merge(done, on=["arm", "seed"])
    curve = study.history[study.history["metric"] == metric].sort_values("step", kind="stable")
    ends = curve.drop_duplicates(["arm", "seed"], keep="last")
    both = finals.merge(ends, on=["arm", "seed"], how="left", suffixes=("", "_of_curve"))
    return len(both) > 0 and bool((both["value"] == both["value_of_curve"]).all())


def list_differing(rows: Sequence[Settings]) -> list[str]:
    """Return the sorted names of the settings that differ between the rows."""
    names = {name for row in rows for name in row} - {"arm", "seed"}
    return sorted(name for name in names if len(_values(name, rows)) > 1)


def _values(name: str, rows: Iterable[Settings]) -> set[object]:
    return {row.get(name, _ABSENT) for row in rows}


def _columns(
    rows: Sequence[Settings], first: Sequence[str], labels: Mapping[str, str]
) -> list[TableColumn]:
    """Return a column for each name in the rows; the columns of `first` are shown first."""
    return [
        TableColumn(
            name,
            frozenset(row[name] for row in rows if name in row),
            label=labels.get(name, ""),
            is_first=name in first,
        )
        for name in dict.fromkeys(name for row in rows for name in row)
    ]
