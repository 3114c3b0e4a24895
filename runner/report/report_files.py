"""Write the files of a report: tables, verdicts, figures, page and TensorBoard data.

Imports no torch and no model, so a report can be written again from the records only.
"""

import contextlib
import dataclasses
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from runner.claims import verdicts
from runner.claims.finding import Finding
from runner.figures.data import Records
from runner.figures.draw import Picture, draw_all, summarise_error
from runner.figures.figure import TextTable
from runner.figures.templates import select_arms_in_order
from runner.records import seal
from runner.report import (
    dashboard,
    markdown,
    page,
    picture_reuse,
    timing_stability,
    trial_notes,
)
from runner.report.answer import answer_lines, answer_record
from runner.report.cards import verdict_card
from runner.report.collection import RESULT_COLUMNS
from runner.report.difference_figure import difference_figure
from runner.report.headlines import HeadlineComparison, compare_headlines
from runner.report.hidden_texts import without_passages
from runner.report.outcome import Outcome
from runner.report.run_cards import ANSWER_FILE, VERDICTS_FILE
from runner.report.run_folder import CONFIG_FILE, ENVIRONMENT_FILE, RESULTS_FILE
from runner.report.study_record import StudyRecord
from runner.report.trials_dashboard import write_trials_dashboard
from runner.stats.comparison import COMPARISON_COLUMNS, compare_with_baseline, summarise_arms

TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace"}  # never fails
WORDS = [
    *("arm", "baseline", "metric", "n_diverged", "standing", "p", "minimum_detectable_effect"),
    *("unequal", "cost_by", "cost_ratio", "words"),
]


def write_report(
    run: Path, study: StudyRecord, *, is_redraw: bool = False, has_records: bool = False
) -> Outcome:
    """Write every file of the run folder, each atomically, and return the outcome.

    Tables are written before figures. If a figure or the TensorBoard folder fails, only that is
    missing, and a warning says so. With `is_redraw`, the run keeps its own records, and no file
    outside its folder changes. With `has_records`, `write_records` has written the run's records.
    """
    started = time.perf_counter()
    results = _in_order(study)
    findings = verdicts.judge(
        study.claims,
        results,
        scale=study.scale,
        trials=study.trials,
        preconditions=study.preconditions,
        clipped=study.clipped,
        history=study.history,
        registrations=study.registrations,
    )
    comparison, summary, warnings = _tables(study, results)
    compared = compare_headlines(study, results)
    lines = answer_lines(study, compared, findings)
    run.mkdir(parents=True, exist_ok=True)
    if not is_redraw and not has_records:
        write_records(run, study)
    with _draft(run) as folder:
        add_standings(comparison, compared).to_csv(folder / "comparison.csv", index=False, **TEXT)
        _write_json(folder / VERDICTS_FILE, [_finding_record(finding) for finding in findings])
        answer = _finite(answer_record(study, compared, findings))
        _write_json(
            folder / ANSWER_FILE, seal.seal_record(answer, ANSWER_FILE, folder, [VERDICTS_FILE])
        )
        _move(folder, run)
    records = figure_records(study, results)
    left_out: list[str] = []
    if not study.samples:
        figures, left_out = without_passages(study.figures)
        study = dataclasses.replace(study, figures=figures)
    first = difference_figure(study, compared, results, summary)
    study = dataclasses.replace(study, figures={**first, **study.figures})
    pictures, text_tables, failures, picture_index = _draw(run, study, records, reuse=not is_redraw)
    warnings += [*failures, *trial_notes.environment_notes(study.trials)]
    warnings += [
        *trial_notes.message_notes(study.trials),
        *timing_stability.stability_notes(study.tables),
    ]
    with _draft(run) as folder:
        (folder / "figures").mkdir()
        for key, picture in pictures.items():
            (folder / "figures" / f"{key}.png").write_bytes(picture.png)
            (folder / "figures" / f"{key}.svg").write_bytes(picture.svg)
        if picture_index:
            _write_json(folder / picture_reuse.INDEX, picture_index)
        texts = _texts(study, lines, findings, text_tables)
        images = {key: picture.png for key, picture in pictures.items()}
        try:
            dashboard.write_dashboard(folder / "tb", study, texts=texts, images=images)
        except Exception as error:
            warnings.append(f"tb/ for TensorBoard could not be written: {summarise_error(error)}")
        html = page.render(
            study,
            answer=lines,
            comparisons=compared,
            summary=summary,
            findings=findings,
            pictures=pictures,
            text_tables=text_tables,
            warnings=warnings,
            left_out=left_out,
        )
        # The page is moved last: when it appears, every file that it names exists.
        (folder / page.TEMPLATE).write_bytes(html.encode("utf-8", TEXT["errors"]))
        # A redraw keeps the run's index of pictures: entries of other pictures have no effect.
        keep = (picture_reuse.INDEX,) if is_redraw else ()
        _move(folder, run, clean=("figures", "tb"), keep=keep)
    if not is_redraw:
        try:
            write_trials_dashboard(run, study)
        except OSError as error:
            reason = error.strerror or str(error)
            warnings.append(f"TensorBoard's view of all trials could not be renewed ({reason})")
    return Outcome(
        answer=lines,
        findings=findings,
        comparisons=compared,
        comparison=comparison,
        summary=summary,
        report_path=run / page.TEMPLATE,
        warnings=warnings,
        seconds=time.perf_counter() - started,
    )


def figure_records(study: StudyRecord, results: pd.DataFrame) -> Records:
    """Return the records that figures are drawn from."""
    return Records(
        results,
        study.history,
        list(study.arms),
        study.tables,
        trials=study.trials,
        clipped=study.clipped,
        apart=frozenset((*study.aa_pairs, *study.controls)),
        declared=study.metric_declarations,
    )


def _draw(
    run: Path, study: StudyRecord, records: Records, *, reuse: bool
) -> tuple[dict[str, Picture], dict[str, TextTable], list[str], dict[str, Any]]:
    """Draw the figures as `draw_all` does; with `reuse`, take pictures of earlier runs.

    The last value is the index of the pictures, for later runs; {} without `reuse`.
    """
    reusable = None
    if reuse:
        # Without reuse a report takes longer, so no error in it may cost the report.
        with contextlib.suppress(Exception):
            reusable = picture_reuse.PictureReuse.prepare(study.figures, records)
    earlier = reusable.find(run) if reusable else {}
    new = {name: figure for name, figure in study.figures.items() if name not in earlier}
    drawn, text_tables, failures = draw_all(new, records)
    pictures = earlier | drawn
    pictures = {name: pictures[name] for name in study.figures if name in pictures}
    index = reusable.index(pictures) if reusable else {}
    return pictures, text_tables, failures, index


def write_records(run: Path, study: StudyRecord) -> None:
    """Write the records that the report is made from: final values, config, environment."""
    with _draft(run) as folder:
        results = _in_order(study)[RESULT_COLUMNS]
        results.to_csv(folder / RESULTS_FILE, index=False, **TEXT)
        _write_json(folder / ENVIRONMENT_FILE, study.environment)
        config = study.config_yaml.encode("utf-8", TEXT["errors"])
        (folder / CONFIG_FILE).write_bytes(config)
        _move(folder, run)


@contextlib.contextmanager
def _draft(run: Path) -> Iterator[Path]:
    """Yield a temporary folder inside the run folder, for files that are moved into place later."""
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=run) as name:
        yield Path(name)


def _in_order(study: StudyRecord) -> pd.DataFrame:
    unknown = sorted(set(study.results["arm"].unique()) - set(study.arms))
    if unknown:
        known = list(study.arms)
        raise ValueError(f"the results have arms {unknown}, but the study has only {known}")
    return select_arms_in_order(study.results.sort_values("seed", kind="stable"), list(study.arms))


def _tables(
    study: StudyRecord, results: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return the comparison with the baseline, the summary per arm, and warnings."""
    present = set(results["metric"].unique())
    warnings = [
        f"no trial recorded the metric {metric}"
        for metric in study.metrics
        if metric not in present
    ]
    summary = summarise_arms(results)
    present_arms = set(results["arm"].unique())
    seeds = sorted({*study.trials["seed"]})
    if study.baseline not in present_arms:
        warnings.append(f"the baseline {study.baseline} has no results: no arm can be compared")
        return pd.DataFrame(columns=COMPARISON_COLUMNS), summary, warnings
    own = {h.metric: study.baseline_of(h) for h in study.headline}
    own = {metric: arm for metric, arm in own.items() if arm != study.baseline}
    tables = []
    for baseline in dict.fromkeys([study.baseline, *own.values()]):
        # Arms under other seeds cannot be paired with this baseline. Control arms and arms on other
        # tasks are not compared. A headline's own baseline is the only one of its metric.
        offset = study.seed_offsets.get(baseline, 0)
        arms = [
            arm
            for arm in study.arms
            if arm not in study.controls
            and study.seed_offsets.get(arm, 0) == offset
            and study.fairness.same_task(arm, baseline)
            and (baseline == study.baseline or study.fairness.same_data(arm, baseline))
        ]
        rows = results[results["arm"].isin([baseline, *arms])]
        mine = [
            metric
            for metric in rows["metric"].unique().tolist()
            if own.get(metric, study.baseline) == baseline
        ]
        if baseline in present_arms and mine:
            tables.append(compare_with_baseline(rows, baseline, mine, seeds=seeds))
    if not tables:
        return pd.DataFrame(columns=COMPARISON_COLUMNS), summary, warnings
    return pd.concat(tables, ignore_index=True), summary, warnings


def add_standings(comparison: pd.DataFrame, compared: Sequence[HeadlineComparison]) -> pd.DataFrame:
    """Return the comparison with columns of the answer: result, p, cost and other differences."""
    rows = pd.DataFrame(
        [
            {
                "arm": one.arm,
                "baseline": one.baseline,
                "metric": one.headline.metric,
                "n_diverged": one.n_diverged,
                "standing": str(one.standing),
                "p": one.decision.p,
                "minimum_detectable_effect": one.decision.minimum_detectable_effect,
                "unequal": " ".join(one.unequal),
                "cost_by": one.cost_by,
                "cost_ratio": one.cost_ratio,
                "words": one.words,
            }
            for one in compared
        ],
        columns=WORDS,
    )
    keys = ["arm", "baseline", "metric"]
    merged = comparison.merge(rows, how="left", on=keys)
    # An arm without any finished trial has no row in `comparison`, but it has a result: undecided.
    lost = rows.merge(comparison[keys], how="left", on=keys, indicator=True)
    lost = lost[lost["_merge"] == "left_only"].drop(columns="_merge")
    return pd.concat([merged, lost], ignore_index=True) if len(lost) else merged


def _texts(
    study: StudyRecord,
    lines: Sequence[str],
    findings: Sequence[Finding],
    text_tables: Mapping[str, TextTable],
) -> dict[str, str]:
    environment = {key: str(value) for key, value in study.environment.items()}
    texts = {
        "question": study.question,
        "answer": "\n\n".join(lines),
        "command": markdown.code_block(study.command),
        "config": markdown.code_block(study.config_yaml),
        "environment": markdown.render_table(["", ""], [[k, v] for k, v in environment.items()]),
    }
    if findings:
        head = ["id", "verdict", "statement", "measured", "published", "p_holm", "reason"]
        cards = [verdict_card(finding, study) for finding in findings]
        rows = [[card[key] for key in head] for card in cards]
        texts["verdicts"] = markdown.render_table(head, rows)
    return texts | {
        f"samples/{name}": markdown.render_text_table(study.figures[name], text_table)
        for name, text_table in text_tables.items()
    }


def _finding_record(finding: Finding) -> dict[str, Any]:
    """Return a finding as in verdicts.json: verdict, claim, numbers, and the line of the console.

    `registered` is the hash of `claim` without its texts (`claim.DESCRIPTIVE_KEYS`), as JSON
    with sorted keys, without spaces, in UTF-8.
    """
    values = {f.name: getattr(finding, f.name) for f in dataclasses.fields(finding)}
    for name in ("interval", "extra_estimate", "aa", "positive"):
        values[name] = values[name]._asdict() if values[name] else None
    others = {name: other._asdict() for name, other in finding.others.items()}
    return {
        "id": finding.claim.id,
        **values,
        "verdict": str(finding.verdict),
        "unequal": list(finding.unequal),
        "claim": finding.claim.to_dict(),
        "registered": finding.fingerprint,
        "others": others,
        "line": str(finding),
    }


def _write_json(path: Path, value: Any) -> None:
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False, default=str)
    path.write_bytes(f"{text}\n".encode("utf-8", TEXT["errors"]))


def _finite(value: Any) -> Any:
    """Replace NaN and infinity, which JSON does not have, by their names."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _move(source: Path, target: Path, clean: Sequence[str] = (), keep: Sequence[str] = ()) -> None:
    """Move a tree file by file, each atomically, replacing existing files; the page is last.

    Then delete the files below the folders `clean` that only an earlier report had, except `keep`.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file())
    current = {str(path.relative_to(source)) for path in files} | {*keep}
    for path in sorted(files, key=lambda path: path.name == page.TEMPLATE):
        destination = target / path.relative_to(source)
        destination.parent.mkdir(parents=True, exist_ok=True)
        path.replace(destination)
    # Start with the deepest paths, so that a folder is empty when its turn comes.
    existing = [path for name in clean for path in (target / name).rglob("*")]
    for path in sorted(existing, reverse=True):
        if path.is_symlink() or path.is_file():
            if str(path.relative_to(target)) not in current:
                path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
