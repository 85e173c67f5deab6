"""A user's file: found, hashed with what it imports, run only when it is named, errors with file and line."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from scaling.__main__ import main
from scaling.config.run import RunConfig, load_configs, loads, prefix_id, run_id
from scaling.config.user_code import UserCodeError, load_object, loading, parse_reference, read_code, user_errors

MAIN = """import helper
from package.part import two


def total():
    import later

    return helper.one + two + later.three
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's file with a module, a package and a module that a function imports, in a process that loaded none."""
    for name in ("helper", "package", "package.part", "later"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.delitem(loading._modules, name, raising=False)
    files = {"helper.py": "one = 1\n", "package/__init__.py": "", "package/part.py": "two = 20\n"}
    for name, text in {**files, "later.py": "three = 300\n", "mine.py": MAIN, "unused.py": "x = 1\n"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_hash_covers_what_the_file_imports_and_not_where_it_lies(folder: Path, tmp_path: Path) -> None:
    code = read_code(f"{folder}/mine.py")
    assert sorted(code.modules) == ["helper", "later", "package", "package.part"]
    other = shutil.copytree(folder, tmp_path / "elsewhere")
    assert read_code(f"{other}/mine.py").sha256 == code.sha256
    (folder / "unused.py").write_text("x = 2\n")
    assert read_code(f"{folder}/mine.py").sha256 == code.sha256
    for name in ("helper.py", "package/__init__.py", "package/part.py", "later.py", "mine.py"):
        before = read_code(f"{folder}/mine.py").sha256
        (folder / name).write_text((folder / name).read_text() + "# edited\n")
        assert read_code(f"{folder}/mine.py").sha256 != before, name


def test_what_runs_is_what_was_hashed_also_after_an_edit(folder: Path) -> None:
    reference = f"{folder}/mine.py:total"
    assert load_object(reference)() == 321
    (folder / "helper.py").write_text("one = 2\n")
    assert load_object(reference)() == 322
    (folder / "later.py").write_text("three = 400\n")
    assert load_object(reference)() == 422


def test_two_modules_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "elsewhere")
    assert load_object(f"{folder}/mine.py:total")() == load_object(f"{other}/mine.py:total")() == 321  # equal copies
    (other / "helper.py").write_text("one = 5\n")
    with pytest.raises(UserCodeError, match=r"the name helper is already imported from .*: rename one of them"):
        load_object(f"{other}/mine.py:total")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = (\n", r"line 2: SyntaxError"),
        ("import sys\n\nsys.exit(3)\n", r"line 3: SystemExit: 3"),
        ("raise ValueError('two\\nlines')\n", r"line 1: ValueError: two lines$"),
        ("import no_such_module\n", r"line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f():\n    pass\n\n\nclass K:\n    pass\n\n\nimport os\n_x = 1\n", r"has no law: it has f, K$"),
        ("law = 3\n\n\ndef f():\n    pass\n", r"is int: must be a function: .* has f$"),
    ],
)
def test_an_error_names_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(UserCodeError, match=message) as error:
        load_object(f"{path}:law", kind="a function", accepts=callable)
    assert "bad.py" in str(error.value) and "\n" not in str(error.value)


def test_an_error_in_a_helper_or_later_names_its_line(folder: Path) -> None:
    total = load_object(f"{folder}/mine.py:total")
    (folder / "helper.py").write_text("one = 1\n\n\ndef = 3\n")
    with pytest.raises(UserCodeError, match=r"helper\.py, line 4: SyntaxError"):
        load_object(f"{folder}/mine.py:total")
    sys.modules["helper"].one = None  # type: ignore[attr-defined]
    with pytest.raises(UserCodeError, match=r"mine\.py, line 8: TypeError: unsupported operand"), user_errors():
        total()
    (folder / "helper.py").write_text("def one():\n    return {}['x']\n\n\none = one()\n")
    with pytest.raises(UserCodeError, match=r"helper\.py, line 2: KeyError: 'x'"):  # the innermost line of the user
        load_object(f"{folder}/mine.py:total")
    with pytest.raises(KeyError), user_errors():  # not in a user's file
        {}["x"]


def test_missing_files_and_modules_say_so() -> None:
    for reference, message in {
        "no/such.py:f": "no/such.py: no such file",
        "no_such_module:f": "no module named no_such_module: install it, or give its file",
        "json.no_such:f": "no module named json.no_such",
        "nothing": "must be FILE.py:NAME or package.module:NAME",
    }.items():
        with pytest.raises(UserCodeError, match=message):
            load_object(reference)
    assert load_object("json.decoder:JSONDecoder").__name__ == "JSONDecoder"


def test_only_names_of_files_and_modules_are_references() -> None:
    for text in ("swiglu", "a.py", "a.py:b-3", "a.py:b@12", "a b:c", "a.py:", "1:2", "/x.py/:f"):
        assert parse_reference(text) is None, text
    reference = parse_reference("dir/my blocks.py:K@0123456789abcdef")
    assert reference is not None
    assert (reference.source, reference.name, reference.digest) == ("dir/my blocks.py", "K", "0123456789abcdef")
    assert reference.label == "my blocks.py:K"


BLOCK = "import pathlib\n\npathlib.Path({path!r}).write_text('ran')\n\n\nclass K:\n    pass\n"
CONFIG = {
    "model": {"vocab": 20, "width": 8, "layers": 1, "heads": 1, "mlp_width": 8, "mlp": "mine.py:K"},
    "data": {"tokens": "0" * 64, "length": 8}, "optimizer": {"lr": 0.1}, "batch": 1, "steps": 1,
}  # fmt: skip


def test_a_config_never_runs_code_that_was_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A config from someone else, next to a file with the name that it gives, in the working folder."""
    (tmp_path / "mine.py").write_text(BLOCK.format(path=str(tmp_path / "ran")))
    (tmp_path / "run.json").write_text(json.dumps(CONFIG))
    monkeypatch.chdir(tmp_path)
    for line in ("count run.json", "train run.json --store S", "coordinates run.json", "aot run.json --topology v5e-4"):
        assert main(line.split()) == 2
        assert "model.mlp is mine.py:K: give --code mine.py to use this file" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserCodeError, match="give --code"):
        run_id(loads(json.dumps(CONFIG)))


def test_the_same_content_gives_the_same_ids_and_other_content_is_refused(tmp_path: Path) -> None:
    paths = [tmp_path / name / "mine.py" for name in "ab"]
    for path in paths:
        path.parent.mkdir()
        path.write_text(BLOCK.format(path=str(tmp_path / "ran")))
    (tmp_path / "run.json").write_text(json.dumps(CONFIG))

    def config(path: Path, name: str = "run.json") -> RunConfig:
        return load_configs([tmp_path / name], code=[str(path)])[0]

    first = config(paths[0])
    assert first.model.mlp == f"mine.py:K@{read_code(str(paths[0])).digest}"
    assert run_id(config(paths[1])) == run_id(first) and prefix_id(config(paths[1]), 0) == prefix_id(first, 0)
    named = load_configs([tmp_path / "run.json"], [f"model.mlp={paths[1]}:K"])[0]  # --set names the file
    assert run_id(named) == run_id(first)
    paths[1].write_text(paths[1].read_text() + "# edited\n")
    assert run_id(config(paths[1])) != run_id(first)
    (tmp_path / "kept.json").write_text(json.dumps({**CONFIG, "model": {**CONFIG["model"], "mlp": first.model.mlp}}))
    with pytest.raises(UserCodeError, match=r"mine\.py has other content.*: give --code mine\.py as it was"):
        config(paths[1], "kept.json")
    with pytest.raises(UserCodeError, match="two files of the same name"):
        load_configs([tmp_path / "run.json"], code=[str(path) for path in paths])
    assert not (tmp_path / "ran").exists()
