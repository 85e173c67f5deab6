"""Patterns of one field over runs: a power law in quantities of the run, or a table by model size."""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaling.config.run import RunConfig
from scaling.config.validation import ConfigError
from scaling.counting.counts import total_parameters
from sweeps.planning.fields import field_value

TOLERANCE = 0.06  # largest relative deviation from a pattern: rates are often rounded to two digits
MULTIPLES = (256, 128, 64, 32, 16, 8)  # divisors of hidden units that matrix units need
DIGITS = 3  # of new values
MAX_EXPONENT = 4.0  # of a power law that is believed
Form = tuple[tuple[str, ...], float | None]  # the quantities of a power law, and its exponent if that is fixed


@dataclass(frozen=True)
class FieldPattern:
    """A power law of a field, scale · Π quantity^exponent, within bounds.

    Attributes:
        scale: Value where all quantities are 1.
        exponents: Exponent by quantity; empty: a constant.
        low: Smallest value.
        high: Largest value.
        whole: Whether values are whole numbers.
        multiple: Divisor of whole values.
        powers_of_two: Whether values are powers of two.
    """

    scale: float
    exponents: Mapping[str, float]
    low: float = 0.0
    high: float = math.inf
    whole: bool = False
    multiple: int = 1
    powers_of_two: bool = False

    def value(self, quantities: Mapping[str, float]) -> float:
        """Returns the value for a run with these quantities."""
        if not self.exponents:
            return int(self.scale) if self.whole else self.scale
        value = self.scale * math.prod(quantities[name] ** p for name, p in self.exponents.items())
        value = min(max(value, self.low), self.high)
        if self.powers_of_two:
            return 2 ** round(math.log2(value))
        if self.whole:
            return max(self.multiple, round(value / self.multiple) * self.multiple)
        return float(f"{value:.{DIGITS}g}")

    def __str__(self) -> str:
        terms = "".join(
            f" · {name}^{p:.3g}" if f"{p:.3g}" != "1" else f" · {name}" for name, p in self.exponents.items()
        )
        bounds = [f"at least {self.low:g}"] * (self.low > 0) + [f"at most {self.high:g}"] * (self.high < math.inf)
        return f"{self.scale:.3g}{terms}" + (f" ({', '.join(bounds)})" if bounds else "")


@dataclass(frozen=True)
class SizeTable:
    """A field with one value per model size and no power law: interpolated in logarithms, constant beyond the ends.

    Attributes:
        axis: "width" or "layers".
        values: Value by size, sorted.
        whole: Whether values are whole numbers.
    """

    axis: str
    values: Mapping[int, float]
    whole: bool

    def value(self, quantities: Mapping[str, float]) -> float:
        """Returns the value for a run with these quantities."""
        size, sizes = quantities[self.axis], list(self.values)
        place = bisect.bisect_right(sizes, size)
        if place in (0, len(sizes)):
            return self.values[sizes[max(0, place - 1)]]
        low, high = sizes[place - 1], sizes[place]
        share = math.log(size / low) / math.log(high / low)
        value = self.values[low] ** (1 - share) * self.values[high] ** share
        return round(value) if self.whole else float(f"{value:.{DIGITS}g}")

    def __str__(self) -> str:
        low, high = min(self.values.values()), max(self.values.values())
        return f"{low:g} to {high:g} by {self.axis}, interpolated between the sizes of the runs and constant beyond"


@dataclass(frozen=True)
class NearestHeadSize:
    """The number of heads with the head size of the nearest width, which changes neither N nor the FLOPs.

    Attributes:
        sizes: Head size by width of the existing runs.
    """

    sizes: Mapping[int, int]

    def value(self, quantities: Mapping[str, float]) -> int:
        """Returns the number of heads; ConfigError if no head size divides the width."""
        width = int(quantities["width"])
        nearest = sorted(self.sizes, key=lambda other: abs(math.log(other / width)))
        heads = [width // self.sizes[other] for other in nearest if width % self.sizes[other] == 0]
        if not heads:
            raise ConfigError(f"width {width}: no head size of the runs divides it")
        return heads[0]

    def __str__(self) -> str:
        return "width / head size of the nearest width"


Pattern = FieldPattern | SizeTable | NearestHeadSize


def fit_field(name: str, configs: Sequence[RunConfig], axis: str) -> FieldPattern | None:
    """Returns the first pattern that a numeric field of the runs follows, None without any.

    Args:
        name: Dotted name of the field.
        configs: The runs.
        axis: What sets the size of their models.
    """
    values = [float(field_value(config, name)) for config in configs]
    if min(values) <= 0:
        return None
    whole = all(isinstance(field_value(config, name), int) for config in configs)
    powers = whole and name == "batch" and all(value == 2 ** round(math.log2(value)) for value in values)
    common = math.gcd(*map(int, values)) if whole else 1
    multiple = next((number for number in MULTIPLES if common % number == 0), 1) if name == "model.mlp_width" else 1
    if max(values) <= (1 + TOLERANCE) * min(values):
        ((value, _),) = Counter(values).most_common(1)
        return FieldPattern(value, {}, whole=whole)
    quantities = [_quantities(config) for config in configs]
    forms: list[Form] = [((axis,), 1.0), ((axis,), None)]
    if not name.startswith("model."):
        in_steps: list[Form] = [(("steps",), 1.0)] if name != "batch" else []  # which are what the batch leaves
        forms = [*in_steps, (("N",), None), (("D",), None), *forms, (("N", "D"), None)]
    for low, high in ((0.0, math.inf), (min(values), math.inf), (0.0, max(values))):
        inner = [i for i, value in enumerate(values) if value not in (low, high)]
        if len({values[i] for i in inner}) < 2:
            continue
        for names, exponent in forms:
            fitted = _power_law([quantities[i] for i in inner], [values[i] for i in inner], names, exponent)
            if fitted is None:
                continue
            pattern = FieldPattern(*fitted, low=low, high=high, whole=whole, multiple=multiple, powers_of_two=powers)
            if all(_agrees(pattern, q, value) for q, value in zip(quantities, values, strict=True)):
                return pattern
    return None


def tabulate_field(name: str, configs: Sequence[RunConfig], axis: str) -> Pattern | None:
    """Returns the table of a field with one value per model size; None for a field that also varies within a size.

    Args:
        name: Dotted name of the field.
        configs: The runs.
        axis: What sets the size of their models.
    """
    if name == "model.heads" and axis == "width":
        return NearestHeadSize({config.model.width: config.model.head for config in configs})
    pairs = {(int(getattr(config.model, axis)), field_value(config, name)) for config in configs}
    values = dict(sorted(pairs))
    if len(values) < len(pairs) or len(values) < 2 or min(values.values()) <= 0:
        return None
    return SizeTable(axis, values, all(isinstance(value, int) for value in values.values()))


def _quantities(config: RunConfig) -> dict[str, float]:
    N, D = float(total_parameters(config.model)), float(config.tokens)
    sizes = {"width": float(config.model.width), "layers": float(config.model.layers)}
    return {**sizes, "N": N, "D": D, "steps": float(config.steps)}


def _agrees(pattern: FieldPattern, quantities: Mapping[str, float], value: float) -> bool:
    predicted = pattern.value(quantities)
    if pattern.powers_of_two:  # at most one rounding apart
        return abs(math.log2(predicted / value)) <= 1
    return abs(predicted - value) <= max(TOLERANCE * value, pattern.multiple / 2 if pattern.whole else 0.0)


def _power_law(
    quantities: Sequence[Mapping[str, float]], values: Sequence[float], names: tuple[str, ...], exponent: float | None
) -> tuple[float, dict[str, float]] | None:
    """Returns scale and exponents of the power law with the least squares of logarithms; None if undetermined."""
    if exponent is not None:
        ratios = sorted(value / q[names[0]] ** exponent for q, value in zip(quantities, values, strict=True))
        return ratios[len(ratios) // 2], {names[0]: exponent}
    import numpy as np  # here, so that --help stays fast

    x = np.log([[q[name] for name in names] for q in quantities])
    if len(np.unique(x, axis=0)) <= len(names) or np.linalg.matrix_rank(x - x.mean(0), tol=1e-6) < len(names):
        return None
    design = np.column_stack([np.ones(len(x)), x])
    solution = np.linalg.lstsq(design, np.log(values), rcond=None)[0]
    if np.abs(solution[1:]).max() > MAX_EXPONENT:
        return None
    return float(np.exp(solution[0])), dict(zip(names, map(float, solution[1:]), strict=True))
