"""Time of decoding one token, against its naive twin, a peer, and reading the cache once.

python -m tests.benchmarks.decoding [--lengths 4096 16384] [--rounds 9] [--threads 1] [--json FILE]
    [--quick]

About 3 minutes and 2.5 GB; --quick: a cache of 1024, seconds. The attention of one token, without
projections: 8 query heads of width 64, batch 8, keys and values in a preallocated cache.

- `ours`: the layer's own path, the query heads of a group as rows of one product.
- `repeated`: keys and values expanded to all query heads first, the naive way.
- `enable_gqa`: torch's own switch for grouped heads.
- `read`: the sum of all keys and values, each read once: a lower bound.
"""

from collections.abc import Callable

import torch
from side_by_side import SideBySide, arguments
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.nn.attention import Attention, attend_one_query
from experiments.nn.decoding.kv_cache import KVCache
from experiments.parts.attention import Position

N_HEADS, D_HEAD, BATCH = 8, 64, 8
N_KV_HEADS = (8, 4, 2, 1)
LENGTHS = {False: (4096, 16384), True: (1024,)}  # by --quick
SHORTEST_SAMPLE = 0.005


def contenders(n_kv_heads: int, length: int) -> dict[str, Callable[[], object]]:
    """Attention of one token against a full cache, in four ways."""
    layer = Attention(
        N_HEADS * D_HEAD, n_heads=N_HEADS, n_kv_heads=n_kv_heads, position=Position.none
    ).eval()
    layer.out = nn.Identity()
    cache: KVCache = layer.new_cache(BATCH, length)
    key, value = cache.keys.normal_(), cache.values.normal_()
    query = torch.randn(BATCH, N_HEADS, 1, D_HEAD)
    group = N_HEADS // n_kv_heads

    def repeated() -> Tensor:
        keys, values = (x.repeat_interleave(group, dim=1) for x in (key, value))
        return F.scaled_dot_product_attention(query, keys, values)

    return {
        "ours": lambda: attend_one_query(query, key, value),
        "repeated": repeated,
        "enable_gqa": lambda: F.scaled_dot_product_attention(query, key, value, enable_gqa=True),
        "read": lambda: (key.sum(), value.sum()),
    }


@torch.no_grad()
def main() -> None:
    parser = arguments(__doc__, rounds=9)
    parser.add_argument("--lengths", type=int, nargs="+")
    bench = SideBySide(parser)
    for length in bench.options.lengths or LENGTHS[bench.options.quick]:
        for n_kv_heads in N_KV_HEADS:
            functions = contenders(n_kv_heads, length)
            expected = functions["repeated"]()
            for name in ("ours", "enable_gqa"):
                torch.testing.assert_close(functions[name]().reshape(expected.shape), expected)
            title = f"cache of {length}, {n_kv_heads} heads of keys and values"
            ratios = ("it / ours", "it / read")
            medians = bench.compare(title, functions, *ratios, min_seconds=SHORTEST_SAMPLE)
            gigabytes = 2 * BATCH * n_kv_heads * length * D_HEAD * 4 / 1e9
            bench.say(f"ours reads {gigabytes / medians['ours']:.1f} GB/s")
    bench.write()


if __name__ == "__main__":
    main()
