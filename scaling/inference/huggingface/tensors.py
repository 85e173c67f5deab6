"""Our parameters as tensors of transformers: names, shapes, and views into our arrays, which serve both directions.

Axes: V vocabulary, D width, F hidden units, E experts, K key-value heads, G query heads per key-value head, J = G + 2,
h head dimension, H = K·G query heads.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from scaling.config.model import GATED_MLPS, ModelConfig
from scaling.inference.huggingface.families import Family

Shape = tuple[int, ...]
View = tuple[np.ndarray, Shape]  # a part of one of our arrays, and the shape of the tensor with these values


@dataclass(frozen=True)
class Part:
    """A tensor of transformers as a part of one of our arrays.

    Attributes:
        name: Name of the tensor.
        shape: Its shape.
        view: The part, with the tensor's values in its order.
        offset: Added to the values of the tensor to get ours.
    """

    name: str
    shape: Shape
    view: np.ndarray
    offset: float = 0.0

    def read(self) -> np.ndarray:
        """Returns the values of the tensor, float32."""
        values = np.ascontiguousarray(self.view).reshape(self.shape)
        return values - np.float32(self.offset) if self.offset else values

    def write(self, tensor: np.ndarray) -> None:
        """Sets the part of our array to the values of the tensor."""
        self.view[...] = tensor.reshape(self.view.shape)
        if self.offset:
            self.view[...] += np.float32(self.offset)


def same(a: np.ndarray) -> list[View]:
    """Returns the array itself."""
    return [(a, a.shape)]


def transposed(a: np.ndarray) -> list[View]:
    """Returns a matrix with outputs first, as torch.nn.Linear has it."""
    return [(a.T, a.T.shape)]


def head_rows(a: np.ndarray) -> list[View]:
    """Returns queries, keys and values of (D, K, J, h), each with outputs first."""
    D = len(a)
    parts = a[:, :, :-2].transpose(1, 2, 3, 0), a[:, :, -2].transpose(1, 2, 0), a[:, :, -1].transpose(1, 2, 0)
    return [(part, (math.prod(part.shape) // D, D)) for part in parts]


def head_biases(a: np.ndarray) -> list[View]:
    """Returns queries, keys and values of (K, J, h)."""
    return [(part, (math.prod(part.shape),)) for part in (a[:, :-2], a[:, -2], a[:, -1])]


def joined_heads(a: np.ndarray) -> list[View]:
    """Returns (D, K, 3, h) as GPT-2's one matrix, inputs first, with all queries, then keys, then values."""
    return [(a.transpose(0, 2, 1, 3), (len(a), math.prod(a.shape[1:])))]


def joined_biases(a: np.ndarray) -> list[View]:
    """Returns (K, 3, h) as GPT-2's one vector."""
    return [(a.transpose(1, 0, 2), (a.size,))]


def each_expert(a: np.ndarray) -> list[View]:
    """Returns the matrices of (E, in, out), each with outputs first."""
    return [(matrix.T, matrix.T.shape) for matrix in a]


@dataclass(frozen=True)
class Rule:
    """How one of our arrays, of one layer where it is stacked over layers, is divided into tensors.

    Attributes:
        names: Names of the tensors with `{i}` for the layer; one name with `{e}` for all experts.
        views: Their views.
    """

    names: tuple[str, ...]
    views: Callable[[np.ndarray], list[View]] = same

    def parts(self, array: np.ndarray, layer: int, offset: float) -> Iterator[Part]:
        """Yields the tensors of an array.

        Args:
            array: The array.
            layer: Index of its layer.
            offset: As in `Part`.
        """
        views = self.views(array)
        names = [name.format(i=layer, e=e) for e in range(len(views)) for name in self.names][: len(views)]
        for name, (view, shape) in zip(names, views, strict=True):
            yield Part(name, shape, view, offset)


def rules(family: Family, model: ModelConfig) -> dict[str, Rule]:
    """Returns the rule of each of our parameters, by its dotted name.

    Args:
        family: The architecture.
        model: The model.
    """
    if family.model_type == "gpt2":
        return _gpt2_rules(model)
    if family.model_type == "t5":
        return _t5_rules(model)
    return _llama_rules(family, model)


def _gpt2_rules(model: ModelConfig) -> dict[str, Rule]:
    out = {"embedding_VD": Rule(("transformer.wte.weight",)), "position_LD": Rule(("transformer.wpe.weight",))}
    for ours, theirs in (("norm", "ln_f"), ("blocks.attention_norm", "h.{i}.ln_1"), ("blocks.mlp_norm", "h.{i}.ln_2")):
        out |= {f"{ours}.g_D": Rule((f"transformer.{theirs}.weight",))}
        out |= {f"{ours}.b_D": Rule((f"transformer.{theirs}.bias",))}
    at = "transformer.h.{i}."
    out |= {
        "blocks.attention.qkv_DKJh": Rule((f"{at}attn.c_attn.weight",), joined_heads),
        "blocks.attention.b_KJh": Rule((f"{at}attn.c_attn.bias",), joined_biases),
        "blocks.attention.out_HD": Rule((f"{at}attn.c_proj.weight",)),
        "blocks.attention.b_D": Rule((f"{at}attn.c_proj.bias",)),
        "blocks.mlp.up_DF": Rule((f"{at}mlp.c_fc.weight",)),
        "blocks.mlp.b_up_F": Rule((f"{at}mlp.c_fc.bias",)),
        "blocks.mlp.down_FD": Rule((f"{at}mlp.c_proj.weight",)),
        "blocks.mlp.b_D": Rule((f"{at}mlp.c_proj.bias",)),
    }
    return out | _head(model)


def _llama_rules(family: Family, model: ModelConfig) -> dict[str, Rule]:
    at, norms = "model.layers.{i}.", {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
    if family.model_type == "gemma2":
        norms |= {
            "attention_out_norm": "post_attention_layernorm", "mlp_norm": "pre_feedforward_layernorm",
            "mlp_out_norm": "post_feedforward_layernorm",
        }  # fmt: skip
    heads = [f"{at}self_attn.{letter}_proj" for letter in "qkv"]
    out = {"embedding_VD": Rule(("model.embed_tokens.weight",)), "norm.g_D": Rule(("model.norm.weight",))}
    out |= {f"blocks.{ours}.g_D": Rule((f"{at}{theirs}.weight",)) for ours, theirs in norms.items()}
    out |= {
        "blocks.attention.qkv_DKJh": Rule(tuple(f"{name}.weight" for name in heads), head_rows),
        "blocks.attention.out_HD": Rule((f"{at}self_attn.o_proj.weight",), transposed),
    }
    if family.model_type == "mixtral":
        moe = f"{at}block_sparse_moe."
        out["blocks.mlp.router_DE"] = Rule((f"{moe}gate.weight",), transposed)
        for ours, theirs in (("gate_EDF", "w1"), ("up_EDF", "w3"), ("down_EFD", "w2")):
            out[f"blocks.mlp.{ours}"] = Rule((moe + "experts.{e}." + f"{theirs}.weight",), each_expert)
        return out | _head(model)
    for ours, theirs in (("gate_DF", "gate"), ("up_DF", "up"), ("down_FD", "down")):
        out[f"blocks.mlp.{ours}"] = Rule((f"{at}mlp.{theirs}_proj.weight",), transposed)
    if model.biases == "all":
        out["blocks.attention.b_KJh"] = Rule(tuple(f"{name}.bias" for name in heads), head_biases)
        out["blocks.attention.b_D"] = Rule((f"{at}self_attn.o_proj.bias",))
        for ours, theirs in (("b_gate_F", "gate"), ("b_up_F", "up"), ("b_D", "down")):
            out[f"blocks.mlp.{ours}"] = Rule((f"{at}mlp.{theirs}_proj.bias",))
    return out | _head(model)


def _t5_rules(model: ModelConfig) -> dict[str, Rule]:
    out = {"embedding_VD": Rule(("shared.weight",))}
    for stack, attentions in (("encoder", ("attention",)), ("decoder", ("attention", "across"))):
        first = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        out |= {f"{stack}.bucket_RK": Rule((first,)), f"{stack}.norm.g_D": Rule((f"{stack}.final_layer_norm.weight",))}
        at = f"{stack}.block." + "{i}.layer."
        for number, ours in enumerate(attentions):
            theirs = f"{at}{number}.{'EncDecAttention' if number else 'SelfAttention'}"
            out[f"{stack}.blocks.{ours}_norm.g_D"] = Rule((f"{at}{number}.layer_norm.weight",))
            for name, letter in (("q_DH", "q"), ("k_DH", "k"), ("v_DH", "v"), ("out_HD", "o")):
                out[f"{stack}.blocks.{ours}.{name}"] = Rule((f"{theirs}.{letter}.weight",), transposed)
        last = f"{at}{len(attentions)}."
        out[f"{stack}.blocks.mlp_norm.g_D"] = Rule((f"{last}layer_norm.weight",))
        gated = model.mlp in GATED_MLPS
        names = {"gate_DF": "wi_0", "up_DF": "wi_1"} if gated else {"up_DF": "wi"}
        for ours, theirs in (names | {"down_FD": "wo"}).items():
            out[f"{stack}.blocks.mlp.{ours}"] = Rule((f"{last}DenseReluDense.{theirs}.weight",), transposed)
    return out | _head(model)


def _head(model: ModelConfig) -> dict[str, Rule]:
    return {} if model.tied else {"head_DV": Rule(("lm_head.weight",), transposed)}


def array_parts(family: Family, model: ModelConfig, name: str, array: np.ndarray) -> Iterator[Part]:
    """Yields the tensors of one of our parameters.

    Args:
        family: The architecture.
        model: The model.
        name: Dotted name of the parameter.
        array: Its values, float32, stacked over layers where it is of a layer.
    """
    rule = rules(family, model)[name]
    offset = 1.0 if family.model_type == "gemma2" and not model.norm_offset and name.endswith(".g_D") else 0.0
    if "blocks" not in name.split("."):
        yield from rule.parts(array, 0, offset)
        return
    for layer, values in enumerate(array):
        yield from rule.parts(values, layer, offset)


def tensor_shapes(family: Family, model: ModelConfig, shapes: dict[str, Shape]) -> dict[str, Shape]:
    """Returns the shape of each tensor by its name, in the order of layers.

    Args:
        family: The architecture.
        model: The model.
        shapes: Shapes of our parameters by their dotted names.
    """
    out: dict[str, Shape] = {}
    for name, shape in shapes.items():
        empty = np.broadcast_to(np.zeros((), np.float32), shape)  # takes no memory
        out |= {part.name: part.shape for part in array_parts(family, model, name, empty)}
    return dict(sorted(out.items(), key=lambda item: natural_key(item[0])))


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Returns a key that sorts names by their numbers: layer 2 before layer 10."""
    groups = itertools.groupby(name, str.isdigit)
    texts = ("".join(group) for _, group in groups)
    return [(0, int(text), "") if text.isdigit() else (1, 0, text) for text in texts]
