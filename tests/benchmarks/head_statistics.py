"""Cost of statistics of attention heads, against attention alone and a loop over heads.

python -m tests.benchmarks.head_statistics [--lengths 1024 2048] [--rounds 9] [--json FILE]
    [--quick]

About 1 minute where nothing else runs; --quick: 256 positions. One attention layer, d_model 512, 8
heads, causal, batch 1, projections included. Peak memory is over the inputs, in a separate process.

- `attention`: the layer alone, by torch's kernel, without statistics: a lower bound.
- `ours`: the layer and then the scores of the probe, from blocks of queries.
- `scores`: the scores alone.
- `loop`: the whole matrix of weights, and a Python loop over heads that reads each score by item().
- `training`: ten training steps of a small model, and the time that the probe adds to them. The
  probe is timed on one batch (which includes its own forward, timed separately too) and in a whole
  evaluation of 192 sequences.
"""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from side_by_side import SideBySide, arguments
from torch import Tensor

from experiments.nn.attention import Attention
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer
from experiments.probes.heads.attention_weights import queries_keys, self_attention_weights
from experiments.probes.heads.probe import HeadProbe
from experiments.probes.heads.scores import row_scores
from experiments.tasks.patterns import Patterns
from experiments.tasks.values import Predict
from runner.trial.measure import can_measure_peak, peak_mib
from runner.trial.training import evaluate

D_MODEL, N_HEADS, BLOCK, LAGS = 512, 8, 64, (0, 1)
LENGTHS = {False: (1024, 2048), True: (256,)}  # by --quick
SHORTEST_SAMPLE = 0.005


@torch.no_grad()
def contenders(length: int) -> dict[str, Callable[[], object]]:
    """Return calls of one layer on one sequence, with and without statistics."""
    layer = Attention(D_MODEL, n_heads=N_HEADS, n_kv_heads=N_HEADS).eval()
    x = torch.randn(1, length, D_MODEL)
    projected = layer.query(x), layer.key(x)
    place = torch.arange(length)
    back = (place[:, None] - place).float()

    @torch.no_grad()
    def attention() -> Tensor:
        return layer(x)

    def scores() -> object:
        return row_scores(*queries_keys(layer, *projected), None, LAGS, block=BLOCK)

    @torch.no_grad()
    def loop() -> tuple[Tensor, list[float]]:
        matrices = self_attention_weights(*queries_keys(layer, layer.query(x), layer.key(x)))
        value = layer.value(x).unflatten(-1, (N_HEADS, -1)).transpose(1, 2)
        output = layer.out((matrices @ value).transpose(1, 2).flatten(2))
        statistics_of_heads = []
        for head in range(N_HEADS):
            p = matrices[0, head]
            statistics_of_heads.append(-(p * (p + 1e-9).log()).sum(-1).mean().item())
            statistics_of_heads.append((p * back).sum(-1).mean().item())
            statistics_of_heads.append(p.diagonal().mean().item())
        return output, statistics_of_heads

    return {
        "attention": attention,
        "ours": lambda: (attention(), scores()),
        "scores": scores,
        "loop": loop,
    }


def training() -> dict[str, Callable[[], object]]:
    """Ten training steps of a model of width 64, and the probe on one batch and on all."""
    arm = SimpleNamespace(
        model=ModelOptions(64, 2, Init.scaled),
        attention=AttentionOptions("multihead", 4, 4, False, 0.0, Position.rotary, Kernel.fused),
        ffn=FeedForwardOptions("dense", 256, Activation.gelu, False, False, 0.0),
        norm=NormOptions("norm", Placement.pre, NormType.layer, 1e-5),
    )
    options = Patterns("patterns", 20, 16, 192, 0.5, 1.0, 0.9, 5, Predict.next)
    task = options.build(seed=0, batch_size=32)
    model = build_transformer(arm, vocabulary=None, width=16, seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    device = torch.device("cpu")

    def ten_steps() -> None:
        for step in range(10):
            batch = task.batch(step)
            optimizer.zero_grad()
            task.loss(model(*batch.inputs, keep=batch.keep).prediction, batch).backward()
            optimizer.step()

    def probed() -> dict[str, float]:
        return evaluate(
            model, task, [HeadProbe(model, task.labels, task.lags, block=BLOCK)], device
        )

    one = task.batch(0)
    probe = HeadProbe(model, task.labels, task.lags, block=BLOCK)

    def forward() -> None:
        with torch.no_grad():
            model(*one.inputs, keep=one.keep)

    return {
        "ten steps": ten_steps,
        "one forward": forward,
        "one batch with probe": lambda: probe.update(one),
        "evaluation": lambda: evaluate(model, task, [], device),
        "evaluation with probe": probed,
    }


def main() -> None:
    parser = arguments(__doc__, rounds=9)
    parser.add_argument("--lengths", type=int, nargs="+")
    bench = SideBySide(parser)
    lengths = bench.options.lengths or LENGTHS[bench.options.quick]
    # Before this process starts threads, which its forked children must not need.
    peaks = {
        length: {
            name: peak_mib(lambda length=length, name=name: contenders(length)[name])
            for name in ("attention", "scores", "loop")
            if can_measure_peak()
        }
        for length in lengths
    }
    for length in lengths:
        ratios = ("it / attention", "loop / it")
        timed = contenders(length)
        bench.compare(f"{length} positions", timed, *ratios, min_seconds=SHORTEST_SAMPLE)
        peaks_text = ", ".join(f"{name} {value:.0f}" for name, value in peaks[length].items())
        bench.say(f"peak MiB over the inputs: {peaks_text or 'needs Linux'}")
    bench.compare("training", training(), "it / ten steps")
    bench.write(peak_mib=peaks)


if __name__ == "__main__":
    main()
