"""The clouds' own tools, where an environment has them (see cloud.txt here); none of them connects to anything."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

OFFLINE = {"SKYPILOT_DISABLE_USAGE_COLLECTION": "1", "HTTPS_PROXY": "http://127.0.0.1:9", "LANG": "C.UTF-8"}


def tool(name: str) -> str:
    """A program of the environment SCALING_CLOUD; skips where there is none."""
    folder = os.environ.get("SCALING_CLOUD")
    path = Path(folder or "/nowhere") / "bin" / name
    if not path.exists():
        pytest.skip(f"needs {name}: SCALING_CLOUD=DIR names an environment with tests/support/clusters/cloud.txt")
    return str(path)


def run(words: list[str], home: Path, options: str | None = None) -> str:
    """Standard output of a tool with a home of its own and no network."""
    path = f"{Path(words[0]).parent}:{os.environ['PATH']}"
    env = {"PATH": path, "HOME": str(home), **OFFLINE}
    done = subprocess.run(words, input=options, capture_output=True, text=True, env=env, cwd=home, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def script_output(script: str, options: Any, home: Path) -> Any:
    """What a script prints (JSON) in that environment; `given` is its standard input (JSON)."""
    return json.loads(run([tool("python"), "-c", script], home, json.dumps(options)).splitlines()[-1])
