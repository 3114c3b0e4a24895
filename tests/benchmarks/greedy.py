"""Time of greedy decoding: cached against recomputed, and batches against single sentences.

python -m tests.benchmarks.greedy [--rounds 7] [--threads 1] [--json FILE] [--quick]  about 1 minute

An untrained encoder-decoder (2 + 2 layers, d_model 128) that never ends a sentence, so that all
contenders read and decode equally many tokens.

- naive: encodes the source and recomputes the whole prefix for each token, the textbook's way.
  Attention has its whole score matrix.
- fused: the same with torch's attention.
- cached: encodes once, and computes the newest token alone.  Goal: >= 5 x naive at 32 and more.
- one by one: 256 sentences, each decoded separately with a cache.
- batched: all at once.  Goal: >= 20 x.
"""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from side_by_side import SideBySide, arguments

from experiments.nn.decoding.translation import translate_greedily, translate_greedily_uncached
from experiments.nn.encoder_decoder import EncoderDecoder
from experiments.parts.activation import Activation
from experiments.parts.attention import AttentionPart as AttentionOptions
from experiments.parts.attention import Kernel, Position
from experiments.parts.body import Init
from experiments.parts.body import ModelOptions as ModelOptions
from experiments.parts.encoder_decoder import build_encoder_decoder
from experiments.parts.ffn import FeedForwardPart as FeedForwardOptions
from experiments.parts.norm import NormPart as NormOptions
from experiments.parts.norm import NormType, Placement

D_MODEL, VOCABULARY, SENTENCES, BATCHED_LENGTH = 128, 32, 256, 32
LENGTHS = (10, 32, 64, 98)
Decode = Callable[..., torch.Tensor]


def build(kernel: Kernel = Kernel.fused) -> EncoderDecoder:
    """The same model with either kernel."""
    heads = (4, 4, False, 0.0, Position.sinusoidal, kernel)
    arm = SimpleNamespace(
        model=ModelOptions(D_MODEL, 2, Init.scaled),
        attention=AttentionOptions("multihead", *heads),
        ffn=FeedForwardOptions("dense", 512, Activation.relu, False, False, 0.0),
        norm=NormOptions("norm", Placement.post, NormType.layer, 1e-5),
    )
    sizes = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
    return build_encoder_decoder(arm, **sizes, seed=0).eval()


def decoding(model: EncoderDecoder, decode: Decode, source: torch.Tensor, length: int) -> Decode:
    # An end mark outside of the vocabulary cannot be chosen.
    marks = {"bos": 1, "eos": VOCABULARY, "max_length": length}
    return lambda: decode(model, source, **marks)


def one_by_one(model: EncoderDecoder, source: torch.Tensor, **marks: int) -> torch.Tensor:
    return torch.cat([translate_greedily(model, row[None], **marks) for row in source])


def main() -> None:
    bench = SideBySide(arguments(__doc__, rounds=7))
    quick = bench.options.quick
    model, exercise = build(), build(Kernel.naive)
    for length in LENGTHS[:2] if quick else LENGTHS:
        source = torch.randint(3, VOCABULARY, (1, length))
        contenders = {
            "naive": decoding(exercise, translate_greedily_uncached, source, length),
            "fused": decoding(model, translate_greedily_uncached, source, length),
            "cached": decoding(model, translate_greedily, source, length),
        }
        assert torch.equal(contenders["fused"](), contenders["cached"]())
        bench.compare(f"{length} tokens", contenders, "it / cached")
    sentences = SENTENCES // 8 if quick else SENTENCES
    source = torch.randint(3, VOCABULARY, (sentences, BATCHED_LENGTH))
    contenders = {
        "one by one": decoding(model, one_by_one, source, BATCHED_LENGTH),
        "batched": decoding(model, translate_greedily, source, BATCHED_LENGTH),
    }
    what = f"{sentences} sentences, {BATCHED_LENGTH} tokens"
    bench.compare(what, contenders, "it / batched", times=0.5, warmup=1)
    bench.write()


if __name__ == "__main__":
    main()
