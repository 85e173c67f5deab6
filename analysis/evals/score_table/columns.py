"""Columns of a table of scores: their usual names, and the choice of one for each letter.

Scales (N, D, C, L and budget) are chosen as in every other table (analysis/data/columns).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from analysis.data.columns.choice import ColumnChoice, choose_columns
from analysis.data.columns.names import name_readings, normalise
from analysis.data.options import ReadOptions
from analysis.data.table import Table
from analysis.errors import DataError
from analysis.format import join_names

CONTINUOUS_METRICS = ("logp", "brier", "edit")
METRIC_NAMES = {  # normalised names of metrics by kind, the most usual first
    "score": "score value accuracy acc exact_match em exact acc_norm accuracy_norm norm_acc acc_uncond pass_1 "
    "accuracy_token accuracy_byte accuracy_prior acc_per_token acc_per_char acc_raw",
    "logp": "logp log_prob logprob log_likelihood loglikelihood answer_logp logp_answer",
    "brier": "brier brier_score",
    "edit": "edit edit_distance token_edit_distance",
}
COLUMN_NAMES = {  # normalised names of the other columns
    "task": "task benchmark dataset task_name eval_task benchmark_name",
    "metric": "metric metric_name",
    "k": "k hits correct n_correct num_correct",
    "n": "n items n_items num_items count total n_samples num_samples n_examples num_examples questions n_questions",
    "se": "se stderr std_err std_error standard_error sem",
    "chance": "chance random chance_level random_baseline chance_accuracy random_accuracy random_guess",
    "choices": "choices n_choices num_choices options n_options num_options answer_choices",
    "shots": "shots n_shot n_shots num_fewshot num_shots fewshot few_shot",
    "run": "run run_id model name model_name run_name checkpoint id",
    **METRIC_NAMES,
}
TEXT_LETTERS = ("task", "metric", "run")
SCALE_LETTERS = ("N", "D", "C", "L", "budget")
STANDARD_ERRORS = ("{}_stderr", "{}_se", "{}_std_err", "{}_sem", "se_{}", "stderr_{}")  # of the column of a metric
UNIT_LETTERS = (*SCALE_LETTERS, "score", "chance")


@dataclass(frozen=True)
class ScoreColumns:
    """Columns of a table of scores.

    Attributes:
        names: Column of each letter of COLUMN_NAMES that has one.
        errors: Column of the standard error of each metric that has its own.
        scales: Columns and units of N, D, C, L and budget.
        notes: One line for each guessed column.
    """

    names: dict[str, str]
    errors: dict[str, str]
    scales: ColumnChoice
    notes: tuple[str, ...]


def choose_score_columns(table: Table, reading: ReadOptions, score: str | None) -> ScoreColumns:
    """Chooses the columns of a table of scores: as the user named them, else by their usual names.

    Args:
        table: The table.
        reading: Columns and units that the user named.
        score: Metric that the user chose as the score; a column of that name is the score.

    Raises:
        DataError: A named letter, column or unit does not exist, or there is no column of scores or of scale.
    """
    _check_letters(reading)
    frame = table.frame
    readings = {column: _readings(column) for column in frame.columns}
    names = {letter: _find(table, readings, letter, name) for letter, name in reading.columns.items()}
    notes = []
    if score is not None and "score" not in names and "metric" not in names:
        chosen = [column for column, found in readings.items() if column == score or normalise(score) in found]
        names |= {"score": chosen[0]} if chosen else {}
    for letter, usual in COLUMN_NAMES.items():
        if letter in names:
            continue
        ranked = _ranked(readings, usual.split(), set(names.values()))
        if ranked:
            names[letter] = ranked[0]
            if letter not in TEXT_LETTERS and (letter != ranked[0] or ranked[1:]):
                others = f" (not {', '.join(ranked[1:])})" if ranked[1:] else ""
                notes.append(f"{letter} taken from column {ranked[0]}{others}")
    scored = {letter: column for letter, column in names.items() if letter not in SCALE_LETTERS}
    errors = {letter: column for letter in METRIC_NAMES if (column := _error_column(readings, scored.get(letter)))}
    claimed = {*scored.values(), *errors.values()} - {column for k, column in names.items() if k in SCALE_LETTERS}
    scales = _choose_scales(table, reading, {k: v for k, v in names.items() if k in SCALE_LETTERS}, claimed)
    _check_sufficient(table, scored, scales)
    return ScoreColumns(scored, errors, scales, (*notes, *scales.notes))


def metric_kind(metric: str) -> str | None:
    """Returns the kind of a metric, "score" or one of CONTINUOUS_METRICS, by its name; None for an unknown metric."""
    readings = _readings(metric)
    return next((kind for kind, names in METRIC_NAMES.items() if readings & set(names.split())), None)


def metric_rank(metric: str) -> int:
    """Returns how usual a metric is among those of its kind, 0 for the most usual.

    Args:
        metric: Name of a metric that has a kind.
    """
    names = METRIC_NAMES[str(metric_kind(metric))].split()
    return min(names.index(name) for name in _readings(metric) if name in names)


def is_exact_match(metric: str) -> bool:
    """Returns whether a metric compares a generated text with the answer, by the name of the metric or column."""
    return bool(_readings(metric) & {"exact_match", "em", "exact", "pass_1"})


def _readings(column: str) -> set[str]:
    """Normalised names that the name of a column can mean: acc,none (metric and filter) is acc."""
    if len(column) == 1:
        return {column}  # N parameters, n items
    stem = column.split(",")[0].strip()
    return {normalise(column), *name_readings(stem)}


def _check_letters(reading: ReadOptions) -> None:
    letters = (*SCALE_LETTERS, *COLUMN_NAMES)
    for option, named, allowed in (("columns", reading.columns, letters), ("units", reading.units, UNIT_LETTERS)):
        unknown = sorted(set(named) - set(allowed))
        if unknown:
            raise DataError(f"{option} {', '.join(unknown)}: allowed in a table of scores are {', '.join(allowed)}")
    for letter in ("score", "chance"):
        if reading.units.get(letter, "share") not in ("share", "percent"):
            raise DataError(f"units {letter}={reading.units[letter]}: must be share or percent")


def _find(table: Table, readings: Mapping[str, set[str]], letter: str, name: str) -> str:
    """The column that the user named: exactly, or by the part before a comma (acc for acc,none)."""
    if name in readings:
        return name
    matches = [column for column in readings if column.split(",")[0].strip() == name]
    if len(matches) == 1:
        return matches[0]
    raise DataError(f"{table.name}: no column {name!r} (for {letter}): it has {join_names(table.frame.columns)}")


def _ranked(readings: Mapping[str, set[str]], usual: list[str], used: set[str]) -> list[str]:
    """The columns that can be meant, the most usual name first."""
    ranks = {
        column: min(usual.index(name) for name in found if name in usual)
        for column, found in readings.items()
        if column not in used and found & set(usual)
    }
    return sorted(ranks, key=lambda column: ranks[column])


def _error_column(readings: Mapping[str, set[str]], metric_column: str | None) -> str | None:
    """The column of the standard error of the metric in a column, such as acc_stderr for acc."""
    if metric_column is None:
        return None
    usual = {form.format(name) for name in _readings(metric_column) for form in STANDARD_ERRORS}
    return next((column for column, found in readings.items() if found & usual), None)


def _choose_scales(table: Table, reading: ReadOptions, named: dict[str, str], claimed: set[str]) -> ColumnChoice:
    """Columns of N, D, C, L and budget among those that nothing else uses."""
    frame = table.frame.drop(columns=sorted(claimed))
    units = {letter: unit for letter, unit in reading.units.items() if letter in SCALE_LETTERS}
    choice = choose_columns(replace(table, frame=frame), replace(reading, columns=named, units=units), None, {})
    names = {letter: column for letter, column in choice.names.items() if letter in SCALE_LETTERS}
    notes = tuple(note for note in choice.notes if note.split()[0] in SCALE_LETTERS and not _is_plain(note))
    return replace(choice, names=names, notes=notes)


def _is_plain(note: str) -> bool:
    """Whether a note says that a letter was taken from the column of that name."""
    words = note.split()
    return len(words) == 5 and words[0] == words[-1]


def _check_sufficient(table: Table, names: Mapping[str, str], scales: ColumnChoice) -> None:
    columns = f"it has {join_names(table.frame.columns)}"
    if "score" not in names and "k" not in names:
        raise DataError(
            f"{table.name}: no column of scores (score, or k and n): name one with --columns score=..., or "
            f"columns of tasks with --tasks, {columns}"
        )
    if "k" in names and "n" not in names and "score" not in names:
        raise DataError(f"{table.name}: column {names['k']} needs a column n, the number of items")
    if not set(scales.names) & set(SCALE_LETTERS):
        raise DataError(f"{table.name}: no column of scale (C, N, D, L): name one with --columns N=..., {columns}")
