"""The cost of a part without a formula: it is counted from the module that the part builds."""

from typing import TYPE_CHECKING

from experiments.parts.cost import Cost

if TYPE_CHECKING:
    from experiments.parts.plain import PlainPart


def count_cost(part: "PlainPart", d_model: int, length: int) -> Cost:
    """Return the cost of one module of a part, counted on the meta device.

    `length` is the number of tokens of a sequence; 0 if it is unknown.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        module = part.build_plain(d_model)
        x = torch.empty(1, max(length, 1), d_model)
    parameters = sum(each.numel() for each in module.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(x)
    return Cost(parameters, parameters, counter.get_total_flops() / max(length, 1))
