"""The walls of the house: imports run one way, doors open fast, and the counting contract."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, command, processor_seconds

ALLOWED = {  # which rooms of our own a room may import, by prefix
    "scaling": ("scaling",),
    "sweeps": (
        "sweeps",
        "scaling.config",
        "scaling.record",
        "scaling.models.counts",
        "scaling.data.tokens",
        "scaling.data.examples",
    ),
    "analysis": ("analysis", "scaling.record"),
}


def imports(path: Path) -> set[str]:
    """Modules that a file imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_run_one_way(room: str) -> None:
    for path in sorted((ROOT / room).rglob("*.py")):
        for module in imports(path):
            if module.split(".")[0] in ALLOWED:
                allowed = any(module == door or module.startswith(f"{door}.") for door in ALLOWED[room])
                assert allowed, f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("room", ALLOWED)
def test_help_loads_nothing_heavy_and_answers_at_once(room: str) -> None:
    heavy = "{'jax', 'tensorflow', 'matplotlib', 'pandas', 'scipy', 'pyarrow', 'flax'}"
    code = (
        f"import sys, runpy; sys.argv = ['{room}', '--help']\n"
        f"try: runpy.run_module('{room}', run_name='__main__', alter_sys=True)\n"
        f"except SystemExit: pass\n"
        f"sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert min(processor_seconds(lambda: command(room, "--help")) for _ in range(3)) < 0.5


def test_count_writes_the_contract() -> None:
    done = command("scaling", "count", "llama2-7b", "--json")
    said = json.loads(done.stdout)
    assert said["params"]["total"] == 6_738_415_616
    assert said["params"]["total"] == sum(v for k, v in said["params"].items() if k != "total")
    assert {"total", "attention_causal_forward", "attention_full_forward", "head_backward"} <= set(said["flops"])


def test_an_unknown_preset_lists_the_known_ones() -> None:
    done = command("scaling", "count", "llama9")
    assert done.returncode == 2 and "llama2-7b, llama3-8b" in done.stderr and done.stderr.count("\n") == 1
