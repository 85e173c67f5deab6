"""Tokenizers of exported and imported models."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from scaling.config.validation import ConfigError, require
from scaling.data import tokenizers
from scaling.data.tokenizers.files import read_kept_file
from scaling.data.tokenizers.hugging_face import byte_characters
from scaling.data.tokens import CorpusError
from scaling.inference.huggingface.safetensors_files import NEEDS_EXTRA
from scaling.store.files import write_atomic, write_json

FILE, MODEL, CONFIG = "tokenizer.json", "tokenizer.model", "tokenizer_config.json"
END = "<|endoftext|>"  # text of the token that ends a document, of byte tokens
MAX_CONFIG_BYTES = 1 << 22


def export_tokenizer(tokenizer: tokenizers.Tokenizer, tokens: Path, folder: Path) -> dict[str, int]:
    """Writes the tokenizer of a run for transformers.

    Args:
        tokenizer: The tokenizer.
        tokens: Folder of token files, which has the tokenizer's own file.
        folder: Folder of the exported model.

    Returns:
        `bos_token_id` and `eos_token_id`, as far as they exist. Each document begins after an end-of-document token in
        training, so that token begins texts too unless the tokenizer has another one for that.
    """
    kind = tokenizer.name.partition(":")[0]
    special: dict[str, int] = {}
    if tokenizer.eod >= 0:
        bos = tokenizer.eod if tokenizer.bos is None else tokenizer.bos
        special = {"bos_token_id": bos, "eos_token_id": tokenizer.eod}
    if kind == "bytes":
        write_atomic(folder / FILE, byte_tokenizer_json().encode())
        write_json(folder / CONFIG, {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": END, "eos_token": END})
    elif kind in ("hf", "sentencepiece"):
        data = read_kept_file(tokenizer.name, tokenizer.facts, tokens)
        write_atomic(folder / (FILE if kind == "hf" else MODEL), data)
        if kind == "hf":
            names = _token_texts(data, special)
            write_json(folder / CONFIG, {"tokenizer_class": "PreTrainedTokenizerFast"} | names)
        else:
            write_json(folder / CONFIG, {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_bos_token": False})
    else:  # tiktoken, and tokens without text (markov, seqio)
        return special
    return special


def _token_texts(data: bytes, special: dict[str, int]) -> dict[str, str]:
    """Returns `bos_token` and `eos_token` of a tokenizer.json, by the ids of these tokens."""
    library = import_tokenizers().Tokenizer.from_buffer(data)
    texts = {name.removesuffix("_id"): library.id_to_token(token) for name, token in special.items()}
    return {name: text for name, text in texts.items() if text is not None}


def byte_tokenizer_json() -> str:
    """Returns a tokenizer.json with our byte tokens: byte b is token b, and token 256 ends a document."""
    library = import_tokenizers()
    vocab = {character: byte for character, byte in byte_characters().items()}
    out = library.Tokenizer(library.models.BPE(vocab=vocab, merges=[]))
    out.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    out.decoder = library.decoders.ByteLevel()
    out.add_special_tokens([library.AddedToken(END, special=True, normalized=False)])
    out.post_processor = library.processors.TemplateProcessing(
        single=f"{END} $A", pair=f"{END} $A $B", special_tokens=[(END, tokenizers.BYTES_EOD)]
    )
    text: str = out.to_str(pretty=True)
    return text


def import_tokenizers() -> Any:
    """Imports the package tokenizers; ConfigError where it is not installed."""
    try:
        import tokenizers as library
    except ImportError:
        raise ConfigError(NEEDS_EXTRA) from None
    return library


def import_tokenizer(folder: Path, tokens: Path, eos: Any) -> tokenizers.Tokenizer | None:
    """Keeps the tokenizer of a model beside the token files of a store.

    Args:
        folder: Folder of the model.
        tokens: Folder of token files.
        eos: `eos_token_id` of config.json, used where the tokenizer's own files name no end of a document.

    Returns:
        The tokenizer, None where the folder has none.

    Raises:
        CorpusError: It cannot be used.
    """
    if (folder / FILE).is_file():
        return _open(f"hf:{folder}{_begin(folder)}", tokens, lambda: _end(folder, eos))
    for name in (MODEL, "spiece.model"):  # T5 has the second name
        if (folder / name).is_file():
            return _open(f"sentencepiece:{folder / name}", tokens, lambda: "")
    return None


def _open(name: str, tokens: Path, end: Any) -> tokenizers.Tokenizer:
    require("," not in name.partition(",bos=")[0], f"{name.partition(',')[0]}…: the path must have no comma")
    try:
        return tokenizers.make_tokenizer(name, lambda: iter(()), tokens)
    except CorpusError as error:
        if "no token ends a document" not in str(error) or not (option := end()):
            raise
        return tokenizers.make_tokenizer(name + option, lambda: iter(()), tokens)


def _begin(folder: Path) -> str:
    """Returns the option of a tokenizer.json whose texts begin with a token of their own."""
    named: Any = {}
    with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):  # an optional file
        path = folder / CONFIG
        named = json.loads(path.read_bytes()) if path.stat().st_size < MAX_CONFIG_BYTES else {}
    bos = named.get("bos_token") if isinstance(named, dict) else None
    text = bos.get("content") if isinstance(bos, dict) else bos
    if not isinstance(text, str):
        return ""
    try:
        library = import_tokenizers().Tokenizer.from_buffer((folder / FILE).read_bytes())
        first = library.encode("", add_special_tokens=True).ids[:1]
        return ",bos=yes" if first and first[0] == library.token_to_id(text) and text != named.get("eos_token") else ""
    except ConfigError:
        raise
    except Exception:  # the library raises Exception itself; `make_tokenizer` says what is wrong
        return ""


def _end(folder: Path, eos: Any) -> str:
    """Returns the option that names the end of a document by the text of a token."""
    token = eos[0] if isinstance(eos, list) and eos else eos
    if not isinstance(token, int) or isinstance(token, bool) or token < 0:
        return ""
    text = import_tokenizers().Tokenizer.from_buffer((folder / FILE).read_bytes()).id_to_token(token)
    return "" if text is None or "," in text else f",eod={text}"
