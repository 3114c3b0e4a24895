"""The machine lock: training takes a shared lock, timing an exclusive one.

The locks hold for all studies of a user on a machine. There are two lock files in the user's own
folder (`runner.records.private_folders`), which no other user can lock:

- `machine.lock` is shared by training processes and exclusive for a timing process.
- `gate.lock` is taken first. A timing process holds it while it waits for `machine.lock`, so no new
  trial starts before it. Running trials keep running until they end.

A trial of a smoke run waits for neither: its times are no evidence. It shares `machine.lock` if it
can, so that the timings of other studies wait for it. While another study times, it cannot, and the
two disturb each other: both say so (`runner.trial.machine_users`).
"""

import contextlib
from collections.abc import Callable, Iterator

from runner.records import locks, private_folders


@contextlib.contextmanager
def lock_machine(
    *,
    exclusive: bool,
    on_wait: Callable[[], object],
    on_failure: Callable[[str], object],
    waits: bool = True,
) -> Iterator[bool]:
    """Hold the machine lock, shared or exclusive; yield whether the block disturbs a timing.

    If locking fails, the block runs without a lock. Causes are a system other than POSIX, no safe
    and writable folder, or a filesystem without locks.

    Args:
        exclusive: whether to wait until no other trial runs, and to keep new ones waiting.
        on_wait: called once if other processes must end first.
        on_failure: called with the reason if locking fails.
        waits: whether to wait at all; if not, the lock is shared where that is possible at once.
    """
    with contextlib.ExitStack() as stack:
        disturbs = False
        try:
            folder = private_folders.lock_folder()
            gate = stack.enter_context(contextlib.ExitStack())
            gate_file = gate.enter_context(locks.open_lock_file(folder / "gate.lock"))
            machine_file = stack.enter_context(locks.open_lock_file(folder / "machine.lock"))
            if not waits:
                disturbs = not locks.share_if_free(machine_file)
            else:
                waited = locks.lock(gate_file, exclusive=exclusive, on_wait=on_wait)
                on_second_wait = (lambda: None) if waited else on_wait
                locks.lock(machine_file, exclusive=exclusive, on_wait=on_second_wait)
            if not exclusive:
                gate.close()
        except OSError as error:
            stack.close()  # hold both locks or none
            on_failure(str(error))
        yield disturbs  # closing a file releases its lock, and so does the end of a process
