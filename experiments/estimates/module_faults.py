"""What is wrong with the module of a part: all checks, in order. Imports torch.

A plan runs them in its helper process. Trials do not import this module.
"""

from typing import Any

import torch

from experiments.estimates.causality_faults import check_causality, check_padding
from experiments.estimates.inspected_module import (
    InspectedModule,
    ModuleFault,
    describe_exception,
    restored_random_state,
)
from experiments.estimates.language_model_faults import check_language_model
from experiments.estimates.state_faults import (
    check_other_sequences,
    check_repeated_calls,
    check_training_calls,
)
from experiments.estimates.structure_faults import check_structure

PROBE_SECONDS = 3.0  # for the probes of many positions


def find_fault(group: str, part: Any, d_model: int, length: int, *, is_padded: bool = False) -> str:
    """Return the first fault of a part's module as a clause; "" if none is found.

    Args:
        group: the group of the part: attention, ffn, norm or language_model.
        part: the options.
        d_model: the width of the stream; the number of token ids for a language model.
        length: tokens of the longest sequence of the task; 0 without a task.
        is_padded: whether batches of the task have padding.
    """
    inspected = InspectedModule(group, part, d_model, length, PROBE_SECONDS)
    with restored_random_state():
        try:
            if group == "language_model":
                check_language_model(part, d_model, length)
                return ""
            check_structure(inspected)
            check_repeated_calls(inspected)
            check_training_calls(inspected)
            check_other_sequences(inspected)
            check_causality(inspected)
            if is_padded:
                check_padding(inspected)
        except ModuleFault as fault:
            return str(fault)
        except Exception as error:
            return f"a later call raises an error, {describe_exception(error)}"
    return ""


def use_one_thread() -> None:
    """Let torch compute with one thread."""
    torch.set_num_threads(1)
