"""The small trained store that pages of the documentation start from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.docs.harness.session import environment
from tests.support.commands import ROOT

CORPUS = "mix:copying:1-3=0.3,sorting:2-3=0.2,cpython=0.5,tokens=5000000"
# A reduced quickstart: 24 runs, 5 widths × 6 budgets, 1.1e12 FLOPs with shared prefixes; 90 s of CPU time.
PLAN = """\
import sys
from sweeps.definitions import quickstart
quickstart.WIDTHS, quickstart.LENGTH, quickstart.SIZES_PER_BUDGET = (8, 16, 24, 32, 48), 64, 4
quickstart.BUDGETS = (1.6e10, 2.6e10, 4.3e10, 7e10, 1.15e11, 1.9e11)
from sweeps.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
COMMANDS = (
    ("-c", PLAN, "launch", "quickstart", "--corpus", CORPUS),
    ("-m", "scaling", "evaluate", "--all-runs", "--tasks", "copying-2,copying-3,sorting-3", "--items", "100"),
)
CACHE = ROOT / ".cache"


def trained_store() -> Path:
    """Returns the store; trains it if there is none of these runs.

    It is kept in the checkout's `.cache`, named for the run ids of the sweep and the commands: a run id is everything
    that changes a run's numbers, so a store of the same ids need not be trained again.
    """
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "docs-store.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one of the workers trains it
        plan = run("-c", PLAN, "plan", "quickstart", "--json", "--corpus", CORPUS, "--store", CACHE / "docs-plan")
        run_ids = [planned["run_id"] for planned in json.loads(plan)["runs"]]
        key = hashlib.sha256(repr((COMMANDS, run_ids)).encode()).hexdigest()[:12]
        folder = CACHE / f"docs-store-{key}"
        if not folder.exists():
            unfinished = CACHE / f"docs-store-{key}.unfinished"  # a second call resumes what is in it
            for command in COMMANDS:
                run(*command, "--store", unfinished)
            for old in CACHE.glob("docs-store-*/"):
                if old != unfinished:
                    shutil.rmtree(old)
            unfinished.rename(folder)
    return folder


def run(*arguments: str | Path) -> str:
    """Runs Python with arguments and returns its standard output."""
    line = [sys.executable, *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True, check=True).stdout
