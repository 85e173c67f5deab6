"""An engine in a user's own file: it trains runs, its options are flags, its errors name file and line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scaling.config.user_code import UserCodeError, read_code
from scaling.config.user_code.blocks import resolve_blocks
from scaling.store.record import Store
from sweeps.engines import Submission, get_engine, train_command, write_configs
from sweeps.engines.nodes import cluster_tasks
from sweeps.engines.nodes.node_worker import NodeTask, run_task
from sweeps.engines.submission import code_paths, parse_options, write_code
from sweeps.errors import SweepError
from sweeps.launching.dry_run import Pricing, preview
from sweeps.launching.launch import launch
from sweeps.launching.options import LaunchOptions
from tests.support.sweeps import CORPUS, SMALL_GRID_IDS, TRAINER, small_grid, small_plan, trainer_pids

ENGINE = '''
import select
import subprocess
from dataclasses import dataclass

from sweeps.engines import Engine, parse_event, train_command, write_configs
from sweeps.errors import SweepError


@dataclass(frozen=True, kw_only=True)
class options:
    """Options."""

    nice: int = 5
    stumble: bool = False

    def __post_init__(self):
        if self.nice > 19:
            raise SweepError(f"--option nice={self.nice}: must be 19 or less")


@dataclass
class Job:
    process: subprocess.Popen
    stumble: bool
    finished: bool = False
    error: str | None = None


def submit(submission, options):
    write_configs(submission)
    command = ["nice", "-n", str(options.nice), *train_command(submission)]
    return Job(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0), options.stumble)


def poll(job, timeout=0.2):
    if job.stumble:
        raise KeyError("lost")
    if not select.select([job.process.stdout], [], [], timeout)[0]:
        return []
    line = job.process.stdout.readline()
    if line:
        event = parse_event(line)
        return [event] if event else []
    status = job.process.wait()
    job.process.stdout.close()
    job.finished, job.error = True, None if status in (0, 1, 75) else f"the trainer ended with {status}"
    return []


def cancel(job):
    job.process.terminate()
    if job.stumble:  # is not polled again
        job.process.communicate()


engine = Engine(submit, poll, cancel, options)
'''


@pytest.fixture
def user_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    Path("my_engine.py").write_text(ENGINE)
    return Store(tmp_path / "S")


@pytest.mark.parametrize("name", ["my_engine.py:engine", "my_engine.py"])
def test_an_engine_in_a_file_trains_each_run_once(user_store, name: str) -> None:
    options = LaunchOptions(engine=name, engine_options={"nice": "3"}, command=TRAINER)
    user_store.root.mkdir()
    assert launch(user_store, "grid", small_grid(), CORPUS, options) == 0
    assert [user_store.read(run_id).status for run_id in SMALL_GRID_IDS] == ["done"] * 4
    assert launch(user_store, "grid", small_grid(), CORPUS, options) == 0
    assert len(trainer_pids(user_store.root)) == 1


def test_an_error_in_its_functions_names_file_and_line_and_stops_the_runs(user_store) -> None:
    options = LaunchOptions(engine="my_engine.py:engine", engine_options={"stumble": "yes"}, command=TRAINER)
    user_store.root.mkdir()
    (user_store.root / "pace").write_text("0.02")
    with pytest.raises(UserCodeError, match=r"^my_engine.py, line 38: KeyError: 'lost'$"):
        launch(user_store, "grid", small_grid(), CORPUS, options)


def test_its_options_are_checked_and_listed(user_store) -> None:
    engine = get_engine("my_engine.py:engine")
    assert parse_options(engine.options, {"nice": "7"}).nice == 7
    with pytest.raises(SweepError, match=r"--option fast=...: unknown option: must be one of nice, stumble"):
        parse_options(engine.options, {"fast": "1"})
    with pytest.raises(SweepError, match=r"^--option nice=20: must be 19 or less$"):
        parse_options(engine.options, {"nice": "20"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_engine.py:poll", r"engine my_engine.py:poll: has no submit and no poll and no cancel: must be an Engine"),
        ("my_engine.py:nothing", r"my_engine.py has no nothing"),
        ("other.py:engine", r"other.py: no such file"),
    ],
)
def test_what_is_no_engine_is_refused_in_one_line(user_store, name: str, message: str) -> None:
    with pytest.raises((SweepError, UserCodeError), match=message):
        get_engine(name)


def test_a_dry_run_of_an_engine_without_one_is_refused(user_store) -> None:
    options = LaunchOptions(engine="my_engine.py:engine")
    with pytest.raises(SweepError, match=r"engine my_engine.py:engine has no dry_run"):
        preview(user_store, "grid", small_plan(), options, Pricing())


def test_the_users_code_is_copied_as_it_was_at_the_launch(user_store) -> None:
    Path("blocks.py").write_text("import shapes\n\nclass Block: pass\n")
    Path("shapes.py").write_text("WIDTH = 3\n")
    digest = read_code("blocks.py").digest
    code = write_code(user_store, ["blocks.py", "json"])
    folder = user_store.root / "code" / digest
    assert code == [f"code/{digest}/blocks.py", "json"]
    assert {path.name for path in folder.iterdir()} == {"blocks.py", "shapes.py"}
    submission = Submission(store=user_store, sweep="grid", configs=small_grid(), code=code)
    Path("blocks.py").write_text("class Block: other = 1\n")
    assert read_code(str(folder / "blocks.py")).digest == digest != read_code("blocks.py").digest
    assert train_command(submission)[-4:] == ["--code", str(folder / "blocks.py"), "--code", "json"]


def test_a_node_gets_the_code_again_from_its_task(user_store) -> None:
    submission = Submission(store=user_store, sweep="grid", configs=small_grid(), code=["code/ab/blocks.py"])
    tasks = cluster_tasks.divide_runs(submission, "token", jobs=1, restarts=0)
    cluster_tasks.write_tasks(user_store, "grid", "array", tasks)
    assert cluster_tasks.read_tasks(user_store, "grid")["array"] == tasks and tasks[0].code == ("code/ab/blocks.py",)


def test_a_node_uses_the_copy_to_size_its_runs_and_gives_it_to_the_trainer(user_store, monkeypatch) -> None:
    Path("node_blocks.py").write_text("class Block: pass\n")
    code = write_code(user_store, ["node_blocks.py"])
    Path("node_blocks.py").unlink()
    config = small_grid()[0]
    write_configs(Submission(store=user_store, sweep="grid", configs=[config]))
    task = NodeTask(
        store=str(user_store.root), sweep="grid", token="t", index=0, run_ids=(SMALL_GRID_IDS[0],), restarts=0,
        command=TRAINER, code=tuple(code),
    )  # fmt: skip
    assert run_task(task) == "ended"
    model = resolve_blocks(replace(config.model, mlp="node_blocks.py:Block"))
    assert model.mlp == f"node_blocks.py:Block@{read_code(str(user_store.root / code[0])).digest}"


@pytest.mark.parametrize(
    ("engine", "options"),
    [
        ("local", {}),
        ("ray", {}),
        ("slurm", {}),
        ("gke", {"topology": "v5e-16", "bucket": "gs://my-runs", "image": "i:1"}),
        ("skypilot", {"topology": "v5e-16", "bucket": "gs://my-runs"}),
    ],
)
def test_jobs_of_each_engine_name_the_copy_in_the_store(user_store, engine: str, options: dict[str, str]) -> None:
    Path("blocks.py").write_text("class Block: pass\n")
    chosen = get_engine(engine)
    assert chosen.dry_run is not None
    submission = Submission(store=user_store, sweep="grid", configs=small_grid(), code=code_paths(["blocks.py"]))
    text = chosen.dry_run(submission, parse_options(chosen.options, options)).as_text()
    root = "/store" if engine in ("gke", "skypilot") else str(user_store.root)
    path = f"{root}/code/{read_code('blocks.py').digest}/blocks.py"
    plain = text.replace('",\n', '"').replace('"', " ")
    assert path in text and "--code" in plain
    without = chosen.dry_run(replace(submission, code=()), parse_options(chosen.options, options)).as_text()
    assert "--code" not in without
