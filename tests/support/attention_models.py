"""Small attention-only models and sequences that repeat, for tests of attention heads."""

from types import SimpleNamespace

import torch

from experiments.nn.transformer import Transformer
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.no_ffn import NoFeedForwardPart as NoFeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement
from experiments.parts.transformer import build_transformer
from experiments.tasks.batch import Batch
from experiments.tasks.induction import Induction, InductionTask

VOCABULARY, N_HEADS, N_LAYERS = 16, 4, 2
REPEATING_ROW = [0, 5, 6, 7, 5, 6, 7]


def make_induction_task(
    *, n_eval: int = 40, max_period: int = 6, length: int = 18
) -> InductionTask:
    options = Induction("induction", length, VOCABULARY, max_period, n_eval)
    return options.build(seed=0, batch_size=16)


def make_attention_model(
    *, n_kv_heads: int = N_HEADS, seed: int = 0, double: bool = False
) -> Transformer:
    arm = SimpleNamespace(
        model=ModelOptions(16, N_LAYERS, Init.plain),
        attention=AttentionOptions(
            "multihead", N_HEADS, n_kv_heads, False, 0.0, Position.rotary, Kernel.fused
        ),
        ffn=NoFeedForwardOptions("none"),
        norm=NormOptions("norm", Placement.pre, NormType.layer, 1e-5),
    )
    net = build_transformer(arm, vocabulary=VOCABULARY + 1, width=None, seed=seed)
    return net.to(torch.float64 if double else torch.float32).eval()


def make_repeating_batch(*rows: list[int]) -> Batch:
    """Return the rows as inputs; each row is continued by its repetition with a period of three."""
    tokens = torch.tensor(rows)
    target = torch.cat([tokens[:, 1:], tokens[:, -3:-2]], dim=1)
    keep = torch.ones_like(target, dtype=torch.bool)
    return Batch((tokens,), target, keep, torch.zeros(len(rows), dtype=torch.int64))
