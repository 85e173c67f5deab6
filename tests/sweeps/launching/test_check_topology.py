"""`sweeps check --topology`: every shape once, the verdict of the real compiler, and what would mend a refusal."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scaling.config.run import RunConfig, override
from sweeps.launching import check_topology
from sweeps.planning.corpus import Corpus
from sweeps.planning.plan import Plan, plan_sweep
from tests.support.commands import command

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install 'scaling[tpu]'"
)
GB = 10**9


@pytest.fixture
def planned(tiny: RunConfig) -> Plan:
    """Two shapes; of the first three runs, that differ in what no compilation depends on."""
    changes: list[list[str]] = [[], ["steps=30"], ["optimizer.lr=0.02"], ["model.width=32"]]
    corpus = Corpus(name="text", tokens=tiny.data.tokens, vocab=257, train=10**6)
    return plan_sweep([override(tiny, change) for change in changes], corpus)


@pytest.fixture
def text(tmp_path: Path) -> str:
    """A corpus of a person's own."""
    folder = tmp_path / "text"
    folder.mkdir()
    for i in range(120):
        (folder / f"{i:02}.txt").write_text(f"document {i}\n" * 300)
    return f"text:{folder}"


def test_each_shape_is_asked_once_and_no_run_is_left_out(planned: Plan) -> None:
    requested = check_topology.distinct_shapes(planned)
    assert [runs for _, runs in requested] == [3, 1]
    assert [config.model.width for config, _ in requested] == [16, 32]


def test_the_table_says_what_is_spare_what_lacks_and_what_would_mend_it(tiny: RunConfig) -> None:
    head = check_topology.shape_row(tiny, 3)
    fits = {**head, "fits": True, "memory": {"total": 6 * GB, "hbm": 16 * GB}}
    mended = [{"place": {"data": 1, "fsdp": 16}, "total": 7 * GB}]
    too_large = {**head, "fits": False, "memory": {"total": 20 * GB, "hbm": 16 * GB}, "would_fit": mended}
    unknown = {**head, "fits": False, "memory": {"hbm": 16 * GB}, "tried": ["remat=full"]}
    refused = {**head, "fits": False, "refused": "batch = 8 does not divide"}
    lines = check_topology.as_text([fits, too_large, unknown, refused], "v5e-16").splitlines()
    assert "10.00" in lines[1] and lines[1].endswith("10.00")
    assert "-4.00" in lines[2] and lines[2].endswith("--place data=1 --place fsdp=16")
    assert check_topology.spare_memory(unknown) is None and lines[3].endswith("more chips, or a smaller batch")
    assert lines[4].endswith("batch = 8 does not divide") and lines[-1].startswith("1 of 4 shapes fit")


def test_a_compiler_gets_a_core_and_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_topology.available_memory() > 0
    monkeypatch.setattr(check_topology, "available_memory", lambda: 0)
    assert check_topology.compiler_count() == 1


def test_no_compiler_outlives_a_check_that_is_stopped() -> None:
    children = check_topology.CompilerProcesses()
    sleeper = [sys.executable, "-c", "import subprocess; subprocess.run(['sleep', '60'])"]
    finished: list[tuple[int, str, str]] = []
    thread = threading.Thread(target=lambda: finished.append(children.run(sleeper)))
    thread.start()
    while not children.running:
        time.sleep(0.01)
    (group,) = children.running
    children.stop()
    thread.join(10)
    assert finished and finished[0][0] < 0 and children.run(sleeper)[0] < 0
    gone = subprocess.run(["ps", "-o", "pid=", "-g", str(group)], capture_output=True, text=True, check=False)
    assert not gone.stdout.strip()


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--topology", "v9-1"), "topology 'v9-1': must be one of"), (("--place", "tensor=2"), "add --topology")],
)
def test_what_cannot_be_compiled_for_is_one_line(
    words: tuple[str, ...], message: str, text: str, tmp_path: Path
) -> None:
    done = command("sweeps", "check", "quickstart", "--corpus", text, "--store", tmp_path / "s", "--json", *words)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("prepared")]
    assert done.returncode == 2 and done.stdout == "" and len(lines) == 1 and message in lines[0], done


@pytest.mark.long
@needs_libtpu
def test_a_sweep_is_compiled_once_and_a_batch_that_does_not_divide_says_what_would(text: str, tmp_path: Path) -> None:
    words = (
        "sweeps",
        "check",
        "quickstart",
        "--corpus",
        text,
        "--store",
        tmp_path / "s",
        "--json",
        "--topology",
        "v5e-16",
    )
    done = command(*words, timeout=1800)
    assert done.returncode == 1, done.stderr
    shapes = json.loads(done.stdout)["shapes"]
    assert all("--place tensor=2 leaves 8" in entry["refused"] for entry in shapes)
    done = command(*words, "--place", "data=1", timeout=1800)
    shapes = json.loads(done.stdout)["shapes"]
    assert done.returncode == 1 and all("must take all 16 devices of v5e-16" in entry["refused"] for entry in shapes)
    for remaining in (False, True):
        done = command(*words, "--place", "tensor=2", timeout=1800)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)["shapes"]
        assert [entry["kept"] for entry in result] == [remaining] * len(shapes)
        assert all(0 < entry["memory"]["total"] < entry["memory"]["hbm"] for entry in result)
        assert sum(entry["runs"] for entry in result) == 20


@pytest.mark.long
@needs_libtpu
def test_what_a_billion_lacks_on_small_chips_is_mended_by_what_it_is_told() -> None:
    """Replicated, a step cannot fit 16 GB: parameters and Adam's moments alone take 12 bytes a parameter."""
    arguments = ("scaling", "aot", "chinchilla-1018m", "--topology", "v5e-16", "--batch", "16", "--json")
    result = json.loads(command(*arguments, timeout=1800).stdout)
    assert not result["fits"] and result["memory"]["total"] > 12 * 1.018e9
    (mended,) = result["would_fit"]
    words = [argument for name, value in mended["place"].items() for argument in ("--place", f"{name}={value}")]
    second = json.loads(command(*arguments, *words, timeout=1800).stdout)
    assert second["fits"] and second["memory"]["total"] == mended["total"]
