"""Makes a run of a model of transformers: record, config, checkpoint and tokenizer."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from scaling.config.model import ModelConfig
from scaling.config.objective import OBJECTIVE_MODEL_KINDS, DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.os_errors import open_file
from scaling.config.run import RunConfig, dumps, run_id
from scaling.config.validation import ConfigError, ValidatedConfig, one_line, require, shown
from scaling.counting import counts
from scaling.data.tokenizers import Tokenizer
from scaling.data.tokens import find_tokens, read_header
from scaling.inference.huggingface.families import Family, find_family
from scaling.inference.huggingface.read_config import FILE, read_model
from scaling.inference.huggingface.safetensors_files import Reader, file_digests
from scaling.inference.huggingface.tensors import Part, array_parts
from scaling.inference.huggingface.tokenizer import import_tokenizer
from scaling.inference.parameters import abstract_parameters, nested, parameter_hash
from scaling.program.array_checksums import array_checksums
from scaling.program.checkpoint import checkpoint_path
from scaling.program.checkpoint_files import LocalCheckpoint, named_leaves, open_checkpoint
from scaling.program.checkpoint_writer import Checkpoint, CheckpointWriter
from scaling.program.step import compute_dtype
from scaling.store.files import write_atomic
from scaling.store.origin.anonymous import public_configs
from scaling.store.origin.clock import current_date
from scaling.store.origin.commit import code_commit
from scaling.store.record import Record, Store

MAX_NAMED = 3  # tensors that a message names
STATED = ("stated_tokens", "stated_loss")  # figures of a record that fits use
UNUSED_RATE = 1.0  # learning rate of a run of no steps, whose config must have one


@dataclass(frozen=True, kw_only=True)
class ImportOptions(ValidatedConfig):
    """What is set about an imported model.

    Attributes:
        sweep: Name of a sweep, noted in the record.
        length: Longest context in tokens; None: the model's.
        tokens: Content hash of a token file of the store, the text of `activations`; empty: there is none.
        trained_tokens: Tokens that it was trained on, as its authors state; None: not known.
        loss: Its held-out loss in nats per token, as its authors state; None: not known.
    """

    sweep: str | None = None
    length: int | None = None
    tokens: str = ""
    trained_tokens: float | None = None
    loss: float | None = None

    def check(self) -> None:
        """Raises ConfigError where a stated figure is out of range."""
        require(
            self.trained_tokens is None or self.trained_tokens >= 1,
            f"--trained-tokens {self.trained_tokens}: must be 1 or more",
        )
        require(self.loss is None or self.loss > 0, f"--loss {self.loss}: must be above 0")


def import_model(store: Store, folder: Path, options: ImportOptions) -> tuple[Record, bool]:
    """Makes a run of no training steps with the parameters of a model.

    In memory are the parameters in float32, and while the checkpoint is written a second copy of them.

    Args:
        store: The store to write to.
        folder: Folder with config.json, safetensors files and a tokenizer.
        options: What is set about it.

    Returns:
        The record, and whether it is new.

    Raises:
        ConfigError: The folder has no such model, or one that is not supported.
        CorpusError: The tokenizer cannot be used.
    """
    require(folder.is_dir(), f"hf:{folder}: no such folder")
    data = _read_json(folder / FILE)
    try:
        model, context = read_model(data)
    except ConfigError as error:
        raise ConfigError(f"{folder}/{error}") from None
    family = find_family(model)
    store.check_writable()
    tokenizer = import_tokenizer(folder, store.token_files, data.get("eos_token_id"))
    check_vocabulary(folder, model, tokenizer)
    with ExitStack() as stack:
        reader = Reader(folder, stack)
        arrays = read_arrays(folder, family, model, reader)
        files = dict(file_digests(folder, reader.files))
    config = imported_config(store, model, context, parameter_hash(array_checksums(arrays)), tokenizer, options)
    about: dict[str, Any] = {
        "commit": code_commit() or "unknown", "started": current_date(), "precision": compute_dtype(config.precision),
        "imported": {"folder": folder.resolve().name, "architecture": family.architecture, "files": files},
    }  # fmt: skip
    if options.tokens:
        about["has_text"] = True
    if tokenizer is not None:
        about |= {"tokenizer": tokenizer.name, "corpus_facts": tokenizer.facts}
    stated = dict(zip(STATED, (options.trained_tokens, options.loss), strict=True))
    about |= {name: value for name, value in stated.items() if value is not None}
    record = Record(
        run_id=run_id(config), config=config, status="done", sweep=options.sweep, params=counts.parameters(model),
        about=about,
    )  # fmt: skip
    return write_run(store, record, arrays)


def _read_json(path: Path) -> Any:
    try:
        with open_file(path) as file:
            data = json.loads(file.read())
    except FileNotFoundError:
        raise ConfigError(f"{path}: missing: the folder has no model of Hugging Face") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {one_line(error)[:200]}") from None
    require(isinstance(data, dict), f"{path}: must be an object")
    return data


def check_vocabulary(folder: Path, model: ModelConfig, tokenizer: Tokenizer | None) -> None:
    """Raises ConfigError if a tokenizer has tokens that a model does not have.

    Args:
        folder: Their folder, for the message.
        model: The model.
        tokenizer: The tokenizer.
    """
    size = 0 if tokenizer is None else tokenizer.vocab
    require(size <= model.vocab, f"{folder}: the tokenizer has {size} tokens, but vocab_size = {model.vocab}")


def read_arrays(folder: Path, family: Family, model: ModelConfig, reader: Reader) -> dict[str, jax.Array]:
    """Reads our parameters by their dotted names; every tensor of the files must be one of the model's.

    Args:
        folder: The folder, for messages.
        family: The architecture.
        model: The model.
        reader: The tensors.

    Raises:
        ConfigError: Tensors are missing, unknown, or have another shape.
    """
    leaves = named_leaves(abstract_parameters(model))
    stored = stored_names(family, reader)
    if family.model_type == "t5" and not model.tied and "shared.weight" in stored:
        stored.setdefault("lm_head.weight", stored["shared.weight"])  # a tied head whose inputs are not scaled
    expected: dict[str, tuple[int, ...]] = {}
    for name, leaf in leaves.items():
        empty = np.broadcast_to(np.zeros((), np.float32), leaf.shape)  # takes no memory
        expected |= {part.name: part.shape for part in array_parts(family, model, name, empty)}
    _require_none(folder, "missing", [name for name in expected if name not in stored])
    others = [name for name in stored if name not in expected and not _is_copy(family, model, name)]
    _require_none(folder, "not of this model", others)
    for name, shape in expected.items():
        actual = reader.shapes[stored[name]]
        require(actual == shape, f"{folder}: tensor {name} has shape {list(actual)}: must be {list(shape)}")
    _check_copies(folder, model, stored, reader)
    arrays = {}
    for name, leaf in leaves.items():
        array = np.empty(leaf.shape, np.float32)
        part: Part
        for part in array_parts(family, model, name, array):
            part.write(reader.read(stored[part.name]))
        arrays[name] = jax.device_put(array, leaf.sharding)
    return arrays


def stored_names(family: Family, reader: Reader) -> dict[str, str]:
    """Returns the names of tensors in the files by the names that transformers has for them today.

    The first release of GPT-2 has no prefix; buffers that are no parameters are left out.

    Args:
        family: The architecture.
        reader: The tensors.
    """
    names = {}
    for name in reader.shapes:
        if name.endswith((".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")):  # constants of older versions
            continue
        bare = family.model_type == "gpt2" and not name.startswith(("transformer.", "lm_head."))
        names[f"transformer.{name}" if bare else name] = name
    return names


COPIES = {  # second names of the embedding of a tied model, and its first name
    "gpt2": ("transformer.wte.weight", ("lm_head.weight",)),
    "t5": ("shared.weight", ("lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight")),
}
DEFAULT_COPIES = ("model.embed_tokens.weight", ("lm_head.weight",))


def _is_copy(family: Family, model: ModelConfig, name: str) -> bool:
    """Whether a tensor may repeat the embedding."""
    names = COPIES.get(family.model_type, DEFAULT_COPIES)[1]
    return name in names and (model.tied or name != "lm_head.weight")


def _check_copies(folder: Path, model: ModelConfig, stored: dict[str, str], reader: Reader) -> None:
    family = find_family(model)
    first, others = COPIES.get(family.model_type, DEFAULT_COPIES)
    for name in others:
        if name in stored and _is_copy(family, model, name):
            equal = reader.shapes[stored[name]] == reader.shapes[stored[first]] and np.array_equal(
                reader.read(stored[name]), reader.read(stored[first])
            )
            require(equal, f"{folder}: {name} and {first} differ, but tie_word_embeddings says they are one")


def _require_none(folder: Path, problem: str, names: list[str]) -> None:
    listed = ", ".join(shown(name) for name in names[:MAX_NAMED])
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    require(not names, f"{folder}: tensor {listed}{more}: {problem}")


def imported_config(
    store: Store, model: ModelConfig, context: int, parameters: str, tokenizer: Tokenizer | None, options: ImportOptions
) -> RunConfig:
    """Returns the config of an imported model: a run of no steps from given parameters.

    `data.tokens` is the content hash of the text that the user names; without one it is the hash of the tokenizer's
    file, because the text of its training is not known.

    Args:
        store: The store.
        model: The model.
        context: The model's longest context in tokens.
        parameters: Hash of its parameters.
        tokenizer: Its tokenizer.
        options: What is set about it.

    Raises:
        ConfigError: The context or the token file does not suit the model.
    """
    length = context if options.length is None else options.length
    require(0 < length <= context, f"--length {length}: must be from 1 to the model's context, {context}")
    tokens = options.tokens or hashlib.sha256(b"" if tokenizer is None else _tokenizer_key(tokenizer)).hexdigest()
    if options.tokens:
        store.fetch_tokens(tokens)
        header = read_header(find_tokens(store.token_files, tokens))
        require(
            header["vocab"] <= model.vocab,
            f"--tokens {tokens[:12]}…: has a vocabulary of {header['vocab']}, the model one of {model.vocab}",
        )
    objective = next(name for name, kind in OBJECTIVE_MODEL_KINDS.items() if kind == model.kind)
    data = DataConfig(tokens=tokens, length=length, objective=objective)
    optimizer = OptimizerConfig(lr=UNUSED_RATE)
    return RunConfig(model=model, data=data, optimizer=optimizer, batch=1, steps=0, init=parameters)


def _tokenizer_key(tokenizer: Tokenizer) -> bytes:
    """Returns what identifies a tokenizer: the hash of its file, and the tokens that begin and end a text."""
    key = [tokenizer.facts.get("tokenizer_sha256", tokenizer.name), tokenizer.bos, tokenizer.eod]
    return json.dumps(key).encode()


def write_run(store: Store, record: Record, arrays: dict[str, jax.Array]) -> tuple[Record, bool]:
    """Writes checkpoint, config and record, the record last, and returns the record and whether it is new.

    Args:
        store: The store.
        record: The record.
        arrays: The parameters by their dotted names.
    """
    folder = store.run_dir(record.run_id)
    with store.lease(record.run_id):
        store.fetch_record(record.run_id)
        if (earlier := store.read_intact(record.run_id)) is not None and earlier.status == "done":
            stated = {name: record.about[name] for name in STATED if name in record.about}
            merged = replace(earlier, about=earlier.about | stated, sweep=record.sweep or earlier.sweep)
            if merged != earlier:
                store.write(merged)
            return merged, False
        path = checkpoint_path(folder / "checkpoints", record.config, 0)
        files, writer = open_checkpoint(store, path), CheckpointWriter()
        writer.save(Checkpoint(files, 0, [], {}), {"params": nested(arrays)})
        writer.wait()
        if isinstance(files, LocalCheckpoint):  # in a bucket it was written there
            store.upload(path)
        if store.token_files.is_dir():
            store.upload_tokens()
        [public] = public_configs(store.root, [record.config])
        write_atomic(folder / "config.json", dumps(public).encode())
        store.upload(folder / "config.json")
        store.write(record)
    return record, True
