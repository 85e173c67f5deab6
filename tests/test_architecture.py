"""The shape of the source tree, imports that commands pay for, and the JSON of `scaling count`.

Import directions between and inside the packages are import-linter's contracts in pyproject.toml.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, command, processor_seconds

PACKAGES = ("scaling", "sweeps", "analysis")
MOST_ENTRIES, MOST_FILE_LINES, MOST_FUNCTION_LINES = 14, 350, 50
NO_ENTRIES = {"__pycache__", "__init__.py", "__main__.py", "py.typed"}
SAMPLER = {f"analysis/uncertainty/posterior/{name}.py" for name in ("density", "nuts", "traced")}
ACCELERATOR_LIBRARIES = {"jax", "jaxlib", "flax", "optax", "orbax", "tensorflow"}


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a file imports, inside functions too."""
    packages: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            packages.add(node.module.partition(".")[0])
    return packages


@pytest.mark.parametrize("folder", [*PACKAGES, "tests"])
def test_no_folder_has_more_than_14_entries(folder: str) -> None:
    for path in (ROOT / folder, *(ROOT / folder).rglob("*")):
        if path.is_dir() and "__pycache__" not in path.parts:
            entries = [entry.name for entry in path.iterdir() if entry.name not in NO_ENTRIES]
            assert len(entries) <= MOST_ENTRIES, f"{path.relative_to(ROOT)} has {len(entries)} entries: {entries}"


@pytest.mark.parametrize("folder", [*PACKAGES, "tests"])
def test_no_file_and_no_function_is_too_long(folder: str) -> None:
    too_long = []
    for path in python_files(folder):
        text = path.read_text()
        lengths = [(path.name, text.count("\n"), MOST_FILE_LINES)]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                lengths.append((node.name, node.end_lineno - node.lineno + 1, MOST_FUNCTION_LINES))
        too_long += [f"{path.relative_to(ROOT)}: {name} {n} lines" for name, n, most in lengths if n > most]
    assert not too_long


@pytest.mark.parametrize("package", ["sweeps", "analysis"])
def test_planning_and_analysis_import_no_accelerator_library(package: str) -> None:
    """Except the sampler of posteriors, which is imported only when a posterior is sampled."""
    for path in python_files(package):
        if path.relative_to(ROOT).as_posix() in SAMPLER:
            continue
        assert not imported_packages(path) & ACCELERATOR_LIBRARIES, path.relative_to(ROOT)


@pytest.mark.parametrize("package", PACKAGES)
def test_help_imports_nothing_heavy_and_takes_under_half_a_second(package: str) -> None:
    heavy = "{'jax', 'tensorflow', 'numpy', 'matplotlib', 'pandas', 'scipy', 'pyarrow', 'flax'}"
    code = (
        f"import sys, runpy; sys.argv = ['{package}', '--help']\n"
        f"try: runpy.run_module('{package}', run_name='__main__', alter_sys=True)\n"
        f"except SystemExit: pass\n"
        f"sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert any(processor_seconds(lambda: command(package, "--help")) < 0.5 for _ in range(3))


def test_count_writes_its_json_contract() -> None:
    done = command("scaling", "count", "llama2-7b", "--json")
    counted = json.loads(done.stdout)
    assert counted["params"]["total"] == 6_738_415_616
    assert counted["params"]["total"] == sum(v for k, v in counted["params"].items() if k != "total")
    assert {"total", "attention_causal_forward", "attention_full_forward", "head_backward"} <= set(counted["flops"])


def test_unknown_preset_is_refused_with_the_known_ones() -> None:
    done = command("scaling", "count", "llama9")
    assert done.returncode == 2 and "llama2-7b, llama3-8b" in done.stderr and done.stderr.count("\n") == 1
