"""Which arms are another arm once more, under other seeds: the A/A pairs of a study."""

from collections.abc import Mapping
from typing import Any

SEED_OFFSET = "seed_offset"
SEED_OFFSET_STEP = 1000
"""Between the offsets of an arm and of its copies; offsets that are advised are multiples of it."""


def find_aa_pairs(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """For each arm that differs from an earlier one in its seed offset alone, that earlier one.

    `settings` are the resolved values of each arm, `seed_offset` among them (0 where it is absent).
    """
    found: dict[str, str] = {}
    seen: list[tuple[str, dict[str, Any], Any]] = []
    for name, values in settings.items():
        rest = {key: value for key, value in values.items() if key != SEED_OFFSET}
        offset = values.get(SEED_OFFSET, 0)
        for other, same, before in seen:
            if rest == same and str(offset) != str(before):
                found[name] = other
                break
        else:
            seen.append((name, rest, offset))
    return found
