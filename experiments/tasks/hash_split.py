"""A split of sequences by a hash of their content, so that no sequence is on two sides.

NumPy is imported in the function, since every command imports this file.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDES = ("held_out", "tuning", *["train"] * 6)
"""The side of each of eight equally frequent hashes."""


def split_by_hash(sequences: "NDArray[Any]") -> "NDArray[np.str_]":
    """Return the side of each row: `train` (six in eight), `held_out` or `tuning` (one in eight).

    Equal rows have equal sides. A row that rounds differently on another machine may change sides.
    """
    import numpy as np

    rows = np.asarray(sequences)
    wide = rows.astype(np.int64 if rows.dtype.kind in "iub" else np.float64)
    data = np.ascontiguousarray(wide).reshape(len(rows), -1).view(np.uint8)
    # Random factors, so that every byte of a row changes the hash; its highest bits choose.
    factors = np.random.default_rng(0).integers(
        np.iinfo(np.uint64).max, size=data.shape[1], dtype=np.uint64
    )
    hashes = np.zeros(len(rows), np.uint64)
    for column, factor in zip(data.T, factors, strict=True):
        hashes += (column.astype(np.uint64) + np.uint64(1)) * factor
    return np.array(SIDES)[(hashes >> np.uint64(61)).astype(np.int64)]
