"""The documentation site, built once in a test session as `make docs` does."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT


def built_site(temporary: pytest.TempPathFactory) -> Path:
    """Builds the site, or waits for another process of the session that does; returns its folder.

    Args:
        temporary: Folders of the session.
    """
    base = temporary.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, built = shared / "site", shared / "site.built"
    with (shared / "site.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            command = [sys.executable, "-m", "mkdocs", "build", "--config-file", "docs/mkdocs.yml", "--site-dir"]
            environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
            result = subprocess.run(
                [*command, str(folder)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            assert result.returncode == 0, result.stderr
            assert re.search(r"pages: \d+, links checked: \d+, site: ", result.stdout)
            built.touch()
    return folder
