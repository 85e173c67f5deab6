"""`python -m scaling prepare CORPUS`: turns a corpus into a token file, or into shards of tokens."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from scaling.config.exit_status import DONE
from scaling.data import TOKENIZER_HELP
from scaling.data.corpora import CORPORA
from scaling.store.origin.options import add_anonymous_argument

if TYPE_CHECKING:
    from scaling.data.prepare import PrepareOptions
    from scaling.data.tokens import TokenFile

CORPUS_HELP = (
    "cpython (the source of Python's standard library), text:PATH (a file or folder: text in UTF-8, JSON lines with a "
    "field text), jsonl:PATH, parquet:PATH, hf:PATH or arrayrecord:PATH (files, folders, globs, addresses), "
    "megatron:PREFIX, nanogpt:PATH or npy:PATH (tokens that others made), tfds:NAME,feature=text, "
    "seqio:TASK,module=MODULE, mix:cpython=0.8,addition:1-5=0.2 (by share of the bytes, of the tokens with by=tokens; "
    "a part with options in parentheses: (jsonl:PATH,field=content)=0.5), FILE.py:NAME,key=value (a function of yours "
    f"that yields documents), or one made by a rule; all kinds: {', '.join(CORPORA)}"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("corpus", metavar="CORPUS", help=CORPUS_HELP)
    parser.add_argument("--store", required=True, metavar="DIR", help="the store to write the tokens to")
    parser.add_argument("--tokenizer", default="bytes", help=TOKENIZER_HELP)
    parser.add_argument("--processes", type=int, metavar="N", help="processes that encode (default: one per core)")
    parser.add_argument(
        "--shard-tokens", metavar="T", help="write shards of T tokens, such as 256M, instead of one token file "
        "(default for a corpus whose files have more than 256 MB, and with --to)",
    )  # fmt: skip
    parser.add_argument(
        "--to", metavar="ADDRESS", help="write the shards to this folder or address, such as gs://BUCKET/corpora"
    )
    parser.add_argument(
        "--skip-bad", type=int, default=0, metavar="N", help="skip and name up to N bad records of files (default 0)"
    )
    add_anonymous_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Prepares the corpus and prints the token file's path, counts and content hash."""
    from scaling.commands.interface.prepare import prepare
    from scaling.data.anonymize import make_anonymous
    from scaling.store.open import open_store

    if args.anonymous:
        make_anonymous(open_store(args.store))
    tokens = prepare(args.corpus, args.store, tokenizer=args.tokenizer, options=read_options(args))
    if args.json:
        print(json.dumps(describe(tokens)))
    else:
        print(
            f"{tokens.path}\n  {tokens.counts[0]:,} training and {tokens.counts[1]:,} validation tokens of "
            f"{tokens.documents:,} documents, vocabulary {tokens.vocab}\n  data.tokens = {tokens.content_hash}"
        )
    return DONE


def read_options(args: argparse.Namespace) -> PrepareOptions:
    """Returns the options of the preparation; ConfigError where one is out of range."""
    from scaling.config.validation import ConfigError
    from scaling.data.prepare import PrepareOptions
    from scaling.data.prepare.options import parse_count

    try:
        shard_tokens = None if args.shard_tokens is None else parse_count(args.shard_tokens)
    except ValueError:
        raise ConfigError(f"--shard-tokens {args.shard_tokens}: must be a number of tokens, such as 256M") from None
    return PrepareOptions(args.processes, shard_tokens, args.skip_bad, args.to)


def describe(tokens: TokenFile) -> dict[str, object]:
    """Returns the facts of a token file that `--json` prints."""
    return {
        "path": str(tokens.path), "tokens": tokens.content_hash, "corpus": tokens.corpus,
        "tokenizer": tokens.tokenizer, "vocab": tokens.vocab, "eod": tokens.eod, "train": tokens.counts[0],
        "validation": tokens.counts[1], "documents": tokens.documents, "facts": tokens.facts,
    }  # fmt: skip
