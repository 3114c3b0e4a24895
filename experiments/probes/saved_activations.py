"""The bytes that autograd saves in a forward pass for the backward pass."""

from collections.abc import Callable, Iterable

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


def saved_bytes(forward: Callable[[], object], inputs: Iterable[Tensor] = ()) -> int:
    """Return the exact number of bytes of all tensors that a call saves for its backward pass.

    A storage counts once and with its full size, even if several views of it are saved. Storages of
    `inputs` do not count, since they exist anyway.
    """
    input_addresses = {x.untyped_storage().data_ptr() for x in inputs}
    # Holding the tensors prevents that a storage is freed and its address is used again.
    saved: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    sizes = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in saved}
    del result
    return sum(size for address, size in sizes.items() if address not in input_addresses)
