"""The faults of the module of a part: all checks, in order. Imports torch.

A plan runs them in its helper process. Trials do not import this module.
"""

from collections.abc import Callable
from typing import Any

import torch

from experiments.estimates.causality_faults import LATER_TOKENS, check_causality
from experiments.estimates.fault import ModuleFault
from experiments.estimates.inspected_module import (
    LAST_START,
    InspectedModule,
    restored_random_state,
)
from experiments.estimates.language_model_faults import (
    check_model_state,
    check_model_structure,
    check_model_training,
)
from experiments.estimates.padding_faults import check_padding
from experiments.estimates.state_faults import (
    check_other_sequences,
    check_repeated_calls,
    check_training_calls,
)
from experiments.estimates.structure_faults import check_structure
from experiments.nn.descriptions import describe_exception

Check = Callable[[InspectedModule], None]

# The causality probe needs outputs that repeat, and rows that do not depend on each other.
CHECKS: dict[Check, str] = {
    check_structure: "its interface",
    check_repeated_calls: "state between calls",
    # A change by calls in training would look like a leak between sequences.
    check_training_calls: "changes in training",
    check_other_sequences: "a look at other sequences",
    check_causality: LATER_TOKENS,
}
MODEL_CHECKS: dict[Check, str] = {
    check_model_structure: "its interface",
    check_model_state: "state between calls",
    check_model_training: "changes in training",
    check_other_sequences: "a look at other sequences",
    check_causality: LATER_TOKENS,
}
"""The checks in their order, each with the words that name it if a slow module is left out."""
CERTAIN = (check_structure, check_model_structure, check_causality)
"""Checks that also a slow module passes through."""


def find_fault(group: str, part: Any, d_model: int, length: int, *, is_padded: bool = False) -> str:
    """Return the first fault of a part's module as a clause; "" if none is found."""
    return inspect_module(group, part, d_model, length, is_padded=is_padded)[0]


def inspect_module(
    group: str, part: Any, d_model: int, length: int, *, is_padded: bool = False
) -> tuple[str, list[str], float]:
    """Inspect the module of a part.

    Args:
        group: the group of the part: attention, ffn, norm or language_model.
        part: the options.
        d_model: the width of the stream; the number of token ids for a language model.
        length: tokens of the longest sequence of the task; 0 without a task.
        is_padded: whether batches of the task have padding.

    Returns:
        the first fault as a clause, "" if none is found. Then the checks that are left out, since
        the module is slow. Then the limit of time, in seconds of the processor.
    """
    inspected = InspectedModule(group, part, d_model, length)
    checks = MODEL_CHECKS if group == "language_model" else CHECKS
    if is_padded and group != "language_model":
        checks = {**checks, check_padding: "padding"}
    fault = ""
    with restored_random_state():
        try:
            for check, words in checks.items():
                if check in CERTAIN or not inspected.is_late():
                    check(inspected)
                else:
                    inspected.skip(words)
        except ModuleFault as error:
            fault = str(error)
        except Exception as error:
            fault = f"a later call raises an error, {describe_exception(error)}"
    return fault, inspected.skipped, LAST_START


def use_one_thread() -> None:
    """Let torch compute with one thread, and compiled modules run without compilation."""
    torch.set_num_threads(1)
    torch.compiler.set_stance("force_eager")
