"""The study that speaks for a claim, and the claims that no study or too small a study decides."""

from dataclasses import replace

import pytest
import yaml

from runner.board.board_texts import time_text
from runner.board.known_claims import deciding_studies, list_known_claims
from runner.board.record import RunRecord
from runner.board.rows import (
    NEVER_RUN,
    TOO_SMALL,
    BoardRow,
    Judgement,
    count_standings,
    make_rows,
)
from runner.claims.registration import shipped_lines
from runner.plan.option_folders import CONF
from tests.support.board_records import BALANCE, make_claim, make_record

KNOWN = list_known_claims()


def newest_hash(scale: str) -> str:
    """Return the newest registered hash of the claim on the balance loss."""
    lines = [line for line in shipped_lines() if (line["id"], line["scale"]) == (BALANCE, scale)]
    return str(lines[-1]["hash"])


def row_of(*runs: RunRecord) -> BoardRow:
    """Return the row of the claim on the balance loss."""
    (row,) = (row for row in make_rows(KNOWN, runs) if row.claim.id == BALANCE)
    return row


def test_every_claim_has_a_row_and_a_command_and_without_runs_all_were_never_run() -> None:
    rows = make_rows(KNOWN, [])
    written = {
        (path.stem, claim)
        for path in (CONF / "claims").glob("*.yaml")
        for claim in yaml.safe_load(path.read_text(encoding="utf-8"))
    }
    assert len(written) > 50
    assert {(row.claim.experiment, row.claim.id) for row in rows} == written
    assert count_standings(rows) == [(NEVER_RUN, len(rows))]
    for row in rows:
        assert row.command.startswith(f"python -m runner experiment={row.claim.experiment}")
        assert time_text(row)
        assert row.claim.source


def test_the_command_is_that_of_the_smallest_study_that_judges_the_claim() -> None:
    quick, full = deciding_studies("moe", BALANCE)
    assert (quick.command, quick.duration) == ("python -m runner experiment=moe", "about 4 min")
    assert deciding_studies("moe", "M1.mixture_beats_dense") == (full,)
    assert full.command == "python -m runner experiment=moe scale=full"


def test_a_scale_that_only_has_more_arms_does_not_judge_a_claim_better() -> None:
    scales = [one.scale for one in deciding_studies("ffn", "F1.swiglu_learns_better")]
    assert scales == ["full"]
    timed = [one.scale for one in deciding_studies("gqa_vs_mha", "G2.decode_slope_of_four")]
    assert timed == ["full", "long"]  # `long` repeats timings for more minutes


def test_a_study_that_decides_nothing_is_followed_by_the_command_of_a_larger_one() -> None:
    for verdict in ("inconclusive", "invalid"):
        row = row_of(make_record(make_claim(verdict=verdict)))
        assert row.command == "python -m runner experiment=moe scale=full"
        assert time_text(row) == deciding_studies("moe", BALANCE)[1].duration
    decided = row_of(make_record(make_claim(verdict="contradicted")))
    assert decided.chosen is not None
    assert decided.command == decided.chosen.run.command
    assert time_text(decided) == ""
    largest = make_record(
        make_claim(verdict="invalid", registered=newest_hash("full")), scale="full"
    )
    assert row_of(largest).command == largest.command  # there is no larger one


def test_a_larger_scale_precedes_a_newer_study_and_a_study_that_disagrees_is_listed() -> None:
    quick = make_record(make_claim(verdict="inconclusive"), date="2026-11-28T00:00:00+00:00")
    full = make_record(make_claim(registered=newest_hash("full")), scale="full")
    for runs in ((quick, full), (full, quick)):
        row = row_of(*runs)
        assert row.chosen is not None
        assert row.chosen.run is full
        assert [one.run for one in row.others] == [quick]
        assert row.standing == "reproduced"
    newer = replace(full, date="2026-11-27T00:00:00+00:00")
    row = row_of(full, newer)
    assert row.chosen is not None
    assert row.chosen.run is newer
    assert row.others == ()


def test_a_study_with_settings_of_its_own_speaks_only_if_there_is_no_other() -> None:
    own = make_record(
        make_claim(verdict="contradicted"), scale="full", settings=("training.steps=20",)
    )
    assert row_of(own).standing == "contradicted"
    assert row_of(own).chosen is not None
    assert "with training.steps=20" in row_of(own).chosen.caveats  # type: ignore[union-attr]
    row = row_of(own, make_record(make_claim()))
    assert row.standing == "reproduced"
    assert [one.run for one in row.others] == [own]


def test_a_study_with_all_seeds_speaks_before_a_newer_and_larger_one_with_fewer() -> None:
    whole = make_record(make_claim(registered=newest_hash("quick")))
    short = make_record(
        make_claim(registered=newest_hash("full"), verdict="invalid", estimate=None, n=0),
        scale="full",
        date="2026-11-30T00:00:00+00:00",
    )
    for runs in ((whole, short), (short, whole)):
        row = row_of(*runs)
        assert row.standing == "reproduced"
        assert [one.run for one in row.others] == [short]
    assert row_of(short).standing == "invalid"


def test_the_newest_study_is_found_across_time_zones() -> None:
    older = make_record(make_claim(), date="2026-11-26T13:00:00+09:00")  # 04:00 in UTC
    newer = make_record(make_claim(verdict="contradicted"), date="2026-11-26T05:00:00+00:00")
    for runs in ((older, newer), (newer, older)):
        assert row_of(*runs).standing == "contradicted"


def test_an_earlier_wording_is_named_and_yields_to_the_present_one() -> None:
    present = make_record(make_claim(registered=newest_hash("quick")))
    earlier = make_record(make_claim(registered="0" * 12), date="2026-11-30T00:00:00+00:00")
    row = row_of(earlier, present)
    assert row.chosen is not None
    assert row.chosen.run is present
    assert not row.chosen.caveats
    alone = row_of(earlier).chosen
    assert alone is not None
    assert alone.caveats == ["an earlier wording of the claim"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"detectable": 0.5}, TOO_SMALL),
        ({"detectable": "inf"}, TOO_SMALL),
        ({"detectable": 0.3}, "inconclusive"),
        ({"detectable": 0.3, "published_effect": 0.2}, TOO_SMALL),
        ({"detectable": 0.5, "published_is": "other quantity"}, "inconclusive"),
        ({"detectable": 0.5, "published_effect": None}, "inconclusive"),
        ({"detectable": None}, "inconclusive"),
        ({"detectable": 0.5, "verdict": "reproduced"}, "reproduced"),
        ({"detectable": 0.5, "verdict": "invalid"}, "invalid"),
    ],
)
def test_a_study_is_too_small_if_it_could_not_see_the_published_effect(
    changes: dict[str, object], expected: str
) -> None:
    base = {
        "verdict": "inconclusive",
        "published_is": "same quantity",
        "published_effect": -0.48,
    }
    run = make_record(make_claim(**base | changes))
    assert Judgement(run, run.claims[0]).standing == expected


def test_the_published_effect_is_that_of_the_claim_now() -> None:
    """A run of an older version has no published effect."""
    id = "M2.bias_balances_better"
    judged = make_claim(id=id, verdict="inconclusive", detectable=0.5)
    (row,) = (row for row in make_rows(KNOWN, [make_record(judged)]) if row.claim.id == id)
    assert (row.claim.published_is, row.claim.published_effect) == ("same quantity", -0.48)
    assert row.standing == TOO_SMALL


def test_a_claim_that_only_a_run_has_is_listed_last_and_says_so() -> None:
    rows = make_rows(KNOWN, [make_record(make_claim(id="A0.gone"))])
    moe = [row for row in rows if row.claim.experiment == "moe"]
    assert moe[-1].claim.id == "A0.gone"
    assert moe[-1].is_gone
    assert not any(row.is_gone for row in rows if row is not moe[-1])
