"""The least memory that a trial takes, from its options alone: no torch, so that a plan can refuse.

These are lower bounds. What an estimate counts is held at one moment in any case; what a trial may
free, share or recompute is left out, and so is Python itself. A trial of no more than the free
memory may still not fit; one of more cannot. Tests hold the bounds below measured peaks.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from experiments.flash_attention import FlashOptions
from experiments.gqa_vs_mha import GQAOptions
from experiments.norm_stability import NormStabilityOptions
from experiments.parts import Part
from experiments.parts.body import body_cost
from experiments.tasks.base import Sizes
from runner.config import Autocast, Device, Dtype, Training

BYTES = {Dtype.float32: 4, Dtype.bfloat16: 2, Dtype.float64: 8}

WORDS = {
    "weights": "weights, gradients and AdamW's moments",
    "activations": "activations of a batch",
    "data": "data",
}


@dataclass(frozen=True)
class Memory:
    """Bytes that are held at one moment, by what holds them: the words for it and the keys."""

    weights: int = 0
    activations: int = 0
    data: int = 0

    @property
    def total(self) -> int:
        """All bytes."""
        return self.weights + self.activations + self.data

    @property
    def largest_component(self) -> str:
        """What takes most, in words."""
        return WORDS[max(WORDS, key=lambda name: getattr(self, name))]


def estimate_lower_bound(
    experiment_options: object, parts: Mapping[str, Any], training: Training, device: Device
) -> Memory:
    """The memory of the moment of a trial that takes most, of those that are counted here."""
    arm = ArmMemory(parts, training, device)
    if isinstance(experiment_options, FlashOptions):
        return arm.kernels(experiment_options)
    moments = [arm.evaluating(), arm.training_step(), arm.updating()]
    if isinstance(experiment_options, NormStabilityOptions) and experiment_options.depths:
        moments.append(arm.deepest(experiment_options))
    if isinstance(experiment_options, GQAOptions) and experiment_options.rounds:
        moments.append(arm.timed_layer(experiment_options))
    return max(moments, key=lambda memory: memory.total)


def suggest_keys_to_reduce(
    experiment_options: object, parts: Mapping[str, Any], training: Training, device: Device
) -> list[str]:
    """The three keys whose halves take least memory; of those that do alike, the largest values."""
    whole = estimate_lower_bound(experiment_options, parts, training, device).total
    saved: dict[str, tuple[float, int]] = {}
    for section, part in {"training": training, "options": experiment_options, **parts}.items():
        for name in sizes(section, part):
            half = {section: with_half(part, name)}
            smaller = estimate_lower_bound(
                half.get("options", experiment_options),
                {**parts, **{key: value for key, value in half.items() if key in parts}},
                half.get("training", training),
                device,
            )
            value = getattr(part, name)
            largest = max(value) if isinstance(value, list) else value
            saved[f"{section}.{name}"] = (round(1 - smaller.total / whole, 1), largest)
    useful = [key for key, (share, _) in saved.items() if share > 0]
    return sorted(useful, key=saved.__getitem__, reverse=True)[:3]


def sizes(section: str, part: object) -> list[str]:
    """The keys of a section that are sizes: whole numbers above 1, and lists of such numbers."""
    if section == "attention" or not is_dataclass(part):  # its numbers of heads have to fit
        return []
    names = ["batch_size"] if section == "training" else [field.name for field in fields(part)]
    return [name for name in names if is_size(getattr(part, name))]


def is_size(value: object) -> bool:
    """Whether a value is a whole number above 1, or a list of such numbers and of ones."""
    numbers = value if isinstance(value, list) else [value]
    return all(type(number) is int for number in numbers) and max(numbers, default=0) > 1


def with_half(part: Any, name: str) -> Any:
    """A copy of options with half a size; it is only counted with, so no rule has to hold."""
    half, value = copy.copy(part), getattr(part, name)
    halved = [max(1, size // 2) for size in value] if isinstance(value, list) else value // 2
    object.__setattr__(half, name, halved)
    return half


@dataclass(frozen=True)
class ArmMemory:
    """The parts of an arm, and how it is trained."""

    parts: Mapping[str, Any]
    training: Training
    device: Device

    @property
    def item(self) -> int:
        """Bytes of a number."""
        return BYTES[self.device.dtype]

    @property
    def cast(self) -> int:
        """Bytes of an activation in a training step, which autocast may halve."""
        return 2 if self.device.autocast is not Autocast.none else self.item

    @property
    def task(self) -> Sizes:
        """How large the task is; without one, as for kernels alone, the least there is."""
        task = self.parts.get("task")
        return Sizes(length=1) if task is None else task.sizes()

    def weights(self) -> int:
        """Parameters, those of the embedding and the output head included."""
        model = self.parts["model"]
        return body_cost(self.parts).parameters + 2 * model.d_model * self.task.n_outputs

    def sequences(self) -> int:
        """Sequences of a batch."""
        size, n_train = self.training.batch_size, self.task.n_train
        return size if n_train is None else min(size, n_train)

    def tokens(self, sequences: int) -> int:
        """Tokens of so many sequences; sentences may be as short as a word and the end mark."""
        return sequences * (2 if self.task.source_length else self.task.length)

    def evaluating(self) -> Memory:
        """The held-out loss before the first step: a prediction and, inside, one layer."""
        task = self.task
        sequences = min(self.sequences(), task.n_eval)
        model = self.parts["model"]
        numbers = self.tokens(sequences) * (model.d_model + task.n_outputs)
        return Memory(self.item * self.weights(), self.item * numbers, task.data_bytes)

    def training_step(self) -> Memory:
        """The end of a forward pass, when all that the backward pass needs is there."""
        parts, task = self.parts, self.task
        sequences = self.sequences() // self.training.accumulate
        tokens = self.tokens(sequences)
        per_token = layer(parts) * parts["model"].n_layers + 2 * task.n_outputs
        per_sequence = sum(
            part.saved_activations_per_sequence(self.tokens(1)) for part in mixing(parts)
        )
        scores = sequences * per_sequence * parts["model"].n_layers
        kept = 1 if self.training.steps == 1 else 3  # AdamW's moments are there from step 1 on
        whole_batch = 8 * self.tokens(self.sequences())  # the tokens of all parts of a batch
        return Memory(
            kept * self.item * self.weights(),
            self.cast * (tokens * per_token + scores) + whole_batch,
            task.data_bytes,
        )

    def updating(self) -> Memory:
        """The optimizer's step: weights, gradients and two moments."""
        return Memory(4 * self.item * self.weights(), 0, self.task.data_bytes)

    def deepest(self, options: NormStabilityOptions) -> Memory:
        """The gradients of the deepest model that is looked at before training."""
        model = replace(self.parts["model"], n_layers=max(options.depths))
        size = options.init_batch_size or self.training.batch_size
        training = replace(self.training, batch_size=size, accumulate=1, steps=1, warmup_steps=0)
        deep = ArmMemory({**self.parts, "model": model}, training, self.device)
        forward = deep.training_step()
        both = Memory(2 * self.item * deep.weights(), 0, forward.data)
        return max(forward, both, key=lambda memory: memory.total)

    def timed_layer(self, options: GQAOptions) -> Memory:
        """The cache of keys and values that a timed layer reads."""
        attention = self.parts["attention"]
        longest = max(*options.lengths, *options.prefill_lengths)
        width = options.d_model // attention.n_heads * attention.n_kv_heads
        weights = 2 * options.d_model * (options.d_model + width)
        numbers = options.batch_size * longest * 2 * width
        numbers += options.batch_size * options.prefill_lengths[-1] * options.d_model
        numbers += options.batch_size * attention.saved_activations_per_sequence(
            options.prefill_lengths[-1]
        )
        return Memory(self.item * weights, self.item * numbers)

    def kernels(self, options: FlashOptions) -> Memory:
        """Inputs of attention at the longest sequence, and the scores that a kernel keeps."""
        attention, d_model = self.parts["attention"], self.parts["model"].d_model
        batch, longest = self.training.batch_size, max(options.lengths)
        inputs = 4 * self.item * batch * longest * d_model
        kept = attention.saved_activations_per_sequence(longest)
        exact = max((n for n in options.lengths if n <= options.reference_up_to), default=0)
        scores = batch * max(self.item * kept, 8 * attention.n_heads * exact**2)
        return Memory(self.item * 2 * d_model**2, inputs + scores)


def layer(parts: Mapping[str, Any]) -> int:
    """Numbers for each token that the backward pass of one layer needs."""
    d_model = parts["model"].d_model
    return sum(part.saved_activations_per_token(d_model) for part in mixing(parts))


def mixing(parts: Mapping[str, Any]) -> list[Part]:
    """The parts of a block, of those that an experiment has."""
    return [parts[name] for name in ("attention", "ffn") if name in parts]
