"""Options of the parts: the body, attention, feed-forward network, norm."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from experiments.config.registering import at_least, option, share


class Activation(StrEnum):
    """Pointwise functions of a feed-forward network."""

    relu = "relu"
    gelu = "gelu"
    silu = "silu"
    relu2 = "relu2"
    sigmoid = "sigmoid"
    identity = "identity"


class Position(StrEnum):
    """How attention learns about order."""

    rotary = "rotary"
    sinusoidal = "sinusoidal"
    none = "none"


class Kernel(StrEnum):
    """How softmax attention is computed: the whole matrix, by tiles, or by torch's own kernel."""

    naive = "naive"
    tiled = "tiled"
    fused = "fused"


class Placement(StrEnum):
    """Where the norms stand around a part f of a block; `SLOTS` spells it out."""

    pre = "pre"
    post = "post"
    peri = "peri"
    deepnorm = "deepnorm"


class Slots(NamedTuple):
    """The norms of a placement: x becomes outer(alpha * x + behind(f(before(x)))).

    `final` is a norm behind the last block, for a stream that no norm of a block has bounded.
    `deep` sets alpha = (2 n_layers)^(1/4), with ffn=none n_layers^(1/4), else 1, and the starting
    weights that belong to it; an encoder-decoder has constants of its own (`experiments.nn.norm`).
    """

    before: bool = False
    behind: bool = False
    outer: bool = False
    final: bool = False
    deep: bool = False


SLOTS = {
    Placement.pre: Slots(before=True, final=True),
    Placement.post: Slots(outer=True),
    Placement.peri: Slots(before=True, behind=True, final=True),
    Placement.deepnorm: Slots(outer=True, deep=True),
}


class Init(StrEnum):
    """Whether matrices that write into the residual stream start smaller in deeper models."""

    scaled = "scaled"
    plain = "plain"


class Conversion(StrEnum):
    """What a group's heads of keys and values become: left, their mean, the first, a fresh one."""

    none = "none"
    mean = "mean"
    first = "first"
    random = "random"


class NormType(StrEnum):
    """LayerNorm or RMSNorm."""

    layer = "layer"
    rms = "rms"


class Balance(StrEnum):
    """How experts are balanced: not at all, by an auxiliary loss, or by a selection bias."""

    none = "none"
    aux = "aux"
    bias = "bias"


@dataclass
class Model:
    """The body that parts are put into."""

    d_model: int
    n_layers: int
    init: Init

    def __post_init__(self) -> None:
        at_least(1, d_model=self.d_model, n_layers=self.n_layers)


@option("attention", "multihead")
@dataclass
class Attention:
    """Multi-head attention; `n_kv_heads` makes it MHA, GQA or MQA."""

    kind: str
    n_heads: int
    n_kv_heads: int
    bias: bool
    dropout: float
    position: Position
    kernel: Kernel

    def __post_init__(self) -> None:
        at_least(1, n_heads=self.n_heads, n_kv_heads=self.n_kv_heads)
        share(dropout=self.dropout)
        if self.dropout and self.kernel is not Kernel.fused:
            raise ValueError(
                f"dropout={self.dropout}: kernel={self.kernel} has no dropout; "
                "set dropout=0 or kernel=fused"
            )
        if self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"n_kv_heads={self.n_kv_heads} must divide n_heads={self.n_heads}, so that "
                "groups of queries are equal"
            )


@option("ffn", "dense")
@dataclass
class FeedForward:
    """A position-wise feed-forward network, gated (three matrices) or not (two)."""

    kind: str
    d_ff: int
    activation: Activation
    gated: bool
    bias: bool
    dropout: float

    def __post_init__(self) -> None:
        at_least(1, d_ff=self.d_ff)
        share(dropout=self.dropout)


@option("ffn", "moe")
@dataclass
class MixtureOfExperts:
    """A mixture of `n_experts` feed-forward networks, `top_k` of them active for a token."""

    kind: str
    n_experts: int
    top_k: int
    d_ff: int
    activation: Activation
    gated: bool
    bias: bool
    dropout: float
    balance: Balance
    aux_weight: float
    z_weight: float
    bias_rate: float

    def __post_init__(self) -> None:
        at_least(1, n_experts=self.n_experts, top_k=self.top_k, d_ff=self.d_ff)
        at_least(0, aux_weight=self.aux_weight, z_weight=self.z_weight, bias_rate=self.bias_rate)
        share(dropout=self.dropout)
        if self.top_k > self.n_experts:
            raise ValueError(
                f"top_k={self.top_k} of n_experts={self.n_experts}: a token can choose at most "
                "n_experts experts"
            )


@option("ffn", "none")
@dataclass
class NoFeedForward:
    """No feed-forward network: blocks are attention-only."""

    kind: str


@option("norm", "norm")
@dataclass
class Norm:
    """Which normalisation, and where."""

    kind: str
    placement: Placement
    type: NormType
    eps: float

    def __post_init__(self) -> None:
        if self.eps <= 0:
            raise ValueError(f"eps={self.eps} must be above 0")
