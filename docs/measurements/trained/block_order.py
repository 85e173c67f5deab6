"""Order of the data: the loss of runs that read blocks of the corpus, against runs that read it fully shuffled."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from scipy import stats

from docs.measurements.results import Column, Results, Table, Value
from docs.measurements.session import Session
from scaling.config.run import RunConfig, run_id
from scaling.config.validation import from_dict
from scaling.data.shards.blocks import BlockOrder
from scaling.data.tokens import TokenFile, find_tokens, open_tokens
from scaling.data.windows import WindowOrder
from scaling.store.record import Store

SEEDS, LENGTH, BATCH, STEPS = 4, 64, 16, 250
RUN = {
    "model": {"vocab": 257, "width": 16, "layers": 2, "heads": 2, "mlp_width": 44},
    "optimizer": {"lr": 0.01},
    "batch": BATCH,
    "steps": STEPS,
    "schedule": {"warmup": 25},
}
SIZES = {  # tokens of a block, blocks of a group
    "default sizes": (1 << 21, 64),
    "small blocks": (1 << 12, 64),
    "few small blocks": (1 << 12, 16),
}


def run_configs(tokens: str, sizes: tuple[int, int] | None, seeds: int) -> list[RunConfig]:
    """Returns the runs of one order that differ in their seed.

    Args:
        tokens: Content hash of the corpus.
        sizes: Tokens of a block, and blocks of a group; None for the order `random`.
        seeds: Number of runs.
    """
    data: dict[str, Any] = {"tokens": tokens, "length": LENGTH}
    if sizes is not None:
        data |= {"order": "blocks", "block_tokens": sizes[0], "block_group": sizes[1]}
    return [from_dict(RunConfig, {**RUN, "data": data, "seed": seed}) for seed in range(seeds)]


def measure(session: Session) -> Results:
    """Trains pairs of runs with one seed in each order, and compares the held-out losses within the pairs."""
    seeds = 2 if session.small else SEEDS
    prepared = session.json("scaling", "prepare", "cpython", "--store", "STORE", "--json")
    tokens = prepared["tokens"] if isinstance(prepared, dict) else prepared
    arms = {name: run_configs(tokens, sizes, seeds) for name, sizes in {"random": None, **SIZES}.items()}
    for name, configs in arms.items():
        paths = [f"STORE/{name.replace(' ', '-')}-{config.seed}.json" for config in configs]
        for path, config in zip(paths, configs, strict=True):
            fields = {**RUN, "data": config.data.identity, "seed": config.seed}
            (session.store / path.removeprefix("STORE/")).write_text(json.dumps(fields, indent=1))
        session.train("scaling", "train", *paths, "--store", "STORE")
    store = Store(session.store)
    text = open_tokens(find_tokens(store.token_files, tokens))
    losses = {name: final_losses(store, configs) for name, configs in arms.items()}
    rows = [
        [name, *sizes, distinct_blocks(text, sizes), same_block(text, sizes), same_block(text, sizes, shuffled=True),
         difference(losses[name], losses["random"])]
        for name, sizes in SIZES.items()
    ]  # fmt: skip
    columns = [
        Column("blocks"),
        Column("tokens of a block", ","),
        Column("blocks of a group"),
        Column("blocks that the run reads", ","),
        Column("pairs of a batch in one block", ".2%"),
        Column("of a full shuffle", ".2%"),
        Column("loss beyond that of the full shuffle, nats per byte [95% interval]", ".4f"),
    ]
    values = {
        "seeds": Value(seeds),
        "steps": Value(STEPS, ","),
        "tokens": Value(len(text.train) / 1e6, ".1f"),
        "default": Value(-(-len(text.train) // SIZES["default sizes"][0])),
        "spread": Value(float(np.std(losses["random"], ddof=1)), ".4f"),
        "loss": Value(float(np.mean(losses["random"])), ".3f"),
    }
    return Results({"main": Table(columns, rows)}, values)


def final_losses(store: Store, configs: list[RunConfig]) -> np.ndarray:
    """Returns the held-out loss of each run, nats per token."""
    records = [store.read(run_id(config)) for config in configs]
    return np.array([record.final["loss"] for record in records if record is not None])


def difference(losses: np.ndarray, reference: np.ndarray) -> list[float]:
    """Returns the mean difference of paired losses with Student's 95% interval."""
    pairs = losses - reference
    mean, half = float(pairs.mean()), float(stats.t.ppf(0.975, len(pairs) - 1) * stats.sem(pairs))
    return [mean, mean - half, mean + half]


def _batches(text: TokenFile, blocks: BlockOrder | None) -> np.ndarray:
    """Returns the windows of each batch of the run with seed 0, (STEPS, BATCH)."""
    order = WindowOrder(text, 0, LENGTH, None, None, blocks)
    return order.windows(np.arange(STEPS * BATCH)).reshape(STEPS, BATCH)


def distinct_blocks(text: TokenFile, sizes: tuple[int, int]) -> int:
    """Returns how many blocks the run reads something of."""
    return len(np.unique(_batches(text, BlockOrder(*sizes)) // BlockOrder(*sizes).windows(LENGTH)))


def same_block(text: TokenFile, sizes: tuple[int, int], shuffled: bool = False) -> float:
    """Returns the share of the pairs of rows of a batch that come from one block.

    Args:
        text: The corpus.
        sizes: Tokens of a block, and blocks of a group.
        shuffled: Whether the rows are those of the order `random`.
    """
    blocks = BlockOrder(*sizes)
    which = _batches(text, None if shuffled else blocks) // blocks.windows(LENGTH)
    equal = int(np.sum(which[:, :, None] == which[:, None, :]))
    return (equal - which.size) / (STEPS * BATCH * (BATCH - 1))
