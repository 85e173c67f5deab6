"""Importing a folder: what the run knows, what it is named by, and one line for each folder that is not a model."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from analysis.data.from_store import points_from_store, table
from analysis.data.options import ReadOptions
from scaling.config.run import run_id
from scaling.config.validation import ConfigError
from scaling.inference.huggingface.export import ExportOptions, export_run
from scaling.inference.huggingface.import_model import ImportOptions, import_model
from scaling.inference.huggingface.safetensors_files import INDEX, SINGLE
from scaling.inference.load import load_model
from scaling.inference.parameters import saved_parameter_hash
from scaling.program.checkpoint_files import LocalCheckpoint, named_leaves
from scaling.store.open import open_store
from scaling.store.record import Record, Store
from tests.support.commands import call_command
from tests.support.models import HUGGING_FACE_MODELS, write_folder

safetensors = pytest.importorskip("safetensors.numpy", reason="pip install 'scaling[hf]'")

LLAMA = HUGGING_FACE_MODELS["llama2"]


@dataclass
class Imported:
    """A model's folder, its parameters, and the run in a store."""

    folder: Path
    arrays: dict[str, np.ndarray]
    store: Store
    record: Record


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Imported:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    arrays = write_folder(folder, LLAMA)
    store = open_store(tmp_path_factory.mktemp("S"))
    record, is_new = import_model(store, folder, ImportOptions(sweep="others"))
    assert is_new
    return Imported(folder, arrays, store, record)


def test_the_run_has_the_parameters_and_says_where_they_are_from(imported: Imported) -> None:
    model = load_model(imported.store, imported.record.run_id[:12])
    assert model.step == 0 and model.model == LLAMA
    for name, array in named_leaves(model.params).items():
        np.testing.assert_array_equal(array, imported.arrays[name])
    record = imported.store.read(imported.record.run_id)
    assert record == imported.record and record.sweep == "others" and record.run_id == run_id(record.config)
    about = record.about["imported"]
    assert about["folder"] == "tiny" and about["architecture"] == "LlamaForCausalLM"
    assert set(about["files"]) == {SINGLE} and len(about["files"][SINGLE]) == 64
    assert str(imported.folder.parent) not in json.dumps(record.about)


def test_nothing_is_known_of_its_training_and_fits_leave_it_out_unless_it_is_stated(imported: Imported) -> None:
    assert not imported.record.flops and not imported.record.final and not imported.store.curve(imported.record.run_id)
    (row,) = table(imported.store.root).to_dict("records")
    assert row["N"] == imported.record.params["total"] and all(np.isnan(row[name]) for name in ("D", "C", "loss"))
    with pytest.raises(Exception, match=f"1 run left out, .* {imported.record.run_id[:12]} .imported"):
        points_from_store(imported.store.root, ReadOptions(), None)
    stated, is_new = import_model(imported.store, imported.folder, ImportOptions(trained_tokens=2e12, loss=1.9))
    assert not is_new and stated.run_id == imported.record.run_id
    points = points_from_store(imported.store.root, ReadOptions(), None)
    assert points.D.tolist() == [2e12] and points.L.tolist() == [1.9] and points.names == [stated.run_id]
    imported.store.write(imported.record)


def test_the_id_follows_the_parameters_and_not_the_files(imported: Imported, tmp_path: Path) -> None:
    write_folder(tmp_path / "shards", LLAMA, limit=5_000)
    assert (tmp_path / "shards" / INDEX).exists() and len(list((tmp_path / "shards").glob("model-*"))) > 5
    record, is_new = import_model(imported.store, tmp_path / "shards", ImportOptions())
    assert not is_new and record.run_id == imported.record.run_id
    tensors = safetensors.load_file(imported.folder / SINGLE)
    tensors["model.norm.weight"][3] = np.nextafter(tensors["model.norm.weight"][3], np.float32(2))
    copy = tmp_path / "changed"
    shutil.copytree(imported.folder, copy)
    safetensors.save_file(tensors, copy / SINGLE)
    store = open_store(tmp_path / "S")
    changed, _ = import_model(store, copy, ImportOptions())
    assert changed.config.init != imported.record.config.init and changed.run_id != imported.record.run_id
    (path,) = store.run_dir(changed.run_id).glob("checkpoints/*")
    assert saved_parameter_hash(LocalCheckpoint(path), LLAMA) == changed.config.init


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_exported_model_is_the_imported_one_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "in", LLAMA, dtype=dtype)
    store = open_store(tmp_path / "S")
    record, _ = import_model(store, tmp_path / "in", ImportOptions())
    facts = export_run(store, record.run_id, tmp_path / "out", ExportOptions(dtype=dtype, shard_bytes=9_000))
    files = [safetensors.load_file(tmp_path / "out" / name) for name in facts["files"]]
    assert len(files) > 3 and sorted(path.name for path in (tmp_path / "out").glob("*.safetensors")) == facts["files"]
    out = {name: tensor for file in files for name, tensor in file.items()}
    before = safetensors.load_file(tmp_path / "in" / SINGLE)
    assert out.keys() == before.keys() == json.loads((tmp_path / "out" / INDEX).read_text())["weight_map"].keys()
    for name, tensor in before.items():
        assert tensor.dtype == out[name].dtype == dtype and tensor.tobytes() == out[name].tobytes()


def test_a_folder_that_exists_is_not_written_over(imported: Imported, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        export_run(imported.store, imported.record.run_id, tmp_path, ExportOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def tensors_changed(folder: Path, change) -> None:
    tensors = safetensors.load_file(folder / SINGLE)
    change(tensors)
    safetensors.save_file(tensors, folder / SINGLE)


def cut(folder: Path) -> None:
    data = (folder / SINGLE).read_bytes()
    (folder / SINGLE).write_bytes(data[:-7])


def pickled(folder: Path) -> None:
    (folder / SINGLE).rename(folder / "pytorch_model.bin")


def indexed(name: str, folder: Path) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))


DAMAGES = {
    "cut off": (cut, "model.safetensors: damaged: "),
    "no safetensors": (lambda f: (f / SINGLE).write_bytes(b"PK\x03\x04" * 9), "model.safetensors: damaged: "),
    "pickled": (pickled, "has pytorch_model.bin but no model.safetensors: only safetensors are read"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json: missing"),
    "config": (lambda f: (f / "config.json").write_text("{"), "config.json: not JSON"),
    "list": (lambda f: (f / "config.json").write_text("[]"), "config.json: must be an object"),
    "missing": (
        lambda f: tensors_changed(f, lambda t: t.pop("model.layers.1.mlp.up_proj.weight")),
        "tensor 'model.layers.1.mlp.up_proj.weight': missing",
    ),
    "extra": (
        lambda f: tensors_changed(f, lambda t: t.update(extra=np.zeros(3, np.float32))),
        "tensor 'extra': not of this model",
    ),
    "shape": (
        lambda f: tensors_changed(f, lambda t: t.update({"model.norm.weight": np.zeros(31, np.float32)})),
        "tensor model.norm.weight has shape [31]: must be [32]",
    ),
    "type": (
        lambda f: tensors_changed(f, lambda t: t.update({"model.norm.weight": np.zeros(32, np.int8)})),
        "model.norm.weight has type I8: must be one of F64, F32, F16, BF16",
    ),
    "index": (lambda f: (f / INDEX).write_text("{}"), "model.safetensors.index.json: damaged"),
    "index of a file elsewhere": (lambda f: indexed("../x.safetensors", f), "must be a plain name"),
    "index of a missing file": (lambda f: indexed("x.safetensors", f), "x.safetensors: missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_one_line(name: str, imported: Imported, tmp_path: Path) -> None:
    damage, message = DAMAGES[name]
    shutil.copytree(imported.folder, tmp_path / "model")
    damage(tmp_path / "model")
    done = call_command("scaling", "import", f"hf:{tmp_path / 'model'}", "--store", tmp_path / "S")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr, done.stderr
    assert not (tmp_path / "S" / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "DIR"), "import DIR: must be hf:DIR"),
        (("import", "hf:nowhere"), "hf:nowhere: no such folder"),
        (("import", "hf:gs://bucket/model"), "must be a local folder"),
        (("import", "{hf}", "--length", "65"), "--length 65: must be from 1 to the model's context, 64"),
        (("import", "{hf}", "--tokens", "ab" * 32), "no token file with content hash"),
        (("export", "{run}", "--to", "out"), "--to out: must be hf:DIR"),
        (("export", "{run}", "--to", "hf:{tmp}/o", "--dtype", "int8"), "--dtype = 'int8': must be one of"),
        (("export", "{run}", "--to", "hf:{tmp}/o", "--step", "3"), "no checkpoint of step 3"),
        (("activations", "{run}", "--layer", "0", "--out", "a.npy"), "has no text of its own"),
    ],
)
def test_a_wrong_argument_is_one_line(
    arguments: tuple[str, ...], message: str, imported: Imported, tmp_path: Path
) -> None:
    names = {"hf": f"hf:{imported.folder}", "run": imported.record.run_id, "tmp": tmp_path}
    line = [argument.format(**names) for argument in arguments]
    done = call_command("scaling", *line, "--store", imported.store.root)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr, done.stderr
