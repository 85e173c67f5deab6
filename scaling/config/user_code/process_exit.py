"""`os._exit` in code of a user: an error of that code rather than a silent end of the command."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

END_PROCESS = os._exit  # as it is without the context below


@contextlib.contextmanager
def refuse_exit() -> Iterator[None]:
    """Context in which `os._exit` raises SystemExit, as `sys.exit` does, in this process but not in its children.

    Other ways to end a process, such as `os.abort` or a signal, still end it.
    """
    earlier, process = os._exit, os.getpid()

    def exit_process(status: int) -> None:
        if os.getpid() != process:  # a child that code of the user has forked
            END_PROCESS(status)
        raise SystemExit(status)

    os._exit = exit_process  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = earlier
