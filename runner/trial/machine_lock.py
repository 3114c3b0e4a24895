"""Timing has the machine to itself, whatever other studies of this user run on it.

There are two locks in the user's own folder (`records.private`), which no other user can hold:

- `machine` is shared by processes that compute, and held alone by one that times.
- `gate` is taken first. A timing process keeps it while it waits for `machine`, so that no new
  trial starts before it; trials that compute already go on to their end.
"""

import contextlib
from collections.abc import Callable, Iterator

from runner.records import locks, private_folders


@contextlib.contextmanager
def lock_machine(
    *, exclusive: bool, on_wait: Callable[[], object], on_failure: Callable[[str], object]
) -> Iterator[None]:
    """Hold the machine, alone for `exclusive`; `on_wait` is called once if others must end first.

    Where nothing can be locked (no POSIX system, no folder that is safe and can be written, a
    filesystem without locks) the trial runs all the same: `on_failure` hears why.
    """
    with contextlib.ExitStack() as held:
        try:
            folder = private_folders.lock_folder()
            gate = held.enter_context(contextlib.ExitStack())
            first = gate.enter_context(locks.open_lock_file(folder / "gate.lock"))
            second = held.enter_context(locks.open_lock_file(folder / "machine.lock"))
            waited = locks.lock(first, exclusive=exclusive, on_wait=on_wait)
            locks.lock(second, exclusive=exclusive, on_wait=on_wait if not waited else lambda: None)
            if not exclusive:
                gate.close()
        except OSError as error:
            held.close()  # no lock is better than one of two
            on_failure(str(error))
        yield  # closing a file unlocks it, and so does the end of a process
