"""FLOPs of runs by each counting convention that the columns of a table allow.

Key: N parameters, D tokens, C training FLOPs; n rows; V vocabulary, w width, l layers, s length of the context.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from analysis.data.columns.compute import FLOPS_PER_TOKEN
from analysis.data.columns.names import candidate_columns, is_nonembedding, name_readings
from analysis.data.table import Table, parse_column
from analysis.data.units import parse_unit
from analysis.studies.audit.findings import Count
from analysis.studies.audit.rows import Rows

NEAR = 0.05  # relative difference up to which two amounts of FLOPs are near each other
SHAPES = {  # usual names of the columns of the shape of a model
    "width": "d_model width dim model_dim hidden_size hidden n_embd embed_dim d_embed",
    "layers": "layers n_layers num_layers n_layer blocks num_blocks n_blocks depth",
    "context": "ctx context context_length seq_len seq_length sequence_length seqlen block_size length",
    "vocab": "vocab vocab_size vocabulary vocabulary_size n_vocab",
}
FULL_ATTENTION = 12.0  # FLOPs per token, layer, position and width: queries·keys and weights·values, both ways


def named_column(table: Table, names: Iterable[str]) -> tuple[str, np.ndarray] | None:
    """Returns the name and the numbers (n,) of the first column with one of some names; None if there is none.

    Args:
        table: Rows (n,).
        names: Usual names, most likely first.
    """
    by_reading = {reading: name for name in table.frame.columns for reading in name_readings(str(name))}
    for name in names:
        if name in by_reading:
            numbers = parse_column(table.frame[by_reading[name]], True, table.decimal_comma).values
            if np.isfinite(numbers).any():
                return str(by_reading[name]), numbers
    return None


def size_columns(rows: Rows) -> dict[str, np.ndarray]:
    """Returns the parameters (n,) by column, for each column of parameters that the table has.

    Args:
        rows: Rows (n,).
    """
    sizes: dict[str, np.ndarray] = {}
    if "N" in rows.values:
        sizes[rows.columns.names["N"]] = rows.values["N"]
    used = {name for letter, name in rows.columns.names.items() if letter != "N"}
    for candidate in candidate_columns(rows.table, "N"):
        if candidate.column in sizes or candidate.column in used or not candidate.has_numbers:
            continue
        numbers = parse_column(rows.table.frame[candidate.column], True, rows.table.decimal_comma).values
        sizes[candidate.column] = parse_unit("N", candidate.unit).convert(numbers) if candidate.unit else numbers
    return sizes


def flops_by_convention(rows: Rows) -> dict[str, np.ndarray]:
    """Returns the FLOPs (n,) by the name of each convention that the columns allow; empty without tokens.

    Args:
        rows: Rows (n,).
    """
    if not rows.has("D"):
        return {}
    D = rows.values["D"]
    conventions = {f"6·{name}·D": FLOPS_PER_TOKEN * N * D for name, N in size_columns(rows).items()}
    return conventions | {name: per_token * D for name, per_token in _shape_conventions(rows)}


def _shape_conventions(rows: Rows) -> Iterator[tuple[str, np.ndarray]]:
    """FLOPs per token (n,) of conventions that need the shape of the models: without embeddings, with attention."""
    shape = {part: named_column(rows.table, names.split()) for part, names in SHAPES.items()}
    width, layers, context, vocab = (shape[part] for part in ("width", "layers", "context", "vocab"))
    sizes = size_columns(rows)
    inner = next(((name, N) for name, N in sizes.items() if is_nonembedding(name)), None)
    if inner is None and sizes and width and vocab:
        name, N = next(iter(sizes.items()))
        inner = f"({name} − {vocab[0]}·{width[0]})", N - vocab[1] * width[1]
        if np.nanmin(inner[1], initial=np.inf) > 0:
            yield f"6·{inner[0]}·D", FLOPS_PER_TOKEN * inner[1]
    if inner is None and width and layers and not sizes:
        inner = f"12·{layers[0]}·{width[0]}²", 12 * layers[1] * width[1] ** 2
        yield f"6·{inner[0]}·D", FLOPS_PER_TOKEN * inner[1]
    base = inner or next(iter(sizes.items()), None)
    if base and width and layers and context:
        square = FULL_ATTENTION * layers[1] * context[1] * width[1]
        yield f"6·{base[0]}·D + causal attention", FLOPS_PER_TOKEN * base[1] + square / 2
        yield f"6·{base[0]}·D + full attention", FLOPS_PER_TOKEN * base[1] + square


def compare_counts(conventions: dict[str, np.ndarray], reference: np.ndarray) -> tuple[Count, ...]:
    """Returns each convention relative to reference FLOPs.

    Args:
        conventions: FLOPs (n,) by name.
        reference: FLOPs (n,) that the others are divided by.
    """
    counts = []
    for name, C in conventions.items():
        with np.errstate(all="ignore"):
            ratio = C / reference
        ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
        if len(ratio):
            near = float(np.mean(np.abs(ratio - 1) <= NEAR))
            counts.append(
                Count(name, len(ratio), float(ratio.min()), float(np.median(ratio)), float(ratio.max()), near)
            )
    return tuple(counts)
