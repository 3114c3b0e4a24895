"""Each planted fault of a module is found and named; good modules have none."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from experiments.estimates import inspected_module
from experiments.estimates.module_faults import find_fault, inspect_module
from experiments.parts import PARTS, Cost, Part, load
from experiments.parts.attention import AttentionPart, Kernel, Position
from experiments.parts.ffn import Activation, FeedForwardPart
from experiments.parts.moe import Balance, MixturePart
from experiments.parts.norm import NormPart, NormType, Placement
from tests.support.inspected_parts import D_MODEL, LENGTH, fault, formula, plain


class Gru(nn.Module):
    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.gru = nn.GRU(d_model, d_model, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


class LinearAttention(nn.Module):
    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(d_model, 3 * d_model)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        state = torch.cumsum(k[..., None] * v[..., None, :], dim=1)
        total = torch.cumsum(k, dim=1)
        return (q[..., None, :] @ state)[..., 0, :] / (q * total).sum(-1, keepdim=True)


class GatedConvolution(nn.Module):
    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(d_model, d_model, 4, padding=3, groups=d_model)
        self.gate, self.out = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        mixed = self.convolution(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
        return self.out(F.silu(mixed) * self.gate(x))


class FourierConvolution(nn.Module):
    """A long causal convolution, whose rounding reaches earlier positions."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.randn(LENGTH, d_model) / LENGTH)

    def forward(self, x):
        n = 2 * x.shape[1]
        product = torch.fft.rfft(x, n, dim=1) * torch.fft.rfft(self.filter[: x.shape[1]], n, dim=0)
        return torch.fft.irfft(product, n, dim=1)[:, : x.shape[1]]


class Mha(nn.Module):
    """nn.MultiheadAttention, with or without a mask, and the mask with an offset."""

    def __init__(self, d_model: int, *, offset: int | None = 1, dropout: float = 0.0) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(d_model, 4, dropout=dropout, batch_first=True)
        self.offset = offset

    def forward(self, x):
        mask = None
        if self.offset is not None:
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(self.offset)
        return self.mha(x, x, x, attn_mask=mask, need_weights=False)[0]


class MaskedMha(Mha):
    """Attention that takes the padding mask."""

    def forward(self, x, keep=None):
        hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)[None]
        if keep is not None:
            own = torch.eye(x.shape[1], dtype=torch.bool)
            hidden = (hidden | ~keep[:, None, :]) & ~own
            hidden = hidden.repeat_interleave(4, dim=0)
        else:
            hidden = hidden[0]
        return self.mha(x, x, x, attn_mask=hidden, need_weights=False)[0]


class Spatial(nn.Module):
    """A gate over positions of one length, whose weights start at zero."""

    def __init__(self, _: int, *, causal: bool = True) -> None:
        super().__init__()
        self.weight, self.causal = nn.Parameter(torch.zeros(LENGTH, LENGTH)), causal

    def forward(self, x):
        weight = self.weight.tril() if self.causal else self.weight
        return weight[: x.shape[1], : x.shape[1]] @ x


class ReadsOwnLength(nn.Module):
    """A causal mask that is kept for the longest input so far: state that changes no output."""

    def __init__(self, _: int) -> None:
        super().__init__()
        self.mask = torch.zeros(0, 0)

    def forward(self, x):
        if len(self.mask) < x.shape[1]:
            self.mask = torch.ones(x.shape[1], x.shape[1]).tril()
        mask = self.mask[: x.shape[1], : x.shape[1]]
        return mask @ x / mask.sum(dim=1, keepdim=True)


GOOD: dict[str, tuple[str, Callable[[int], object]]] = {
    "sequential": (
        "ffn",
        lambda d: nn.Sequential(nn.Linear(d, 40), nn.GELU(), nn.Dropout(0.3), nn.Linear(40, d)),
    ),
    "identity": ("ffn", lambda _: nn.Identity()),
    "left out at random": (
        "ffn",
        formula(lambda m, y: torch.zeros_like(y) if m.training and torch.rand(()) < 0.5 else y),
    ),
    "layer norm": ("norm", nn.LayerNorm),
    "rms norm": ("norm", nn.RMSNorm),
    "gru": ("attention", Gru),
    "linear attention": ("attention", LinearAttention),
    "gated convolution": ("attention", GatedConvolution),
    "fourier convolution": ("attention", FourierConvolution),
    "multihead": ("attention", Mha),
    "multihead with dropout": ("attention", functools.partial(Mha, dropout=0.4)),
    "one length": ("attention", Spatial),
    "cached mask": ("attention", ReadsOwnLength),
    "zero output": ("ffn", formula(lambda _, y: 0.0 * y)),
    "tiny output": ("ffn", formula(lambda _, y: 1e-6 * y)),
    "frozen": ("ffn", lambda d: nn.Linear(d, d).requires_grad_(False)),
    "two results": ("ffn", formula(lambda _, y: (y, {"load": 3}))),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_module_has_no_fault(name: str):
    assert fault(*GOOD[name]) == ""


class Lazy(nn.Module):
    def forward(self, x):
        if not hasattr(self, "late"):
            self.late = nn.Linear(x.shape[-1], x.shape[-1])
        return self.late(x)


class Remembers(nn.Module):
    """A sum over all calls."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.linear, self.sum = nn.Linear(d_model, d_model), 0.0

    def forward(self, x):
        y = self.linear(x)
        self.sum = self.sum + y.detach().mean()
        return y + self.sum


class RunningMean(nn.Module):
    """A mean of training batches in a buffer, which is subtracted in eval mode only."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(d_model))

    def forward(self, x):
        if self.training:
            self.mean.lerp_(x.detach().mean((0, 1)) + 1, 0.1)
            return x
        return x - self.mean


class NeedsMore(nn.Module):
    def forward(self, x, mask, context):  # noqa: ARG002
        return x


class OfOneLength(nn.Module):
    def forward(self, x):
        if x.shape[1] > LENGTH - 1:
            raise RuntimeError(f"at most {LENGTH - 1} positions")
        return x


SHARED = nn.Linear(D_MODEL, D_MODEL)


def raises(_: int):
    raise KeyError("hidden")


def sees(lag: int) -> Callable[[nn.Module, Tensor], Tensor]:
    """Return a formula in which one position sees one later token."""

    def leak(_: nn.Module, y: Tensor) -> Tensor:
        position = torch.arange(y.shape[1]) == 7
        return y + 0.01 * torch.roll(y, -lag, dims=1) * position[:, None]

    return leak


BAD: dict[str, tuple[str, Callable[[int], object], str]] = {
    "build raises": ("ffn", raises, "build(16) raises an error, KeyError: 'hidden'"),
    "no module": ("ffn", lambda _: 3, "build(16) returns a value of type int; return a torch.nn"),
    "a class": ("ffn", lambda _: nn.Linear, "build(16) returns the class Linear"),
    "lazy": ("ffn", lambda d: nn.LazyLinear(d), "its parameter weight has no shape before the"),
    "meta": ("ffn", lambda d: nn.Linear(d, d, device="meta"), "weight is on the meta device"),
    "arguments": ("ffn", lambda _: NeedsMore(), "its forward also requires mask, context"),
    "late": ("ffn", lambda _: Lazy(), "a call creates or replaces the parameter late."),
    "one length": ("ffn", lambda _: OfOneLength(), "RuntimeError: at most 23 positions (input of"),
    "shape": ("ffn", lambda d: nn.Linear(d, 5), "returns the shape (2, 24, 5) for an input of"),
    "type": ("ffn", formula(lambda _, y: y.double()), "returns float64 for an input of float32"),
    "nothing": ("ffn", formula(lambda _m, _y: None), "its forward returns None; return a tensor"),
    "in place": ("ffn", lambda _: nn.ReLU(inplace=True), "changes its input in place"),
    "shared": ("ffn", lambda _: SHARED, "two calls of build share the parameter weight"),
    "nan": ("ffn", formula(lambda _, y: y.log()), "its output has NaN for random input"),
    "infinity": ("ffn", formula(lambda _, y: y / 0.0), "its output has infinity"),
    "gradient": (
        "ffn",
        formula(lambda _, y: (y - y.detach()).abs().sqrt()),
        "the gradient of its input has NaN",
    ),
    "detached": ("ffn", formula(lambda _, y: y.detach()), "its output has no gradient"),
    "random": (
        "ffn",
        formula(lambda _, y: F.dropout(y, 0.5, training=True)),
        "draws random numbers in eval mode",
    ),
    "state": ("ffn", Remembers, "keeps state between calls"),
    "running mean": ("norm", RunningMean, "(buffer mean), so results depend on earlier batches"),
    "batch norm": (
        "norm",
        lambda d: Transposed(nn.BatchNorm1d(d)),
        "calls in training change its later outputs (buffer norm.running_mean",
    ),
    "batch norm of each batch": (
        "norm",
        lambda d: Transposed(nn.BatchNorm1d(d, track_running_stats=False)),
        "depends on other sequences of the batch;",
    ),
    "spectral norm": (
        "ffn",
        lambda d: nn.utils.parametrizations.spectral_norm(nn.Linear(d, d)),
        "calls in training change its later outputs (buffer parametrizations.weight.0._u",
    ),
    "batch mean": (
        "ffn",
        formula(lambda _, y: y - y.mean(dim=0)),
        "depends on other sequences of the batch; compute",
    ),
    "batch mean in training": (
        "ffn",
        formula(lambda m, y: y - y.mean(dim=0) if m.training else y),
        "depends on other sequences of the batch in training",
    ),
    "no mask": ("attention", functools.partial(Mha, offset=None), "depends on later tokens"),
    "mask with an offset": ("attention", functools.partial(Mha, offset=2), "on later tokens"),
    "no mask, dropout": (
        "attention",
        functools.partial(Mha, offset=None, dropout=0.3),
        "depends on later tokens",
    ),
    "dropout after a leak": (
        "ffn",
        formula(lambda m, y: F.dropout(y - y.mean(1, keepdim=True) * m.training, 0.2, m.training)),
        "depends on later tokens in training",
    ),
    "weights that start at zero": (
        "attention",
        functools.partial(Spatial, causal=False),
        "depends on later tokens",
    ),
    "norm over positions": (
        "norm",
        lambda d: Transposed(nn.InstanceNorm1d(d)),
        "depends on later tokens",
    ),
    **{
        f"one token sees {lag} ahead": (
            "ffn",
            formula(sees(lag)),
            "its output at position 7 depends on later tokens",
        )
        for lag in (1, 2, 9)
    },
}


class Transposed(nn.Module):
    """A norm over channels of (batch, d_model, time)."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.transpose(1, 2)).transpose(1, 2)


@pytest.mark.parametrize("name", BAD)
def test_a_fault_is_found_and_named(name: str):
    group, build, message = BAD[name]
    assert message in fault(group, build)


@pytest.mark.parametrize("length", [1, 2, 3, 100])
def test_the_length_of_the_task_is_probed(length: int):
    def near_the_end(_: nn.Module, y: Tensor) -> Tensor:
        return torch.cat([y[:, :-2], y[:, -1:], y[:, -1:]], dim=1) if y.shape[1] > 1 else y

    message = fault("ffn", formula(near_the_end), length=length)
    expected = f"at position {length - 2} depends" if length > 1 else ""
    assert expected in message
    assert bool(message) == bool(expected)


def test_padding_must_be_left_out():
    assert "takes no padding mask" in fault("attention", Mha, is_padded=True)
    assert fault("attention", MaskedMha, is_padded=True) == ""
    assert fault("ffn", GOOD["sequential"][1], is_padded=True) == ""

    class IgnoresMask(Mha):
        def forward(self, x, keep=None):  # noqa: ARG002
            return super().forward(x)

    assert "depend on padding" in fault("attention", IgnoresMask, is_padded=True)


OURS = {
    **{
        f"attention {kernel} {n_kv_heads}": (
            "attention",
            AttentionPart("multihead", 4, n_kv_heads, False, 0.0, Position.rotary, kernel),
        )
        for kernel in Kernel
        for n_kv_heads in (1, 4)
    },
    "dropout": (
        "attention",
        AttentionPart("multihead", 4, 2, True, 0.2, Position.none, Kernel.fused),
    ),
    "dense": ("ffn", FeedForwardPart("dense", 40, Activation.relu, True, True, 0.1)),
    "mixture": (
        "ffn",
        MixturePart("moe", 4, 2, 8, Activation.relu, True, True, 0.0, Balance.aux, 0.1, 0.1, 0.1),
    ),
    "norm": ("norm", NormPart("norm", Placement.pre, NormType.layer, 1e-5)),
}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("is_padded", [False, True])
def test_our_parts_have_no_fault(name: str, is_padded: bool):
    group, part = OURS[name]
    assert find_fault(group, part, D_MODEL, LENGTH, is_padded=is_padded) == ""


def test_a_part_with_rules_returns_its_routing():
    load()

    @dataclass
    class Mine(Part):
        def cost(self, d_model: int, length: int) -> Cost:  # noqa: ARG002
            return Cost()

        def build(self, d_model: int) -> nn.Module:
            return AcceptsMask(d_model)

    class AcceptsMask(nn.Linear):
        def __init__(self, d_model: int) -> None:
            super().__init__(d_model, d_model)

        def forward(self, x, keep=None):  # type: ignore[override]  # noqa: ARG002
            return super().forward(x)

    assert "a feed-forward Part returns (y, routing)" in find_fault("ffn", Mine("m"), 16, 8)
    assert find_fault("attention", Mine("m"), 16, 8) == ""
    assert "mine" not in PARTS["ffn"]


def test_the_random_state_is_restored():
    state = torch.get_rng_state()
    fault(*GOOD["sequential"])
    assert torch.equal(torch.get_rng_state(), state)


class Busy(nn.Linear):
    """Attention that takes a while, and that looks ahead by one token if it should."""

    def __init__(self, d_model: int, *, looks_ahead: bool) -> None:
        super().__init__(d_model, d_model)
        self.looks_ahead = looks_ahead

    def forward(self, x):
        return super().forward(x.roll(-1, 1) if self.looks_ahead else x)


def test_a_slow_module_names_its_skipped_checks_and_is_still_probed(monkeypatch):
    monkeypatch.setattr(inspected_module, "LAST_START", 0.0)
    good = plain("attention", lambda d: Busy(d, looks_ahead=False))
    clause, skipped, _ = inspect_module("attention", good, D_MODEL, LENGTH, is_padded=True)
    assert clause == ""
    assert skipped == [
        "state between calls",
        "changes in training",
        "a look at other sequences",
        "a look at later tokens at most positions",
        "padding",
    ]
    assert "depends on later tokens" in fault("attention", lambda d: Busy(d, looks_ahead=True))


def test_waiting_for_a_busy_machine_is_not_the_time_of_a_module(monkeypatch):
    seconds = iter(range(0, 10**6, 100))
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    part = plain("ffn", lambda d: nn.Linear(d, d))
    assert inspect_module("ffn", part, D_MODEL, LENGTH)[:2] == ("", [])


class Float32Only(nn.Linear):
    def forward(self, x):
        assert x.dtype == torch.float32
        return super().forward(x).relu()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    "build",
    [
        lambda d: Float32Only(d, d),
        lambda d: torch.compile(Float32Only(d, d)),
        lambda d: torch.jit.trace(nn.Linear(d, d), torch.randn(2, 8, d)),
    ],
)
def test_a_module_that_computes_in_float32_only_has_no_fault(build):
    with torch.compiler.set_stance("force_eager"):
        assert fault("ffn", build) == ""
