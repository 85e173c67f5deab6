"""Sweeps in a user's own file, and sweeps of run configs: the same runs, no code that the user did not name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sweeps
from scaling.config.run import dumps, run_id
from scaling.config.validation import ConfigError, to_dict
from scaling.store.record import Store
from sweeps.definitions import find_definition, sweep_name
from sweeps.errors import SweepError
from sweeps.interface.request import SweepRequest
from sweeps.planning.plan import Plan
from tests.support.sweeps import CORPUS, SMALL_GRID_IDS, small_grid

OWN = """
from sweeps.definitions.definition import Definition
from sweeps.planning.corpus import Corpus
from sweeps.planning.budget import IsoflopDesign, isoflop_grid, size_at_ratio

def grid(corpus, *, seed=0, widths=(16, 24), length=16):
    "Two sizes at two budgets."
    centre = size_at_ratio(20.0)
    design = IsoflopDesign(widths=widths, budgets=(2e10, 4e10), sizes_per_budget=2, centre=centre, length=length)
    return isoflop_grid(corpus, design, seed=seed)

def fails(corpus):
    return [
        1 / 0]

def dicts(corpus):
    return [{"model": {}}]

def nothing(corpus):
    return []

defined = Definition(grid, "markov", "grokking")

def fixed():
    "Runs that name their corpus themselves."
    return grid(Corpus(name="a text", tokens="cd" * 32, vocab=257, train=2_000_000))
"""


@pytest.fixture
def user_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)
    return Path("own.py")


def planned(source: Any, **options: Any) -> Plan:
    return SweepRequest(source=source, **options).plan(CORPUS, None)


def ids(plan: Plan) -> list[str]:
    return [run.run_id for run in plan.runs]


def write_grid(folder: Path) -> None:
    folder.mkdir()
    for i, config in enumerate(small_grid()):
        (folder / f"{i}.json").write_text(dumps(config))


def test_a_function_a_folder_a_pattern_a_list_and_lines_make_the_same_plan(user_file) -> None:
    write_grid(Path("runs"))
    Path("list.json").write_text(json.dumps([to_dict(config) for config in small_grid()]))
    Path("lines.jsonl").write_text("\n".join(json.dumps(to_dict(config)) for config in small_grid()))
    Path("plan.json").write_text(json.dumps({"runs": [{"run_id": "x", "config": to_dict(c)} for c in small_grid()]}))
    first = planned("own.py:grid")
    assert ids(first) == SMALL_GRID_IDS
    files = [str(path) for path in sorted(Path("runs").iterdir())]
    for source in ("runs", "runs/", "runs/*.json", "list.json", "lines.jsonl", "plan.json", files, small_grid()):
        assert planned(source) == first, source  # shared prefixes included


def test_settings_fields_and_seeds_apply_to_sweeps_of_both_kinds(user_file) -> None:
    write_grid(Path("runs"))
    assert {run.config.seed for run in planned("own.py:grid", seed=3).runs} == {3}
    assert {run.config.model.width for run in planned("own.py:grid", settings={"widths": (16, 32)}).runs} == {16, 32}
    with pytest.raises(
        SweepError, match=r"did you mean model.width or widths\? settings of own.py:grid are widths=16,24 length=16"
    ):
        planned("own.py:grid", settings=["width=8"])
    grid = {"optimizer.weight_decay": [0.05, 0.1]}
    assert ids(planned("runs", settings=grid)) == ids(planned("own.py:grid", settings=grid))
    assert len(set(ids(planned("runs", settings=grid)))) == 8
    with pytest.raises(SweepError, match="--seed 3: runs takes no seed: use --set seed=3"):
        planned("runs", seed=3)


def test_a_corpus_replaces_the_hash_of_run_configs_which_may_be_left_out(user_file) -> None:
    write_grid(Path("runs"))
    path = Path("runs/0.json")
    data = json.loads(path.read_text())
    del data["data"]["tokens"]
    path.write_text(json.dumps(data))
    assert sorted(ids(planned("runs", corpus="a text"))) == sorted(SMALL_GRID_IDS)
    with pytest.raises(SweepError, match=r"data.tokens = 0000.* is not the hash of corpus a text"):
        planned("runs")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("own.py:grid", "grid"), ("my_lab.sweeps:grid", "grid"), ("quickstart", "quickstart"), ("runs/*.json", "runs"),
        ("a/my runs/*.json", "my-runs"), ("a/list.json", "list"), ("a/b/*/config.json", "b"),
        ("as-launched", "as-launched"),
    ],
)  # fmt: skip
def test_the_name_in_the_store_is_that_of_the_function_file_or_folder(name: str, expected: str) -> None:
    assert sweep_name(name) == expected


def test_an_error_in_the_users_function_names_file_and_line(user_file) -> None:
    with pytest.raises(ConfigError, match=r"^own.py, line 14: ZeroDivisionError: division by zero$"):
        planned("own.py:fails")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("own.py:dicts", r"^own.py:dicts: entry 0 of its result is dict: must return a list of RunConfig"),
        ("own.py:nothing", r"^own.py:nothing: has no runs$"),
        ("own.py:nope", r"^own.py:nope: own.py has no nope: it has grid, fails, dicts, nothing, defined, fixed$"),
        ("own.py", r"^sweep own.py: must also name the function: own.py:FUNCTION$"),
        ("other.py:grid", r"^other.py: no such file$"),
        ("nope/*.json", r"^nope/\*.json: no file matches this pattern$"),
        (["own.json", "quickstart"], r"quickstart is no run config: give one sweep, or several run configs"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line(user_file, source: Any, message: str) -> None:
    with pytest.raises((SweepError, ConfigError), match=message) as refusal:
        planned(source)
    assert "\n" not in str(refusal.value)


def test_a_function_without_arguments_names_its_corpus_in_its_runs(user_file, tmp_path) -> None:
    assert find_definition("own.py:fixed").corpus is None
    assert ids(planned("own.py:fixed")) == SMALL_GRID_IDS
    with pytest.raises(SweepError, match=r"^no token file with content hash cdcd"):
        SweepRequest(source="own.py:fixed").find_corpus(Store(tmp_path))
    with pytest.raises(SweepError, match=r"own.py:fixed: the corpus of these runs is in a store: add --store"):
        sweeps.plan("own.py:fixed")


def test_a_definition_in_the_users_file_brings_corpus_and_analysis(user_file) -> None:
    definition = find_definition("own.py:defined")
    assert (definition.corpus, definition.analysis_command) == ("markov", "grokking")
    assert ids(planned("own.py:defined")) == SMALL_GRID_IDS
    assert find_definition("own.py:grid").corpus == "cpython"


EDITS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "value": (lambda data: data["model"] | {"heads": 3}, r"runs/1.json: ModelConfig.width = .*: must be a multiple"),
    "type": (lambda data: data["model"] | {"width": "__import__('os')"}, r"runs/1.json: ModelConfig.width = .*int"),
    "field": (lambda data: data["model"] | {"__class__": 1}, r"runs/1.json: model: unknown field __class__"),
    "block": (
        lambda data: data["model"] | {"mlp": "evil.py:Block"},
        r"runs/1.json: model.mlp is evil.py:Block: give --code",
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_invalid_config_is_named_with_its_file_and_field_and_runs_no_code(user_file, edit: str) -> None:
    write_grid(Path("runs"))
    Path("evil.py").write_text("import pathlib; pathlib.Path('executed').touch()\nclass Block: pass")
    change, message = EDITS[edit]
    data = json.loads(Path("runs/1.json").read_text())
    Path("runs/1.json").write_text(json.dumps(data | {"model": change(data)}))
    with pytest.raises((SweepError, ConfigError), match=message):
        planned("runs")
    assert not Path("executed").exists()


def test_the_corpus_that_a_config_names_is_looked_up_and_never_made(user_file, tmp_path) -> None:
    write_grid(Path("runs"))
    Path("evil.py").write_text("import pathlib; pathlib.Path('executed').touch()\ndef words(): yield 'a'")
    for path in Path("runs").iterdir():
        data = json.loads(path.read_text())
        path.write_text(json.dumps(data | {"data": data["data"] | {"corpus": "evil.py:words"}}))
    with pytest.raises(SweepError, match=r"no token file with content hash"):
        SweepRequest(source="runs").find_corpus(Store(tmp_path / "S"))
    assert not Path("executed").exists()


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"{", b"[3]", b"", b'{"runs": [{"config": 1}]}'])
def test_a_damaged_file_is_named(user_file, content: bytes) -> None:
    write_grid(Path("runs"))
    Path("runs/x.json").write_bytes(content)
    with pytest.raises(SweepError, match=r"^runs/x.json"):
        planned("runs")


def test_the_same_run_twice_is_named_once_and_planned_once(user_file, capsys) -> None:
    write_grid(Path("runs"))
    Path("runs/copy.json").write_text(Path("runs/0.json").read_text())
    assert ids(planned("runs")) == SMALL_GRID_IDS
    output = capsys.readouterr().err
    assert output == f"runs/copy.json: the same run as runs/0.json ({run_id(small_grid()[0])[:12]}): trained once\n"
