"""The section on sparse autoencoders: the law of each model, how its exponent changes with the model, and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.data.runs import has_autoencoders
from analysis.errors import DataError
from analysis.figures.fits.autoencoders import study_of
from analysis.figures.source import Source
from analysis.report import sentences
from analysis.report.html import Table
from analysis.report.pictures import Picture, select
from analysis.studies.saes.text import HEAD, law_rows, optimum_lines, slope_lines, verdict_lines

TITLES = {
    "sae-loss": "Error of autoencoders against latents",
    "sae-pareto": "Explained variance against active latents",
}
KINDS = "ttcnnntnn"  # of the columns HEAD
EXPLANATION = (
    "Sparse autoencoders of activations of the models. Their loss is the held-out squared error relative to the "
    "variance, and their FLOPs are without those of the model. They are in no other fit of this report."
)


@dataclass(frozen=True)
class Autoencoders:
    """The section on sparse autoencoders.

    Attributes:
        error: Reason that their laws cannot be fitted, else "".
        explanation: What is fitted.
        table: The law of each model, kind and site; None with an error.
        lines: Sentences on exponents, optima and verdicts.
        pictures: Figures of the section.
    """

    error: str = ""
    explanation: str = EXPLANATION
    table: Table | None = None
    lines: Sequence[str] = ()
    pictures: Sequence[Picture] = ()


def figure_titles(source: Source) -> dict[str, str]:
    """Returns the titles of the figures of the section by name; none without finished autoencoders."""
    if source.store is None or not has_autoencoders(source.store):
        return {}
    try:
        study_of(source)  # before processes are forked, which would each compute it
    except DataError:
        return {}
    return TITLES


def describe_autoencoders(source: Source, pictures: Sequence[Picture]) -> Autoencoders | None:
    """Returns the section on sparse autoencoders; None if the source has none that are finished.

    Args:
        source: Source of the report.
        pictures: All pictures of the report.
    """
    if source.store is None or not has_autoencoders(source.store):
        return None
    try:
        study = study_of(source)
    except DataError as error:
        return Autoencoders(error=sentences.sentence(str(error)))
    lines = [sentences.sentence(line) for line in (*slope_lines(study), *optimum_lines(study), *verdict_lines(study))]
    return Autoencoders(table=Table(HEAD, KINDS, law_rows(study)), lines=lines, pictures=select(pictures, TITLES))
