"""Initial weights that depend only on the seed and a parameter's name, kind and shape.

Each parameter has a random generator of its own, keyed by seed and name. Two arms therefore start
with equal values in all parameters of the same name and shape. A parameter that only one arm has
does not shift the random numbers of the others.

The scheme:
- Weights are normal with std 1 / sqrt(fan_in). A unit input then gives a unit output at any width.
  GPT-2's 0.02 for every width is far too small at d_model 64.
- Embeddings are normal with std 1.
- Gains are 1, biases 0.

Factors for deep models multiply the std, by the name of the module:
- `scaled`: matrices that write into the residual stream are divided by the root of their number.
  The variance of the stream then does not grow with depth (GPT-2). These matrices are `out` of
  attention and `down` of feed-forward networks: 2 n_layers of them, or 3 n_layers in a decoder
  with cross-attention. Without feed-forward networks a block has one fewer.
- `plain`: no factor, as in the theory of Pre-LN and Post-LN.
- DeepNorm (Wang 2022): its gain multiplies `value`, `out` and the feed-forward network, but not
  `query` and `key`. Encoder and decoder have different gains. It belongs to the norm placement
  `deepnorm` and replaces `scaled` and `plain`.

Modules of plain parts, which have an `Adapter`, follow the same scheme as far as ablab knows them:
- Weights of nn.Linear, nn.Conv1d to nn.Conv3d and nn.Embedding are drawn by seed and name, and
  their biases are 0. The name has the path of the block's part and the path in the module. A
  module with the names and shapes of one of ablab's modules so starts with equal weights.
- All other parameters keep the values of the constructor, for example gains, decays and gates. So
  do frozen parameters and buffers. The constructor runs a second time for each layer, with torch's
  random numbers seeded by the seed and the path.
- A part with `keeps_initial_weights = True` keeps all values of the constructor, without a factor.
- The factor of `out` or `down` applies to the layers that return the module's output. These are the
  layers that the part names in `residual_writers`, or the nn.Linear whose output tensor is the
  output. A call with 16 positions finds it, or one with the length of the task's sequences. If
  there is none, no matrix has this factor, and a note of the trial says so.
- The row of an embedding's `padding_idx` is 0.
- DeepNorm's gain multiplies all drawn layers of a feed-forward network. Of attention it multiplies
  only the layers that return its output, since ablab does not know which layer computes values.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from experiments.nn.adapter import Adapter
from experiments.nn.choice import check_known_name
from experiments.nn.norm import deepnorm, deepnorm_decoder, deepnorm_encoder
from experiments.nn.transformer import Block

INITS = ("scaled", "plain")
RESIDUAL = ("out", "down")
DEEPNORM = ("value", "out", "up", "gate", "down")


def named_generator(seed: int, name: str) -> torch.Generator:
    """Return a CPU generator seeded by a hash of `seed` and `name`."""
    return torch.Generator().manual_seed(named_seed(seed, name))


def named_seed(seed: int, name: str) -> int:
    """Return a seed of 63 bits from a hash of `seed` and `name`."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    # 63 bits, since manual_seed does not accept larger unsigned numbers on all platforms.
    return int.from_bytes(digest[:8], "big") >> 1


def starting_gains(
    n_layers: int, *, n_parts: int = 2, init: str = "scaled", is_deepnorm: bool = False
) -> dict[str, float]:
    """Return {module name: factor on its initial weights} for a decoder-only model.

    Args:
        n_layers: the number of blocks.
        n_parts: how many parts of a block write into the residual stream.
        init: `scaled` or `plain`.
        is_deepnorm: use DeepNorm's gain in place of `init`.
    """
    check_known_name(INITS, init=init)
    if is_deepnorm:
        return dict.fromkeys(DEEPNORM, deepnorm(n_layers, n_parts=n_parts).gain)
    n_writers = n_parts * max(n_layers, 1)
    return dict.fromkeys(RESIDUAL, n_writers**-0.5) if init == "scaled" else {}


def encoder_decoder_gains(
    n_layers: int, *, n_parts: tuple[int, int] = (2, 3), init: str, is_deepnorm: bool
) -> dict[str, float]:
    """Return {"encoder.<name>" or "decoder.<name>": factor} for an encoder-decoder.

    Each side has `n_layers` blocks. `n_parts` counts the parts that write into the residual stream
    in an encoder block and in a decoder block.
    """
    check_known_name(INITS, init=init)
    if is_deepnorm:
        encoder = deepnorm_encoder(n_layers, n_layers).gain
        decoder = deepnorm_decoder(n_layers, n_parts=n_parts[1]).gain
    elif init == "scaled":
        encoder, decoder = ((n_writers * n_layers) ** -0.5 for n_writers in n_parts)
    else:
        return {}
    names = DEEPNORM if is_deepnorm else RESIDUAL
    sides = {"encoder": encoder, "decoder": decoder}
    return {f"{side}.{name}": gain for side, gain in sides.items() for name in names}


@torch.no_grad()
def initialise(
    module: nn.Module,
    seed: int,
    *,
    gains: Mapping[str, float] | None = None,
    lengths: Sequence[int] = (),
) -> None:
    """Set every parameter in place: weights normal(0, std), gains 1, biases 0.

    Args:
        module: the model.
        seed: the seed of the trial.
        gains: factors on std. A key is the last name of a module's path, or its first and last:
            `out` or `decoder.out` for `decoder.0.cross.out`. None: `starting_gains` of the
            module's blocks.
        lengths: positions of the task's sequences, for plain modules that serve no other length.

    Raises:
        ValueError: the adapters of two layers hold the same parameter.
    """
    if gains is None:
        gains = starting_gains(sum(isinstance(child, Block) for child in module.modules()))

    def gain(path: str, name: str) -> float:
        # The factor of one side of an encoder-decoder takes precedence over a shared one.
        return gains.get(f"{path.partition('.')[0]}.{name}", gains.get(name, 1.0))

    of_adapters = draw_adapters(module, seed, gain, lengths)
    for path, child in module.named_modules():
        # Without recursion each parameter is visited once, with the module that it belongs to.
        for leaf, parameter in child.named_parameters(recurse=False):
            name = f"{path}.{leaf}" if path else leaf
            if id(parameter) in of_adapters:
                continue
            if leaf.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 1:
                # The only other vectors are the gains of norms.
                parameter.fill_(1)
            else:
                # The last axis of a weight is its fan-in. An embedding looks rows up and has none.
                std = 1.0 if isinstance(child, nn.Embedding) else parameter.shape[-1] ** -0.5
                std *= gain(path, path.rpartition(".")[2])
                # Drawn on the CPU, so that the values do not depend on the device.
                parameter.copy_(std * draw_normal(parameter, named_generator(seed, name)))


def draw_adapters(
    module: nn.Module, seed: int, gain: Callable[[str, str], float], lengths: Sequence[int] = ()
) -> dict[int, nn.Parameter]:
    """Draw the weights of all adapters; return their parameters by id.

    `gain` maps the path of an adapter and the last name of a module to a factor. `lengths` are the
    positions of the task's sequences.

    Raises:
        ValueError: two adapters hold the same parameter.
    """
    drawn: dict[int, nn.Parameter] = {}
    for path, adapter in list(module.named_modules()):
        if isinstance(adapter, Adapter):
            adapter.draw_initial_weights(seed, path, partial(gain, path), lengths)
            own = {id(parameter): parameter for parameter in adapter.parameters()}
            if own.keys() & drawn.keys():
                raise ValueError(
                    f"{path}: its parameters are those of another layer; build must return a new "
                    "module in each call"
                )
            drawn |= own
    return drawn


def draw_normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return standard normal float32 values on the CPU, in the shape of `like`."""
    return torch.randn(like.shape, generator=generator)
