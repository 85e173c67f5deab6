"""Nonlinear problems of the NIST Statistical Reference Datasets: models, files and certified values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tests.support.commands import PUBLISHED

FOLDER = PUBLISHED / "nist_strd"
EXPONENTIALS = "b1 * np.exp(-b2 * x) + b3 * np.exp(-b4 * x) + b5 * np.exp(-b6 * x)"
PEAKS = "b1 * np.exp(-b2 * x) + b3 * np.exp(-((x - b4) ** 2) / b5**2) + b6 * np.exp(-((x - b7) ** 2) / b8**2)"
CUBICS = "(b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)"
MODELS = {
    "Bennett5": "b1 * (b2 + x) ** (-1 / b3)",
    "BoxBOD": "b1 * (1 - np.exp(-b2 * x))",
    "Chwirut1": "np.exp(-b1 * x) / (b2 + b3 * x)",
    "Chwirut2": "np.exp(-b1 * x) / (b2 + b3 * x)",
    "DanWood": "b1 * x**b2",
    "ENSO": "b1 + b2 * np.cos(2 * np.pi * x / 12) + b3 * np.sin(2 * np.pi * x / 12)"
    " + b5 * np.cos(2 * np.pi * x / b4) + b6 * np.sin(2 * np.pi * x / b4)"
    " + b8 * np.cos(2 * np.pi * x / b7) + b9 * np.sin(2 * np.pi * x / b7)",
    "Eckerle4": "(b1 / b2) * np.exp(-0.5 * ((x - b3) / b2) ** 2)",
    "Gauss1": PEAKS,
    "Gauss2": PEAKS,
    "Gauss3": PEAKS,
    "Hahn1": CUBICS,
    "Kirby2": "(b1 + b2 * x + b3 * x**2) / (1 + b4 * x + b5 * x**2)",
    "Lanczos1": EXPONENTIALS,
    "Lanczos2": EXPONENTIALS,
    "Lanczos3": EXPONENTIALS,
    "MGH09": "b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4)",
    "MGH10": "b1 * np.exp(b2 / (x + b3))",
    "MGH17": "b1 + b2 * np.exp(-x * b4) + b3 * np.exp(-x * b5)",
    "Misra1a": "b1 * (1 - np.exp(-b2 * x))",
    "Misra1b": "b1 * (1 - (1 + b2 * x / 2) ** -2)",
    "Misra1c": "b1 * (1 - (1 + 2 * b2 * x) ** -0.5)",
    "Misra1d": "b1 * b2 * x / (1 + b2 * x)",
    "Nelson": "b1 - b2 * x1 * np.exp(-b3 * x2)",  # of log y
    "Rat42": "b1 / (1 + np.exp(b2 - b3 * x))",
    "Rat43": "b1 / (1 + np.exp(b2 - b3 * x)) ** (1 / b4)",
    "Roszman1": "b1 - b2 * x - np.arctan(b3 / (x - b4)) / np.pi",
    "Thurber": CUBICS,
}


@dataclass(frozen=True)
class Reference:
    """A problem.

    Attributes:
        table: Columns y and x, or y, x1 and x2.
        starts: Two starting values of each parameter.
        values: Certified value of each parameter.
        rss: Certified residual sum of squares.
    """

    table: pd.DataFrame
    starts: dict[str, tuple[float, float]]
    values: dict[str, float]
    rss: float


def read_reference(name: str) -> Reference:
    """Reads the file of a problem."""
    lines = (FOLDER / f"{name}.dat").read_text().splitlines()
    rows = [re.fullmatch(r"\s*(b\d)\s*=\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*", line) for line in lines]
    params = {row[1]: [float(row[k]) for k in (2, 3, 4)] for row in rows if row}
    rss = next(float(line.split(":")[1]) for line in lines if line.startswith("Residual Sum of Squares"))
    first = next(i for i, line in enumerate(lines) if re.match(r"Data:\s+y\s+x", line))
    columns = lines[first].split()[1:]
    data = np.array([[float(cell) for cell in line.split()] for line in lines[first + 1 :] if line.strip()])
    table = pd.DataFrame(dict(zip(columns, data.T, strict=True)))
    if name == "Nelson":
        table["y"] = np.log(table["y"])
    starts = {key: (value[0], value[1]) for key, value in params.items()}
    return Reference(table, starts, {key: value[2] for key, value in params.items()}, rss)


def write_law(name: str, reference: Reference, folder: Path, starts: slice = slice(None)) -> str:
    """Writes the model as a user's law and returns its name, FILE.py:law.

    Args:
        name: Name of the problem.
        reference: The problem.
        folder: Folder of the file.
        starts: Which of the two starting values to use.
    """
    inputs = ", ".join(reference.table.columns[1:])
    params = ", ".join(f"{key}={values[starts]}" for key, values in reference.starts.items())
    path = folder / f"{name}.py"
    path.write_text(
        f"import numpy as np\n\n\ndef law({inputs}, *, {params}):\n    return {MODELS[name]}\n\n\n"
        f'law.output, law.objective = "y", "mse"\n'
        f'law.signed = ("y", {", ".join(map(repr, reference.table.columns[1:]))})\n'
    )
    return f"{path}:law"


def digits(value: float, certified: float) -> float:
    """Number of correct significant digits of a value, at most 11 as certified."""
    return float(min(11.0, -np.log10(max(abs(value / certified - 1), 1e-300))))
