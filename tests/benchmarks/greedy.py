"""How fast is greedy decoding? Cached against recomputed, and many sentences against one by one.

python -m tests.benchmarks.greedy [--rounds 7] [--threads 1] [--json FILE]      about 1 minute

An untrained encoder-decoder (2 + 2 layers, d_model 128) that never ends a sentence, so that all
decode equally many tokens from as many. Contenders run interleaved, in a new random order each
round; medians and their ratios count: a shared machine changes its speed from minute to minute.

- naive: the exercise's way; encodes the source and computes the whole prefix anew for each token,
  and attention has its whole score matrix. - fused: the same with torch's attention.
- cached: encodes once, and computes the newest token alone.  Goal: >= 5 x naive at 32 and more.
- one by one: 256 sentences, each decoded alone with a cache. - batched: at once.  Goal: >= 20 x.
"""

import argparse
import json
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from rich.console import Console
from rich.table import Table

from experiments import config
from experiments.nn.build import build_encoder_decoder
from experiments.nn.decode import greedy, greedy_recomputing
from experiments.nn.encoder_decoder import EncoderDecoder
from runner.measure import interleaved

D_MODEL, VOCABULARY, SENTENCES, BATCHED_LENGTH = 128, 32, 256, 32
LENGTHS = (10, 32, 64, 98)
Decode = Callable[..., torch.Tensor]


def build(kernel: config.Kernel = config.Kernel.fused) -> EncoderDecoder:
    """The same model with either kernel."""
    heads = (4, 4, False, 0.0, config.Position.sinusoidal, kernel)
    arm = SimpleNamespace(
        model=config.Model(D_MODEL, 2),
        attention=config.Attention("multihead", *heads),
        ffn=config.FeedForward("dense", 512, config.Activation.relu, False, False, 0.0),
        norm=config.Norm("norm", config.Placement.post, config.NormType.layer, 1e-5),
    )
    sizes = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
    return build_encoder_decoder(arm, **sizes, seed=0).eval()


def decoding(model: EncoderDecoder, decode: Decode, source: torch.Tensor, length: int) -> Decode:
    # An end mark outside of the vocabulary cannot be chosen.
    marks = {"bos": 1, "eos": VOCABULARY, "max_length": length}
    return lambda: decode(model, source, **marks)


def one_by_one(model: EncoderDecoder, source: torch.Tensor, **marks: int) -> torch.Tensor:
    return torch.cat([greedy(model, row[None], **marks) for row in source])


def measure(rounds: int) -> dict[str, dict[str, list[float]]]:
    model, exercise, samples = build(), build(config.Kernel.naive), {}
    for length in LENGTHS:
        source = torch.randint(3, VOCABULARY, (1, length))
        contenders = {
            "naive": decoding(exercise, greedy_recomputing, source, length),
            "fused": decoding(model, greedy_recomputing, source, length),
            "cached": decoding(model, greedy, source, length),
        }
        assert torch.equal(contenders["fused"](), contenders["cached"]())
        samples[f"{length} tokens"] = interleaved(contenders, rounds=rounds)
    source = torch.randint(3, VOCABULARY, (SENTENCES, BATCHED_LENGTH))
    contenders = {
        "one by one": decoding(model, one_by_one, source, BATCHED_LENGTH),
        "batched": decoding(model, greedy, source, BATCHED_LENGTH),
    }
    what = f"{SENTENCES} sentences, {BATCHED_LENGTH} tokens"
    samples[what] = interleaved(contenders, rounds=max(3, rounds // 2), warmup=1)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every sample here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    samples = measure(options.rounds)
    table = Table("", "contender", "median ms", "min ms", "it / ours")
    for what, values in samples.items():
        medians = {name: statistics.median(seconds) for name, seconds in values.items()}
        ours = list(medians.values())[-1]
        for name, median in medians.items():
            best = f"{min(values[name]) * 1e3:.1f}"
            table.add_row(what, name, f"{median * 1e3:.1f}", best, f"{median / ours:.1f}")
    Console().print(table)
    if options.json:
        machine = {
            "torch": torch.__version__,
            "threads": options.threads,
            "processor": platform.processor() or platform.machine(),
        }
        options.json.write_text(json.dumps({"machine": machine, "seconds": samples}, indent=1))


if __name__ == "__main__":
    main()
