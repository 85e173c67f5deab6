"""Loss against learning rate by model size and parametrisation, from the records of a store or from a table.

Key: r learning rates.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.data.columns.choice import ColumnChoice
from analysis.data.columns.named import find_columns, read_numbers
from analysis.data.columns.names import candidate_columns
from analysis.data.columns.reader import ColumnReader
from analysis.data.options import ReadOptions
from analysis.data.rows.where import filter_rows
from analysis.data.sources.readers import read_table
from analysis.data.table import Table, cell_texts
from analysis.data.units import LOSS_UNIT, parse_unit
from analysis.errors import DataError
from scaling.store.record import Record

MIN_RATES = 3  # smallest number of learning rates of a curve
# Fields of the model that may differ within a sweep of learning rates.
VARIED = ("width", "layers", "heads", "kv_heads", "mlp_width", "parametrization", "base_width", "base_depth",
          "base_head")  # fmt: skip
COLUMN_NAMES = {  # normalised names of the columns of a table
    "parametrization": "parametrization parametrisation parameterization parameterisation scheme scaling_rule",
    "width": "width d_model hidden_size hidden_dim n_embd embed_dim model_dim model_width dim hidden",
    "layers": "layers n_layers n_layer num_layers num_hidden_layers depth",
    "N": "params n_params parameters num_params n_parameters total_params model_size size n",
    "lr": "lr learning_rate peak_lr max_lr peak_learning_rate max_learning_rate base_lr eta",
    "D": "tokens n_tokens train_tokens d steps n_steps train_steps",
    "L": "loss val_loss",  # guessed as in other tables
}
ALIASES = {"sp": "standard", "mu_p": "mup", "μp": "mup", "µp": "mup", "complete_p": "completep"}
DIVERGED = ("", "nan", "inf", "+inf", "infinity", "diverged", "none", "null")  # cells of a loss
Size = tuple[int, int]  # width, layers


@dataclass(frozen=True)
class RateCurve:
    """Loss against learning rate for one model size and parametrisation.

    Attributes:
        parametrization: Name of the parametrisation.
        width: Width of the model, or its parameters if `layers` is 0.
        layers: Layers of the model, 1 if a table does not state them, 0 if the size is a number of parameters.
        rates: Peak learning rates in ascending order (r,).
        losses: Held-out losses, averaged over seeds (r,); NaN if a run diverged.
    """

    parametrization: str
    width: int
    layers: int
    rates: np.ndarray
    losses: np.ndarray

    @property
    def size(self) -> Size:
        """Width and layers."""
        return self.width, self.layers

    @property
    def inside(self) -> bool:
        """Whether the lowest loss has finite neighbours on both sides."""
        i = int(np.nanargmin(self.losses))
        return 0 < i < len(self.rates) - 1 and bool(np.isfinite(self.losses[i - 1 : i + 2]).all())

    @property
    def best(self) -> tuple[float, float]:
        """Rate and loss at the vertex of the parabola through the lowest three points, or at an end of the grid."""
        i = int(np.nanargmin(self.losses))
        if not self.inside:
            return float(self.rates[i]), float(self.losses[i])
        x, y = np.log(self.rates[i - 1 : i + 2]), self.losses[i - 1 : i + 2]
        a, b, c = np.polyfit(x - x[1], y, 2)
        return float(np.exp(x[1] - b / (2 * a))), float(c - b**2 / (4 * a))


def rate_curves(records: Sequence[Record], name: str) -> list[RateCurve]:
    """Returns the curves of the sweep of learning rates in a store.

    Args:
        records: The records of the store.
        name: Name of the store in messages.

    Raises:
        DataError: There is no sweep, or there are several.
    """
    sweeps: dict[Any, dict[tuple[str, int, int], dict[float, list[float]]]] = defaultdict(dict)
    for record in records:
        if record.status not in ("done", "diverged"):
            continue
        model = record.config.model
        losses = sweeps[_sweep_key(record)].setdefault((model.parametrization, model.width, model.layers), {})
        loss = record.final["loss"] if record.status == "done" else np.nan
        losses.setdefault(record.config.optimizer.lr, []).append(loss)
    curves_by_sweep = [
        curves
        for by_size in sweeps.values()
        if (curves := [_curve(key, losses) for key, losses in sorted(by_size.items()) if _is_curve(losses)])
    ]
    if not curves_by_sweep:
        raise DataError(
            f"{name}: no model was trained at {MIN_RATES} or more learning rates: launch the sweep transfer-check first"
        )
    if len(curves_by_sweep) > 1:
        raise DataError(
            f"{name}: contains {len(curves_by_sweep)} sweeps of learning rates, which differ in more than rate, "
            "size and seed: give a store with one sweep"
        )
    return curves_by_sweep[0]


def _is_curve(losses: dict[float, list[float]]) -> bool:
    return len(losses) >= MIN_RATES and any(np.isfinite(np.mean(values)) for values in losses.values())


def _curve(key: tuple[str, int, int], losses: dict[float, list[float]]) -> RateCurve:
    rates = np.array(sorted(losses))
    return RateCurve(*key, rates, np.array([np.mean(losses[rate]) for rate in rates]))


def _sweep_key(record: Record) -> Any:
    """Fields that all runs of one sweep share: all but rate, seed, size and parametrisation."""
    config = record.config
    model = tuple(
        getattr(config.model, field.name) for field in dataclasses.fields(config.model) if field.name not in VARIED
    )
    optimizer = dataclasses.replace(config.optimizer, lr=1.0)
    return (model, optimizer, config.data, config.batch, config.steps, config.schedule, config.precision)


def rate_curves_of_table(source: Any, reading: ReadOptions = ReadOptions()) -> tuple[list[RateCurve], str]:
    """Returns the curves of a table with a row per run, and the unit of the loss.

    Args:
        source: File of the table, a DataFrame or columns by name: lr, a loss, and width, layers or params.
        reading: Columns and rows.

    Raises:
        DataError: A column is missing, a cell is not a number, or there are several lengths of training.
    """
    table = read_table(source, reading)
    losses = candidate_columns(table, "L")
    guessed = {"L": losses[0].column} if losses and "L" not in reading.columns else {}
    names = find_columns(table, COLUMN_NAMES, {**guessed, **reading.columns}, ("lr", "L"))
    if not {"width", "layers", "N"} & set(names):
        raise DataError(f"{table.name}: no column for width, layers or N: name one with --columns width=NAME")
    unit = losses[0].unit if guessed else None
    table = filter_rows(table, reading.where, ColumnReader(ColumnChoice({}, frozenset(), {})))
    if not len(table.frame):
        raise DataError(f"{table.name}: no rows{': ' if table.notes else ''}{'; '.join(table.notes)}")
    loss, lr = read_numbers(table, names["L"], DIVERGED), read_numbers(table, names["lr"])
    converted = parse_unit("L", unit) if unit else None
    loss = converted.convert(loss) if converted else loss
    if (lr <= 0).any():
        raise DataError(f"{table.name}: column {names['lr']}: learning rates must be greater than 0")
    if "D" in names and len(np.unique(read_numbers(table, names["D"]))) > 1:
        raise DataError(f"{table.name}: several values of {names['D']}: select one with --where {names['D']}==...")
    keys = zip(_parametrizations(table, names), *_sizes(table, names), strict=True)
    by_size: dict[tuple[str, int, int], dict[float, list[float]]] = {}
    for key, rate, value in zip(keys, lr, loss, strict=True):
        by_size.setdefault(key, {}).setdefault(float(rate), []).append(float(value))
    curves = [_curve(key, values) for key, values in sorted(by_size.items()) if _is_curve(values)]
    if not curves:
        raise DataError(f"{table.name}: no model size has {MIN_RATES} or more learning rates")
    return curves, converted.loss_unit if converted else LOSS_UNIT


def _parametrizations(table: Table, names: dict[str, str]) -> list[str]:
    """Parametrisation of each row; empty if the table does not state it."""
    if "parametrization" not in names:
        return [""] * len(table.frame)
    texts = [text.lower().replace("-", "_") for text in cell_texts(table.frame[names["parametrization"]])]
    return [ALIASES.get(text, text) for text in texts]


def _sizes(table: Table, names: dict[str, str]) -> tuple[list[int], list[int]]:
    """Width and layers of each row: (parameters, 0) if the table has neither."""
    ones = np.ones(len(table.frame))
    if not {"width", "layers"} & set(names):
        return [int(N) for N in read_numbers(table, names["N"])], [0] * len(ones)
    columns = (read_numbers(table, names[name]) if name in names else ones for name in ("width", "layers"))
    width, layers = ([int(value) for value in values] for values in columns)
    return width, layers
