"""The kinds of tokens that show a look at other tokens.

Between independent random tokens of a wide stream, a softmax of their products gives each token all
of its own weight. A look at other tokens is then smaller than rounding. So probes use:

- random tokens of the usual size;
- small tokens, whose products are small;
- large tokens in place of usual ones, which pass thresholds;
- copies of a few tokens. Half of them have small differences, so that they have about equal
  products at every scale. Others are equal, as comparisons may find. In a whole model, ids
  are repeated, and all embeddings are similar.

Legend of shapes: batch, sequences; time, positions; d_model, width of the stream.
"""

import enum
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from experiments.estimates.inspected_module import TOLERANCE, InspectedModule

SMALL, LARGE = 0.1, 10.0  # shares of the usual size
N_ALIKE = 3  # different tokens in a sequence of similar tokens
DEVIATION = 0.05  # of a similar token, as a share of its size
LAST_KIND = 2.0  # seconds of the processor after which a check begins with no further kind
OTHER_KINDS = "small, large and similar tokens"  # their name if a slow module is left out


class TokenKind(enum.Enum):
    """A kind of tokens."""

    usual = "usual"
    small = "small"
    large = "large"
    similar = "similar"


def kinds_of_tokens(inspected: InspectedModule) -> tuple[TokenKind, ...]:
    """Return the kinds that inputs of a module can have, the usual one first.

    Token ids have no size.
    """
    return (TokenKind.usual, TokenKind.similar) if inspected.is_model else tuple(TokenKind)


def modes_and_kinds(
    inspected: InspectedModule, kinds: Iterable[TokenKind]
) -> Iterator[tuple[bool, TokenKind]]:
    """Yield the probes of a check: whether the module is in training mode, and the kind of tokens.

    Usual tokens come first, in both modes. A slow module is probed with these only.
    """
    for tokens in kinds:
        if tokens is not TokenKind.usual and inspected.seconds() > LAST_KIND:
            inspected.skip(OTHER_KINDS)
            return
        for training in (False, True):
            yield training, tokens


def differs(
    inspected: InspectedModule, tokens: TokenKind, probe: Callable[[nn.Module, torch.dtype], float]
) -> bool:
    """Return whether the outputs of a probe differ by more than rounding.

    `InspectedModule.is_confirmed` describes a probe. A module may refuse tokens that are not the
    usual ones, or have no finite values for them. This is not a fault.
    """
    try:
        difference = probe(inspected.build(), torch.float32)
        return difference > TOLERANCE and inspected.is_confirmed(probe)
    except Exception:
        if tokens is TokenKind.usual:
            raise
        return False


def draw_tokens(
    inspected: InspectedModule, tokens: TokenKind, batch: int, length: int
) -> tuple[Tensor, Tensor]:
    """Return inputs (batch, time, d_model) of a kind, and others that replace them.

    Inputs of a language model are token ids (batch, time), which differ from the others at each
    position.
    """
    x = inspected.inputs(1, batch, length)
    generator = torch.Generator().manual_seed(4)
    if tokens is TokenKind.similar:
        return _draw_similar(inspected, x, generator)
    others = inspected.other_inputs(x)
    if tokens is TokenKind.small:
        return SMALL * x, SMALL * others
    if tokens is TokenKind.large:
        signs = torch.randn(batch, length, 1, generator=generator).sign()
        return x, LARGE * (signs + others)
    return x, others


def _draw_similar(
    inspected: InspectedModule, x: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return copies of a few tokens, and others for inputs of the shape of x."""
    n_alike = min(N_ALIKE, inspected.d_model) if inspected.is_model else N_ALIKE
    index = torch.randint(n_alike, x.shape[:2], generator=generator)
    steps = torch.randint(1, n_alike, x.shape[:2], generator=generator)
    if inspected.is_model:
        originals = torch.randperm(inspected.d_model, generator=generator)[:n_alike]
        return originals[index], originals[(index + steps) % n_alike]
    originals = torch.randn(n_alike, x.shape[-1], generator=generator)
    is_changed = torch.rand(*x.shape[:2], 1, generator=generator) < 0.5
    deviations = DEVIATION * torch.randn(x.shape, generator=generator)
    return originals[index] + is_changed * deviations, originals[(index + steps) % n_alike]


@contextmanager
def fitted_weights(
    inspected: InspectedModule, module: nn.Module, tokens: TokenKind
) -> Iterator[None]:
    """Make the embeddings of a language model similar in the `with` block, for similar tokens."""
    weights: list[Tensor] = []
    if tokens is TokenKind.similar and inspected.is_model:
        embeddings = (each for each in module.modules() if isinstance(each, nn.Embedding))
        weights = [each.weight.data for each in embeddings if each.weight.is_floating_point()]
    before = [each.clone() for each in weights]
    for each in weights:
        each.lerp_(each[:1].clone(), 1 - DEVIATION)
    try:
        yield
    finally:
        for each, own in zip(weights, before, strict=True):
            each.copy_(own)
