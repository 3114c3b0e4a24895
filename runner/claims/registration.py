"""When a claim was written down: by the release that ships it, or by the first run that has it.

`conf/claims/registered.json` holds the claims of each release; `outputs/<experiment>/claims.jsonl`
those of users, a line when a claim about these very arms is first seen. A claim is late if a trial
that decides it was finished before that. This guards honest users; whoever edits the store or the
ledger can fool it.
"""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from runner.claims.claim import Claim, StatisticalClaim
from runner.records import ledger
from runner.records.store import Store, parse_time

SHIPPED_CLAIMS_FILE = Path(__file__).resolve().parents[2] / "conf" / "claims" / "registered.json"


@dataclass(frozen=True)
class Registration:
    """When a claim was registered, and whether its results were there before.

    shipped     the release registered it: only then it counts as published
    registered  the date of the release, or the time of the first run that has it
    late        a trial that decides it was finished before
    cure        what to type so that seeds which were never computed decide it; "" if not late
    hash        of the claim as it was then
    """

    shipped: bool
    registered: str
    late: bool = False
    cure: str = ""
    hash: str = ""

    @property
    def invalid_reason(self) -> str:
        """Why a late claim is invalid, and how to have it decided; "" for one in time."""
        if not self.late:
            return ""
        if not self.registered:
            return "it is not what this run registered; a run of its own registers it"
        return f"written after its results; {self.cure} has it decided by seeds never computed"


def find_registration(claim: Claim, known: Mapping[str, Registration]) -> Registration | None:
    """The registration of a claim in a run; None where the run says nothing of any claim.

    One that has changed since, or was added, is not what the run registered: it is late.
    """
    if not known:
        return None
    found = known.get(claim.id)
    if found is None or (found.hash and found.hash != claim.fingerprint):
        return Registration(False, "", late=True)
    return found


def claim_ledger_path(outputs: Path, experiment: str) -> Path:
    """The ledger of an experiment's claims."""
    return outputs / experiment / "claims.jsonl"


def family_members(claims: Sequence[Claim]) -> dict[str, list[str]]:
    """For each claim the ids of those that are corrected together with it."""
    tested = [claim for claim in claims if isinstance(claim, StatisticalClaim)]
    found = {claim.id: [claim.id] for claim in claims}
    for claim in tested:
        found[claim.id] = sorted(other.id for other in tested if other.family == claim.family)
    return found


@cache
def shipped_lines() -> list[dict[str, Any]]:
    """The claims that releases have registered, the oldest first."""
    try:
        lines = json.loads(SHIPPED_CLAIMS_FILE.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [line for line in lines if isinstance(line, dict)]


def shipped_line(
    claim: Claim,
    experiment: str,
    scale: str,
    arms: Mapping[str, Any],
    family: Sequence[str] | None = None,
) -> dict[str, Any] | None:
    """The line by which a release has registered a claim, or None.

    Id, hash, experiment and scale are those of the line, the arms that it names are written as they
    were, and its family (if given) lacks none of its members.
    """
    for line in shipped_lines():
        if (
            (line["id"], line["hash"]) == (claim.id, claim.fingerprint)
            and (line["experiment"], line["scale"]) == (experiment, scale)
            and line["arms"] == {name: arms.get(name) for name in claim.named_arms}
            and (family is None or set(line["family"]) <= set(family))
        ):
            return line
    return None


def is_shipped(claim: Claim, experiment: str, scale: str, arms: Mapping[str, Any]) -> bool:
    """Whether a release has registered a claim; `arms` are the overrides of each arm."""
    return shipped_line(claim, experiment, scale, arms) is not None


@dataclass(frozen=True)
class RegistrationContext:
    """What a run says of its claims' surroundings.

    arms        what one types for each arm of the study, also of those that are not computed
    signatures  of the arms that are computed
    seeds       of the run
    signed      what each signature covers, as text
    """

    experiment: str
    scale: str
    arms: Mapping[str, Any]
    signatures: Mapping[str, str]
    seeds: Sequence[int]
    signature_texts: Mapping[str, str] = field(default_factory=dict)


def register_in_ledger(
    claims: Sequence[Claim],
    run: RegistrationContext,
    store: Store,
    where: Path,
    now: datetime.datetime,
    notes: list[str] | None = None,
) -> dict[str, Registration]:
    """Register the claims of a run before it computes anything; what is known of each, by id.

    New ones of the user's are added to the ledger `where`, which nobody else writes meanwhile. A
    run that lacks some arms of a claim registers it for those it has. `notes` get a line where the
    ledger is damaged, and one for each claim that could not be added to it, which is then invalid.
    """
    notes = [] if notes is None else notes
    lines = ledger.read_entries(where)
    if fault := ledger.describe_damage(where):
        notes.append(fault)
    related = family_members(claims)
    found = {}
    for claim in claims:
        family = related[claim.id]
        if line := shipped_line(claim, run.experiment, run.scale, run.arms, family):
            found[claim.id] = Registration(True, str(line["date"]), hash=claim.fingerprint)
            continue
        marks = {arm: run.signatures[arm] for arm in claim.named_arms if arm in run.signatures}
        times = _times(claim, marks, family, lines)
        if any(arm not in times for arm in marks):
            line = {
                "id": claim.id,
                "hash": claim.fingerprint,
                "claim": claim.registered_fields(),
                "arms": marks,
                "family": family,
                "time": now.isoformat(timespec="microseconds"),
            }
            if reason := ledger.append(where, line):
                notes.append(
                    f"claim {claim.id} could not be written down ({reason}): it is invalid"
                )
                found[claim.id] = Registration(False, "", late=True, hash=claim.fingerprint)
                continue
            times = {arm: times.get(arm, now) for arm in marks}
        found[claim.id] = _judged(claim, times, marks, run, store, now)
    return found


def _times(
    claim: Claim,
    marks: Mapping[str, str],
    family: Sequence[str],
    lines: Sequence[Mapping[str, Any]],
) -> dict[str, datetime.datetime]:
    """For each arm when the claim about it was first written down.

    A line counts if what it says of arms is true of these, and its family has lost no member since:
    a smaller family is an easier one.
    """
    times: dict[str, datetime.datetime] = {}
    for line in lines:
        arms, others, time = line.get("arms"), line.get("family"), parse_time(line.get("time"))
        if (
            line.get("hash") == claim.fingerprint
            and isinstance(arms, dict)
            and isinstance(others, list)
            and time is not None
            and arms.items() <= marks.items()
            and all(other in family for other in others)
        ):
            for arm in arms:
                times.setdefault(arm, time)
    return times


def _judged(
    claim: Claim,
    times: Mapping[str, datetime.datetime],
    marks: Mapping[str, str],
    run: RegistrationContext,
    store: Store,
    now: datetime.datetime,
) -> Registration:
    """Whether a trial that decides the claim was finished before the claim was written down.

    `seed=8` and `seed_offset=8` are the same trials under two signatures.
    """
    registered = max(times.values(), default=now).isoformat(timespec="microseconds")
    computed = {
        arm: store.slots_across_offsets(mark, run.signature_texts.get(arm))
        for arm, mark in marks.items()
    }
    finished = [
        (arm, slot.first_finish_time())
        for arm, slots in computed.items()
        for seed in run.seeds[: claim.n]
        for slot in slots.get(seed, ())
    ]
    if not any(time is not None and time < times[arm] for arm, time in finished):
        return Registration(False, registered, hash=claim.fingerprint)
    used = {*run.seeds, *(seed for slots in computed.values() for seed in slots)}
    cure = f"seed={max(used) + 1}"
    return Registration(False, registered, late=True, cure=cure, hash=claim.fingerprint)
