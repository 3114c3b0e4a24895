"""A run is redrawn from its own folder alone, wherever it lies and whoever has sent it."""

import hashlib
import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from runner.commands.redraw import find_run, redraw
from runner.config import ConfigError
from runner.plan.plan import Plan
from runner.plan.report_spec import read_report_spec
from runner.records import seal
from runner.report import (
    collection,
    latest_run,
    picture_reuse,
    records_archive,
    run_folder,
    study_report,
    untrusted_run,
)
from runner.study.entries import list_trials
from runner.wording.output import MAX_CHARACTERS, MAX_LINES
from tests.support.finished_study import (  # noqa: F401 (fixtures)
    copied_run_folder,
    finished_outputs,
    finished_plan,
    finished_study_folder,
    replan,
)

NOT_BYTE_FOR_BYTE = "events.out.tfevents"  # they hold the moment of their writing


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but event files, by name."""
    files = {path for path in folder.rglob("*") if path.is_file()}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if NOT_BYTE_FOR_BYTE not in path.name
    }


def resealed(run: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Change study.json and seal it again, as somebody would who wants to be believed."""
    summary = json.loads((run / "study.json").read_text())
    change(summary)
    del summary["digests"]
    sealed = seal.seal_record(summary, "study.json", run, run_folder.VERIFIED_FILES)
    (run / "study.json").write_text(json.dumps(sealed))


def test_a_run_that_was_sent_without_its_trials_is_redrawn_to_the_same_bytes(
    copied_run_folder: Path,  # noqa: F811
):
    before = contents(copied_run_folder)
    assert {"records.zip", "study.json", "results.csv", "report.html"} <= before.keys()
    assert any(name.startswith("figures/") for name in before)
    (copied_run_folder / "comparison.csv").unlink()
    for path in (copied_run_folder / "figures").iterdir():
        path.unlink()
    redraw([str(copied_run_folder)])
    before.pop(picture_reuse.INDEX)  # only for later runs of the same user
    assert contents(copied_run_folder) == before
    assert [path.name for path in copied_run_folder.parent.iterdir()] == ["run"]


def test_the_same_records_give_the_same_archive_and_numbers_to_the_bit():
    curves = "step,metric,value\n1,null,0.30000000000000004\n2,a,nan\n3,a,-inf\n4,a,5e-324\n"
    table = "label,n,share\n007,1,0.1\nNA,2,\n"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x/seed-3/metrics.csv", curves)
        archive.writestr("x/seed-3/tables/heads.csv", table)
    kept = records_archive.unpack_trials(content.getvalue(), [("x", 3), ("y", 3)])
    values = kept.history["value"].tolist()
    assert values[0] == 0.1 + 0.2
    assert values[1] != values[1]
    assert values[2:] == [float("-inf"), 5e-324]
    assert kept.history["metric"].tolist() == ["null", "a", "a", "a"]
    assert kept.tables["heads"].to_numpy().tolist() == [
        ["x", 3, "007", 1, "0.1"],
        ["x", 3, "NA", 2, ""],
    ]


def test_many_damaged_tables_are_counted():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(20):
            archive.writestr(f"x/seed-0/tables/t{number:02}.csv", "arm,seed\n1,2\n")
    *named, rest = records_archive.unpack_trials(content.getvalue(), [("x", 0)]).faults
    assert named[0] == "records.zip: x/seed-0/tables/t00.csv cannot be read and is left out"
    assert (len(named), rest) == (5, "... and 15 more of this kind")


def test_a_report_reads_each_trial_once_whatever_becomes_of_it_meanwhile(
    replan: Callable[..., Plan],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    plan = replan()
    entries = list_trials(plan)
    one, two = (entry.slot for entry in entries)
    taken = collection.snapshot_trials(entries)
    whole = collection.final_values(taken)
    archived = [(t.entry.arm.name, t.entry.seed, t.entry.slot, t.digests) for t in taken]
    assert records_archive.pack_trials(archived) == records_archive.pack_trials(archived)
    monkeypatch.setattr("runner.report.study_report.snapshot_trials", lambda _: taken)
    one.clear()  # another command begins to compute them again
    (two.folder / "metrics.csv").write_text("step,metric,value\n1,a,2.0\n")
    run = study_report.report_study(plan, entries, read_report_spec(plan.study))
    assert run is not None
    values = untrusted_run.parse_results(run / "results.csv")
    pd.testing.assert_frame_equal(values, whole, check_dtype=False)
    assert "dense seed 0: metrics.csv was changed during the report" in plan.notes
    assert "moe_top2 seed 0: metrics.csv was changed during the report" in plan.notes
    assert {row["status"] for row in json.loads((run / "study.json").read_text())["trials"]} == {
        "done"
    }


def test_values_survive_to_the_bit(tmp_path: Path):
    rows = [("a", 0, "m", 0.1 + 0.2, "1"), ("null", 1, "m", float("inf"), "")]
    table = pd.DataFrame(rows, columns=collection.RESULT_COLUMNS)
    table.to_csv(tmp_path / "results.csv", index=False)
    assert untrusted_run.parse_results(tmp_path / "results.csv").to_numpy().tolist() == rows_of(
        table
    )


def rows_of(table: pd.DataFrame) -> list[list[Any]]:
    return table.to_numpy().tolist()


def test_help_shows_what_to_type(capsys: pytest.CaptureFixture[str]):
    redraw(["--help"])
    printed = capsys.readouterr().out
    assert printed.startswith("usage: python -m runner redraw [<run folder>|<experiment>]")
    assert max(map(len, printed.splitlines())) <= 80
    for wrong in (["a", "b"], ["\0"], ["outputs=a", "outputs=b"]):
        with pytest.raises(ConfigError, match="type python -m runner redraw"):
            redraw(wrong)


@pytest.fixture
def two_runs(copied_run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:  # noqa: F811
    """Folders of two runs of two experiments in `outputs`, each with its `latest`."""
    top = copied_run_folder.parents[1]
    monkeypatch.chdir(top)
    runs = []
    for experiment, second in (("moe", 1), ("ffn", 0)):
        run = Path("outputs", experiment, "runs", f"2026-11-26_04-51-0{second}_quick")
        shutil.copytree(copied_run_folder, run)
        latest_run.renew_latest(run)
        runs.append(run)
    return runs


@pytest.mark.parametrize(
    ("arguments", "index"),
    [
        ([], 0),
        (["outputs=outputs"], 0),
        (["moe"], 0),
        (["ffn"], 1),
        (["outputs/ffn"], 1),
        (["outputs/ffn/latest"], 1),
        (["outputs/ffn/latest/"], 1),
        (["outputs/ffn/runs/2026-11-26_04-51-00_quick"], 1),
        (["ffn", "outputs=here/outputs"], 1),
        (["outputs=here/outputs"], 0),
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_the_run_to_redraw_is_found(
    two_runs: list[Path], arguments: list[str], index: int, as_file: bool
):
    if as_file:
        for run in two_runs:
            (run.parents[1] / "latest").unlink()
            (run.parents[1] / "latest").write_text(f"runs/{run.name}\n")
    if any("here" in word for word in arguments):
        Path("here").symlink_to(Path.cwd())
    assert find_run(arguments).resolve() == two_runs[index].resolve()


def test_plug_ins_have_no_effect_and_that_is_said(
    two_runs: list[Path], capsys: pytest.CaptureFixture[str]
):
    assert find_run(["plugins=[absent]", "moe"]).resolve() == two_runs[0].resolve()
    assert capsys.readouterr().err == "note: this command does not need plugins, and ignores it\n"


def test_latest_is_redrawn_in_the_folder_that_it_names(two_runs: list[Path]):
    for name in ("report.html", "comparison.csv"):
        (two_runs[0] / name).unlink()
    before = [path.read_bytes() for path in sorted(two_runs[1].rglob("*")) if path.is_file()]
    redraw([])
    assert (two_runs[0] / "report.html").is_file()
    assert (two_runs[0] / "comparison.csv").is_file()
    assert before == [p.read_bytes() for p in sorted(two_runs[1].rglob("*")) if p.is_file()]
    assert Path("outputs", "moe", "latest").is_symlink()


def test_without_a_run_one_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=r"^outputs has no finished run \(no outputs/<experiment>/"
    ):
        redraw([])
    with pytest.raises(ConfigError, match=r"^x has no finished run"):
        redraw(["outputs=x"])
    with pytest.raises(ConfigError, match=r"^moe: there is no such folder; name a run"):
        redraw(["moe"])
    with pytest.raises(ConfigError, match=r"^outputs/moe/latest names no run of outputs/moe"):
        redraw(["outputs/moe/latest"])


def test_a_foreign_latest_is_not_followed(sent: Path):
    """A received outputs folder may have a link that leads to a run elsewhere."""
    experiment = sent.parent / "moe"
    (experiment / "runs").mkdir(parents=True)
    (experiment / "latest").symlink_to(sent)
    before = outside(sent), contents(sent)
    for arguments in ([str(experiment)], [str(experiment / "latest")], [f"outputs={sent.parent}"]):
        with pytest.raises(ConfigError):
            redraw(arguments)
    assert (outside(sent), contents(sent)) == before


def edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda run: (run / name).write_bytes(data)


@pytest.mark.some(4)
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (write("records.zip", b"PK\x05\x06"), "records.zip was changed since"),
        (lambda run: (run / "records.zip").unlink(), "records.zip is missing"),
        (
            edit("study.json", '"preset_tolerance": 0', '"preset_tolerance": 9'),
            "study.json was changed since",
        ),
        (edit("config.yaml", "question: ", "question: ' "), None),
        (edit("environment.json", '"python"', '"Python"'), "environment.json was changed since"),
    ],
)
def test_a_changed_record_is_named_and_what_it_held_is_left_out(
    copied_run_folder: Path,  # noqa: F811
    harm: Callable[[Path], object],
    said: str | None,
):
    harm(copied_run_folder)
    if said is None:
        with pytest.raises(ConfigError, match=r"config\.yaml"):
            redraw([str(copied_run_folder)])
        return
    values = (copied_run_folder / "results.csv").read_bytes()
    redraw([str(copied_run_folder)])
    page = (copied_run_folder / "report.html").read_text()
    assert f"redrawn: {said}" in page
    assert ("curves and tables are left out" in page) == said.startswith("records.zip")
    assert (copied_run_folder / "results.csv").read_bytes() == values


@pytest.mark.parametrize("key", ["format", "digests", "both"])
def test_final_values_that_no_seal_vouches_for_are_not_drawn(copied_run_folder: Path, key: str):  # noqa: F811
    found = json.loads((copied_run_folder / "study.json").read_text())
    for name in ("format", "digests") if key == "both" else (key,):
        del found[name]
    (copied_run_folder / "study.json").write_text(json.dumps(found))
    values = (copied_run_folder / "results.csv").read_text()
    (copied_run_folder / "results.csv").write_text(values.replace("0.", "9.", 1))
    with pytest.raises(ConfigError, match=r"results\.csv .*: a report needs its final values"):
        redraw([str(copied_run_folder)])


def config(**changes: Any) -> Callable[[Path], object]:
    """Put other values into the run's config.yaml."""

    def change(run: Path) -> None:
        tree = yaml.safe_load((run / "config.yaml").read_text())
        (run / "config.yaml").write_text(yaml.safe_dump(tree | changes))

    return change


def summary(**changes: Any) -> Callable[[Path], object]:
    """Put other values into study.json and seal it."""
    return lambda run: resealed(run, lambda found: found.update(changes))


def trial(**changes: Any) -> Callable[[Path], object]:
    return lambda run: resealed(run, lambda found: found["trials"][0].update(changes))


def link(name: str, target: str) -> Callable[[Path], object]:
    """Replace a file or folder of the run by a link to something of somebody else's."""

    def change(run: Path) -> None:
        place = run / name
        if place.exists():
            place.rename(place.with_name(f"{place.name}-moved"))
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(run.parents[1] / target)

    return change


def pipe(name: str) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        (run / name).unlink()
        os.mkfifo(run / name)

    return change


def huge(name: str) -> Callable[[Path], object]:
    def change(run: Path) -> None:
        os.truncate(run / name, 2**34)

    return change


FIGURE = {"kind": "curve", "metric": "val/loss", "title": "t", "caption": "c"}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghi")
)
METRIC = {"diverged": "kept", "value": None, "deterministic": False, "curve": ""}
REFUSED: dict[str, Callable[[Path], object]] = {
    "figure up": config(figures={"../../../../evil": FIGURE}),
    "figure absolute": config(figures={"/tmp/evil": FIGURE}),
    "figure NUL": config(figures={"e\0vil": FIGURE}),
    "figure long": config(figures={"e" * 300: FIGURE}),
    "figure dots": config(figures={"..": FIGURE}),
    "figure no mapping": config(figures={"a": [1]}),
    "figure of another kind": config(figures={"a": FIGURE | {"kind": ["curve"]}}),
    "figures a list": config(figures=[FIGURE]),
    "many figures": config(figures={f"f{i}": FIGURE for i in range(501)}),
    "claim up": config(claims={"../evil": {}}),
    "claim of a plug-in": config(claims={"C": {"kind": "os.system", "metric": "m"}}),
    "claim nested": config(claims={"C": 3}),
    "headline": config(headline=[{"metric": 3}]),
    "scale": config(scale="huge"),
    "scale unhashable": config(scale=["smoke"]),
    "question": config(question=["q"]),
    "YAML object": write("config.yaml", "question: !!python/object/apply:os.system ['touch evil']"),
    "YAML bomb": write("config.yaml", BOMB),
    "YAML recursion": write("config.yaml", "a: &a [*a]"),
    "YAML depth": write("config.yaml", "[" * 400_000),
    "YAML width": write("config.yaml", "a: [" + "1," * 400_000 + "]"),
    "YAML empty": write("config.yaml", ""),
    "YAML scalar": write("config.yaml", "text"),
    "YAML control letters": write("config.yaml", "question: a\x12b"),
    "YAML bytes": write("config.yaml", bytes(range(256)) * 9),
    "YAML twice": write("config.yaml", "a: 1\n---\na: 2"),
    "config huge": huge("config.yaml"),
    "config a pipe": pipe("config.yaml"),
    "config a link": link("config.yaml", "secret.txt"),
    "study huge": huge("study.json"),
    "study a link": link("study.json", "secret.txt"),
    "study deep": write("study.json", '{"a":' * 100_000),
    "study a list": write("study.json", "[1, 2]"),
    "study empty": write("study.json", ""),
    "study bytes": write("study.json", b"\xff\xfe" * 99),
    "study digits": write("study.json", '{"a": ' + "9" * 50_000 + "}"),
    "arm up": summary(arms={"../../evil": []}, baseline="../../evil"),
    "arm not text": summary(arms={"dense": [1], "moe_top2": []}),
    "arms a list": summary(arms=["dense"]),
    "baseline": summary(baseline="nobody"),
    "experiment": summary(experiment="../../moe"),
    "no trials": summary(trials=[]),
    "trial seed up": trial(seed="../../0"),
    "trial seed negative": trial(seed=-1),
    "trial seed large": trial(seed=10**30),
    "trial arm": trial(arm="nobody"),
    "trial status": trial(status="hacked"),
    "trial seconds": trial(seconds="long"),
    "trial message": trial(message=["m"]),
    "trial machine": trial(machine="m"),
    "trial twice": lambda run: resealed(run, lambda s: s["trials"].append(s["trials"][0])),
    "command": summary(command="python 'open"),
    "costs": summary(costs={"dense": {"params": "many"}}),
    "looks": summary(looks={"number": "two", "sets": [], "left_out": []}),
    "registrations": summary(registrations={"C": {"shipped": 1}}),
    "hparams": summary(hparams={"dense": {"seed_offset": [1]}}),
    "offset": summary(hparams={"dense": {"seed_offset": "x"}, "moe_top2": {}}),
    "metrics a list": summary(declared=["val/loss"]),
    "metric worth": summary(declared={"val/loss": METRIC | {"diverged": ["kept"]}}),
    "metric value missing": summary(declared={"val/loss": METRIC | {"diverged": "fixed"}}),
    "metric value infinite": summary(
        declared={"val/loss": METRIC | {"diverged": "fixed", "value": float("inf")}}
    ),
    "metric value needless": summary(declared={"val/loss": METRIC | {"value": 1.0}}),
    "metric truth": summary(declared={"val/loss": METRIC | {"deterministic": 1}}),
    "metric curve": summary(declared={"val/loss": METRIC | {"curve": None}}),
    "metric key": summary(declared={"val/loss": METRIC | {"more": 1}}),
    "metric keys": summary(declared={"val/loss": {"diverged": "kept"}}),
    "many metrics": summary(declared={str(i): METRIC for i in range(200_001)}),
    "affects": summary(affects={"n_permutations": "moe"}),
    "many options": summary(affects={str(i): [] for i in range(501)}),
    "results edited": edit("results.csv", "0.", "9."),
    "results huge": huge("results.csv"),
    "results a link": link("results.csv", "secret.txt"),
    "results bytes": write("results.csv", bytes(range(256)) * 9),
    "environment a list": write("environment.json", "[]"),
    "figures elsewhere": link("figures", "elsewhere"),
    "tb elsewhere": link("tb", "elsewhere"),
    "tb arm elsewhere": link("tb/dense", "elsewhere"),
    "figures a file": lambda run: ((run / "figures").rename(run / "f"), write("figures", "x")(run)),
}
for _column, _text in {
    "arm": "nobody,0,val/loss,1.0,nats",
    "seed": "dense,1e9,val/loss,1.0,nats",
    "value": "dense,0,x,much,nats",
    "fields": "dense,0,x,1.0,nats,more,and,more",
}.items():

    def _results(run: Path, text: str = _text) -> None:
        with (run / "results.csv").open("a") as file:
            file.write(f"{text}\n")
        resealed(run)

    REFUSED[f"results {_column}"] = _results


def outside(run: Path) -> dict[str, str]:
    """What lies around a run's folder, with digests of files."""
    top = run.parents[1]
    return {
        str(path.relative_to(top)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file() and not path.is_symlink()
        else ""
        for path in top.rglob("*")
        if run not in path.parents
    }


@pytest.fixture
def sent(copied_run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A run that a stranger has sent, beside things that are none of its business."""
    top = copied_run_folder.parents[1]
    (top / "secret.txt").write_text("question: SECRET\n")
    (top / "elsewhere").mkdir()
    monkeypatch.chdir(top)
    monkeypatch.setenv("SECRET", "hunter2")
    return copied_run_folder


@pytest.mark.some(12)
@pytest.mark.parametrize("kind", REFUSED)
def test_a_hostile_run_is_refused_in_one_line_and_leaves_no_trace(sent: Path, kind: str):
    REFUSED[kind](sent)
    before, began = outside(sent), time.monotonic()
    with pytest.raises(ConfigError) as refused:
        redraw([str(sent)])
    text = str(refused.value).replace(str(sent), "run")
    assert len(text) <= MAX_CHARACTERS
    assert len(text.splitlines()) <= MAX_LINES
    assert "run" in text or "figure" in text or "claim" in text or "arm" in text
    assert outside(sent) == before
    assert time.monotonic() - began < 5


def test_text_with_resolvers_stays_text(sent: Path):
    command = "${oc.env:SECRET} ${oc.decode:x} ${now:%Y} \\${a} <script>alert(1)</script>"
    config(question=command, not_tested=[command])(sent)
    resealed(sent, lambda found: found.update(notes=[command], command="python ${oc.env:SECRET}"))
    redraw([str(sent)])
    page = (sent / "report.html").read_text()
    assert "hunter2" not in page
    assert "${oc.env:SECRET} ${oc.decode:x} ${now:%Y}" in page
    assert "<script>alert" not in page


def test_what_links_stand_for_is_not_written_through_them(sent: Path):
    secret = sent.parents[1] / "secret.txt"
    for name in ("report.html", "comparison.csv", "verdicts.json", "figures/loss.png"):
        (sent / name).unlink(missing_ok=True)
        (sent / name).symlink_to(secret)
    before = outside(sent)
    redraw([str(sent)])
    assert outside(sent) == before
    assert not (sent / "report.html").is_symlink()


def archived(name: str, text: str) -> Callable[[Path], object]:
    return hostile_archive(lambda archive: archive.writestr(name, text))


def hostile_archive(change: Callable[[zipfile.ZipFile], object]) -> Callable[[Path], object]:
    def put(run: Path) -> None:
        with zipfile.ZipFile(run / "records.zip", "a", zipfile.ZIP_DEFLATED) as archive:
            change(archive)
        resealed(run)

    return put


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (archived("../../evil.csv", "a\n1\n"), ""),
        (archived("/tmp/evil-of-ablab.csv", "a\n1\n"), ""),
        (archived("dense/seed-0/tables/../../evil.csv", "a\n1\n"), ""),
        (
            archived("dense/seed-0/tables/x.csv", ""),
            "x.csv cannot",
        ),
        (
            archived("dense/seed-0/tables/x.csv", "arm\nb\n"),
            "x.csv cannot",
        ),
        (
            lambda run: (write("records.zip", b"no archive")(run), resealed(run)),
            "is not a zip archive",
        ),
        (lambda run: huge("records.zip")(run), "records.zip"),
    ],
)
def test_a_hostile_archive_costs_what_it_holds_alone(
    sent: Path, harm: Callable[[Path], object], said: str
):
    harm(sent)
    before = outside(sent)
    redraw([str(sent)])
    assert outside(sent) == before
    assert not Path("/tmp/evil-of-ablab.csv").exists()
    assert said in (sent / "report.html").read_text()


def test_an_archive_that_unpacks_to_more_than_a_run_can_hold_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(records_archive, "MAX_UNPACKED_BYTES", 2**20)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dense/seed-0/tables/bomb.csv", bytes(2**21))
    assert len(content.getvalue()) < 2**13
    assert (
        records_archive.too_large_reason(content.getvalue(), 1)
        == "records.zip holds more than 1 MiB"
    )
    monkeypatch.setattr(records_archive, "MAX_UNPACKED_RATIO", 2**10)
    assert not records_archive.too_large_reason(content.getvalue(), 1)


@pytest.mark.slow
def test_an_archive_of_ones_own_is_reported_whatever_its_size(
    replan: Callable[..., Plan],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    sizes = ("MAX_UNPACKED_BYTES", "MAX_UNPACKED_RATIO", "MAX_FILES", "MAX_FILES_PER_TRIAL")
    for name in sizes:
        monkeypatch.setattr(records_archive, name, 0)
    plan = replan()
    run = study_report.report_study(plan, list_trials(plan), read_report_spec(plan.study))
    assert run is not None
    curves = "curves and tables: records.zip holds more than 0 MiB"
    assert f"redraw will leave out {curves}" in (run / "report.html").read_text()
    drawn = len(list((run / "figures").iterdir()))
    redraw([str(run)])
    assert len(list((run / "figures").iterdir())) < drawn
    assert "MiB: curves and tables are left out" in (run / "report.html").read_text()


def test_records_are_written_before_curves_are_parsed(
    replan: Callable[..., Plan],  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    def full(*_: object) -> None:
        raise MemoryError

    plan = replan()
    with monkeypatch.context() as patch:
        patch.setattr(records_archive, "unpack_trials", full)
        with pytest.raises(MemoryError):
            study_report.report_study(plan, list_trials(plan), read_report_spec(plan.study))
    run = max((plan.outputs / "moe" / "runs").iterdir())
    assert not (run / "report.html").exists()
    redraw([str(run)])
    assert (run / "report.html").exists()


def test_declarations_are_the_runs_own_and_this_process_has_those_of_older_runs(
    copied_run_folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    before = contents(copied_run_folder)
    with monkeypatch.context() as patch:
        patch.setattr("runner.registry.metric", lambda _: pytest.fail("the run has its own"))
        patch.setattr(
            "runner.registry.affected_metrics", lambda _: pytest.fail("the run has its own")
        )
        redraw([str(copied_run_folder)])
    assert contents(copied_run_folder) == before

    def older(found: dict[str, Any]) -> None:
        del found["declared"], found["affects"]

    resealed(copied_run_folder, older)
    redraw([str(copied_run_folder)])
    after = contents(copied_run_folder)
    assert after.pop("study.json") != before.pop("study.json")
    assert after == before


def test_a_run_of_an_older_version_says_how_to_have_it_again(copied_run_folder: Path):  # noqa: F811
    found = json.loads((copied_run_folder / "study.json").read_text())
    del found["preset_tolerance"]
    (copied_run_folder / "study.json").write_text(json.dumps(found))
    with pytest.raises(ConfigError, match=r"written by an older version.*run it again: python"):
        redraw([str(copied_run_folder)])
