"""Registration of claims: their lines, their origin, and the conditions of a late one."""

import dataclasses
import datetime
import json
from pathlib import Path

import pytest

from runner.claims import registration
from runner.claims.claim import DESCRIPTIVE_KEYS, AAPair, Claim, PositiveControl
from runner.claims.kinds import KINDS, read_claim
from runner.claims.kinds.slope import SlopeControl
from runner.claims.registration import (
    Registration,
    RegistrationContext,
    is_shipped,
    register_in_ledger,
)
from runner.plan.report_spec import read_report_spec
from runner.records import ledger
from runner.records import store as store_module
from runner.records.arm_folders import write_signature
from runner.records.store import Store, read_json
from runner.report import run_folder
from runner.study import run as study
from tests import register as releasing
from tests.support.tiny import TINY

TESTED = {"n": 8, "statement": "s", "source": "p", "family": "f"}
WRITTEN = {
    "difference": TESTED | {"metric": "m", "arm": "a", "control": "b", "direction": "less"},
    "equivalence": TESTED | {"metric": "m", "arm": "a", "control": "b", "delta": 0.1},
    "slope": TESTED | {"metric": "m/{x}", "arm": "a", "x": "x", "band": [0.1, 0.2]},
    "failure_rate": TESTED | {"arm": "a", "at_most": 0.2},
    "exact": {"n": 8, "statement": "s", "source": "p", "metric": "m", "arm": "a"}
    | {"relation": "equal", "value": 3},
    "interaction": TESTED
    | {"metric": "m", "arm": "a", "control": "b", "other_arm": "c2", "other_control": "d2"}
    | {"direction": "less"},
    "curve_slope": TESTED | {"metric": "m", "arm": "a", "direction": "less"},
    "at_equal_seconds": TESTED | {"metric": "m", "arm": "a", "control": "b", "direction": "less"},
}
OTHER = {
    "direction": ["less", "greater"],
    "relation": ["equal", "less"],
    "log": ["none", "both"],
    "equal_cost": ["params", "flops"],
    "aa": [AAPair("c", "a"), AAPair("c", "a", 0.1), AAPair("d", "a")],
    "positive_control": [
        PositiveControl("m", "c", "a", "less"),
        PositiveControl("m", "c", "a", "greater"),
        PositiveControl("k", "c", "a", "less"),
    ],
    "band": [(0.1, 0.2), (0.1, 0.3)],
}


def changed(claim: Claim, name: str, value: object) -> Claim:
    """Return a claim with another value, even if its kind would refuse it."""
    changed_claim = object.__new__(type(claim))
    changed_claim.__dict__.update(vars(claim), **{name: value})
    return changed_claim


@pytest.mark.parametrize("kind", KINDS)
def test_all_that_decides_is_registered_and_no_words(kind: str):
    claim = read_claim("C", {"kind": kind, **WRITTEN[kind]})
    for field in dataclasses.fields(claim):
        values = OTHER.get(field.name, [1, 2, 0.25, "some text"])
        if kind == "slope" and field.name == "control":
            values = [
                SlopeControl("c", (0.1, 0.2)),
                SlopeControl("c", (0.1, 0.3)),
                SlopeControl("d", (0.1, 0.2)),
            ]
        hashes = [changed(claim, field.name, value).fingerprint for value in values]
        expected = 1 if field.name in DESCRIPTIVE_KEYS else len(values)
        assert len(set(hashes)) == expected, field.name
    assert claim.registered_fields()["kind"] == kind
    assert not set(DESCRIPTIVE_KEYS) & set(claim.registered_fields())


def test_equal_numbers_are_registered_alike():
    whole, broken = (read_claim("C", WRITTEN["difference"] | {"margin": m}) for m in (1, 1.0))
    assert whole.fingerprint == broken.fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_a_claim_names_its_arms(kind: str):
    more: dict[str, object] = {}
    if kind != "exact":
        more = {"aa": {"arm": "a2", "control": "a"}}
        more["positive_control"] = {"metric": "m", "arm": "p", "control": "q", "direction": "less"}
    if kind == "slope":
        more["control"] = {"arm": "s", "band": [0, 1]}
    claim = read_claim("C", {"kind": kind, **WRITTEN[kind], **more})
    extra = {"slope": {"s"}}.get(kind, set()) | ({"a2", "a", "p", "q"} if more else set())
    assert set(claim.named_arms) == {*claim.compared_arms, *extra}


@pytest.mark.slow
def test_every_claim_that_ships_is_registered_as_it_stands():
    assert releasing.missing() == [], "run python -m tests.register"


@pytest.mark.slow
def test_a_shipped_claim_is_known_by_all_that_decides(plan):
    study_plan = plan("experiment=moe", "scale=quick")
    (claim,) = read_report_spec(study_plan.study).claims
    arms = study_plan.study.arms
    assert is_shipped(claim, "moe", "quick", arms)
    assert is_shipped(changed(claim, "statement", "other words"), "moe", "quick", arms)
    for name, value in (
        ("n", 9),
        ("direction", "less"),
        ("margin", 0.1),
        ("id", "M9"),
        ("aa", None),
    ):
        assert not is_shipped(changed(claim, name, value), "moe", "quick", arms), name
    assert not is_shipped(claim, "moe", "full", arms)
    assert not is_shipped(claim, "ffn", "quick", arms)
    for arm in claim.named_arms:
        assert not is_shipped(claim, "moe", "quick", arms | {arm: [*arms[arm], "ffn.top_k=1"]})
    assert is_shipped(
        claim, "moe", "quick", arms | {"dense": ["ffn=moe"]}
    )  # an arm it does not name


NOW = datetime.datetime.now().astimezone()
LATER = NOW + datetime.timedelta(hours=1)
SIG_A, SIG_B = store_module.signature("a"), store_module.signature("b")
CLAIM = read_claim("C", WRITTEN["difference"] | {"n": 2})


class Bench:
    """A store and a ledger of claims, to register claims in at chosen times."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.where = folder, folder / "moe" / "claims.jsonl"

    def finish(self, mark: str, seed: int, time: datetime.datetime) -> None:
        slot = Store(self.folder, "moe").slot("arm", mark, seed)
        slot.write_first_finish(time)
        write_signature(slot.arm_folder, mark)

    def register(
        self,
        *claims: Claim,
        time: datetime.datetime = NOW,
        seeds: tuple[int, ...] = (0, 1),
        **marks: str,
    ) -> Registration:
        """Register claims; return the registration of the first."""
        setting = RegistrationContext("moe", "quick", {}, marks or {"a": SIG_A, "b": SIG_B}, seeds)
        store = Store(self.folder, "moe")
        return register_in_ledger(claims or [CLAIM], setting, store, self.where, time)["C"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_first_run_that_has_a_claim_registers_it(bench: Bench):
    first = bench.register(time=NOW)
    time = NOW.isoformat(timespec="microseconds")
    assert first == Registration(False, time, hash=CLAIM.fingerprint)
    bench.finish(SIG_A, 0, LATER)
    assert bench.register(time=LATER + datetime.timedelta(hours=1)) == first
    (line,) = ledger.read_entries(bench.where)
    assert line["claim"] == CLAIM.registered_fields()
    assert line["hash"] == CLAIM.fingerprint
    assert line["arms"] == {"a": SIG_A, "b": SIG_B}


def test_a_claim_that_cannot_be_written_down_is_invalid(bench: Bench, tmp_path: Path):
    bench.where.mkdir(parents=True)
    notes: list[str] = []
    setting = RegistrationContext("moe", "quick", {}, {"a": SIG_A, "b": SIG_B}, (0, 1))
    known = register_in_ledger([CLAIM], setting, Store(tmp_path, "moe"), bench.where, NOW, notes)[
        "C"
    ]
    assert known.late
    assert notes == [
        "claims.jsonl cannot be read (Is a directory): it counts as empty",
        "claim C could not be registered (Is a directory), so it is invalid",
    ]


@pytest.mark.parametrize("mark", [SIG_A, SIG_B])
def test_a_claim_is_late_if_any_trial_that_decides_it_was_there(bench: Bench, mark: str):
    bench.finish(mark, 1, NOW)
    known = bench.register(time=LATER)
    assert known.late
    assert known.cure == "seed=2"
    assert "seed=2" in known.invalid_reason
    assert bench.register(time=LATER, seeds=(2, 3)).late is False
    assert bench.register(time=LATER, seeds=(1, 2)).late


def test_the_same_trials_under_a_seed_offset_make_a_claim_late(tmp_path: Path):
    def signed(arm: str, offset: int) -> str:
        return store_module.signature_text({"arm": arm, "seed_offset": offset}, "data", None)

    for arm in ("a", "b"):
        text = signed(arm, 0)
        mark = store_module.signature(text)
        slot = Store(tmp_path, "moe").slot(arm, mark, 9)
        store_module.write_json(slot.folder.parent / "arm.json", json.loads(text))
        slot.write_first_finish(NOW)

    def register_at(offset: int, seeds: tuple[int, ...]) -> Registration:
        texts = {arm: signed(arm, offset) for arm in ("a", "b")}
        marks = {arm: store_module.signature(text) for arm, text in texts.items()}
        setting = RegistrationContext("moe", "quick", {}, marks, seeds, texts)
        where = tmp_path / f"{offset}.jsonl"
        return register_in_ledger([CLAIM], setting, Store(tmp_path, "moe"), where, LATER)["C"]

    assert register_at(8, (0, 1)).late  # seed 1 at offset 8 is seed 9
    assert register_at(8, (0, 1)).cure == "seed=2"
    assert not register_at(8, (2, 3)).late
    assert register_at(0, (8, 9)).late


def test_trials_that_do_not_decide_make_no_claim_late(bench: Bench):
    for mark, seed in ((SIG_A, 2), (SIG_B, 7), (store_module.signature("c"), 0)):
        bench.finish(mark, seed, NOW)
    assert not bench.register(time=LATER, seeds=(0, 1, 2)).late  # n = 2 decide


def test_the_cure_lies_beyond_all_that_was_ever_computed_for_these_arms(bench: Bench):
    bench.finish(SIG_A, 0, NOW)
    bench.finish(SIG_B, 19, NOW)
    bench.finish(store_module.signature("c"), 40, NOW)
    assert bench.register(time=LATER).cure == "seed=20"
    assert bench.register(time=LATER, seeds=(0, *range(20, 25))).cure == "seed=25"


@pytest.mark.parametrize(
    "change", [{"direction": "greater"}, {"n": 1 + 2}, {"margin": 0.1}, {"metric": "k"}]
)
def test_a_changed_claim_is_another_one(bench: Bench, change: dict):
    bench.register(time=NOW)
    for seed in range(3):
        bench.finish(SIG_A, seed, LATER)
    after = LATER + datetime.timedelta(hours=1)
    assert not bench.register(time=after, seeds=(0, 1, 2)).late
    other = read_claim("C", WRITTEN["difference"] | {"n": 2} | change)
    assert bench.register(other, time=after, seeds=(0, 1, 2)).late
    assert not bench.register(changed(CLAIM, "statement", "t"), time=after).late


def test_other_arms_are_registered_anew(bench: Bench):
    bench.register(time=NOW)
    bench.finish(SIG_A, 0, LATER)
    after = LATER + datetime.timedelta(hours=1)
    assert bench.register(time=after, a=SIG_A, b="other").late


def test_a_family_may_grow_and_not_shrink(bench: Bench):
    second = read_claim("D", WRITTEN["difference"] | {"n": 2, "metric": "k"})
    third = read_claim("E", WRITTEN["difference"] | {"n": 2, "metric": "l"})
    bench.register(CLAIM, second, time=NOW)
    bench.finish(SIG_A, 0, LATER)
    after = LATER + datetime.timedelta(hours=1)
    assert not bench.register(CLAIM, second, time=after).late
    assert not bench.register(CLAIM, second, third, time=after).late
    assert bench.register(CLAIM, time=after).late


def test_runs_that_compute_one_arm_each_register_for_all(bench: Bench):
    bench.register(time=NOW, a=SIG_A)
    bench.register(time=NOW, b=SIG_B)
    bench.finish(SIG_A, 0, LATER)
    bench.finish(SIG_B, 0, LATER)
    after = LATER + datetime.timedelta(hours=1)
    assert not bench.register(time=after).late
    assert len(ledger.read_entries(bench.where)) == 2


def test_damaged_lines_are_skipped(bench: Bench):
    bench.register(time=NOW)
    bench.finish(SIG_A, 0, LATER)
    good = bench.where.read_bytes()
    odd = [b"{", b"[1]", b"\xff\x00", b'{"hash": 3}', b'{"arms": []}', good[:40]]
    line = json.loads(good)
    odd += [json.dumps(line | {key: None}).encode() for key in line if key not in ("id", "claim")]
    bench.where.write_bytes(b"\n".join([*odd, good.rstrip(b"\n")]))  # torn at its end too
    assert not bench.register(time=LATER + datetime.timedelta(hours=1)).late
    other = read_claim("C", WRITTEN["difference"] | {"n": 2, "direction": "greater"})
    assert bench.register(other, time=LATER + datetime.timedelta(hours=1)).late
    assert ledger.read_entries(bench.where)[-1]["hash"] == other.fingerprint


QUICK = tuple("scale=quick" if text == "scale=smoke" else text for text in TINY)
QUICK += ("arm=[dense,moe_top2]", "n_seeds=2", "training.warmup_steps=1", "~figures")
OWN = "{metric: val/loss, arm: moe_top2, control: dense, direction: %s, n: 6, family: own, "
OWN += "statement: mine, source: me}"


@pytest.mark.slow
def test_a_run_registers_before_it_computes_and_says_so(run, tmp_path: Path, monkeypatch):
    outputs = tmp_path / "outputs" / "moe"
    entries_at_starts = []
    honest = study.run_trials

    def watch(*args, **options):
        entries_at_starts.append(ledger.read_entries(outputs / "claims.jsonl"))
        return honest(*args, **options)

    monkeypatch.setattr("runner.invocation.run_trials", watch)
    run(*QUICK, "+claims.own=" + OWN % "less")
    run(*QUICK, "+claims.own=" + OWN % "greater")
    run(*QUICK, "+claims.own=" + OWN % "less")
    assert [len(lines) for lines in entries_at_starts] == [1, 2, 2]
    studies = [
        read_json(path / run_folder.SUMMARY_FILE) for path in sorted((outputs / "runs").iterdir())
    ]
    known = [summary["registrations"] for summary in studies if summary]
    assert [one["own"]["late"] for one in known] == [False, True, False]
    assert known[1]["own"]["cure"] == "seed=2"
    assert known[0]["own"]["registered"] == known[2]["own"]["registered"]
    assert [one["M2.balance_loss_balances"]["shipped"] for one in known] == [True] * 3
    assert not known[0]["own"]["shipped"]


@pytest.mark.slow
def test_a_smoke_run_registers_nothing(run, tmp_path: Path):
    run(*TINY, "n_seeds=1", "~figures", "+claims.own=" + OWN % "less")
    assert not registration.claim_ledger_path(tmp_path / "outputs", "moe").exists()
