"""Adapters of plain modules: calls, results, residual writers and initial weights."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from experiments.nn.attention import Attention
from experiments.nn.ffn import FeedForward
from experiments.nn.initialise import draw_normal, initialise, named_generator
from experiments.nn.moe.mixture import MixtureOfExperts
from experiments.nn.moe.routing import Routing, adapt_to_routing
from experiments.nn.plain_module import PlainSource, adapt_module, takes_keep

D = 8


class Identity(nn.Module):
    def forward(self, x):
        return x


class WithKeep(nn.Module):
    def forward(self, x, keep=None):
        self.keep = keep
        return x


class Own(nn.Module):
    """Parameters of its own, which the scheme does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.random = nn.Parameter(torch.randn(5))
        self.gain = nn.Parameter(torch.full((D,), 0.25))
        self.bias = nn.Parameter(torch.full((D,), 3.0))
        self.frozen = nn.Linear(D, D).requires_grad_(requires_grad=False)
        self.up = nn.Linear(D, 4)
        self.conv = nn.Conv1d(D, D, 3, groups=D, padding=2)
        self.down = nn.Linear(4, D)
        self.register_buffer("table", torch.randn(3))

    def forward(self, x):
        mixed = self.conv(x.transpose(1, 2))[:, :, : x.shape[1]].transpose(1, 2)
        return self.down(self.up(mixed * self.gain + self.bias))


def adapted(construct: Callable[[], Any], group: str = "ffn", **declared: Any) -> Any:
    return adapt_module(group, PlainSource(f"{group}=mine", construct, D, **declared))


class Stack(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


def initialised(layer: Any, seed: int = 0, **gains: float) -> Any:
    initialise(Stack(layer), seed, gains=gains)
    return layer


def test_a_mask_is_passed_to_modules_that_take_it():
    keep = torch.ones(1, 3, dtype=torch.bool)
    for group in ("ffn", "attention"):
        layer = adapted(WithKeep, group)
        layer(torch.ones(1, 3, D), keep)
        assert layer.module.keep is keep
    assert takes_keep(WithKeep())
    assert not takes_keep(Identity())
    without_signature: Any = Identity()
    without_signature.forward = max
    assert not takes_keep(without_signature)


def test_attention_without_a_mask_refuses_padding():
    layer, x = adapted(Identity, "attention"), torch.ones(1, 3, D)
    assert layer(x, None) is x
    with pytest.raises(
        ValueError, match=r"^attention=mine: the batch has padding, and forward tak"
    ):
        layer(x, torch.tensor([[True, True, False]]))
    # A feed-forward network may be position-wise, and the plan checks whether it is.
    assert adapted(Identity)(x, torch.tensor([[True, True, False]]))[0] is x


@pytest.mark.parametrize("group", ["attention", "ffn", "norm"])
@pytest.mark.parametrize(
    ("result", "said"),
    [
        (lambda x: x[:, :2], "forward returned a tensor of shape (1, 2, 8) for a tensor of shape"),
        (lambda x: {"y": x}, "forward returned a value of type dict"),
        (lambda _: None, "forward returned None"),
        (lambda _: (), "forward returned None"),
    ],
)
def test_a_wrong_result_has_one_line(group: str, result: Callable[[Tensor], Any], said: str):
    class Wrong(nn.Module):
        def forward(self, x):
            return result(x)

    with pytest.raises(ValueError, match=f"^{group}=mine: ") as caught:
        adapted(Wrong, group)(torch.ones(1, 3, D))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_build_must_return_a_module():
    with pytest.raises(ValueError, match="ffn=mine: build returned a value of type function, not"):
        adapted(lambda: lambda x: x)
    with pytest.raises(ValueError, match="ffn=mine: build returned None, not an nn"):
        adapted(lambda: None)


def test_the_first_of_several_results_is_used():
    class Pair(nn.Module):
        def forward(self, x):
            return 2 * x, x.mean()

    x = torch.ones(1, 3, D)
    for group in ("attention", "ffn", "norm"):
        layer = initialised(adapted(Pair, group))
        result = layer(x)
        y = result[0] if group == "ffn" else result
        assert torch.equal(y, 2 * x)
        assert layer.notes == [f"{group}=mine: only the first of the 2 results of forward is used"]


def test_routing_reaches_the_block_and_the_module():
    """The user's module is a mixture of ours, so the reference is that mixture itself."""
    options = {"n_experts": 3, "top_k": 1, "d_ff": 4, "balance": "bias", "bias_rate": 0.5}

    def mixture() -> nn.Module:
        return MixtureOfExperts(
            D, activation="relu", gated=False, bias=False, dropout=0.0, aux_weight=0.1,
            z_weight=0.0, **options,
        )  # fmt: skip

    layer, x = initialised(adapted(mixture)), torch.randn(2, 5, D)
    y, routing = layer(x)
    assert isinstance(routing, Routing)
    assert torch.equal(y, layer.module(x)[0])
    before = {name: buffer.clone() for name, buffer in layer.module.named_buffers()}
    adapt_to_routing(layer, routing)
    after = dict(layer.module.named_buffers())
    assert any(not torch.equal(before[name], after[name]) for name in before)
    adapt_to_routing(adapted(Identity), routing)  # has no after_step


def test_the_writer_is_the_layer_whose_output_is_the_result():
    def writers(construct: Callable[[], nn.Module], **declared: Any) -> list[str]:
        layer = initialised(adapted(construct, **declared))
        names = {id(module): name for name, module in layer.module.named_modules()}
        return [names[id(writer)] for writer in layer.residual_writers()]

    assert writers(Own) == ["down"]
    assert writers(lambda: nn.Linear(D, D)) == [""]
    chain = nn.Sequential
    assert writers(lambda: chain(nn.Linear(D, 4), nn.Linear(4, D), nn.Dropout(0.5))) == ["1"]
    assert writers(lambda: chain(nn.Linear(D, D), nn.GELU())) == []
    assert writers(Identity) == []
    assert writers(lambda: Heads()) == ["mha.out_proj"]
    # A declaration takes precedence.
    assert writers(Own, residual_writers=("conv",)) == ["conv"]
    assert writers(Own, residual_writers=("d*", "up")) == ["up", "down"]
    with pytest.raises(ValueError, match=r"^ffn=mine: residual_writers: no layer is called 'out'"):
        writers(Own, residual_writers=("out",))


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(D, 2, batch_first=True)

    def forward(self, x):
        return self.mha(x, x, x, need_weights=False)


def test_known_layers_are_drawn_by_name_and_others_keep_their_values():
    layer = initialised(adapted(Own), down=0.5)
    module, scale = layer.module, {"up": 1.0, "conv": 1.0, "down": 0.5}
    for name, fan_in in {"up": D, "conv": 3, "down": 4}.items():
        weight = module.get_submodule(name).weight
        normal = draw_normal(weight, named_generator(0, f"layers.0.{name}.weight"))
        torch.testing.assert_close(weight.detach(), scale[name] * fan_in**-0.5 * normal)
        assert not module.get_submodule(name).bias.any()
    assert torch.equal(module.gain, torch.full((D,), 0.25))
    assert torch.equal(module.bias, torch.full((D,), 3.0))
    assert module.frozen.bias.any()
    assert layer.notes == []


def test_equal_names_and_shapes_start_equal_to_ours():
    ours, same = FeedForward(D, d_ff=4), adapted(lambda: FeedForward(D, d_ff=4))
    for layer in (ours, same):
        initialised(layer, 3, down=0.5)
    assert torch.equal(ours.up.weight, same.module.up.weight)
    assert torch.equal(ours.down.weight, same.module.down.weight)
    ours_too = Attention(D, n_heads=2, n_kv_heads=2)
    same_too = adapted(lambda: Attention(D, n_heads=2, n_kv_heads=2), "attention")
    for layer in (ours_too, same_too):
        initialised(layer, 3, out=0.5)
    x = torch.randn(2, 5, D)
    assert torch.equal(ours_too(x), same_too(x))


def test_values_of_the_constructor_depend_on_seed_and_layer_alone():
    def values(seed: int, n_before: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        torch.manual_seed(99)
        torch.randn(n_before)
        stack = Stack(adapted(Own), adapted(Own))
        before = torch.get_rng_state()
        initialise(stack, seed, gains={})
        assert torch.equal(torch.get_rng_state(), before)
        first, second = (layer.module for layer in stack.layers)
        return first.random.detach(), second.random.detach(), first.table

    first, second, table = values(1)
    assert not torch.equal(first, second)
    assert not torch.equal(first, values(2)[0])
    again = values(1, n_before=7)
    assert all(torch.equal(a, b) for a, b in zip((first, second, table), again, strict=True))
    state = torch.get_rng_state()
    adapted(Own)
    assert torch.equal(torch.get_rng_state(), state)


def test_initial_weights_may_be_kept():
    kept = initialised(adapted(Own, keeps_initial_weights=True), 1, down=0.5).module
    assert kept.up.bias.any()
    assert kept.down.weight.abs().max() <= 4**-0.5  # uniform, as torch draws
    again = initialised(adapted(Own, keeps_initial_weights=True), 1, down=0.5).module
    assert all(
        torch.equal(a, b) for a, b in zip(kept.parameters(), again.parameters(), strict=True)
    )


def test_a_part_without_a_writer_says_that_nothing_is_scaled():
    def silent() -> nn.Module:
        return nn.Sequential(nn.Linear(D, D), nn.GELU())

    (note,) = initialised(adapted(silent), down=0.5).notes
    assert note.startswith("ffn=mine: no linear layer returns the output, so no initial weights")
    assert initialised(adapted(silent)).notes == []
    assert initialised(adapted(silent), up=0.5, down=0.5).notes == []
    assert initialised(adapted(Identity), down=0.5).notes == []
    declared = adapted(silent, residual_writers=("0",))
    assert initialised(declared, down=0.5).notes == []


def test_two_layers_cannot_share_a_module():
    shared = nn.Linear(D, D)
    with pytest.raises(ValueError, match=r"layers\.1: its parameters are those of another layer"):
        initialise(Stack(adapted(lambda: shared), adapted(lambda: shared)), 0, gains={})


def test_an_error_on_the_sample_is_left_to_training():
    class Chunked(nn.Linear):
        def forward(self, x):
            return super().forward(x.unflatten(1, (-1, 5))).flatten(1, 2)

    layer = initialised(adapted(lambda: Chunked(D, D)))
    assert layer.residual_writers() == []
    assert layer(torch.ones(1, 10, D))[0].shape == (1, 10, D)


def test_modules_on_the_meta_device_stay_there():
    with torch.device("meta"):
        layer = adapted(Own)
        initialised(layer)
        y, _ = layer(torch.ones(1, 3, D))
    assert y.device.type == "meta"
    assert all(parameter.is_meta for parameter in layer.parameters())


class OneLength(nn.Module):
    """Gates along time, as in gMLP, which serve sequences of 24 positions only."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.ones(24, 1))
        self.down = nn.Linear(D, D)

    def forward(self, x):
        return self.down(x * self.gate)


def test_a_module_of_one_length_is_called_with_the_length_of_the_task():
    def drawn(*lengths: int) -> tuple[Tensor, list[str]]:
        layer = adapted(OneLength)
        initialise(Stack(layer), 0, gains={"down": 0.5}, lengths=lengths)
        return layer.module.down.weight.detach(), layer.notes

    normal = draw_normal(torch.empty(D, D), named_generator(0, "layers.0.down.weight"))
    weight, notes = drawn(24)
    torch.testing.assert_close(weight, 0.5 * D**-0.5 * normal)
    assert notes == []
    weight, (note,) = drawn(0, 25)
    torch.testing.assert_close(weight, D**-0.5 * normal)
    assert note.startswith("ffn=mine: a sample of 25 positions fails (RuntimeError: The size of te")
    assert note.endswith("), so no initial weights are scaled with depth; declare residual_writers")


def test_a_layer_whose_output_changes_in_place_is_no_writer():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.Linear(D, D)

        def forward(self, x):
            return torch.relu_(self.up(x))

    layer = initialised(adapted(InPlace), down=0.5)
    assert layer.residual_writers() == []
    assert "no linear layer returns the output" in layer.notes[0]
    assert initialised(adapted(lambda: Heads())).residual_writers()


def test_the_row_of_padding_stays_zero():
    table = initialised(adapted(lambda: Table())).module.table.weight
    assert not table[2].any()
    assert table[[0, 1, 3]].all()


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(4, D, padding_idx=2)

    def forward(self, x):
        return x + self.table.weight[0]
