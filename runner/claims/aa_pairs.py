"""The A/A pairs of a study: arms that differ only in `seed_offset`."""

from collections.abc import Mapping
from typing import Any

SEED_OFFSET = "seed_offset"
SEED_OFFSET_STEP = 1000
"""Step between the seed offsets of an A/A pair; suggested offsets are multiples of it."""


def find_aa_pairs(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return {arm: original} for each arm that differs from an earlier one only in its seed offset.

    `settings` holds the resolved values of each arm. `seed_offset` is 0 where it is absent.
    """
    pairs: dict[str, str] = {}
    originals: list[tuple[str, dict[str, Any], Any]] = []
    for name, values in settings.items():
        rest = {key: value for key, value in values.items() if key != SEED_OFFSET}
        offset = values.get(SEED_OFFSET, 0)
        for original, other_rest, other_offset in originals:
            if rest == other_rest and str(offset) != str(other_offset):
                pairs[name] = original
                break
        else:
            originals.append((name, rest, offset))
    return pairs
