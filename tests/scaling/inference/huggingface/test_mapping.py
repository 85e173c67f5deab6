"""Configs and tensors of transformers, from numbers alone: what goes out comes back, and what differs is named."""

import json
from dataclasses import replace

import numpy as np
import pytest

from scaling.config.model import ModelConfig
from scaling.config.presets import PRESETS
from scaling.config.validation import ConfigError
from scaling.counting.counts import parameters
from scaling.inference.huggingface.families import find_family
from scaling.inference.huggingface.read_config import read_model
from scaling.inference.huggingface.safetensors_files import split_shards
from scaling.inference.huggingface.tensors import array_parts, tensor_shapes
from scaling.inference.huggingface.write_config import model_json
from tests.support.models import HUGGING_FACE_MODELS, random_arrays, run_config, tiny

LLAMA, GPT2, GEMMA, MIXTRAL, T5 = (HUGGING_FACE_MODELS[name] for name in ("llama2", "gpt2", "gemma2", "mixtral", "t5"))
# gpt3-13b has 40 heads of dimension 128 at a width of 5140, which GPT-2 of transformers has not
EXPORTED = [name for name in PRESETS if not name.startswith(("chinchilla", "kaplan")) and name != "gpt3-13b"]


@pytest.mark.parametrize("name", EXPORTED)
def test_a_published_config_comes_back_as_it_was(name: str) -> None:
    model = PRESETS[name]
    data = json.loads(json.dumps(model_json(run_config(model), "float32", {})))
    back, context = read_model(data)
    assert context == (model.position_length or (512 if model.kind != "decoder" else 64))
    offset = {"norm_offset": True} if name.startswith("gemma") else {}  # transformers stores gains less 1
    same = {"head_dim": None} if model.head * model.heads == model.width else {}
    assert back == replace(
        model, **offset, **same, **({"attention_scale": None} if model.attention_scale == model.head else {})
    )


@pytest.mark.parametrize("name", HUGGING_FACE_MODELS)
def test_tensors_have_every_parameter_once_and_come_back_bit_for_bit(name: str) -> None:
    model = HUGGING_FACE_MODELS[name]
    family, arrays = find_family(model), random_arrays(model)
    shapes = tensor_shapes(family, model, {name: array.shape for name, array in arrays.items()})
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == parameters(model)["total"]
    tensors = {
        part.name: part.read() for name, array in arrays.items() for part in array_parts(family, model, name, array)
    }
    assert {name: tensor.shape for name, tensor in tensors.items()} == shapes
    for name, array in arrays.items():
        back = np.full_like(array, np.nan)
        for part in array_parts(family, model, name, back):
            part.write(tensors[part.name])
        np.testing.assert_array_equal(back, array)


def test_gains_of_gemma_without_an_offset_are_stored_less_one_and_exact_from_a_half_on() -> None:
    model = replace(GEMMA, norm_offset=False)
    gains = np.random.default_rng(0).uniform(0.5, 4, (32,)).astype(np.float32)
    (part,) = array_parts(find_family(model), model, "norm.g_D", gains)
    np.testing.assert_array_equal(part.read() + np.float32(1), gains)
    assert np.abs(part.read()).max() > 1 and part.read().min() < 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (replace(LLAMA, positions="alibi"), "ModelConfig.positions = 'alibi': Hugging Face's Llama has 'rotary'"),
        (replace(LLAMA, qk_norm=True), "ModelConfig.qk_norm = True"),
        (replace(LLAMA, mlp="gelu"), "ModelConfig.mlp = 'gelu'"),
        (replace(LLAMA, biases="qkv"), "ModelConfig.biases = 'qkv'"),
        (replace(LLAMA, window=8), "ModelConfig.window = 8 with window_pattern = 'L'"),
        (replace(LLAMA, attention_scale=3.0), "ModelConfig.attention_scale = 3.0"),
        (replace(LLAMA, parametrization="mup", base_width=16), "ModelConfig.parametrization = 'mup'"),
        (replace(LLAMA, width=33, head_dim=8), "ModelConfig.width = 33"),
        (replace(GPT2, head_dim=10), "ModelConfig.head_dim = 10: Hugging Face's GPT-2 has None or 8"),
        (replace(GPT2, kv_heads=2), "ModelConfig.kv_heads = 2"),
        (replace(GPT2, biases="none"), "ModelConfig.biases = 'none'"),
        (replace(GEMMA, embedding_scale=False), "ModelConfig.embedding_scale = False"),
        (replace(MIXTRAL, capacity=1.5), "ModelConfig.capacity = 1.5: Hugging Face's Mixtral has None"),
        (replace(MIXTRAL, gates="all"), "ModelConfig.gates = 'all'"),
        (replace(MIXTRAL, shared_experts=1), "ModelConfig.shared_experts = 1"),
        (replace(T5, attention_scale=None), "ModelConfig.attention_scale = None: Hugging Face's T5 has 1.0"),
        (replace(T5, kind="encoder", encoder_layers=None), "ModelConfig.kind = 'encoder'"),
        (tiny("chinchilla-70b"), "ModelConfig.positions = 'relative'"),
    ],
)
def test_a_model_that_no_architecture_has_is_refused_by_the_field_that_differs(
    model: ModelConfig, message: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        find_family(model)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "config.json: model_type = 'bert': must be one of gpt2, llama, gemma2, mixtral, t5"),
        ({"model_type": ["llama"]}, "config.json: model_type = ['llama']"),
        ({"hidden_size": None}, "config.json: hidden_size = None: must be a whole number above 0"),
        ({"hidden_size": "x"}, "config.json: hidden_size = 'x'"),
        ({"num_hidden_layers": 2.5}, "config.json: num_hidden_layers = 2.5"),
        ({"hidden_act": "gelu"}, "config.json: hidden_act = 'gelu': must be silu"),
        ({"mlp_bias": True}, "config.json: attention_bias and mlp_bias differ"),
        ({"num_key_value_heads": 3}, "config.json: ModelConfig.heads = 4: must be a multiple of kv_heads = 3"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}}, "config.json: rope_type = 'yarn'"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "config.json: rope_parameters = "),
        ({"quantization_config": {}}, "config.json: quantization_config"),
    ],
)
def test_a_config_that_we_do_not_have_is_refused_by_its_field(changes: dict, message: str) -> None:
    data = model_json(run_config(LLAMA), "float32", {}) | changes
    with pytest.raises(ConfigError) as refused:
        read_model(data)
    assert str(refused.value).startswith(message) and "\n" not in str(refused.value)


def test_rotary_parameters_of_transformers_5_mean_the_same_as_the_older_fields() -> None:
    model = HUGGING_FACE_MODELS["llama3, grouped, long"]
    old = model_json(run_config(model), "float32", {})
    new = {name: value for name, value in old.items() if not name.startswith("rope_")}
    new["rope_parameters"] = {**old["rope_scaling"], "rope_theta": old["rope_theta"]}
    assert read_model(new) == read_model(old) == (model, 64)


def test_files_are_filled_in_order_and_a_larger_tensor_has_one_of_its_own() -> None:
    assert split_shards({"a": 4, "b": 4, "c": 20, "d": 1, "e": 7}, 8) == [["a", "b"], ["c"], ["d", "e"]]
