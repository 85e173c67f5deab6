"""Bias, spread and coverage of the intervals of fits to simulated sweeps of a known law.

Key: N parameters, D tokens, C FLOPs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from analysis import laws
from analysis.data.points import Points
from analysis.errors import FitError
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.studies.options import COVERAGE_BOOTSTRAP, CoverageOptions

BUDGETS = 4  # default number of budgets of an isoFLOP design
EXTRAPOLATIONS = (10.0, 100.0)  # multiples of the largest compute, or input, at which predictions are compared
HOFFMANN = {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}  # Hoffmann 2022, equation 10
COMPUTE_RANGE = (6e18, 3e21)  # FLOPs of the smallest and largest budget (Hoffmann 2022, figure 3)
INPUT_RANGE = (1e6, 1e9)  # default range of an input of a grid
FLOPS_PER_TOKEN = 6.0  # per parameter: C = 6·N·D
# Options of the fits in the settings of a result.
FIT_OPTIONS = ("bootstrap", "objective", "delta", "resampling", "intervals", "weighting", "minimum")


@dataclass(frozen=True)
class SizeGrid:
    """Sizes of an isoFLOP design.

    Attributes:
        budgets: Number of budgets.
        half_range: Distance in ln N of the smallest and largest size of a budget from the middle.
        shift: Distance in ln N of the middle from the optimum, at the smallest and the largest budget.
    """

    budgets: int = BUDGETS
    half_range: float = 1.1
    shift: tuple[float, float] = (0.0, 0.0)

    def ln_factors(self, runs: int) -> np.ndarray:
        """Returns ln N relative to the optimum of each budget (budgets, runs / budgets)."""
        sizes = np.linspace(-self.half_range, self.half_range, runs // self.budgets)
        return np.linspace(*self.shift, self.budgets)[:, None] + sizes


@dataclass(frozen=True)
class CoverageRow:
    """Estimates of one quantity over all sweeps.

    Attributes:
        name: Name of the quantity.
        true: True value.
        mean: Mean of the estimates.
        std: Standard deviation of the estimates.
        mean_interval_width: Mean width of the intervals.
        coverage: Share of the intervals that contain the true value.
        coverage_error: Two standard errors of the coverage.
    """

    name: str
    true: float
    mean: float
    std: float
    mean_interval_width: float
    coverage: float
    coverage_error: float

    @property
    def bias(self) -> float:
        """Mean of the estimates minus the true value."""
        return self.mean - self.true


@dataclass(frozen=True)
class CoverageStudy:
    """Coverage of the intervals of a law.

    Attributes:
        law: Name of the law.
        level: Nominal coverage of the intervals.
        sweeps: Number of simulated sweeps.
        rows: One row per quantity.
        verdicts: Share of the fitted sweeps whose verdict has each code.
        failed: Number of sweeps that could not be fitted.
        settings: Truth, design, noise and options of the fits.
    """

    law: str
    level: float
    sweeps: int
    rows: tuple[CoverageRow, ...]
    verdicts: dict[str, float]
    failed: int
    settings: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Returns what `simulate --json` writes."""
        rows = [{**vars(row), "bias": row.bias} for row in self.rows]
        return {**vars(self), "rows": rows}


def simulate_sweep(
    law: str,
    truth: Mapping[str, float],
    design: str,
    runs: int,
    over: Mapping[str, tuple[float, float]] | None = None,
    grid: SizeGrid = SizeGrid(),
) -> Points:
    """Returns runs that follow a law without noise.

    Args:
        law: Name of a law or an approach.
        truth: Parameters of the law.
        design: "isoflop": budgets over C, with the same number of sizes each. "grid": every combination of the same
            number of values of each input, evenly spaced in the logarithm.
        runs: Number of runs; a grid uses the nearest possible number.
        over: Range of C or of each input.
        grid: Sizes of an isoFLOP design.

    Raises:
        FitError: The law has no optimum, which the isoFLOP design needs.
    """
    form, over = _law_form(law), dict(over or {})
    if design == "isoflop":
        if form.optimum is None or form.inputs != ("N", "D"):
            raise FitError(f"design isoflop: {law} has no optimum in N and D: use design grid")
        factors = np.exp(grid.ln_factors(runs))
        C = np.repeat(np.geomspace(*over.get("C", COMPUTE_RANGE), grid.budgets), factors.shape[1])
        a, _, ln_g = form.optimum(dict(truth), FLOPS_PER_TOKEN)
        N = np.exp(ln_g) * (C / FLOPS_PER_TOKEN) ** a * factors.ravel()
        inputs, budgets = {"N": N, "D": C / FLOPS_PER_TOKEN / N}, C
    else:
        count = max(2, round(runs ** (1 / len(form.inputs))))
        axes = [np.geomspace(*over.get(letter, INPUT_RANGE), count) for letter in form.inputs]
        columns = [x.ravel() for x in np.meshgrid(*axes, indexing="ij")]
        inputs, budgets = dict(zip(form.inputs, columns, strict=True)), None
    output = np.asarray(form.function(*inputs.values(), **truth), np.float64)
    return _simulated_points(form, inputs, output, budgets)


def _law_form(law: str) -> laws.Law:
    """The law that losses follow: Chinchilla's for the approaches."""
    return laws.LAWS["chinchilla"] if law in laws.APPROACHES else laws.find(law)


def _simulated_points(
    form: laws.Law, inputs: dict[str, np.ndarray], output: np.ndarray, budgets: np.ndarray | None
) -> Points:
    missing = np.full(len(output), np.nan)
    columns = {**inputs, form.output: output}
    if "N" in columns and "D" in columns and "C" not in columns:
        columns["C"] = FLOPS_PER_TOKEN * columns["N"] * columns["D"]
    N, D, C, L = (columns.pop(letter, missing) for letter in "NDCL")
    names = [f"run {i}" for i in range(len(output))]
    return Points(N, D, C, L, names, budgets=budgets, source="simulated", extra=columns)


def coverage_study(
    options: CoverageOptions = CoverageOptions(),
    fit_options: FitOptions = FitOptions(bootstrap=COVERAGE_BOOTSTRAP),
    progress: Callable[[int, int], None] | None = None,
) -> CoverageStudy:
    """Fits simulated sweeps and compares the intervals with the truth.

    Args:
        options: Law, truth, design, noise and number of the sweeps.
        fit_options: Options of the fit of each sweep; the seed is the index of the sweep.
        progress: Called with the number of sweeps done and in total.

    Raises:
        FitError: The truth does not have the parameters of the law, or no sweep could be fitted.
    """
    law, form = options.law, _law_form(options.law)
    if not options.truth and form is not laws.LAWS["chinchilla"]:
        raise FitError(f"{law}: give values of {', '.join(form.parameters)} with --truth")
    truth = dict(options.truth or HOFFMANN)
    if set(truth) != set(form.parameters):
        raise FitError(f"truth {', '.join(truth)}: the parameters of {law} are {', '.join(form.parameters)}")
    grid = SizeGrid(options.budgets, options.half_range, options.shift)
    clean = simulate_sweep(law, truth, options.design, options.runs, options.over, grid)
    bent = _bend(clean, form, options.bend)
    rng, estimates, verdicts, failed = np.random.default_rng(options.seed), [], Counter[str](), 0
    for sweep in range(options.draws):
        noise = np.exp(options.noise * rng.standard_normal(len(bent)))
        points = _with_output(bent, form, bent[form.output] * noise)
        try:
            result = fit(points, law, replace(fit_options, seed=sweep, budget_multiples=EXTRAPOLATIONS))
        except FitError:
            failed += 1
        else:
            estimates.append(_estimates(result, clean, form))
            verdicts.update({line.partition(":")[0] for line in result.verdict})
        if progress is not None:
            progress(sweep + 1, options.draws)
    if not estimates:
        raise FitError(f"{law}: none of {options.draws} simulated sweeps could be fitted")
    true_values = _true_values(clean, form, truth, law)
    settings = {"truth": truth, "runs": len(clean), **_settings(options, fit_options, grid)}
    return CoverageStudy(
        law=law,
        level=fit_options.level,
        sweeps=options.draws,
        rows=tuple(_row(name, true, [e[name] for e in estimates]) for name, true in true_values.items()),
        verdicts={code: count / len(estimates) for code, count in verdicts.items()},
        failed=failed,
        settings=settings,
    )


def _settings(options: CoverageOptions, fit_options: FitOptions, grid: SizeGrid) -> dict[str, Any]:
    """Design, noise and options of the fits of a study."""
    settings = {"design": options.design, "noise": options.noise, "bend": options.bend}
    settings |= vars(grid) if options.design == "isoflop" else {}
    return settings | {name: getattr(fit_options, name) for name in FIT_OPTIONS}


def _bend(points: Points, form: laws.Law, bend: float) -> Points:
    """Multiplies the output by (x / middle)^bend above the middle of x."""
    x = points.C if np.isfinite(points.C).all() else points[form.inputs[0]]
    middle = np.exp(np.log(x).mean())
    return _with_output(points, form, points[form.output] * np.maximum(x / middle, 1.0) ** bend)


def _with_output(points: Points, form: laws.Law, output: np.ndarray) -> Points:
    inputs = {letter: points[letter] for letter in form.inputs}
    return _simulated_points(form, inputs, output, points.budgets)


def _true_values(points: Points, form: laws.Law, truth: dict[str, float], law: str) -> dict[str, float]:
    """True value of each compared quantity."""
    values = {} if law in laws.APPROACHES else {name: truth[name] for name in form.parameters}
    if form.optimum is not None and np.isfinite(points.C).all():
        a, _, ln_g = form.optimum(dict(truth), FLOPS_PER_TOKEN)
        values["a"] = float(a)
        for multiple in EXTRAPOLATIONS:
            C = multiple * float(points.C.max()) / FLOPS_PER_TOKEN
            N = float(np.exp(ln_g) * C**a)
            values[f"N* at {multiple:g}x"] = N
            if law not in laws.APPROACHES:
                values[f"L* at {multiple:g}x"] = float(form.function(N, C / N, **truth))
        return values
    for multiple in EXTRAPOLATIONS:
        inputs = _extrapolated_inputs(points, form, multiple)
        values[f"{form.output} at {multiple:g}x"] = float(form.function(*inputs.values(), **truth))
    return values


def _extrapolated_inputs(points: Points, form: laws.Law, multiple: float) -> dict[str, float]:
    return {letter: multiple * float(points[letter].max()) for letter in form.inputs}


def _estimates(result: Fit, points: Points, form: laws.Law) -> dict[str, tuple[float, float, float]]:
    """Estimate and both ends of the interval of each quantity."""
    estimates = {name: (value, *result.intervals[name]) for name, value in result.params.items()}
    if result.optimum is not None:
        estimates["a"] = (result.optimum.a, *result.optimum.intervals["a"])
        for multiple in EXTRAPOLATIONS:
            optimum = result.optimum.at(multiple * result.optimum.largest)
            for letter in [letter for letter in "NL" if letter in optimum]:
                profile = result.profiles.get(f"{letter} at {multiple:g}x")
                interval = profile.interval if profile is not None else optimum["intervals"][letter]
                estimates[f"{letter}* at {multiple:g}x"] = (optimum[letter], *interval)
        return estimates
    for multiple in EXTRAPOLATIONS:
        prediction = result.at(**_extrapolated_inputs(points, form, multiple))
        estimates[f"{form.output} at {multiple:g}x"] = (prediction["value"], *prediction["interval"])
    return estimates


def _row(name: str, true: float, estimates: list[tuple[float, float, float]]) -> CoverageRow:
    value, low, high = np.array(estimates).T
    count = len(estimates)
    coverage = float(np.mean((low <= true) & (true <= high)))
    return CoverageRow(
        name=name,
        true=true,
        mean=float(value.mean()),
        std=float(value.std(ddof=1)) if count > 1 else float("nan"),
        mean_interval_width=float(np.mean(high - low)),
        coverage=coverage,
        coverage_error=2 * float(np.sqrt(max(coverage * (1 - coverage), 1 / count) / count)),
    )
