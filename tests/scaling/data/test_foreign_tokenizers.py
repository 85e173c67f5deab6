"""Tokenisers that others made: text comes back, special tokens in it stay text, and the file's hash is the identity."""

import base64
import hashlib
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from scaling.data.tokenizers import Tokenizer, load_tokenizer, make_tokenizer, stored_tokenizer_name
from scaling.data.tokenizers.tokenizer import SAMPLES
from scaling.data.tokens import CorpusError
from sweeps.planning.corpus import locate_corpus

TEXTS = [
    "def f(x):\n    return x + 1\n",
    "日本語のテキスト、カタカナ。",
    "hello world, this is text ",
    "a\tb\x07 😀 é",
] * 8


def make(name: str, folder: Path) -> Tokenizer:
    return make_tokenizer(name, lambda: iter(()), folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Files that the three libraries wrote."""
    folder = tmp_path_factory.mktemp("tokenizers")
    write_byte_level(folder / "gpt")
    write_unigram(folder / "unigram")
    write_ranks(folder / "ranks.tiktoken")
    models = {
        "llama.model": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
                        "remove_extra_whitespaces": False, "vocab_size": 300},
        "t5.model": {"model_type": "unigram", "vocab_size": 40, "bos_id": -1},
        "no-end.model": {"model_type": "unigram", "vocab_size": 40, "eos_id": -1},
    }  # fmt: skip
    for name, options in models.items():
        (folder / name).write_bytes(train_model(**options))
    return folder


def write_byte_level(folder: Path) -> None:
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers, trainers

    library = Library(models.BPE())
    library.pre_tokenizer, library.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>", "<|im_end|>", "<s>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    library.train_from_iterator(TEXTS, trainer)
    library.enable_truncation(4)  # as many tokenizer.json on the hub have
    library.enable_padding(length=8)
    folder.mkdir()
    library.save(str(folder / "tokenizer.json"))
    config = {"eos_token": "<|endoftext|>", "bos_token": {"content": "<s>"}, "pad_token": None}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def write_unigram(folder: Path) -> None:
    """A tokenizer.json as T5's: `</s>` is a piece of the model itself, and NFKC normalises."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    pieces = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *((c, -3.0) for c in sorted(set("▁".join(TEXTS) + "<>/p"))),
    ]
    library = Library(models.Unigram(pieces, unk_id=2))
    library.normalizer, library.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    library.decoder = decoders.Metaspace()
    library.add_special_tokens(["<pad>", "</s>", "<unk>"])
    folder.mkdir()
    library.save(str(folder / "tokenizer.json"))


def write_ranks(path: Path) -> None:
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"he": 256, b"ll": 257, b"hell": 258, b"\xe6\x97": 259}
    path.write_bytes(b"".join(base64.b64encode(piece) + b" %d\n" % rank for piece, rank in ranks.items()))


def train_model(**options: object) -> bytes:
    import sentencepiece as sp

    model = io.BytesIO()
    sp.SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_writer=model, minloglevel=2, **options)
    return model.getvalue()


REVERSIBLE = ("hf:gpt", "hf:gpt/tokenizer.json", "tiktoken:ranks.tiktoken", "tiktoken:ranks.tiktoken,pattern=gpt2",
              "sentencepiece:llama.model")  # fmt: skip


def named(name: str, files: Path) -> str:
    kind, _, argument = name.partition(":")
    return f"{kind}:{files / argument}"


@pytest.mark.parametrize("name", REVERSIBLE)
def test_code_japanese_emoji_and_control_characters_come_back(name: str, files: Path, tmp_path: Path) -> None:
    tokenizer = make(named(name, files), tmp_path)
    lost = tokenizer.facts.get("tokenizer_not_reversible", [])
    assert lost == (["the character ▁"] if "llama" in name else [])
    documents = [text.encode() for sample, text in SAMPLES.items() if sample not in lost]
    documents += [b"", b"<|endoftext|></s><s><pad><unk><|im_end|>", ("x" + " " * 200_000 + "y").encode()]
    for document, tokens in zip(documents, tokenizer.encode_many(documents, 2), strict=True):
        assert tokenizer.decode(tokens) == document
        assert tokenizer.eod not in tokens and all(tokens >= 0) and all(tokens < tokenizer.vocab)
        assert np.array_equal(tokens, tokenizer.encode(document))
    loaded = load_tokenizer(tokenizer.name, tokenizer.facts, tmp_path, vocab=0, eod=None)
    assert (loaded.name, loaded.vocab, loaded.eod, loaded.facts) == (
        tokenizer.name, tokenizer.vocab, tokenizer.eod, tokenizer.facts,
    )  # fmt: skip
    assert np.array_equal(loaded.encode(documents[0]), tokenizer.encode(documents[0]))


def test_tokens_are_those_of_the_library_alone(files: Path, tmp_path: Path) -> None:
    import sentencepiece as sp
    import tiktoken
    from tokenizers import Tokenizer as Library

    text = "".join(TEXTS)
    library = Library.from_file(str(files / "gpt" / "tokenizer.json"))
    library.no_truncation(), library.no_padding()
    ranks = {
        base64.b64decode(a): int(b) for a, b in map(bytes.split, (files / "ranks.tiktoken").read_bytes().splitlines())
    }
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""
    alone = {
        "hf:gpt": library.encode(text, add_special_tokens=False).ids,
        "sentencepiece:t5.model": sp.SentencePieceProcessor(model_file=str(files / "t5.model")).encode(text),
        "tiktoken:ranks.tiktoken,pattern=gpt2": tiktoken.Encoding(
            "x", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}
        ).encode(text),
    }  # fmt: skip
    for name, ids in alone.items():
        assert make(named(name, files), tmp_path).encode(text.encode()).tolist() == ids


def test_what_a_normalising_tokenizer_loses_is_a_fact(files: Path, tmp_path: Path) -> None:
    for name in ("hf:unigram", "sentencepiece:t5.model"):
        lost = make(named(name, files), tmp_path).facts["tokenizer_not_reversible"]
        assert {"runs of spaces", "decomposed and compatibility characters"} <= set(lost)


@pytest.mark.parametrize("text", ["a </s> b", "</s>", "a＜/s＞b", "<pad></s><pad>"])
def test_the_text_of_a_special_token_never_becomes_it_where_the_model_has_it_as_a_piece(
    text: str, files: Path, tmp_path: Path
) -> None:
    tokenizer = make(named("hf:unigram", files), tmp_path)
    tokens = tokenizer.encode(text.encode())
    assert not {0, 1} & set(tokens.tolist()) and tokenizer.eod == 1
    assert (
        tokenizer.decode(tokens).replace(b" ", b"")
        == text.replace("＜", "<").replace("＞", ">").replace(" ", "").encode()
    )


def test_documents_end_with_the_token_that_the_files_name_or_an_option_does(files: Path, tmp_path: Path) -> None:
    expected = {
        "hf:gpt": ("<|endoftext|>", None), "hf:gpt,eod=<|im_end|>": ("<|im_end|>", None), "hf:gpt,eod=1": ("1", None),
        "hf:gpt,bos=yes": ("<|endoftext|>", "<s>"), "hf:unigram": ("</s>", None),
    }  # fmt: skip
    for name, (eod, bos) in expected.items():
        path = files / name.partition(":")[2].partition(",")[0]
        ids = {
            token["content"]: token["id"]
            for token in json.loads((path / "tokenizer.json").read_bytes())["added_tokens"]
        }
        tokenizer = make(named(name, files), tmp_path)
        assert (tokenizer.eod, tokenizer.bos) == (ids.get(eod, 1), ids.get(bos or "")), name
    ranks = make(named("tiktoken:ranks.tiktoken", files), tmp_path)
    assert (ranks.eod, ranks.vocab) == (260, 261)
    spaced = make(named("tiktoken:ranks.tiktoken,eod=300,bos=301", files), tmp_path)
    assert (spaced.eod, spaced.bos, spaced.vocab) == (300, 301, 302)
    llama = make(named("sentencepiece:llama.model,bos=yes", files), tmp_path)
    assert (llama.eod, llama.bos) == (2, 1)
    document = llama.encode_documents([b"hello"], "<u2")[0]
    assert document[0] == 1 and document[-1] == 2 and llama.decode(document) == b"hello"


def test_a_continuation_has_the_space_before_its_first_word(files: Path, tmp_path: Path) -> None:
    for name in ("sentencepiece:llama.model", "hf:unigram"):
        tokenizer = make(named(name, files), tmp_path)
        hello, world = tokenizer.encode(b"hello"), tokenizer.encode(b"world")
        assert tokenizer.decode(world) == b"world" and tokenizer.decode_after(hello, world) == b" world"


def test_bytes_of_a_character_that_is_cut_are_joined(files: Path, tmp_path: Path) -> None:
    for name in ("hf:gpt", "tiktoken:ranks.tiktoken"):
        tokenizer = make(named(name, files), tmp_path)
        tokens = tokenizer.encode("😀".encode())
        assert b"".join(tokenizer.decode(tokens[i : i + 1]) for i in range(len(tokens))) == "😀".encode()


def test_the_identity_is_the_hash_of_the_file_wherever_it_is(files: Path, tmp_path: Path) -> None:
    shutil.copytree(files / "gpt", tmp_path / "elsewhere" / "gpt")
    names = {make(f"hf:{folder}", tmp_path / "t").name for folder in (files / "gpt", tmp_path / "elsewhere" / "gpt")}
    data = (files / "gpt" / "tokenizer.json").read_bytes()
    assert names == {f"hf:gpt@{hashlib.sha256(data).hexdigest()[:12]}"}
    assert {stored_tokenizer_name(f"hf:{files / 'gpt'}")} == names
    assert (tmp_path / "t" / f"tokenizer-{hashlib.sha256(data).hexdigest()[:16]}.json").read_bytes() == data


def test_an_altered_or_missing_file_is_one_line(files: Path, tmp_path: Path) -> None:
    for name in REVERSIBLE:
        tokenizer = make(named(name, files), tmp_path)
        kept = tmp_path / tokenizer.facts["tokenizer_model"]
        for state in ("altered", "missing"):
            kept.write_bytes(b"{}") if state == "altered" else kept.unlink()
            with pytest.raises(CorpusError, match=f"{re.escape(str(kept))}: {state}: it is the .* copy it from"):
                load_tokenizer(tokenizer.name, tokenizer.facts, tmp_path, vocab=0, eod=None)
        with pytest.raises(CorpusError, match=r"missing|damaged facts"):
            load_tokenizer(tokenizer.name, {}, tmp_path, vocab=0, eod=None)


BAD = {
    "hf:{f}/none": "no file .*: must be a tokenizer.json or a folder that has it; nothing is downloaded",
    "hf:{f}/ranks.tiktoken": "is no tokenizer.json of the library tokenizers: ",
    "hf:{f}/gpt,eod=<nope>": "eod=<nope>: must be the text of one of its tokens, or an id below 300",
    "hf:{f}/unigram,bos=yes": "its files name no token that begins a text: give ,bos=TOKEN",
    "hf:{f}/gpt,pattern=x": "pattern is no option here: must be one of eod, bos",
    "hf:{f}/gpt,eod=1,eod=2": "an option is given twice",
    "sentencepiece:{f}/none.model": "No such file or directory",
    "sentencepiece:{f}/ranks.tiktoken": "is no SentencePiece model",
    "sentencepiece:{f}/no-end.model": "the model has no end-of-sentence token: name one with ,eod=TOKEN",
    "tiktoken:{f}/gpt/tokenizer.json": "line 1: must be a piece in base64 and its rank",
    "tiktoken:{f}/ranks.tiktoken,pattern=(": r"pattern=\(: Parsing error",
    "tiktoken:words": "must be a file of ranks .FILE.tiktoken., or one of gpt2, r50k_base",
    "tiktoken:cl100k_base": "cl100k_base.tiktoken is not in tiktoken's cache, and nothing is downloaded: put that file",
    "tiktoken:": "unknown tokenizer 'tiktoken:'",
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_one_line(name: str, files: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(CorpusError, match=BAD[name]) as error:
        make(name.format(f=files), tmp_path)
    assert "\n" not in str(error.value)


def test_a_named_encoding_is_read_from_the_cache_of_tiktoken(files: Path, tmp_path: Path, monkeypatch) -> None:
    """The rank file of an encoding is verified by the library, so a file of the test's own must be refused too."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(CorpusError) as error:
        make("tiktoken:r50k_base", tmp_path / "t")
    path = Path(re.search(r"put that file there as (\S+),", str(error.value))[1])
    assert path.parent == tmp_path
    shutil.copy(files / "ranks.tiktoken", path)
    with pytest.raises(CorpusError, match="not in tiktoken's cache"):
        make("tiktoken:r50k_base", tmp_path / "t")


def test_a_sweep_finds_the_corpus_of_a_tokenizer_file(files: Path, tmp_path: Path) -> None:
    from scaling.data.prepare import prepare

    (tmp_path / "text.txt").write_text("hello world. " * 200)
    corpus = f"text:{tmp_path / 'text.txt'}"
    path = prepare(corpus, tmp_path / "tokens", tokenizer=f"hf:{files / 'gpt'}")
    assert locate_corpus(tmp_path / "tokens", corpus, f"hf:{files / 'gpt'}").tokens[:16] in path.name
