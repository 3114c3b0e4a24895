"""Starting weights that depend on a parameter's name and the seed, and on nothing else.

Arms of a comparison then start from the same values wherever they have a parameter of the same
name and shape, and a matrix that one arm has more does not shift the draws of the others.

The scheme: weights normal with std 1 / sqrt(fan_in), so that a unit input gives a unit output at
any width (0.02 for every width, as in GPT-2, is far too small at d_model 64); embeddings with std
1; gains 1; biases 0. On top of it come factors for deep models, by the name of the module:

- scaled: matrices that write into the residual stream (`out` of attention, `down` of a feed-forward
  network) divided by the root of how many do, so that the stream's variance does not grow with
  depth (GPT-2): sqrt(2 n_layers), in a decoder that attends to an encoder sqrt(3 n_layers),
  and without feed-forward networks one part a block less;
- plain: none, as in the theory of Pre-LN and Post-LN;
- DeepNorm: its gain on values, `out` and the feed-forward network, not on queries and keys (Wang
  2022), in a decoder that attends to an encoder another than in that. It belongs to the placement
  and takes the place of both.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from experiments.nn.choice import check_known_name
from experiments.nn.norm import deepnorm, deepnorm_decoder, deepnorm_encoder
from experiments.nn.transformer import Block

INITS = ("scaled", "plain")
RESIDUAL = ("out", "down")
DEEPNORM = ("value", "out", "up", "gate", "down")


def named_generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator of its own for the parameter `name`."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    # 63 bits: manual_seed takes no larger unsigned numbers on every platform.
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def starting_gains(
    n_layers: int, *, n_parts: int = 2, init: str = "scaled", is_deepnorm: bool = False
) -> dict[str, float]:
    """The factor on the weights of modules by their name, for a model of `n_layers` blocks.

    `n_parts` of a block write into the stream.
    """
    check_known_name(INITS, init=init)
    if is_deepnorm:
        return dict.fromkeys(DEEPNORM, deepnorm(n_layers, n_parts=n_parts).gain)
    writers = n_parts * max(n_layers, 1)
    return dict.fromkeys(RESIDUAL, writers**-0.5) if init == "scaled" else {}


def encoder_decoder_gains(
    n_layers: int, *, n_parts: tuple[int, int] = (2, 3), init: str, is_deepnorm: bool
) -> dict[str, float]:
    """The same for `n_layers` blocks that encode and as many that decode, by side and name."""
    check_known_name(INITS, init=init)
    if is_deepnorm:
        encoder = deepnorm_encoder(n_layers, n_layers).gain
        decoder = deepnorm_decoder(n_layers, n_parts=n_parts[1]).gain
    elif init == "scaled":
        encoder, decoder = ((parts * n_layers) ** -0.5 for parts in n_parts)
    else:
        return {}
    names = DEEPNORM if is_deepnorm else RESIDUAL
    sides = {"encoder": encoder, "decoder": decoder}
    return {f"{side}.{name}": gain for side, gain in sides.items() for name in names}


@torch.no_grad()
def initialise(module: nn.Module, seed: int, *, gains: Mapping[str, float] | None = None) -> None:
    """Fill every parameter in place; values are drawn on the CPU, so that devices start alike.

    `gains` are factors by the last name of a module, `out`, or by its first and last, `decoder.out`
    for `decoder.0.cross.out`; None: `starting_gains` of its blocks.
    """
    if gains is None:
        gains = starting_gains(sum(isinstance(part, Block) for part in module.modules()))
    for path, part in module.named_modules():
        for leaf, parameter in part.named_parameters(recurse=False):
            name = f"{path}.{leaf}" if path else leaf
            if leaf.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 1:
                parameter.fill_(1)
            else:
                std = 1.0 if isinstance(part, nn.Embedding) else parameter.shape[-1] ** -0.5
                first, last = path.partition(".")[0], path.rpartition(".")[2]
                std *= gains.get(f"{first}.{last}", gains.get(last, 1.0))
                parameter.copy_(std * draw_normal(parameter, named_generator(seed, name)))


def draw_normal(like: Tensor, source: torch.Generator) -> Tensor:
    """Standard normal float32 values on the CPU, in the shape of `like`."""
    return torch.randn(like.shape, generator=source)
