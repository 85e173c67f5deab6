"""What Orbax leaves behind after a failed read is not printed; every other error that cannot be raised is."""

import asyncio
import sys
from types import SimpleNamespace

import pytest

from scaling.program.orbax_messages import CLOSED_LOOP, silence_orbax


def test_only_reads_that_end_after_orbax_has_raised_are_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    silence_orbax()
    hook = sys.unraisablehook
    silence_orbax()
    assert sys.unraisablehook is hook  # once, however many checkpoints are read
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(RuntimeError) as late:
        loop.call_soon_threadsafe(print)
    assert str(late.value) == CLOSED_LOOP
    other = SimpleNamespace(exc_value=RuntimeError("another"), object=None)
    hook(SimpleNamespace(exc_value=late.value, object=None))
    hook(other)
    assert reported == [other]
