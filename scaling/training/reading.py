"""The tokens that a run reads: opening them, and fetching ahead what lies in a bucket.

Rows are a pure function of their number, so what the next steps read is known in advance, and nothing about it is
saved: a run that resumes starts to fetch ahead from its step. Each host fetches for its own rows only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.sharding import NamedSharding

from scaling.config.placement import Placement
from scaling.config.run import RunConfig
from scaling.data import examples, tokens, windows
from scaling.data.shards.reader import ReadOptions, TokenSplit, open_shards
from scaling.distributed.sharding import local_rows
from scaling.store.record import Store
from scaling.training.run import Run

PREFETCH_ROWS = 256  # of one call; each of them is one request where windows are read alone


def open_tokens(config: RunConfig, store: Store, placement: Placement) -> tokens.TokenFile:
    """Opens the token file or the sharded corpus of a run.

    Args:
        config: The run's configuration; `data.tokens` names the tokens by their content hash.
        store: Where the file, or the manifest of the shards, is.
        placement: Where the shards are read from, and the size of the cache.

    Raises:
        CorpusError: The tokens are missing, damaged, or those at `placement.token_address` have another content.
    """
    options = ReadOptions(address=placement.token_address, cache_gb=placement.token_cache_gb)
    if placement.token_address:
        shards = open_shards(placement.token_address, options)
        if shards.content_hash != config.data.tokens:
            raise tokens.CorpusError(
                f"Placement.token_address = {placement.token_address}: its content hash is "
                f"{shards.content_hash[:16]}…, the run's is {config.data.tokens[:16]}…"
            )
        return shards
    store.fetch_tokens(config.data.tokens)
    return tokens.open_tokens(tokens.find_tokens(store.token_files, config.data.tokens), options)


def open_corpus(
    config: RunConfig, store: Store, placement: Placement
) -> tuple[tokens.TokenFile, np.ndarray, dict[str, Any]]:
    """Opens the tokens of a run and reads its validation rows; arguments as for `open_tokens`.

    Returns:
        The tokens, the rows of the validation split, and facts for the record.

    Raises:
        CorpusError: The tokens are missing, or do not suit the configuration.
    """
    token_file = open_tokens(config, store, placement)
    examples.check_run(token_file, config)
    rows = examples.validation_rows(token_file, config)
    facts: dict[str, Any] = {
        "tokens_file": token_file.path.name, "corpus": token_file.corpus, "tokenizer": token_file.tokenizer,
    }  # fmt: skip
    return token_file, rows, facts | ({"corpus_facts": token_file.facts} if token_file.facts else {})


def read_ahead(run: Run, step: int, sharding: NamedSharding | None = None) -> None:
    """Starts to fetch what the steps after this one read; does nothing for tokens on this machine.

    Args:
        run: The run.
        step: Number of finished steps.
        sharding: Sharding of the batch, of which only the rows on this host's devices are fetched; None: all rows.
    """
    split, config = run.tokens.train, run.config
    if not isinstance(split, TokenSplit) or not split.source.is_remote:
        return
    order = examples.row_order(run.tokens, config)
    end = config.sequences(step) + windows.rows_ahead(order)
    ahead, rows = max(run.fetched_ahead, step), []
    while ahead < config.steps and config.sequences(ahead) < end:
        size = config.batch_at(ahead)
        local = np.arange(size, dtype=np.int64) if sharding is None else local_rows(sharding, size)
        rows.append(config.sequences(ahead) + local)
        ahead += 1
    run.fetched_ahead = ahead
    all_rows = np.concatenate([np.zeros(0, np.int64), *rows])
    for start in range(0, len(all_rows), PREFETCH_ROWS):
        windows.prefetch_rows(order, all_rows[start : start + PREFETCH_ROWS])
