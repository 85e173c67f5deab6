"""Which commit of the code is running."""

import functools
import subprocess
from importlib import metadata
from pathlib import Path


@functools.cache
def commit() -> str:
    """The commit's hash (with `+` where files differ from it), or the version where there is no repository."""
    root = Path(__file__).parents[2]
    git = ["git", "-C", str(root)]
    try:
        if not (root / ".git").exists():  # installed: a repository around it is somebody else's
            return metadata.version("scaling")
        found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError, metadata.PackageNotFoundError):
        return "unknown"
    return found + ("+" if changed.strip() else "")
