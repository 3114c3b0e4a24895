"""The page: contrast, values of points, tables, folds, fonts and size."""

import base64
import io
import json
import math
import re
from html import unescape
from pathlib import Path

import pandas as pd
import pytest
from fontTools.ttLib import TTFont

from runner.claims.finding import Finding, Verdict
from runner.claims.headline import Headline
from runner.figures.draw import HoverPoint, Picture
from runner.figures.figure import DIFFERENCES
from runner.report import page, page_font
from runner.report.answer import verdict_counts
from runner.report.cards import verdict_card
from runner.report.headlines import compare_headlines
from runner.report.hidden_texts import without_passages
from runner.report.page_parts import TEMPLATES
from runner.report.report_files import write_report
from runner.report.study_record import StudyRecord
from runner.report.tables import EXACT, comparison_table
from runner.stats.comparison import summarise_arms
from runner.stats.intervals import Interval
from tests.support.claim_tables import claim
from tests.support.sample_study import make_study

STYLE = (TEMPLATES / "style.css").read_text(encoding="utf-8")
PAIRS = [
    *(("ink", back) for back in ("paper", "card", "code")),
    *(("soft", back) for back in ("paper", "card", "code")),
    *(("accent", back) for back in ("paper", "card")),
    *((name, f"{name}-back") for name in ("good", "bad", "mid", "off")),
]


def render(study: StudyRecord, **changes: object) -> str:
    """Return the page of a study without its figures, which take most of the time."""
    results = study.results
    fields: dict[str, object] = {
        "answer": ["The answer."],
        "comparisons": compare_headlines(study, results),
        "summary": summarise_arms(results),
        "findings": [],
        "pictures": {},
        "text_tables": {},
        "warnings": [],
    }
    return page.render(study, **fields | changes)  # type: ignore[arg-type]


def colours(block: str) -> dict[str, str]:
    """Return the variables of a block of the style."""
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted([luminance(first), luminance(second)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("start", [":root {", "(prefers-color-scheme: dark)", "@media print"])
def test_every_text_has_a_contrast_of_4_5(start: str) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    palette = colours(STYLE.partition(start)[2].partition("}")[0])
    for ink, back in PAIRS:
        assert contrast(palette[ink], palette[back]) >= 4.5, (start, ink, back)


def test_values_of_points_and_the_alternative_text_are_in_the_page() -> None:
    study = make_study()
    name = next(iter(study.figures))
    text = 'dense: "2.05" <b> 日本'
    points = (HoverPoint(0.25, 0.5, text), HoverPoint(math.nan, 0.5, "nowhere"))
    picture = Picture(b"png", b"<svg/>", "Loss after 300 steps: dense 2.05.", points)
    content = render(study, pictures={name: picture})
    assert 'alt="Loss after 300 steps: dense 2.05."' in content
    (data,) = re.findall(r'data-points="(.*?)"', content)
    assert json.loads(unescape(data)) == [[0.25, 0.5, text]]
    assert "1 point; arrow keys" in content
    assert 'aria-live="polite"' in content
    assert "nowhere" not in content
    plain = render(study, pictures={name: Picture(b"png", b"<svg/>")})
    assert f'alt="{study.figures[name].title}"' in plain
    assert "data-points" not in plain.partition("<script>")[0]


def test_the_figure_of_differences_follows_the_answer() -> None:
    study = make_study()
    (first, figure), *_ = study.figures.items()
    study = make_study(figures={first: figure, DIFFERENCES: figure})
    picture = Picture(b"png", b"<svg/>")
    content = render(study, pictures={first: picture, DIFFERENCES: picture})
    places = [content.index(f'id="{key}"') for key in ("answer", DIFFERENCES, first)]
    assert places == sorted(places)
    assert places[1] < content.index("Arms compared") < places[2]


def test_a_large_svg_is_replaced_by_its_png() -> None:
    study = make_study()
    name = next(iter(study.figures))
    small = render(study, pictures={name: Picture(b"p" * 100, b"s" * 300)})
    large = render(study, pictures={name: Picture(b"p" * 100, b"s" * 301)})
    assert "data:image/svg+xml;base64," in small
    assert "data:image/png;base64," in large


def test_keys_reach_everything() -> None:
    content = render(make_study())
    assert content.count('<div class="scroll"') == content.count('class="scroll" tabindex="0"')
    assert content.count('role="region"') == content.count('class="scroll" tabindex="0"')
    assert 'class="skip" href="#answer"' in content
    assert ":focus-visible" in content
    tables = re.findall(r"<table class=\"([^\"]*)\"", content)
    assert len(tables) == content.count("<table") == 3
    assert all("sortable" in names.split() for names in tables)
    assert "<th>" not in content  # every head has a scope


def test_copies_and_controls_are_apart_in_tables() -> None:
    study = make_study(controls=["moe_no_balance"])
    results = study.results
    compared = compare_headlines(study, results)
    table = comparison_table(study, study.headline[0], compared, summarise_arms(results))
    assert [(row["arm"], row["apart"]) for row in table["rows"]] == [
        *(("dense", False), ("moe_top2", False)),
        *(("moe_no_balance", True), ("moe_top2_copy", True)),
    ]
    body = render(study).partition('<tbody class="apart">')[2].partition("</tbody>")[0]
    assert "moe_top2_copy" in body
    assert "moe_no_balance" in body


def test_rows_and_columns_without_a_value_are_left_out() -> None:
    study = make_study()
    results = study.results[study.results["arm"] == "dense"]
    trials = study.trials[study.trials["arm"] == "dense"]
    alone = make_study(arms={"dense": []}, results=results, trials=trials, claims=[])
    table = comparison_table(alone, alone.headline[0], [], summarise_arms(results))
    assert [table[key] for key in ("has_difference", "has_p", "has_result")] == [False] * 3
    content = render(alone)
    assert "1 arm</span>" in content
    assert "8 seeds</span>" in content
    for text in ("difference from", "corrected p", ">no value", "Arms compared", "1 arms"):
        assert text not in content
    nothing = make_study(arms={"dense": []}, results=results.head(0), trials=trials, claims=[])
    assert "<table" not in render(nothing)


def test_exact_numbers_are_said_to_be_exact_once() -> None:
    study = make_study()
    headline = study.headline[0]
    results = study.results[study.results["metric"] == "cost/parameters"]
    sized = make_study(
        results=results.assign(unit="bytes"),
        headline=[type(headline)("cost/parameters", "less", "size")],
    )
    compared = compare_headlines(sized, sized.results)
    table = comparison_table(sized, sized.headline[0], compared, summarise_arms(sized.results))
    assert table["unit"] == "KiB"
    assert [row["value"] for row in table["rows"]][:2] == ["146.5", "781.2"]
    assert table["rows"][1]["difference"] == "+635"
    assert table["notes"] == [EXACT]
    assert "(exact)" not in json.dumps(table)


def finding(**changes: object) -> Finding:
    """Return a reproduced claim about the gradient slope, with an A/A pair and a control."""
    keys = {"metric": "norm/grad_slope", "published_is": "other quantity"}
    fields = {"verdict": Verdict.reproduced, "reason": "because", "shipped": True}
    return Finding(claim("c", **keys | changes.pop("claim", {})), **fields | changes)  # type: ignore


def test_cards_have_words_for_metrics_and_numbers_for_pairs() -> None:
    control = {"metric": "cost/parameters", "arm": "a", "control": "b", "direction": "greater"}
    known = finding(
        claim={"positive_control": control, "aa": {"arm": "a_copy", "control": "a"}},
        interval=Interval(-0.5, -0.6, -0.4, 8),
        aa=Interval(0.01, -0.1, 0.12, 8),
        positive=Interval(2.0**21, 2.0**20, 2.0**22, 8),
        minimum_detectable_effect=0.2395,
        n=8,
    )
    study = make_study()
    card = verdict_card(known, study)
    label = study.label("norm/grad_slope")
    assert "/" not in label
    assert card["comparison"].lower().startswith(label.lower())
    assert card["aa"] == "a_copy minus a: +0.0100 [-0.100, 0.120], includes 0, as expected"
    assert card["positive"].endswith("above 0, as it must be")
    assert "+2.10 M parameters [1.05, 4.19]" in card["positive"]
    assert (card["detectable_name"], card["detectable"]) == ("detectable difference", "0.24")
    assert card["tag"] == "reproduced (direction)"
    assert card["remark"] == ""
    assert verdict_card(finding(verdict=Verdict.invalid), study)["remark"] == "because"
    content = render(study, findings=[known])
    fold = content.partition("Registration and details")[2].partition("</details>")[0]
    for text in (known.fingerprint, "kind of claim", "expected", "because"):
        assert text in fold
    assert known.fingerprint not in content.replace(fold, "")


def test_the_margin_of_a_pair_has_the_unit_of_its_difference() -> None:
    pair = {"arm": "a_copy", "control": "a", "delta": 2.0**19}
    mib = 2.0**20
    known = finding(claim={"aa": pair}, aa=Interval(2 * mib, mib, 3 * mib, 8), unit="bytes")
    row = verdict_card(known, make_study())["aa"]
    assert row == "a_copy minus a: +2 MiB [1, 3], must be shown to lie within ±0.5 MiB"
    limited = {"margin": 1024}
    measured = Interval(2 * mib, mib, 3 * mib, 8)
    card = verdict_card(finding(claim=limited, interval=measured, unit="bytes"), make_study())
    assert (card["expected"], card["measured"]) == ("above 1024 bytes", "+2 MiB [1, 3]")
    small = Interval(2.0, 1.0, 3.0, 8)
    card = verdict_card(finding(claim=limited, interval=small, unit="bytes"), make_study())
    assert card["expected"] == "above 1024"


def test_a_metric_is_replaced_by_its_words_only_where_it_is_named_whole() -> None:
    headline = [Headline("acc", "greater", "final accuracy"), Headline("acc/top", "greater", "top")]
    study = make_study(headline=headline)
    text = "acc of accurate minus acc/top, but acc/top/layer0 and x/acc (acc)"
    assert study.in_words(text, ["acc", "acc/top"]) == (
        "final accuracy of accurate minus top, but acc/top/layer0 and x/acc (final accuracy)"
    )
    assert study.in_words(text, []) == text
    known = finding(claim={"metric": "acc"})
    assert verdict_card(known, study)["comparison"] == "Final accuracy: arm minus base"


def test_a_template_is_named_in_words() -> None:
    label = make_study().label("norm/grad_last/depth{depth}")
    assert label.endswith(", by depth")
    assert "/" not in label
    assert make_study().label("no/such") == "no/such"


def test_a_published_number_of_another_quantity_is_not_replicated() -> None:
    (line,) = verdict_counts([finding()])
    assert line == (
        "Verdicts on 1 published claim: 1 reproduced (direction). "
        "The published number is of another quantity: only the direction is tested."
    )
    same, none = ({"published_is": text} for text in ("same quantity", "nothing"))
    (line,) = verdict_counts([finding(), finding(claim=same), finding(claim=none)])
    assert "3 reproduced (direction)" in line
    for text in ("1 of another quantity", "1 of the same quantity but not tested", "1 not printed"):
        assert text in line


def test_the_key_of_the_published_number_changes_no_registration() -> None:
    assert claim("c").fingerprint == claim("c", published_is="nothing").fingerprint
    with pytest.raises(ValueError, match="published_is"):
        claim("c", published_is="everything")


def test_every_shipped_claim_declares_its_published_number() -> None:
    import yaml

    from runner.plan.option_folders import CONF

    claims = {
        name: keys
        for path in (CONF / "claims").glob("*.yaml")
        for name, keys in yaml.safe_load(path.read_text(encoding="utf-8")).items()
    }
    assert len(claims) > 40
    assert [name for name, keys in claims.items() if not keys.get("published_is")] == []


def shown_characters(content: str) -> set[str]:
    """Return the characters of a page's texts and attributes, without its pictures and font."""
    return set(unescape(re.sub(r"base64,[\w+/=]+", "", content)))


def test_the_page_carries_a_font_for_all_its_characters() -> None:
    question = "Which of 日本語 and 二十三 テスト is ✓ é ± better?"
    content = render(make_study(question=question))
    (woff,) = re.findall(r"data:font/woff;base64,([\w+/=]+)", content)
    with TTFont(io.BytesIO(base64.b64decode(woff))) as font:
        covered = {chr(code) for code in font.getBestCmap()}
        names = {record.nameID: record.toUnicode() for record in font["name"].names}
    needed = {c for c in shown_characters(content) if page_font.needs_font(c)}
    assert needed == covered == set("日本語二十三テスト")
    assert "IPA" not in names[1] + names[4] + names[6]
    assert "Information-technology Promotion Agency" in names[0]
    assert "IPA Font License Agreement v1.0" in content
    assert len(content) < 100_000
    assert render(make_study(question=question)) == content  # the same bytes again


def test_a_page_in_latin_letters_has_no_font() -> None:
    content = render(make_study(question="é ± ≤ Ω ✓"))
    assert "font-face" not in content
    assert "IPA Font License" not in content


def test_characters_that_no_font_has_are_reported() -> None:
    content = render(make_study(question="日 \N{ARABIC LETTER AIN} \N{GRINNING FACE}"))
    assert "that this page has no font for, but your machine may: \N{ARABIC LETTER AIN} " in content


def test_a_machine_without_the_font_still_has_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_font, "source_font", lambda: None)
    content = render(make_study(question="日"))
    assert "no font for, but your machine may: 日" in content


def test_the_page_of_a_large_study_is_below_3_mb(tmp_path: Path) -> None:
    study = make_study()
    outcome = write_report(tmp_path / "run", study)
    size = outcome.report_path.stat().st_size
    figures = [path.stat().st_size for path in (tmp_path / "run" / "figures").iterdir()]
    assert size < 3_000_000
    assert size < 1.4 * sum(figures) + 200_000  # pictures in base64, and little else


def test_passages_of_the_data_are_left_out_on_request(tmp_path: Path) -> None:
    from runner.figures.kinds.matrix import Matrix
    from runner.figures.kinds.samples import Samples

    secret = "a passage of the user's text"
    rows = [{"arm": "dense", "seed": 0, "source": secret, "ok": True}]
    cells = [
        {"arm": "dense", "seed": 0, "key": i, "query": j, "token": secret, "weight": 0.5}
        for i in range(2)
        for j in range(2)
    ]
    samples = Samples(title="Sentences", table="samples", columns=["source", "ok"])
    matrix = Matrix(
        title="Attention", table="map", metric="weight", x="key", y="query", x_ticks="token",
        arms=["dense"],
    )  # fmt: skip
    figures = {"sentences": samples, "attention": matrix}
    shown_figures, lines = without_passages(figures)
    assert [*shown_figures] == ["attention"]
    assert shown_figures["attention"].x_ticks is None  # type: ignore[attr-defined]
    study = make_study(
        figures=figures,
        history=make_study().history.head(0),
        tables={"samples": pd.DataFrame(rows), "map": pd.DataFrame(cells)},
        samples=False,
    )
    outcome = write_report(tmp_path / "run", study)
    content = outcome.report_path.read_text(encoding="utf-8")
    assert all(unescape(content).count(line) == 1 for line in lines)
    assert "Sentences: this table of texts is left out (report.samples=false)." in lines
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert [path for path in written if secret.encode() in path.read_bytes()] == []
    drawn = {path.stem for path in (tmp_path / "run" / "figures").glob("*.svg")}
    assert drawn == {"attention", DIFFERENCES}
