"""Evaluation of one sparse autoencoder: scores in its record, and tables of sequences and latents beside it.

    STORE/runs/RUN_ID/sae/sequences.STEP.parquet
    STORE/runs/RUN_ID/sae/latents.STEP.parquet

Axes: S sequences, D width, n latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scaling.evaluation.run import with_scores
from scaling.evaluation.sae.latents import density_histogram, nearest
from scaling.evaluation.sae.measures import COLUMNS, measure_batch
from scaling.evaluation.sae.scores import latent_scores, sequence_scores
from scaling.evaluation.sae.text import Subject, held_out_rows, row_batches
from scaling.evaluation.summary import Score, record_facts
from scaling.store.record import Store
from scaling.store.verification import parquet

LABEL = "sae"  # before the names of the scores in a record, as the name of a task
REMEDY = "`python -m scaling sae evaluate RUN` writes it again; or restore it from a copy, or remove it"


@dataclass(frozen=True)
class SaeEvaluation:
    """The result of an evaluation.

    Attributes:
        run: Run id of the autoencoder.
        step: Training steps done.
        tokens: Tokens of text.
        scores: Scores by name.
        histogram: Histogram of log10 densities (`density_histogram`).
        note: A line about text that is missing, or "".
    """

    run: str
    step: int
    tokens: int
    scores: dict[str, Score]
    histogram: list[dict[str, float]]
    note: str = ""


def evaluate_sae(subject: Subject, store: Store, tokens: int) -> SaeEvaluation:
    """Evaluates an autoencoder on held-out text of its model, and writes the results.

    Args:
        subject: The autoencoder and its model.
        store: The store.
        tokens: Number of tokens; all of the validation split where it has fewer.

    Raises:
        ConfigError: The number is not valid, or the model reads no text.
        CorpusError: There is no such text.
    """
    sae, rows_SX = subject.sae, held_out_rows(store, subject.model, tokens)
    columns, by_latent = measure_rows(subject, rows_SX)
    active_Sn = by_latent["active"]
    total = int(columns["tokens"].sum())
    table = latent_table(subject, by_latent, total)
    scores = sequence_scores(columns) | latent_scores(active_Sn, columns["tokens"])
    for name in ("encoder_cosine", "decoder_cosine"):
        if name in table:
            scores[f"max_{name}"] = Score(float(np.mean(table[name])), len(rows_SX))
    note = f"run {sae.record.run_id[:12]}: {total:,} tokens instead of {tokens:,}: the text has no more"
    result = SaeEvaluation(
        sae.record.run_id, sae.step, total, scores, density_histogram(table["density"], total),
        note if total < tokens else "",
    )  # fmt: skip
    write_evaluation(store, result, columns, table)
    return result


def measure_rows(subject: Subject, rows_SX: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Measures all rows.

    Args:
        subject: The autoencoder and its model.
        rows_SX: Tokens, int32 (S, L + 1).

    Returns:
        The columns of `sequence_scores`, float64; and of each latent `active`, (S, n), the tokens of each sequence on
        which it is active, and the sum and the largest of its activations, `sum` and `max`, (n,).
    """
    columns: dict[str, list[np.ndarray]] = {}
    active, total_n, largest_n = [], np.zeros(()), np.zeros(())
    for batch_BX, count in row_batches(rows_SX, subject):
        sequences, latents = measure_batch(subject, batch_BX)
        for name, values in sequences.items():
            columns.setdefault(name, []).append(np.asarray(values[:count], np.float64))
        active.append(np.asarray(latents["active"][:count]))
        total_n = total_n + np.asarray(latents["sum"][:count], np.float64).sum(0)
        largest_n = np.maximum(largest_n, np.asarray(latents["max"][:count]).max(0))
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    joined["tokens"] = np.full(len(rows_SX), rows_SX.shape[1] - 1.0)
    return joined, {"active": np.concatenate(active), "sum": total_n, "max": largest_n}


def latent_table(subject: Subject, by_latent: dict[str, np.ndarray], tokens: int) -> dict[str, np.ndarray]:
    """Returns the columns of the table of latents, (n,) each.

    Args:
        subject: The autoencoder and its model.
        by_latent: As of `measure_rows`.
        tokens: Number of tokens.
    """
    params, active_n = subject.sae.params, by_latent["active"].sum(0)
    table = {
        "latent": np.arange(len(active_n)),
        "active_tokens": active_n.astype(np.int64),
        "density": active_n / tokens,
        "mean_activation": by_latent["sum"] / np.maximum(active_n, 1),
        "max_activation": by_latent["max"],
    }
    for name, directions_nD in (("encoder", params["W_enc"].T), ("decoder", params["W_dec"])):
        index_n1, cosine_n1 = nearest(directions_nD)
        if cosine_n1.size:
            table |= {f"{name}_nearest": index_n1[:, 0], f"{name}_cosine": cosine_n1[:, 0].astype(np.float64)}
    return table


def write_evaluation(
    store: Store, result: SaeEvaluation, columns: dict[str, np.ndarray], table: dict[str, np.ndarray]
) -> None:
    """Writes scores into the record, then the tables of sequences and latents.

    Args:
        store: The store.
        result: The result.
        columns: Columns of the sequences.
        table: Columns of the latents; cells of dead latents that have no value are empty.
    """
    import pyarrow as pa

    record = store.read(result.run)
    if record is not None:
        facts = record_facts(LABEL, result.scores) | {f"{LABEL}/tokens": result.tokens}
        store.write(with_scores(record, result.step, facts))
    sequences: dict[str, Any] = {"sequence": np.arange(len(columns["tokens"]))}
    sequences |= {"tokens": columns["tokens"].astype(np.int64)} | {name: columns[name] for name in COLUMNS}
    sequences["x"] = pa.array(list(columns["x"].astype(np.float32)), pa.list_(pa.float32()))
    is_dead_n = table["active_tokens"] == 0
    latents = {
        name: pa.array(values_n, mask=is_dead_n if name in ("mean_activation", "max_activation") else None)
        for name, values_n in table.items()
    }
    for path, content in ((sequences_path, sequences), (latents_path, latents)):
        file = path(store, result.run, result.step)
        parquet.write_table(file, pa.table(content), "zstd")
        store.upload(file)


def sequences_path(store: Store, run: str, step: int) -> Path:
    """Returns the table of sequences of an evaluation."""
    return store.run_dir(run) / LABEL / f"sequences.{step}.parquet"


def latents_path(store: Store, run: str, step: int) -> Path:
    """Returns the table of latents of an evaluation."""
    return store.run_dir(run) / LABEL / f"latents.{step}.parquet"


def stored_scores(store: Store, run: str, step: int) -> dict[str, Score]:
    """Returns scores with their intervals from the stored table of sequences, without those of latents.

    Args:
        store: The store.
        run: Run id.
        step: Training steps of the autoencoder.

    Raises:
        FileNotFoundError: It has not been evaluated after this step.
        DamagedFileError: The file is damaged.
    """
    table = parquet.read_table(sequences_path(store, run, step), REMEDY, needs_digest=True)
    columns = {name: table[name].to_numpy().astype(np.float64) for name in ("tokens", *COLUMNS)}
    return sequence_scores(columns | {"x": np.array(table["x"].to_pylist(), np.float64)})
