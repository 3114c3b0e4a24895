"""How fast is decoding one token? Beside its naive twin, a peer, and reading the cache once.

python -m tests.benchmarks.decoding [--lengths 4096 16384] [--rounds 9] [--threads 1] [--json FILE]

About 3 minutes and 2.5 GB. The attention of one token, without projections: 8 query heads of width
64, batch 8, keys and values in a preallocated cache. Contenders run interleaved, in a new random
order each round; the table has medians over rounds and ratios of medians, the JSON file every
sample in seconds. A shared machine changes its speed from minute to minute: only ratios within one
run hold.

- ours: the layer's own path, the query heads of a group as rows of one product.
- repeated: keys and values expanded to all query heads first, the naive way.
- enable_gqa: torch's own switch for grouped heads.
- read: the sum of all keys and values, each read once: nobody can be faster.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.config import Position
from experiments.nn.attention import Attention, one_query
from experiments.nn.kv_cache import KVCache
from runner.measure import interleaved

N_HEADS, D_HEAD, BATCH = 8, 64, 8
N_KV_HEADS = (8, 4, 2, 1)
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
        "ours": lambda: one_query(query, key, value),
        "repeated": repeated,
        "enable_gqa": lambda: F.scaled_dot_product_attention(query, key, value, enable_gqa=True),
        "read": lambda: (key.sum(), value.sum()),
    }


def show(console: Console, samples: dict[tuple[int, int], dict[str, list[float]]]) -> None:
    table = Table(
        "cache", "n_kv", "ours ms", "GB/s", "repeated / ours", "enable_gqa / ours", "ours / read"
    )
    for (length, n_kv_heads), values in samples.items():
        median = {name: statistics.median(times) for name, times in values.items()}
        gigabytes = 2 * BATCH * n_kv_heads * length * D_HEAD * 4 / 1e9
        table.add_row(
            str(length),
            str(n_kv_heads),
            f"{median['ours'] * 1e3:.2f}",
            f"{gigabytes / median['ours']:.1f}",
            f"{median['repeated'] / median['ours']:.1f}",
            f"{median['enable_gqa'] / median['ours']:.2f}",
            f"{median['ours'] / median['read']:.2f}",
        )
    console.print(table)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every sample here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    samples = {}
    for length in options.lengths:
        for n_kv_heads in N_KV_HEADS:
            functions = contenders(n_kv_heads, length)
            expected = functions["repeated"]()
            for name in ("ours", "enable_gqa"):
                torch.testing.assert_close(functions[name]().reshape(expected.shape), expected)
            samples[length, n_kv_heads] = interleaved(
                functions, rounds=options.rounds, min_seconds=SHORTEST_SAMPLE
            )
    show(Console(), samples)
    if options.json:
        machine = {
            "torch": torch.__version__,
            "threads": options.threads,
            "processor": platform.processor() or platform.machine(),
        }
        raw = [{"length": n, "n_kv_heads": h, **v} for (n, h), v in samples.items()]
        options.json.write_text(json.dumps({"machine": machine, "seconds": raw}, indent=1))


if __name__ == "__main__":
    main()
