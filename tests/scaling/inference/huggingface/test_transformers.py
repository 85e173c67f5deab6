"""Against transformers itself and the harness's own backend: tiny random models, both ways; published sizes."""

import json
import os
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import jax
import numpy as np
import pytest
from flax import nnx

import scaling
from scaling.config.model import ModelConfig
from scaling.config.placement import Placement
from scaling.config.presets import PRESETS
from scaling.config.run import override
from scaling.config.validation import ConfigError
from scaling.counting.counts import parameters
from scaling.evaluation.harness.config import HarnessOptions
from scaling.evaluation.harness.run import evaluate_task, open_benchmark
from scaling.inference.huggingface.export import ExportOptions, export_run
from scaling.inference.huggingface.import_model import ImportOptions, import_model
from scaling.inference.huggingface.tokenizer import CONFIG, END, FILE, byte_tokenizer_json
from scaling.inference.huggingface.write_config import model_json
from scaling.inference.load import load_model
from scaling.inference.parameters import abstract_parameters, find_checkpoint
from scaling.inference.scorer import Scorer
from scaling.program.checkpoint import restore_params
from scaling.program.step import init_model
from scaling.store.open import open_store
from scaling.store.record import Store
from scaling.training.initial import with_initial_parameters
from tests.support.models import FAST_COMPILE, HUGGING_FACE_MODELS, run_config, tiny, write_folder
from tests.support.training import assert_same_run, losses, train_run

torch = pytest.importorskip("torch", reason="pip install -e '.[dev]'")
transformers = pytest.importorskip("transformers", reason="pip install -e '.[dev]'")
safetensors = pytest.importorskip("safetensors.numpy", reason="pip install 'scaling[hf]'")

pytestmark = pytest.mark.slow
LENGTH = 21
LOCAL_TASKS = Path(__file__).parents[2] / "evaluation" / "harness_data"


def transformers_model(model: ModelConfig, folder: Path, dtype: str = "float32"):
    """transformers' own model with random weights far from 0 and 1, saved by it into the folder."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(model_json(run_config(model), "float32", {})))
    config = transformers.AutoConfig.from_pretrained(folder, attn_implementation="eager")
    built = getattr(transformers, config.architectures[0])(config)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in built.parameters():
            weight.copy_(0.5 * weight + 0.1 * torch.randn_like(weight))
    built.to(getattr(torch, dtype)).eval().save_pretrained(folder)
    return built


def their_logits(built, tokens: np.ndarray) -> np.ndarray:
    table = {"input_ids": tokens} | ({"decoder_input_ids": tokens[:, ::-1]} if built.config.is_encoder_decoder else {})
    with torch.no_grad():
        return built(**{name: torch.as_tensor(v.copy(), dtype=torch.int64) for name, v in table.items()}).logits.numpy()


def our_logits(store: Store, run: str, tokens: np.ndarray) -> np.ndarray:
    record = store.read(run)
    assert record is not None
    model = record.config.model
    params = restore_params(find_checkpoint(store, record)[1], abstract_parameters(model))
    graph = nnx.split(nnx.eval_shape(lambda: init_model(model, nnx.Rngs(0))))[0]
    inputs = (tokens,) if model.kind == "decoder" else (tokens, tokens[:, ::-1])
    return np.asarray(jax.jit(lambda p, *x: nnx.merge(graph, p)(*x), compiler_options=FAST_COMPILE)(params, *inputs))


@pytest.mark.parametrize("name", HUGGING_FACE_MODELS)
def test_a_model_of_transformers_comes_back_bit_for_bit_with_the_same_logits(name: str, tmp_path: Path) -> None:
    model = HUGGING_FACE_MODELS[name]
    built = transformers_model(model, tmp_path / "in")
    store = open_store(tmp_path / "S")
    record, _ = import_model(store, tmp_path / "in", ImportOptions())
    assert replace(record.config.model, tied=model.tied) == replace(model, norm_offset=record.config.model.norm_offset)
    tokens = np.random.default_rng(0).integers(0, model.vocab, (2, LENGTH)).astype(np.int32)
    want = their_logits(built, tokens)
    np.testing.assert_allclose(our_logits(store, record.run_id, tokens), want, atol=1e-4, rtol=1e-5)
    assert np.abs(want).max() > 0.5
    export_run(store, record.run_id, tmp_path / "out", ExportOptions())
    before, after = (safetensors.load_file(tmp_path / side / "model.safetensors") for side in ("in", "out"))
    # transformers 5 saves T5 1.1, whose head is not tied, without its copy of the embedding
    assert after.keys() - before.keys() <= {"lm_head.weight"} and before.keys() <= after.keys()
    assert all(after[key].tobytes() == tensor.tobytes() for key, tensor in before.items())
    loaded, info = type(built).from_pretrained(tmp_path / "out", output_loading_info=True, attn_implementation="eager")
    assert not any(info.values())
    np.testing.assert_array_equal(their_logits(loaded.eval(), tokens), want)


def test_weights_in_bfloat16_stay_what_they_are(tmp_path: Path) -> None:
    transformers_model(HUGGING_FACE_MODELS["gemma2"], tmp_path / "in", "bfloat16")
    store = open_store(tmp_path / "S")
    record, _ = import_model(store, tmp_path / "in", ImportOptions())
    export_run(store, record.run_id, tmp_path / "out", ExportOptions(dtype="bfloat16"))
    before, after = (safetensors.load_file(tmp_path / side / "model.safetensors") for side in ("in", "out"))
    assert before.keys() == after.keys()
    assert all(after[key].tobytes() == tensor.tobytes() for key, tensor in before.items())


PUBLISHED = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "gpt3-175b", "llama2-7b", "llama2-70b", "llama3-8b",
             "gemma2-2b", "gemma2-9b", "gemma2-27b", "mixtral-8x7b", "t5-small", "t5-base")  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_as_many_parameters_in_transformers(name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(model_json(run_config(PRESETS[name]), "float32", {})))
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    with torch.device("meta"):
        built = getattr(transformers, config.architectures[0])(config)
    assert built.num_parameters() == parameters(PRESETS[name])["total"]


def byte_folder(folder: Path, model: ModelConfig) -> Path:
    """A model's folder with our byte tokens."""
    write_folder(folder, model)
    (folder / FILE).write_text(byte_tokenizer_json())
    (folder / CONFIG).write_text(json.dumps({"bos_token": END, "eos_token": END}))
    return folder


def test_an_exported_tokenizer_gives_exactly_our_byte_tokens(tmp_path: Path) -> None:
    byte_folder(tmp_path / "in", tiny("llama2-7b", vocab=257))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "in")
    for text in (
        "def f(x):\n\treturn 'é'  # two  spaces\n",
        "日本語、カタカナ",
        "😀👩‍👩‍👧 🇯🇵",
        "a\x00\x07\x1b[0m\x7f",
        "",
        " a",
    ):
        assert tokenizer(text).input_ids == [256, *text.encode()]
        assert tokenizer.decode([256, *text.encode()], skip_special_tokens=True) == text


def test_the_harnesss_own_backend_gives_the_same_log_likelihoods(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("lm_eval")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    from lm_eval.models.huggingface import HFLM

    from scaling.evaluation.harness.model import HarnessModel

    store = open_store(tmp_path / "S")
    source = byte_folder(tmp_path / "in", tiny("llama3-8b", kv_heads=2, vocab=257))
    config = json.loads((source / "config.json").read_text()) | {"max_position_embeddings": 1024}
    (source / "config.json").write_text(json.dumps(config))
    record, _ = import_model(store, source, ImportOptions())
    export_run(store, record.run_id, tmp_path / "out", ExportOptions())
    ours = HarnessModel(Scorer(load_model(store, record.run_id), Placement(data=1)))
    theirs = HFLM(pretrained=str(tmp_path / "out"), device="cpu", dtype="float32", batch_size=4, max_length=1024)
    theirs.too_long = defaultdict(dict)
    compared = 0
    for task, shots in (("mmlu", 0), ("mmlu", 2), ("gpqa_diamond_zeroshot", 0), ("arc_challenge", 0), ("mmlu", 1)):
        options = HarnessOptions(benchmarks=(task,), folder=str(LOCAL_TASKS), shots=shots)
        scores = []
        for model in (ours, theirs):
            scratch = tmp_path / f"{task}-{shots}-{len(scores)}"
            scratch.mkdir()
            output = evaluate_task(model, task, open_benchmark(task, options, scratch), options)
            rows = [row for name in sorted(output["samples"]) for row in output["samples"][name]]
            parts = [part for row in rows for choice in row["resps"] for part in choice]
            scores.append(np.array([np.ravel(part)[0] for part in parts], float))
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-4, rtol=1e-6, err_msg=task)
        assert len(scores[0]) and np.all(scores[0] < -1)
        compared += len(scores[0])
    assert compared > 20


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModelConfig]:
    """A tiny Llama made by transformers, with a tokenizer."""
    folder, model = tmp_path_factory.mktemp("models") / "llama", tiny("llama3-8b", kv_heads=2, vocab=264)
    transformers_model(model, folder)
    (folder / FILE).write_text(byte_tokenizer_json())
    (folder / CONFIG).write_text(json.dumps({"bos_token": END, "eos_token": END}))
    return folder, model


def fine_tuning(store: Store, folder: Path):
    """The parent's run and the config of its fine-tuning on repeated text."""
    parent, _ = import_model(store, folder, ImportOptions())
    text = folder.parent / "text.jsonl"
    text.write_text("".join(json.dumps({"text": "one two three four " * 30}) + "\n" for _ in range(40)))
    tokens = scaling.prepare(f"text:{text}", store)
    sets = [f"data.tokens={tokens.content_hash}", "data.length=32", "steps=50", "batch=4", "optimizer.lr=0.003"]
    return parent, with_initial_parameters([override(parent.config, sets)], store, parent.run_id)[0]


def test_an_imported_llama_is_fine_tuned_exported_and_loaded_by_transformers(llama, tmp_path: Path) -> None:
    folder, _ = llama
    store = open_store(tmp_path / "S")
    parent, config = fine_tuning(store, folder)
    assert config.init == parent.config.init and config.model == parent.config.model
    record = train_run(config, store)
    curve = losses(store, config)
    assert record.status == "done" and len(curve) == 50 and curve[-5:].mean() < 0.7 * curve[0]
    assert record.flops["total"] > 0 and record.about["parent"] == parent.run_id
    export_run(store, record.run_id, tmp_path / "out", ExportOptions())
    loaded = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokens = np.random.default_rng(0).integers(0, 256, (2, LENGTH)).astype(np.int32)
    np.testing.assert_allclose(
        our_logits(store, record.run_id, tokens), their_logits(loaded, tokens), atol=1e-4, rtol=1e-5
    )


def test_a_stopped_fine_tuning_continues_bit_for_bit_without_its_parent(llama, tmp_path: Path) -> None:
    stores = [open_store(tmp_path / name) for name in ("A", "B")]
    (_, config), (parent, same) = (fine_tuning(store, llama[0]) for store in stores)
    assert config == same
    whole = replace(config, steps=12)
    train_run(whole, stores[0])
    stopped = train_run(whole, stores[1], stop_after=5)
    assert stopped.status == "stopped"
    shutil.rmtree(stores[1].run_dir(parent.run_id))
    assert train_run(whole, stores[1]).status == "done"
    assert_same_run(stores[0], stores[1], whole)
    from scaling.training import initial

    initial._origins.clear()
    with pytest.raises(ConfigError, match=r"RunConfig.init = .*: no checkpoint in store .* --init RUN"):
        train_run(replace(whole, seed=3), open_store(shutil.copytree(tmp_path / "B", tmp_path / "C")))


def test_a_run_of_our_own_starts_another_and_a_parent_of_another_shape_is_one_line(llama, tmp_path: Path) -> None:
    store = open_store(tmp_path / "S")
    parent, config = fine_tuning(store, llama[0])
    first = replace(config, steps=3)
    train_run(first, store)
    from scaling.config.run import run_id

    (second,) = with_initial_parameters([replace(first, init=None)], store, run_id(first))
    assert second.init not in (None, first.init) and run_id(second) != run_id(first)
    assert train_run(second, store).status == "done"
    wide = replace(first, model=replace(first.model, mlp_width=48))
    with pytest.raises(ConfigError, match=r"--init .*ModelConfig.mlp_width = 48 \(there 40\): use the model"):
        with_initial_parameters([wide], store, parent.run_id)
