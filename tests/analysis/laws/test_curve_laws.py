"""A curve: they mean what their papers say, come back from their own points, and give the published figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import laws
from analysis.data.options import ReadOptions
from analysis.fitting.fit import fit
from analysis.fitting.options import FitOptions
from analysis.fitting.result import Fit
from analysis.laws.curve import broken_power, saturating, schedules
from analysis.studies.published.procedures import LUO_PARAMETERS, addition_curve, addition_fit, luo_errors
from analysis.studies.published.procedures import luo as published_luo
from tests.support.commands import PUBLISHED as DATA

published = pytest.mark.skipif(not DATA.is_dir(), reason="published sets are not here (../shared/data)")
X = np.geomspace(1e4, 1e9, 30)
TRUE = {
    "m1": {"beta": 12.0, "c": -0.17},
    "m2": {"eps_inf": 0.3, "beta": 50.0, "c": -0.35},
    "m3": {"beta": 20.0, "gamma": 3e-8, "c": 0.25},
    "m4": {"eps_inf": 0.2, "eps_0": 0.95, "beta": 4000.0, "c": -0.6, "alpha": 0.4},
    "bnsl-1": {"a": 0.2, "b": 5.0, "c0": 0.1, "c1": 0.6, "d1": 3e6, "f1": 0.4},
}


@pytest.mark.parametrize("name", TRUE)
def test_a_curve_gives_its_parameters_back(name: str) -> None:
    true = TRUE[name]
    L = laws.LAWS[name].function(X, **true)
    fitted = fit({"x": X, "L": L}, name, FitOptions(bootstrap=100))
    for parameter, value in true.items():
        assert fitted.params[parameter] == pytest.approx(value, rel=1e-6), parameter


def test_m4_solves_its_equation() -> None:
    for alpha in (0.0, 1e-3, 0.3, 1.0, 2.5, 20.0):
        y = saturating.m4(X, eps_inf=0.2, eps_0=0.9, beta=3e3, c=-0.7, alpha=alpha)
        inside = (y > 0.2 * (1 + 1e-9)) & (y < 0.9 * (1 - 1e-9))
        assert inside.any() and np.all(np.diff(y) <= 0)
        left = np.log(y - 0.2) - alpha * np.log(0.9 - y)
        assert np.allclose(left[inside], np.log(3e3 * X**-0.7)[inside], rtol=0, atol=1e-6)
    assert np.isnan(saturating.m4(X, eps_inf=0.9, eps_0=0.2, beta=1.0, c=-0.5, alpha=1.0)).all()


def test_t_is_exact_over_twelve_decades() -> None:
    t = np.array([1e-12, 1e-6, 0.1, 0.5, 0.9, 1 - 1e-6])
    for alpha in (0.01, 0.5, 1.0, 7.0):
        assert np.allclose(saturating.solve_saturation(np.log(t) - alpha * np.log1p(-t), alpha), t, rtol=1e-9)


def test_a_broken_law_is_its_product_and_never_overflows() -> None:
    p = {"a": 1e-3, "b": 4.66e3, "c0": 0.05, "c1": 0.49, "d1": 3e6, "f1": 1.1}
    p |= {"c2": -0.811, "d2": 1e14, "f2": 1.425, "c3": 2.1, "d3": 2e20, "f3": 0.05}  # Caballero 2023, figure 1
    x = np.geomspace(1e2, 1e16, 50)
    product = p["b"] * x ** -p["c0"]
    for i in (1, 2, 3):
        product = product * (1 + (x / p[f"d{i}"]) ** (1 / p[f"f{i}"])) ** (-p[f"c{i}"] * p[f"f{i}"])
    assert np.allclose(broken_power.bnsl_3(x, **p), p["a"] + product, rtol=1e-12)
    with np.errstate(over="raise", invalid="raise"):
        steep = broken_power.bnsl_1(np.array([1e-3, 1.0, 1e30]), a=0.1, b=1.0, c0=0.5, c1=3.0, d1=1e3, f1=1e-3)
    assert np.isfinite(steep).all() and steep[-1] == pytest.approx(0.1)


@published
def test_the_published_broken_law_comes_back() -> None:
    """Caballero 2023, figure 4: fitted to 14 points of four-digit addition, held against the last three."""
    fitted = addition_fit(DATA)
    figures = {
        "a": 0.41388453,
        "b": 2.27727229,
        "c0": 0.05507735,
        "c1": 5.66290382,
        "d1": 612.5836172,
        "f1": 0.05919304,
    }
    for name, value in figures.items():
        assert fitted.params[name] == pytest.approx(value, rel=1e-5)
    assert np.sqrt(np.mean(fitted.residuals() ** 2)) == pytest.approx(5.98487e-4, rel=1e-4)
    new = addition_curve(DATA).query("used_for_fit == 0")
    ahead = np.log(fitted.predict(x=new["x"])) - np.log(new["L"])
    assert np.sqrt(np.mean(ahead**2)) == pytest.approx(0.0109157, rel=1e-4)


@published
def test_all_of_the_addition_curve() -> None:
    columns = {"x": "train_set_size", "L": "test_cross_entropy"}
    source = DATA / "bnsl2023" / "four_digit_addition.csv"
    fitted = fit(
        source, "bnsl-1", FitOptions(objective="mse-log1p", bootstrap=100), reading=ReadOptions(columns=columns)
    )
    assert fitted.params["d1"] == pytest.approx(609.655, rel=1e-4)
    assert np.sqrt(np.mean(fitted.residuals() ** 2)) == pytest.approx(0.0042713, rel=1e-3)


def benchmark(name: str) -> pd.DataFrame:
    frame = pd.read_csv(DATA / "alabdulmohsin2022" / name)
    return frame.rename(columns={"Domain": "domain", "Task": "task", "Model": "model"})


@pytest.fixture(scope="module")
def reference() -> pd.DataFrame:
    return benchmark("reference_m1_m4.csv")


@pytest.fixture(scope="module")
def measured() -> pd.DataFrame:
    return pd.concat([benchmark("lang_nmt.csv"), benchmark("vision_birds_cifar100.csv")])


def curve(measured: pd.DataFrame, row: object, training: int) -> tuple[np.ndarray, np.ndarray]:
    same = (measured["task"] == row.task) & (measured["model"] == row.model)  # type: ignore[attr-defined]
    subset = measured[same & (measured["Training"] == training)]
    return subset["Seen Examples"].to_numpy(), subset["Loss"].to_numpy()


def rmsle(result: Fit, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sqrt(np.mean((np.log(result.predict(x=x)) - np.log(y)) ** 2)))


@published
def test_m1_gives_the_authors_errors(reference: pd.DataFrame, measured: pd.DataFrame) -> None:
    rows = reference[(reference["method"] == "M1") & reference["task"].isin(["log_perplexity", "bird_10"])]
    assert len(rows) == 11
    for row in rows.itertuples():
        x, y = curve(measured, row, 1)
        fitted = fit({"x": x, "L": y}, "m1", FitOptions(bootstrap=100))
        assert fitted.params["beta"] == pytest.approx(row.beta, rel=1e-5)
        assert rmsle(fitted, *curve(measured, row, 0)) == pytest.approx(row.rmsle, rel=1e-5)


def below(x: np.ndarray, y: np.ndarray) -> float:
    """The authors' M2: ε∞ where mean (ln(y − ε∞) − ln β − c·ln x)² stops falling on the way down from min y − 1e-3."""
    X = np.stack([np.ones(len(x)), np.log(x)], -1)

    def objective(eps: float) -> float:
        left = np.log(y - eps)
        return float(np.mean((left - X @ np.linalg.lstsq(X, left, rcond=None)[0]) ** 2))

    walk = np.linspace(y.min() - 1e-3, 0, 20_000)
    values = [objective(eps) for eps in walk[:2]]
    for at in range(2, len(walk)):
        values.append(objective(walk[at]))
        if values[-1] > values[-2] and values[-2] <= values[-3]:
            return float(walk[at - 1])
    return 0.0


@published
def test_m2_of_the_authors_is_the_local_minimum_next_to_the_least_loss(
    reference: pd.DataFrame, measured: pd.DataFrame
) -> None:
    """Theirs starts at min y − 1e-3 and stops in the first valley of the residuals of ln(y − ε∞); ours are of ln y."""
    rows = reference[(reference["method"] == "M2") & (reference["task"] == "log_perplexity")]
    for row in rows.itertuples():
        x, y = curve(measured, row, 1)
        assert below(x, y) == pytest.approx(row.err_inf, abs=2e-3)
        fitted = fit({"x": x, "L": y}, "m2", FitOptions(bootstrap=100))
        published_values = row.err_inf + row.beta * x**row.c
        assert np.sum(fitted.residuals() ** 2) <= np.sum((np.log(published_values) - np.log(y)) ** 2)


@pytest.mark.slow
@published
@pytest.mark.parametrize(("law", "method"), [("m2", "M2"), ("m3", "M3")])
def test_no_fit_of_the_authors_is_closer_than_ours(
    law: str, method: str, reference: pd.DataFrame, measured: pd.DataFrame
) -> None:
    rows = reference[(reference["method"] == method) & reference["task"].isin(["log_perplexity", "bird_5"])]
    assert len(rows) == 11
    for row in rows.itertuples():
        x, y = curve(measured, row, 1)
        fitted = fit({"x": x, "L": y}, law, FitOptions(bootstrap=100))
        published_values = row.err_inf + row.beta * x**row.c if law == "m2" else row.beta * (1 / x + row.gamma) ** row.c
        assert np.sum(fitted.residuals() ** 2) <= np.sum((np.log(published_values) - np.log(y)) ** 2) * (1 + 1e-6)


@published
@pytest.mark.long
def test_no_m4_of_the_authors_is_closer_than_ours(reference: pd.DataFrame, measured: pd.DataFrame) -> None:
    for row in reference[reference["method"] == "M4"].itertuples():
        x, y = curve(measured, row, 1)
        fitted = fit({"x": x, "L": y}, "m4", FitOptions(bootstrap=100))
        p = {"eps_inf": row.err_inf, "beta": row.beta, "c": row.c, "alpha": row.alpha}
        published_values = saturating.m4(x, eps_0=1.0, **p)  # ε0 starts at 1 there and hardly moves
        assert np.sum(fitted.residuals() ** 2) <= np.sum((np.log(published_values) - np.log(y)) ** 2)


@pytest.fixture(scope="module", name="luo")
def luo_curves() -> pd.DataFrame:
    return published_luo(DATA)


@published
def test_the_published_schedule_law_gives_its_published_errors(luo: pd.DataFrame) -> None:
    """What rows 128 steps apart leave open of a schedule is worth some 5e-5 nats."""
    result = luo_errors(luo[luo["split"] == "test"], "multi-power", LUO_PARAMETERS)
    figures = {"R2": (0.9988, 5e-5), "MAE": (0.00376, 7e-5), "RMSE": (0.00465, 7e-5), "PredE": (0.00110, 2e-5)}
    for name, (value, within) in {**figures, "WorstE": (0.00409, 2e-4)}.items():
        assert result[name] == pytest.approx(value, abs=within), name


@published
@pytest.mark.long
@pytest.mark.parametrize(("law", "minimum"), [("multi-power", 0.997), ("tissue", 0.997)])
def test_curves_under_schedules_not_seen_are_predicted(law: str, minimum: float, luo: pd.DataFrame) -> None:
    """Three curves fitted, six predicted. The published parameters leave twice the objective on the curves fitted."""
    frame = luo[luo["split"] == "train"]
    fitted = fit(frame[["step", "lr", "curve", "loss"]], law, FitOptions(bootstrap=100))
    assert luo_errors(luo[luo["split"] == "test"], law, fitted.params)["R2"] > minimum
    if law == "multi-power":
        code = pd.factorize(frame["curve"])[0] + 1.0
        published_values = schedules.multi_power(
            frame["step"].to_numpy(np.float64), frame["lr"].to_numpy(), code, **LUO_PARAMETERS
        )
        r = np.abs(np.log(np.ravel(published_values)) - np.log(frame["loss"]))
        assert fitted.objective["value"] <= np.sum(np.where(r <= 1e-3, r * r / 2, 1e-3 * (r - 5e-4)))


def schedule_steps(kind: str, rows: int = 60, length: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    """Steps and rates of a schedule."""
    step = np.linspace(100, length, rows).round()
    done = step / length
    return step, {
        "constant": np.full(rows, 1e-3),
        "cosine": 1e-3 * (0.55 + 0.45 * np.cos(np.pi * done)),
        "jump": np.where(done < 0.5, 1e-3, 3e-4),
        "decay": 1e-3 * np.minimum(1, (1.02 - done) / 0.3),
    }[kind]


PARAMS = {
    "multi-power": {"L0": 2.5, "A": 0.6, "alpha": 0.5, "B": 300.0, "C": 2.0, "beta": 0.5, "gamma": 0.6},
    "tissue": {"L0": 2.5, "A": 0.6, "alpha": 0.5, "C": 0.5, "lam": 0.995},
}


@pytest.mark.parametrize(
    "law", [pytest.param(law, marks=pytest.mark.slow) if law in ("multi-power", "tissue") else law for law in PARAMS]
)
def test_a_curve_is_predicted_from_curves_of_other_schedules(law: str) -> None:
    step, lr = (
        np.concatenate(x)
        for x in zip(schedule_steps("constant"), schedule_steps("cosine"), schedule_steps("jump"), strict=True)
    )
    curve = np.repeat(["constant", "cosine", "jump"], 60)
    function = laws.LAWS[law].function
    loss = np.ravel(function(step, lr, np.repeat([1.0, 2.0, 3.0], 60), **PARAMS[law]))
    fitted = fit({"step": step, "lr": lr, "curve": curve, "loss": loss}, law, FitOptions(bootstrap=100))
    new = {"step": schedule_steps("decay")[0], "lr": schedule_steps("decay")[1], "curve": np.ones(60)}
    assert np.allclose(fitted.predict(**new), function(*new.values(), **PARAMS[law]), rtol=1e-4)


@pytest.mark.parametrize("law", PARAMS)
def test_rows_tell_a_schedule_in_any_order_and_at_any_spacing(law: str) -> None:
    function, params = laws.LAWS[law].function, PARAMS[law]
    order = np.random.default_rng(0).permutation(120)
    step, lr = (np.concatenate(x) for x in zip(schedule_steps("cosine"), schedule_steps("decay"), strict=True))
    curve = np.repeat([1.0, 2.0], 60)
    straight = np.ravel(function(step, lr, curve, **params))
    assert np.allclose(np.ravel(function(step[order], lr[order], curve[order], **params)), straight[order])
    alone = np.ravel(function(*schedule_steps("decay"), np.ones(60), **params))
    assert np.allclose(straight[60:], alone)
    dense = schedule_steps("cosine", rows=591)
    fine = np.ravel(function(*dense, np.ones(591), **params))[::10]
    assert np.abs(fine / straight[:60] - 1).max() < 1e-3
    sets = {name: np.array([[value], [1.1 * value]]) for name, value in params.items() if name != "lam"}
    both = function(step, lr, curve, **{**params, **sets})
    assert both.shape == (2, 120) and np.allclose(both[0], straight)


def test_a_lower_rate_lowers_the_loss_at_once_and_a_jump_is_where_its_row_is() -> None:
    step, lr = schedule_steps("jump")
    at = int(np.argmax(lr < 1e-3))
    for law, params in PARAMS.items():
        function = laws.LAWS[law].function
        jump = np.ravel(function(step, lr, np.ones(60), **params))
        flat = np.ravel(function(*schedule_steps("constant"), np.ones(60), **params))
        assert np.allclose(jump[:at], flat[:at]) and jump[at] == pytest.approx(flat[at], abs=0.02)
        assert np.all(jump[at + 1 : at + 10] < flat[at + 1 : at + 10] - 0.01)


def test_a_row_at_step_0_is_refused() -> None:
    step, lr = schedule_steps("cosine")
    rows = {"step": np.r_[0, step], "lr": np.r_[0, lr], "curve": ["a"] * 61, "loss": np.linspace(4, 3, 61)}
    with pytest.raises(ValueError, match="step"):
        fit(rows, "tissue", FitOptions(bootstrap=100))
