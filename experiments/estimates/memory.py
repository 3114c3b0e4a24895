"""A lower bound of the memory of a trial, from its options alone. No torch.

A plan refuses trials whose bound is above the free memory; trials below it may still not fit. An
estimate counts the tensors that a trial certainly holds at one moment. It leaves out Python itself
and all tensors that a trial may free, share or recompute. Tests check that the bounds are below
measured peaks.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from experiments.flash_attention import FlashOptions
from experiments.gqa_vs_mha import GQAOptions, has_kv_heads
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
    """Bytes that a trial holds at one moment, by component; WORDS describes the components."""

    weights: int = 0
    activations: int = 0
    data: int = 0

    @property
    def total(self) -> int:
        """All bytes."""
        return self.weights + self.activations + self.data

    @property
    def largest_component(self) -> str:
        """The component with the most bytes, in words."""
        return WORDS[max(WORDS, key=lambda name: getattr(self, name))]


def estimate_lower_bound(
    experiment_options: object, parts: Mapping[str, Any], training: Training, device: Device
) -> Memory:
    """Return the memory at the moment of a trial that needs most, among those counted here."""
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
    """Return at most three keys, such as `training.batch_size`, that save most memory if halved.

    Among keys that save the same share, to one decimal, the largest value comes first.
    """
    total = estimate_lower_bound(experiment_options, parts, training, device).total
    saved: dict[str, tuple[float, int]] = {}
    for group, part in {"training": training, "options": experiment_options, **parts}.items():
        for name in size_fields(group, part):
            halved = {group: with_half(part, name)}
            smaller = estimate_lower_bound(
                halved.get("options", experiment_options),
                {**parts, **{key: value for key, value in halved.items() if key in parts}},
                halved.get("training", training),
                device,
            )
            value = getattr(part, name)
            largest = max(value) if isinstance(value, list) else value
            saved[f"{group}.{name}"] = (round(1 - smaller.total / total, 1), largest)
    useful = [key for key, (share, _) in saved.items() if share > 0]
    return sorted(useful, key=saved.__getitem__, reverse=True)[:3]


def size_fields(group: str, part: object) -> list[str]:
    """Return the fields of a group that are sizes and may be halved."""
    if group == "attention" or not is_dataclass(part):  # numbers of heads must divide each other
        return []
    names = ["batch_size"] if group == "training" else [field.name for field in fields(part)]
    return [name for name in names if is_size(getattr(part, name))]


def is_size(value: object) -> bool:
    """Return whether a value is an integer above 1, or a list of integers with one above 1."""
    numbers = value if isinstance(value, list) else [value]
    return all(type(number) is int for number in numbers) and max(numbers, default=0) > 1


def with_half(part: Any, name: str) -> Any:
    """Return a copy of options with one size halved, unchecked; it serves estimates only."""
    changed, value = copy.copy(part), getattr(part, name)
    half = [max(1, size // 2) for size in value] if isinstance(value, list) else value // 2
    object.__setattr__(changed, name, half)
    return changed


@dataclass(frozen=True)
class ArmMemory:
    """Estimates of one arm, from its parts, its training and its device settings."""

    parts: Mapping[str, Any]
    training: Training
    device: Device

    @property
    def item(self) -> int:
        """Bytes of a number."""
        return BYTES[self.device.dtype]

    @property
    def cast(self) -> int:
        """Bytes of an activation's number in a training step, which autocast may halve."""
        return 2 if self.device.autocast is not Autocast.none else self.item

    @property
    def task(self) -> Sizes:
        """The sizes of the task; the smallest sizes where an experiment has no task."""
        task = self.parts.get("task")
        return Sizes(length=1) if task is None else task.sizes()

    @property
    def is_whole(self) -> bool:
        """Whether the arm is a whole language model, whose layers are unknown."""
        return "language_model" in self.parts

    @property
    def d_model(self) -> int:
        """The width of the stream; 0 if it is unknown."""
        return 0 if self.is_whole else int(self.parts["model"].d_model)

    def weights(self) -> int:
        """Return the number of parameters, including the embedding and the output head."""
        n_outside_body = 0 if self.is_whole else 2 * self.d_model * self.task.n_outputs
        return body_cost(self.parts).parameters + n_outside_body

    def sequences(self) -> int:
        """Return the number of sequences in a batch."""
        size, n_train = self.training.batch_size, self.task.n_train
        return size if n_train is None else min(size, n_train)

    def tokens(self, sequences: int) -> int:
        """Return a lower bound of the tokens in `sequences` sequences.

        A sentence may be as short as one word and the end mark.
        """
        return sequences * (2 if self.task.source_length else self.task.length)

    def evaluating(self) -> Memory:
        """Return the memory of the first evaluation: the prediction and one layer's output."""
        task = self.task
        sequences = min(self.sequences(), task.n_eval)
        numbers = self.tokens(sequences) * (self.d_model + task.n_outputs)
        return Memory(self.item * self.weights(), self.item * numbers, task.data_bytes)

    def training_step(self) -> Memory:
        """Return the memory at the end of a forward pass, with all activations for the backward."""
        parts, task = self.parts, self.task
        sequences = self.sequences() // self.training.accumulate
        tokens = self.tokens(sequences)
        n_layers = 0 if self.is_whole else parts["model"].n_layers
        per_token = (layer(parts) * n_layers if n_layers else 0) + 2 * task.n_outputs
        per_sequence = sum(
            part.saved_activations_per_sequence(self.tokens(1)) for part in mixing(parts)
        )
        scores = sequences * per_sequence * n_layers
        # AdamW creates its two moments in step 1, so a later forward pass has three copies.
        n_copies = 1 if self.training.steps == 1 else 3
        whole_batch = 8 * self.tokens(self.sequences())  # int64 tokens of all parts of a batch
        return Memory(
            n_copies * self.item * self.weights(),
            self.cast * (tokens * per_token + scores) + whole_batch,
            task.data_bytes,
        )

    def updating(self) -> Memory:
        """Return the memory of an optimizer step: weights, gradients and two moments."""
        return Memory(4 * self.item * self.weights(), 0, self.task.data_bytes)

    def deepest(self, options: NormStabilityOptions) -> Memory:
        """Return the memory of the deepest model that is measured before training."""
        model = replace(self.parts["model"], n_layers=max(options.depths))
        size = options.init_batch_size or self.training.batch_size
        training = replace(self.training, batch_size=size, accumulate=1, steps=1, warmup_steps=0)
        deep = ArmMemory({**self.parts, "model": model}, training, self.device)
        forward = deep.training_step()
        both = Memory(2 * self.item * deep.weights(), 0, forward.data)
        return max(forward, both, key=lambda memory: memory.total)

    def timed_layer(self, options: GQAOptions) -> Memory:
        """Return the memory of the timed layer: weights, KV cache, input and activations."""
        attention = self.parts["attention"]
        if not has_kv_heads(attention):
            prompt = options.batch_size * options.prefill_lengths[-1] * options.d_model
            return Memory(0, self.item * prompt)
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
        """Return the memory of a kernel at the longest length: inputs, and scores that it saves."""
        attention, d_model = self.parts["attention"], self.parts["model"].d_model
        batch, longest = self.training.batch_size, max(options.lengths)
        inputs = 4 * self.item * batch * longest * d_model
        saved = attention.saved_activations_per_sequence(longest)
        compared = max((n for n in options.lengths if n <= options.reference_up_to), default=0)
        scores = batch * max(self.item * saved, 8 * attention.n_heads * compared**2)
        return Memory(self.item * 2 * d_model**2, inputs + scores)


def layer(parts: Mapping[str, Any]) -> int:
    """Return the activations per token that the backward pass of one layer needs."""
    d_model = parts["model"].d_model
    return sum(part.saved_activations_per_token(d_model) for part in mixing(parts))


def mixing(parts: Mapping[str, Any]) -> list[Part]:
    """Return the parts of a block that the experiment has: attention, ffn, both or neither."""
    return [parts[name] for name in ("attention", "ffn") if name in parts]
