"""A report is whole, self-contained, honest about what it knows, and escapes what it is given."""

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from runner.claims.headline import Headline
from runner.claims.kinds import KINDS, read_claim
from runner.metric_names import STEP_ALONE
from runner.report import records_archive
from runner.report.console import render_console
from runner.report.outcome import Outcome
from runner.report.report_files import write_report
from runner.report.study_record import StudyRecord
from runner.wording import quantity
from tests.support.sample_study import ARMS, make_claims, make_results, make_study, make_trials
from tests.support.tensorboard_app import TensorBoardApp

CURVE = "1 headlines/1 val/loss"
EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyRecord, Outcome]:
    study = make_study()
    return study, write_report(tmp_path_factory.mktemp("runs") / "one", study)


def bare(**changes: object) -> StudyRecord:
    """The study without figures and curves, which take most of the time."""
    return make_study(**{"figures": {}, "history": make_study().history.head(0), **changes})


def test_every_file_is_there_and_nothing_else(written: tuple[StudyRecord, Outcome]) -> None:
    study, outcome = written
    run = outcome.report_path.parent
    assert {path.name for path in run.iterdir()} == {
        *("answer.json", "results.csv", "comparison.csv", "verdicts.json"),
        *("config.yaml", "environment.json", "report.html", "figures", "tb"),
    }
    assert {path.stem for path in (run / "figures").glob("*.svg")} == {
        "differences",
        *study.figures,
    }
    assert {path.stem for path in (run / "figures").glob("*.png")} == {
        "differences",
        *study.figures,
    }
    assert list(run.parent.iterdir()) == [run]


def test_results_have_exactly_their_columns_and_values(
    written: tuple[StudyRecord, Outcome],
) -> None:
    study, outcome = written
    table = pd.read_csv(outcome.report_path.parent / "results.csv")
    assert list(table.columns) == ["arm", "seed", "metric", "value", "unit"]
    key = ["arm", "seed", "metric"]
    merged = table.astype({"unit": str}).merge(study.results, on=key, suffixes=("", "_given"))
    assert len(merged) == len(study.results)
    assert (merged["value"] == merged["value_given"]).all()


def test_verdicts_are_json_with_their_claims(written: tuple[StudyRecord, Outcome]) -> None:
    _, outcome = written
    findings = json.loads((outcome.report_path.parent / "verdicts.json").read_text())
    assert [f["claim"]["id"] for f in findings] == ["M1", "M2", "M3", "M4"]
    assert [f["verdict"] for f in findings] == [str(f.verdict) for f in outcome.findings]
    assert findings[0]["interval"]["low"] < findings[0]["interval"]["mean"]


CLAIMS = {
    "difference": {"arm": "moe_top2", "control": "dense", "direction": "less"},
    "equivalence": {"arm": "moe_top2_copy", "control": "moe_top2", "delta": 0.02},
    "slope": {
        "metric": "moe/load/layer0/expert{expert}",
        "arm": "moe_no_balance",
        "x": "expert",
        "log": "none",
        "band": [0.01, 0.02],
        "control": {"arm": "moe_top2", "band": [0, 0.009]},
    },
    "failure_rate": {"metric": None, "arm": "moe_top2", "at_most": 0.5},
    "interaction": {
        "arm": "moe_top2",
        "control": "dense",
        "other_arm": "moe_no_balance",
        "other_control": "moe_top2_copy",
        "direction": "less",
    },
    "curve_slope": {"arm": "moe_top2", "direction": "less"},
    "at_equal_seconds": {
        "arm": "moe_top2",
        "control": "dense",
        "direction": "greater",
        "aa": {"arm": "moe_top2_copy", "control": "moe_top2"},
    },
    "exact": {
        "metric": "cost/parameters",
        "arm": "dense",
        "relation": "equal",
        "value": 150_000,
        "family": None,
    },
}


def test_every_kind_of_claim_is_shown_with_the_published_figure(tmp_path: Path) -> None:
    shared = {"n": 8, "metric": "val/loss", "statement": "s", "source": "S", "family": "f"}
    written = {
        kind: shared | {"kind": kind, "published": f"figure of {kind}", **keys}
        for kind, keys in CLAIMS.items()
    }
    claims = [
        read_claim(id, {key: value for key, value in keys.items() if value is not None})
        for id, keys in written.items()
    ]
    assert {claim.kind for claim in claims} == set(KINDS)
    seconds = {"dense": 0.1, "moe_top2": 0.3, "moe_top2_copy": 0.3}
    times = pd.DataFrame(
        [
            (arm, seed, STEP_ALONE, value * (1 + (seed % 3 - 1) / 1000), "s")
            for arm, value in seconds.items()
            for seed in range(8)
        ],
        columns=["arm", "seed", "metric", "value", "unit"],
    )
    study = make_study(
        figures={}, claims=claims, results=pd.concat([make_results(), times], ignore_index=True)
    )
    outcome = write_report(tmp_path / "run", study)
    page = outcome.report_path.read_text()
    told = json.loads((outcome.report_path.parent / "verdicts.json").read_text())
    for claim, finding, saved in zip(claims, outcome.findings, told, strict=True):
        assert finding.verdict in ("reproduced", "inconclusive"), str(finding)
        assert f"figure of {claim.kind}" in page
        assert f"<code>{claim.fingerprint}</code>" in page
        assert saved["registered"] == claim.fingerprint
    assert "150,000 parameters (exact)" in page
    assert "also measured" in page
    assert "Clopper-Pearson" in page
    assert "90 % interval" in page
    assert "moe_top2 minus dense at equal seconds of training" in page
    assert "slope over log step, from 0 % to 100 % of the training, moe_top2" in page
    assert "(moe_top2 minus dense) minus (moe_no_balance minus moe_top2_copy)" in page
    cards = page.partition("Verdicts on published claims")[2].partition("Arms compared")[0]
    assert not re.search(r"\bnan\b", cards)
    out = io.StringIO()
    Console(file=out, width=100).print(render_console(study, outcome))
    assert all(claim.id in out.getvalue() for claim in claims)


def test_the_answer_is_computed(written: tuple[StudyRecord, Outcome]) -> None:
    _, outcome = written
    answer = "\n".join(outcome.answer)
    row = outcome.comparison.query("arm == 'moe_top2' and metric == 'val/loss'").iloc[0]
    amount = quantity.format_amount(row["difference"], row["low"], row["high"])
    number, interval = amount.split(" ", 1)
    assert f"moe_top2 is better than dense by {number} nats/byte {interval};" in answer
    assert "moe_no_balance does not differ significantly from dense (" in answer
    assert "moe_top2_copy" not in outcome.answer[0]
    assert "Two copies of moe_top2 differ by" in answer
    assert "8 paired seeds" in answer
    assert "2 reproduced" in answer
    assert "1 diverged of 32" in answer


def test_a_smoke_run_answers_nothing(tmp_path: Path) -> None:
    outcome = write_report(tmp_path / "run", bare(scale="smoke"))
    (answer,) = outcome.answer
    assert "only shows that everything runs" in answer
    assert {str(finding.verdict) for finding in outcome.findings} == {"invalid"}
    assert "better" not in answer


def test_one_seed_is_said_and_has_no_interval(tmp_path: Path) -> None:
    one = make_results().query("seed == 0")
    trials = make_trials().query("seed == 0")
    outcome = write_report(tmp_path / "run", bare(results=one, trials=trials))
    answer = "\n".join(outcome.answer)
    assert "one seed" in answer
    assert "(one seed)" in outcome.report_path.read_text()
    assert "nan" not in answer


def test_a_study_with_almost_nothing_is_still_reported(tmp_path: Path) -> None:
    results = make_results().query("arm == 'moe_top2'")
    study = bare(results=results, claims=[], headline=[Headline("no/such", "less", "nothing")])
    outcome = write_report(tmp_path / "run", study)
    assert any("no/such" in line for line in outcome.warnings)
    assert any("baseline dense has no results" in line for line in outcome.warnings)


def test_results_of_an_unknown_arm_are_refused(tmp_path: Path) -> None:
    results = make_results().replace({"arm": {"dense": "spare"}})
    with pytest.raises(ValueError, match="spare"):
        write_report(tmp_path / "run", bare(results=results))
    assert not (tmp_path / "run").exists()


def test_nothing_is_fetched_and_nothing_runs(written: tuple[StudyRecord, Outcome]) -> None:
    page = written[1].report_path.read_text()
    addresses: list[str] = []
    tags: list[str] = []
    policies: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            known = dict(attrs)
            addresses.extend(v or "" for k, v in attrs if k in ("src", "href", "srcset"))
            assert not [k for k in known if k.startswith("on") or k == "style"]
            if known.get("http-equiv") == "Content-Security-Policy":
                policies.append(known["content"] or "")

    Reader().feed(page)
    inside = [address for address in addresses if address.startswith("#")]
    assert all(f'id="{address[1:]}"' in page for address in inside)
    outside = [address for address in addresses if address not in inside]
    assert all(address.startswith("data:image/") for address in outside)
    assert len(outside) == 7
    assert not {*tags} & {"link", "iframe", "object", "base", "form"}
    assert tags.count("script") == tags.count("style") == 1
    assert all(place.startswith('"data:font/woff') for place in re.findall(r"url\((.{20})", page))
    assert "@import" not in page
    # The policy allows only this script and this style.
    (policy,) = policies
    assert policy.startswith("default-src 'none'")
    for tag in ("script", "style"):
        text = page.partition(f"<{tag}>")[2].partition(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_what_came_from_outside_is_escaped(tmp_path: Path) -> None:
    results = make_results().replace({"arm": {"moe_top2": EVIL}})
    trials = (
        make_trials().replace({"arm": {"moe_top2": EVIL}}).assign(message=EVIL, status="failed")
    )
    arms = {EVIL if arm == "moe_top2" else arm: [EVIL] for arm in ARMS}
    study = bare(
        results=results,
        trials=trials,
        arms=arms,
        question=EVIL,
        command=EVIL,
        notes=[EVIL],
        not_tested=[EVIL],
        config_yaml=EVIL,
        environment={EVIL: EVIL},
        headline=[Headline("val/loss", "less", EVIL)],
        claims=[claim for claim in make_claims() if claim.id == "M1"],
    )
    page = write_report(tmp_path / "run", study).report_path.read_text()
    assert EVIL not in page
    assert page.count("&lt;script&gt;") > 10


def test_every_mean_on_the_page_has_its_interval(written: tuple[StudyRecord, Outcome]) -> None:
    page = written[1].report_path.read_text()
    compared = page.partition("Arms compared")[2].partition("Cost of each arm")[0]
    cells = [
        cell for cell in re.findall(r'<td class="n" data-sort.*?>(.*?)</td>', compared) if cell
    ]
    assert len(cells) >= len(ARMS)
    for cell in cells:
        assert "[" in cell or re.fullmatch(r"(&lt; )?0\.\d+", cell), cell


def test_a_report_is_replaced_without_leftovers(tmp_path: Path) -> None:
    for _ in range(2):
        outcome = write_report(tmp_path / "run", bare())
        (tmp_path / "run" / "figures").mkdir(exist_ok=True)
        (tmp_path / "run" / "figures" / "renamed.png").touch()
    write_report(tmp_path / "run", bare())
    remaining = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert remaining == {"differences.png", "differences.svg", "index.json"}
    events = list((outcome.report_path.parent / "tb").glob("events.out.tfevents.*"))
    assert len(events) == 1


def test_curves_that_a_redrawn_report_lacks_are_gone_from_tensorboard(tmp_path: Path) -> None:
    history = make_study().history
    write_report(tmp_path / "run", bare(history=history))
    tb = tmp_path / "run" / "tb"
    assert {run for run, tags in TensorBoardApp(tb).tags().items() if CURVE in tags} == set(ARMS)
    write_report(tmp_path / "run", bare(history=history[history.arm == "dense"]))
    assert {run for run, tags in TensorBoardApp(tb).tags().items() if CURVE in tags} == {"dense"}
    assert len(list((tb / "dense").iterdir())) == 1


@pytest.mark.parametrize("width", [80, 200])
def test_the_terminal_shows_everything_plainly(
    written: tuple[StudyRecord, Outcome], width: int
) -> None:
    study, outcome = written
    out = io.StringIO()
    Console(file=out, width=width).print(render_console(study, outcome))
    text = out.getvalue()
    assert "\x1b" not in text
    assert "…" not in text
    assert str(outcome.report_path) in text
    assert (
        max(len(line) for line in text.replace(str(outcome.report_path), "").splitlines()) <= width
    )
    for arm in study.arms:
        assert arm in text


def test_notes_and_warnings_are_printed_once_each(tmp_path: Path) -> None:
    study = bare(notes=["a note", "a note"], headline=[Headline("no/such", "less", "nothing")])
    outcome = write_report(tmp_path / "run", study)
    out = io.StringIO()
    Console(file=out, width=200).print(render_console(study, outcome))
    assert out.getvalue().count("a note") == 1
    assert out.getvalue().count("no trial recorded the metric no/such") == 1


def test_reporting_never_imports_torch() -> None:
    code = (
        "import sys; "
        "import runner.report.report_files, runner.records.tracking, runner.report.dashboard; "
        "print([m for m in ('torch', 'tensorflow', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.03456, "2.035"),
        (0.031254, "0.03125"),
        (1234567.0, "1,234,567"),
        (12345.678, "12,346"),
        (2.5e-9, "2.500e-09"),
        (3.1e12, "3.100e+12"),
        (0.0, "0"),
        (-0.5, "-0.5000"),
        (9.99996, "10.00"),
        (None, quantity.NO_VALUE),
        (float("nan"), quantity.NO_VALUE),
    ],
)
def test_numbers_are_written_one_way(value: float | None, text: str) -> None:
    assert quantity.format_number(value) == text


def test_the_ends_of_an_interval_have_the_same_decimals() -> None:
    assert quantity.format_interval(-0.0346, 0.0203, 3) == "[-0.0346, 0.0203]"
    assert quantity.format_interval(0.0007, 1.5) == "[0.001, 1.500]"
    assert quantity.format_mean(2.0, float("nan"), float("nan"), 8) == "2 (exact)"
    assert quantity.format_mean(2.0, float("nan"), float("nan"), 1) == "2 (one seed)"
    assert quantity.format_p_value(0.0001) == "< 0.001"


def test_labels_that_look_like_numbers_are_read_as_they_are_written() -> None:
    table = records_archive.parse_table(b"label,weight\n007,0.5\n1e3,1\n")
    assert list(table["label"]) == ["007", "1e3"]
    assert list(table["weight"]) == [0.5, 1.0]
