"""What the reference says of each law: its equations, which are those of its function, and published values."""

import numpy as np
import pytest

from analysis import laws
from analysis.laws.law import Law
from analysis.laws.symbols import symbol
from tests.support.laws.latex import evaluate
from tests.support.laws.law_tables import BNSL_2, GRIDS, TRUTHS

SCHEDULES = ("multi-power", "tissue")  # sums over the steps of a schedule: compared with published curves elsewhere
GRIDS_OF_OTHERS = {
    "data-constrained-exponential": "data-constrained", "data-constrained-geometric": "data-constrained",
    "bnsl-3": "bnsl", "two-step": "chinchilla",
}  # fmt: skip
PARAMETERS = {
    "data-constrained-exponential": TRUTHS["data-constrained"],
    "data-constrained-geometric": TRUTHS["data-constrained"],
    "bnsl-3": {**BNSL_2, "c3": 0.2, "d3": 3e8, "f3": 0.3},
    "two-step": {**TRUTHS["chinchilla"], **TRUTHS["sigmoid"]},
}


@pytest.mark.parametrize("name", [name for name in laws.LAWS if name not in SCHEDULES])
def test_the_equations_in_latex_are_those_of_the_function(name: str) -> None:
    law = laws.LAWS[name]
    axes = GRIDS[GRIDS_OF_OTHERS.get(name, name)]
    inputs = {letter: grid.ravel() for letter, grid in zip(axes, np.meshgrid(*axes.values()), strict=True)}
    if "U" in inputs:
        inputs["U"] = np.minimum(inputs["U"], inputs["D"])
    parameters = PARAMETERS.get(name) or TRUTHS[name]
    output = law.function(*(inputs[letter] for letter in law.inputs), **parameters)
    left, right = sides(law, {**inputs, **parameters}, output)
    np.testing.assert_allclose(left, right, rtol=1e-9)


def sides(law: Law, named: dict[str, object], output: object) -> tuple[object, object]:
    """Both sides of the equation of a law, whose terms are the definitions below it."""
    equation, *definitions = law.latex
    values = {symbol(name): value for name, value in named.items()}
    left, right = equation.split(" = ")
    left = left.replace("(" + ", ".join(symbol(name) for name in law.inputs) + ")", "")
    values["y" if left.startswith("y") or "y -" in left else symbol(law.output)] = output
    for definition in reversed(definitions):
        name, term = definition.split(" = ")
        values[name] = evaluate(term, values)
    return evaluate(left, values), evaluate(right, values)


@pytest.mark.parametrize("name", laws.LAWS)
def test_each_law_has_equations_and_published_values_name_its_parameters(name: str) -> None:
    law = laws.LAWS[name]
    assert law.latex and law.source
    for published in law.published:
        assert published.source and set(published.values) <= set(law.parameters)
        for parameter, value in published.values.items():
            low, high = law.bound(parameter)
            assert low <= value <= high, f"{parameter} = {value} is outside of its bounds"


def test_published_values_give_the_published_losses() -> None:
    """Chinchilla itself (70e9 parameters, 1.4e12 tokens): 1.69 + 0.083 + 0.163; Kaplan's L(N) at 8.8e13 is 1."""
    chinchilla, kaplan = laws.LAWS["chinchilla"], laws.LAWS["kaplan-n"]
    assert chinchilla.function(70e9, 1.4e12, **chinchilla.published[0].values) == pytest.approx(1.937, abs=1e-3)
    assert kaplan.function(8.8e13, **kaplan.published[0].values) == 1.0
