"""The git commit of the running code, for records, figures and reports."""

import functools
import subprocess
from importlib import metadata
from pathlib import Path


@functools.cache
def code_commit() -> str | None:
    """Returns the hash of the commit that is checked out, followed by `+` where the working tree differs from it.

    Where the package is installed outside of its repository it is the package's version, and None where neither is
    known.
    """
    root = Path(__file__).parents[3]
    git = ["git", "-C", str(root)]
    try:
        if not (root / ".git").exists():  # a repository further up contains other code
            return metadata.version("scaling")
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError, metadata.PackageNotFoundError):
        return None
    return commit + ("+" if changes.strip() else "")
