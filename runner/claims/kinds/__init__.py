"""The kinds of claims, one file each, and the function that reads a claim from YAML."""

from collections.abc import Mapping
from typing import Any

from runner.claims.claim import Claim
from runner.claims.claim_keys import check_one_of
from runner.claims.kinds.at_equal_seconds import AtEqualSeconds
from runner.claims.kinds.curve_slope import CurveSlope
from runner.claims.kinds.difference import Difference
from runner.claims.kinds.equivalence import Equivalence
from runner.claims.kinds.exact import Exact
from runner.claims.kinds.failure_rate import FailureRate
from runner.claims.kinds.interaction import Interaction
from runner.claims.kinds.slope import Slope

KINDS: dict[str, type[Claim]] = {
    cls.kind: cls
    for cls in (
        *(Difference, Equivalence, Slope, FailureRate, Exact),
        *(Interaction, CurveSlope, AtEqualSeconds),
    )
}


def read_claim(id: str, mapping: Mapping[str, Any]) -> Claim:
    """Read a claim from its YAML mapping; without `kind` it is a difference.

    Raises:
        ValueError: a key is unknown or missing, or a value is not allowed.
    """
    prefix = f"Claim {id!r}"
    if not isinstance(mapping, Mapping):
        raise ValueError(f"{prefix} must be a mapping of keys, got {mapping!r}.")
    kind = mapping.get("kind") or Difference.kind
    if kind == "trend":
        raise ValueError(
            f"{prefix}: kind trend was removed; write a claim of kind difference for each pair of "
            "levels."
        )
    check_one_of(f"{prefix}: kind", kind, tuple(KINDS))
    keys = {key: value for key, value in mapping.items() if key != "kind"}
    return KINDS[kind].from_mapping(id, keys)
