"""The faults of the module of a part: all checks, in order. Imports torch.

A plan runs them in its helper process. Trials do not import this module.
"""

from typing import Any

import torch

from experiments.estimates.causality_faults import check_causality, check_padding
from experiments.estimates.inspected_module import (
    InspectedModule,
    ModuleFault,
    restored_random_state,
)
from experiments.estimates.language_model_faults import check_language_model
from experiments.estimates.state_faults import (
    check_other_sequences,
    check_repeated_calls,
    check_training_calls,
)
from experiments.estimates.structure_faults import check_structure
from experiments.nn.descriptions import describe_exception

LAST_START = 8.0  # seconds after which no further check of a slow module begins


def find_fault(group: str, part: Any, d_model: int, length: int, *, is_padded: bool = False) -> str:
    """Return the first fault of a part's module as a clause; "" if none is found.

    Args:
        group: the group of the part: attention, ffn, norm or language_model.
        part: the options.
        d_model: the width of the stream; the number of token ids for a language model.
        length: tokens of the longest sequence of the task; 0 without a task.
        is_padded: whether batches of the task have padding.
    """
    inspected = InspectedModule(group, part, d_model, length)
    # The causality probe needs outputs that repeat, and rows that do not depend on each other.
    checks = [check_structure, check_repeated_calls, check_other_sequences, check_causality]
    checks.append(check_training_calls)
    if is_padded:
        checks.append(check_padding)
    with restored_random_state():
        try:
            if group == "language_model":
                check_language_model(part, d_model, length)
                return ""
            for check in checks:
                if inspected.seconds() < LAST_START:
                    check(inspected)
        except ModuleFault as fault:
            return str(fault)
        except Exception as error:
            return f"a later call raises an error, {describe_exception(error)}"
    return ""


def use_one_thread() -> None:
    """Let torch compute with one thread."""
    torch.set_num_threads(1)
