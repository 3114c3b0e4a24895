"""Small records of the board, made by hand."""

from typing import Any

from runner.board.record import ClaimRecord, Estimate, RunRecord

BALANCE = "M2.balance_loss_balances"


def make_claim(**changes: Any) -> ClaimRecord:
    """Return a claim of experiment=moe as a run judged it."""
    fields: dict[str, Any] = {
        "id": BALANCE,
        "kind": "difference",
        "statement": "Without the balance loss, the load is less even.",
        "source": "Fedus et al. 2021",
        "quantity": "moe/load_max_violation: moe_no_balance minus moe_top2",
        "expected": "above 0",
        "verdict": "reproduced",
        "reason": "difference +0.375 [0.208, 0.542]",
        "estimate": Estimate(0.375, 0.208, 0.542, 8),
        "detectable": 0.24,
        "n": 8,
        "planned_n": 8,
        "registered": "b2fbd6c32a0f",
        "shipped": True,
    }
    return ClaimRecord(**fields | changes)


def make_record(*claims: ClaimRecord, **changes: Any) -> RunRecord:
    """Return the record of a run of experiment=moe."""
    fields: dict[str, Any] = {
        "experiment": "moe",
        "question": "Is a mixture better?",
        "scale": "quick",
        "date": "2026-11-26T13:00:00+00:00",
        "command": "python -m runner experiment=moe",
        "commit": "f0bcffa" + 33 * "0",
        "dirty": False,
        "machine": {"processor": "Some CPU", "cores": 2, "memory_gib": 23.5},
        "devices": ("cpu",),
        "versions": {"python": "3.11.7"},
        "digests": {"study.json": 64 * "a"},
        "trials": {"done": 32},
        "arms": {"dense": {"seeds": 8, "params": 98944}},
        "claims": claims,
    }
    return RunRecord(**fields | changes)
