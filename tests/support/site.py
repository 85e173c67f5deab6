"""The documentation site, built once in a process as `make docs` does."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.commands import ROOT


@functools.cache
def built_site() -> Path:
    """Folder of the site."""
    folder = Path(tempfile.mkdtemp(prefix="site-"))
    command = [sys.executable, "-m", "mkdocs", "build", "--config-file", "docs/mkdocs.yml", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert re.search(r"pages: \d+, links checked: \d+, site: ", result.stdout)
    return folder
