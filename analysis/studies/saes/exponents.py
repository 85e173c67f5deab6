"""Laws of sparse autoencoders by model: L(n, k), the compute-optimal n, and how the exponent of n changes with N.

Key: n latents, k active latents, L squared error relative to the variance, N parameters of a model, C training FLOPs of
an autoencoder without its model; B bootstrap samples, m models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis import laws
from analysis.data.from_store import table
from analysis.data.load import load
from analysis.data.options import ReadOptions
from analysis.data.points import Points
from analysis.errors import DataError, FitError
from analysis.fitting.fit import fit
from analysis.fitting.hoffmann.envelope import fit_envelope, loss_envelope
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.uncertainty.intervals import corrected_interval

Interval = tuple[float, float]
MIN_NUMBERS = 2  # of active latents, for a law of n and k; with one, a law of n


@dataclass(frozen=True)
class OptimalLatents:
    """n* = n0·(C / C0)^a, from the envelope of the learning curves of one k (Hoffmann 2022, approach 1).

    Attributes:
        k: Active latents.
        a: Exponent.
        interval: Its interval.
        compute: Largest C of the envelope, in FLOPs.
        latents: n* at that C.
        latents_interval: Its interval.
        note: Description of the envelope.
        error: Why there is none; the numbers are then NaN.
    """

    k: float
    a: float = np.nan
    interval: Interval = (np.nan, np.nan)
    compute: float = np.nan
    latents: float = np.nan
    latents_interval: Interval = (np.nan, np.nan)
    note: str = ""
    error: str = ""


@dataclass(frozen=True)
class ModelLaw:
    """The law of the autoencoders of one model, kind and site.

    Attributes:
        model: Run id of the model, its first characters.
        N: Its parameters.
        N_nonembedding: Those without embedding and head.
        kind: Kind of the autoencoders.
        site: Site of the activations.
        layer: Layer of the activations.
        runs: Number of autoencoders.
        fit: Fit of L(n, k), or of L(n) if there is one k; None if it failed.
        error: Why it failed.
        k: Number of active latents at which the exponent is given, the geometric mean.
        exponents: Exponent of n at that k: the estimate and its bootstrap samples (1 + B,).
        optima: Compute-optimal n at each k.
    """

    model: str
    N: float
    N_nonembedding: float
    kind: str
    site: str
    layer: int
    runs: int
    fit: Fit | None
    error: str
    k: float
    exponents: np.ndarray
    optima: tuple[OptimalLatents, ...]


@dataclass(frozen=True)
class Slope:
    """Change of the exponent of n with ln N, by least squares over the models.

    Attributes:
        kind: Kind of the autoencoders.
        site: Site of the activations.
        k: Active latents at which exponents are compared.
        models: Number of models.
        value: Change per unit of ln N.
        interval: Its interval, from the bootstrap of each fit.
    """

    kind: str
    site: str
    k: float
    models: int
    value: float
    interval: Interval


@dataclass(frozen=True)
class SaeStudy:
    """Laws of the autoencoders of a store, by kind, site and model.

    Attributes:
        source: Name of the store.
        laws: The laws, by kind, site and size of the model.
        slopes: Change of the exponent with the size of the model, by kind and site.
        level: Coverage of the intervals.
    """

    source: str
    laws: tuple[ModelLaw, ...]
    slopes: tuple[Slope, ...]
    level: float

    def to_json(self) -> dict[str, Any]:
        """Returns the study in types of JSON."""
        return {
            "level": self.level,
            "models": [_law_json(law, self.level) for law in self.laws],
            "slopes": [
                {"kind": s.kind, "site": s.site, "k": s.k, "models": s.models, "slope": s.value,
                 "interval": list(s.interval)} for s in self.slopes
            ],
        }  # fmt: skip


def study_autoencoders(
    source: Any, options: FitOptions = FitOptions(), reading: ReadOptions = ReadOptions()
) -> SaeStudy:
    """Fits the law of the autoencoders of each model, kind and site.

    Args:
        source: A store, or its folder.
        options: Options of the fits.
        reading: Rows of the store.

    Raises:
        DataError: It is no store, has no finished autoencoder, or those of a model differ in the layer.
    """
    runs = table(source, ReadOptions(where=reading.where))
    runs = runs[(runs["status"] == "done") & runs["n"].notna()] if "n" in runs else runs[:0]
    if not len(runs):
        raise DataError(f"{source}: no finished run of a sparse autoencoder: python -m sweeps launch sae trains some")
    k = float(np.exp(np.log(runs["k"].astype(float)).mean()))
    fits = []
    for (kind, site, model), part in runs.groupby(["kind", "site", "model"], sort=False, dropna=False):
        chosen = f"kind == '{kind}' and site == '{site}'"
        chosen += f" and model == '{model}'" if isinstance(model, str) else ""
        where = chosen if reading.where is None else f"({reading.where}) and {chosen}"
        fits.append(_model_law(source, part, options, replace(reading, where=where), k))
    fits.sort(key=lambda law: (law.kind, law.site, law.N))
    return SaeStudy(str(source), tuple(fits), tuple(_slopes(fits, options.level)), options.level)


def _model_law(source: Any, runs: pd.DataFrame, options: FitOptions, reading: ReadOptions, k: float) -> ModelLaw:
    """The law of the autoencoders of one model; `runs` are their rows."""
    points = load(source, laws.find("sae-nk"), reading, curves=True)
    several = len(np.unique(np.round(points["k"]))) >= MIN_NUMBERS
    result, error = None, ""
    try:
        result = fit(points, "sae-nk" if several else "sae-n", options)
    except FitError as reason:
        error = str(reason)
    first = runs.iloc[0]
    model, N, outer = first["model"], float(first["model_N"]), float(first["model_N_nonembedding"])
    exponents = np.array([np.nan]) if result is None else _exponents(result, k)
    optima = tuple(_optimal_latents(points, value, options) for value in np.unique(np.round(points["k"])))
    return ModelLaw(
        model if isinstance(model, str) else "activations of a file", N, outer, str(first["kind"]), str(first["site"]),
        int(first["layer"]), len(runs), result, error, k, exponents, optima,
    )  # fmt: skip


def _exponents(result: Fit, k: float) -> np.ndarray:
    """Exponent of n at k, the estimate and its samples (1 + B,): βn + γ·ln k."""
    names = ("beta_n", "gamma") if "gamma" in result.params else ("beta_n",)
    values = [np.append(result.params[name], result.samples[name]) for name in names]
    return np.asarray(values[0] + (values[1] * np.log(k) if len(values) > 1 else 0.0))


def _optimal_latents(points: Points, k: float, options: FitOptions) -> OptimalLatents:
    """Compute-optimal n of the autoencoders of one k: approach 1 with n in place of the size of a model."""
    chosen = points.select(np.round(points["k"]) == k)
    latents = dict(zip(chosen.names, chosen["n"].tolist(), strict=True))
    curves = tuple(replace(c, N=latents[c.name]) for c in points.curves or () if c.name in latents)
    try:
        envelope = loss_envelope(replace(chosen, N=chosen["n"], curves=curves or None))
    except FitError as error:
        return OptimalLatents(k, error=_in_latents(str(error)))
    C = float(envelope.C.max())
    params, _ = fit_envelope(replace(envelope, C=envelope.C / C), options.bootstrap, options.seed)
    best = params["G_N"]  # at the largest C
    return OptimalLatents(
        k, float(params["a"][0]), corrected_interval(params["a"], options.level), C, float(best[0]),
        corrected_interval(best, options.level), _in_latents(envelope.note),
    )  # fmt: skip


def _in_latents(text: str) -> str:
    """A message of approach 1 about n instead of the sizes of models."""
    text = text.removeprefix("chinchilla-1: ").replace("one model size is", "one n is")
    for of_models, of_latents in (
        ("model sizes", "values of n"),
        ("best size", "best n"),
        ("smaller and larger sizes", "smaller and larger n"),
        ("smallest or largest size", "smallest or largest n"),
    ):
        text = text.replace(of_models, of_latents)
    return text


def _slopes(fits: Sequence[ModelLaw], level: float) -> list[Slope]:
    """Slope of the exponent in ln N for each kind and site with two models or more; samples of the fits are paired."""
    slopes = []
    for kind, site in dict.fromkeys((law.kind, law.site) for law in fits):
        chosen = [law for law in fits if (law.kind, law.site) == (kind, site) and law.fit and np.isfinite(law.N)]
        if len({law.N for law in chosen}) < MIN_NUMBERS:
            continue
        count = min(len(law.exponents) for law in chosen)
        beta_mB, x_m = np.stack([law.exponents[:count] for law in chosen]), np.log([law.N for law in chosen])
        weight_m = (x_m - x_m.mean()) / np.sum((x_m - x_m.mean()) ** 2)
        values = weight_m @ beta_mB
        interval = corrected_interval(values, level)
        slopes.append(Slope(kind, site, chosen[0].k, len(chosen), float(values[0]), interval))
    return slopes


def exponent_interval(law: ModelLaw, level: float) -> Interval:
    """Returns the interval of the exponent of n of a model; NaN without a fit.

    Args:
        law: The law.
        level: Coverage.
    """
    return corrected_interval(law.exponents, level) if law.fit else (np.nan, np.nan)


def _law_json(law: ModelLaw, level: float) -> dict[str, Any]:
    optima = [{"k": o.k, "error": o.error} if o.error else {
        "k": o.k, "a": o.a, "interval": list(o.interval), "C": o.compute, "latents": o.latents,
        "latents_interval": list(o.latents_interval), "note": o.note,
    } for o in law.optima]  # fmt: skip
    result = {"error": law.error} if law.fit is None else {
        "exponent": {"k": law.k, "value": float(law.exponents[0]), "interval": list(exponent_interval(law, level))},
        "fit": law.fit.to_json(),
    }  # fmt: skip
    return {
        "model": law.model, "N": law.N, "N_nonembedding": law.N_nonembedding, "kind": law.kind, "site": law.site,
        "layer": law.layer, "runs": law.runs, **result, "optimal_latents": optima,
    }  # fmt: skip
