"""The registration of claims before their results, by a release or by the first run that has them.

`conf/claims/registered.json` holds the claims of each release. `outputs/<experiment>/claims.jsonl`,
the ledger, holds a line for each claim of a user, written by the first run with this claim and
these arms. A claim is late if a trial that decides it finished before its registration. The check
detects accidental reuse of results, and cannot detect an edited store or ledger.
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
    """The registration of a claim.

    shipped     whether a release registered it; only such a claim counts as published
    registered  the date of the release, or the time of the first run that has the claim
    late        whether a trial that decides the claim finished before its registration
    `cure`      an override that selects seeds without trials, for a late claim; otherwise ""
    hash        of the claim at that time
    """

    shipped: bool
    registered: str
    late: bool = False
    cure: str = ""
    hash: str = ""

    @property
    def invalid_reason(self) -> str:
        """The reason why a late claim is invalid, with a hint; "" for a claim in time."""
        if not self.late:
            return ""
        if not self.registered:
            return "this run did not register this version of the claim; a new run registers it"
        return f"written after its results; {self.cure} decides it with seeds that have no trials"


def find_registration(claim: Claim, known: Mapping[str, Registration]) -> Registration | None:
    """Return the registration of a claim in a run; None if the run has no registrations.

    A claim that was added or changed after the run is late.
    """
    if not known:
        return None
    entry = known.get(claim.id)
    if entry is None or (entry.hash and entry.hash != claim.fingerprint):
        return Registration(False, "", late=True)
    return entry


def claim_ledger_path(outputs: Path, experiment: str) -> Path:
    """Return the path of the ledger of an experiment's claims."""
    return outputs / experiment / "claims.jsonl"


def family_members(claims: Sequence[Claim]) -> dict[str, list[str]]:
    """Return for each claim the ids of its family: the claims that are corrected together."""
    tested = [claim for claim in claims if isinstance(claim, StatisticalClaim)]
    members = {claim.id: [claim.id] for claim in claims}
    for claim in tested:
        members[claim.id] = sorted(other.id for other in tested if other.family == claim.family)
    return members


@cache
def shipped_lines() -> list[dict[str, Any]]:
    """Return the lines of all claims that releases registered, the oldest first."""
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
    """Return the line that registers a claim for a release, or None.

    The line must have:
    - the same id, hash, experiment and scale;
    - the same overrides for each arm that the claim names;
    - only family members that are in `family`, if `family` is given.
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
    """Return whether a release registered a claim; `arms` holds the overrides of each arm."""
    return shipped_line(claim, experiment, scale, arms) is not None


@dataclass(frozen=True)
class RegistrationContext:
    """The facts about a run that the registration of its claims depends on.

    arms             the overrides of each arm of the study, also of arms that the run leaves out
    signatures       of the arms that the run computes
    seeds            of the run
    signature_texts  signature -> the text that it is a hash of
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
    """Register the claims of a run before it computes anything; return registrations by id.

    The user's new claims are added to the ledger `where`, which the caller has locked. A run that
    lacks some arms of a claim registers it for its own arms. A damaged ledger adds a line to
    `notes`. So does each claim that could not be added to the ledger; it is then invalid.
    """
    notes = [] if notes is None else notes
    lines = ledger.read_entries(where)
    if fault := ledger.describe_damage(where):
        notes.append(fault)
    members = family_members(claims)
    registrations = {}
    for claim in claims:
        family = members[claim.id]
        if line := shipped_line(claim, run.experiment, run.scale, run.arms, family):
            registrations[claim.id] = Registration(True, str(line["date"]), hash=claim.fingerprint)
            continue
        # An arm that another run registered before keeps its time; only new arms need a line.
        signatures = {arm: run.signatures[arm] for arm in claim.named_arms if arm in run.signatures}
        times = _registration_times(claim, signatures, family, lines)
        if any(arm not in times for arm in signatures):
            line = {
                "id": claim.id,
                "hash": claim.fingerprint,
                "claim": claim.registered_fields(),
                "arms": signatures,
                "family": family,
                "time": now.isoformat(timespec="microseconds"),
            }
            if reason := ledger.append(where, line):
                notes.append(
                    f"claim {claim.id} could not be registered ({reason}), so it is invalid"
                )
                registrations[claim.id] = Registration(False, "", late=True, hash=claim.fingerprint)
                continue
            times = {arm: times.get(arm, now) for arm in signatures}
        registrations[claim.id] = _check_lateness(claim, times, signatures, run, store, now)
    return registrations


def _registration_times(
    claim: Claim,
    signatures: Mapping[str, str],
    family: Sequence[str],
    lines: Sequence[Mapping[str, Any]],
) -> dict[str, datetime.datetime]:
    """Return for each arm the time when the claim about it was first registered.

    A line counts if its arms have these signatures and its family has lost no member since then. A
    smaller family would be easier.
    """
    times: dict[str, datetime.datetime] = {}
    for line in lines:
        arms, others, time = line.get("arms"), line.get("family"), parse_time(line.get("time"))
        if (
            line.get("hash") == claim.fingerprint
            and isinstance(arms, dict)
            and isinstance(others, list)
            and time is not None
            and arms.items() <= signatures.items()
            and all(other in family for other in others)
        ):
            for arm in arms:
                times.setdefault(arm, time)
    return times


def _check_lateness(
    claim: Claim,
    times: Mapping[str, datetime.datetime],
    signatures: Mapping[str, str],
    run: RegistrationContext,
    store: Store,
    now: datetime.datetime,
) -> Registration:
    """Return a claim's registration, late if a trial that decides it finished before it.

    `seed=8` and `seed_offset=8` are the same trials under two signatures.
    """
    registered = max(times.values(), default=now).isoformat(timespec="microseconds")
    computed = {
        arm: store.slots_across_offsets(signature, run.signature_texts.get(arm))
        for arm, signature in signatures.items()
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
