"""Pauses of the tests of sweeps."""

import pytest

from sweeps.engines import crashes


@pytest.fixture(autouse=True)
def short_restart_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainers that die in this process's launches are restarted almost at once."""
    monkeypatch.setattr(crashes, "RESTART_SECONDS", 0.05)
