"""What autograd keeps of a forward for its backward, in bytes."""

from collections.abc import Callable, Iterable

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks


def saved_bytes(forward: Callable[[], object], inputs: Iterable[Tensor] = ()) -> int:
    """Bytes of all tensors that a call saves for backward: exact, no estimate.

    A storage counts whole and once, however many views of it are saved; those of `inputs` are
    there anyway and do not count.
    """
    given = {x.untyped_storage().data_ptr() for x in inputs}
    # The tensors are held, so that no storage is freed and its address given to another.
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()
    sizes = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}
    del result
    return sum(size for address, size in sizes.items() if address not in given)
