"""Rows of finished runs, by columns with the state of a run as schedulers and trackers write it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection

import numpy as np
import pandas as pd

from analysis.data.columns.names import name_readings
from analysis.data.table import Table, cell_texts
from analysis.errors import DataError
from analysis.format import join_names, plural

STATE_NAME = re.compile(
    r"((run|job|task|trial|experiment|exit|final|end|training|train|slurm|sacct|wandb|ray|pod|completion|termination)_)*"
    r"(?P<kind>state|status|phase|outcome)"
)
CODE_NAME = re.compile(r"((run|job|task)_)?(exit|return)_?(code|status|state)")
FINISHED_FLAGS = ("finished", "completed", "complete", "done", "succeeded", "success", "successful")
UNFINISHED_FLAGS = (
    *("failed", "crashed", "killed", "cancelled", "canceled", "preempted", "diverged", "timed_out", "incomplete"),
    *("unfinished", "oom", "out_of_memory", "aborted", "interrupted", "running", "pending"),
)
FINISHED = {
    *("done", "finished", "finish", "completed", "complete", "succeeded", "success", "successful", "ok", "passed"),
    *("completedsuccessfully", "finishedsuccessfully", "published", "cd"),
}
FINISHED_ALONE = {"terminated"}  # finished in Ray Tune, but not where another word means finished
FIRST_ROWS = 1000  # rows by which most columns are known to have no states
SHORTEST_STATE = 3  # letters; shorter words, such as SLURM's CD and CA, alone do not make a column one of states
UNFINISHED = re.compile(
    r"(fail|crash|kill|cancel|error|outofmemory|oom|time?d?out|preempt|abort|diverg|nodefail|bootfail|launchfail"
    r"|deadline|revoked|requeue|resiz|running|inprogress|active|pending|queued|scheduled|suspend|paus|hold|waiting"
    r"|starting|started|created|preparing|initializ|configuring|completing|stopping|finalizing|recovering|evict"
    r"|terminat|imagepull|errimage|backoff|containercreating|unschedulable|interrupt|incomplete|unfinished|partial"
    r"|prun|notstarted|submitted|provisioning|restarting|resuming|retry|lost|special_?exit|zombie|invalid|nan|inf"
    r"|stopped|closed|ended|exit|bad|unknown).*|ca|f|to|nf|pr|r|pd|bf|dl|oom|cg|cf|s|rq|st"
)
PLAIN_STATES = {  # words that mean a state in a column of any name
    *(
        "failed",
        "failure",
        "crashed",
        "killed",
        "cancelled",
        "canceled",
        "running",
        "pending",
        "timeout",
        "outofmemory",
    ),
    *("oom", "nodefail", "preempted", "diverged", "queued", "aborted", "stopped", "error"),
}
TRUE, FALSE = {"true", "yes", "y", "1", "1.0", "t"}, {"false", "no", "n", "0", "0.0", "f"}


def finished_rows(table: Table, where: str | None = None, used: Collection[str] = ()) -> Table:
    """Returns the rows of finished runs, with notes on the others.

    A column of states has a usual name (State, run_state, job_status, ...) and the words of SLURM, Weights & Biases,
    Ray, Kubernetes, Vertex or others, with any case, punctuation and detail ("CANCELLED by 1001", "COMPLETED+"). Rows
    with an unknown word are left out. Exit codes, and columns of true and false such as `finished` and `crashed`, are
    states too. A column that the filter expression mentions is left to it.

    Args:
        table: Rows of a source.
        where: Filter expression of the user.
        used: Columns that are read as numbers or names of points, which are not states.

    Raises:
        DataError: No word of a column of states is known.
    """
    skipped = {*_names_in(where), *used}
    for name in [column for column in table.frame.columns if column not in skipped]:
        readings = {reading.removeprefix("is_").removeprefix("has_") for reading in name_readings(name)}
        kinds = {match["kind"] for reading in readings if (match := STATE_NAME.fullmatch(reading))}
        if any(CODE_NAME.fullmatch(reading) for reading in readings) and _is_code(table, name):
            table = _by_codes(table, name)
        elif kinds or _has_states(table, name):
            table = _by_words(table, name, required=bool(kinds & {"state", "status"}))
        elif readings & {*FINISHED_FLAGS, *UNFINISHED_FLAGS}:
            table = _by_flags(table, name, bool(readings & set(FINISHED_FLAGS)))
    return table


def _names_in(where: str | None) -> set[str]:
    """Names and texts in a filter expression, among which are the columns that it mentions."""
    try:
        nodes = list(ast.walk(ast.parse((where or "0").strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()  # the filter reports the error
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    names |= {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    return names | {str(node.value) for node in nodes if isinstance(node, ast.Constant)}


def _has_states(table: Table, name: str) -> bool:
    """Whether all cells of a column of any name are states, of finished and of failed or unfinished runs."""
    if table.frame[name].dtype.kind != "O":
        return False
    if not _are_states(_words_of(table.frame[name].head(FIRST_ROWS)) - FINISHED):  # soon known of most columns
        return False
    words = _words_of(table.frame[name])
    others = words - FINISHED
    return bool(words & FINISHED and others & PLAIN_STATES) and _are_states(others)


def _words_of(column: pd.Series) -> set[str]:
    """Words of the cells of a column, without those of empty cells."""
    return {_normalised(cell) for cell in set(cell_texts(column))} - {""}


def _are_states(words: set[str]) -> bool:
    """Whether all words are states of failed or unfinished runs."""
    return all(len(word) >= SHORTEST_STATE and UNFINISHED.fullmatch(word) for word in words)


def _normalised(cell: str) -> str:
    """Word of a state without case, punctuation, prefix and detail: "TrialState.CANCELLED by 1001" is "cancelled"."""
    text = re.split(r"\(|:\s|\bby\b", re.sub(r"(?i)^(job|run|trial|task|pipeline)_?state[._]", "", cell))[0]
    word = re.sub(r"[^a-z0-9]", "", text.lower())
    return word or cell.strip() if any(ord(letter) > 127 for letter in cell) else word


def _by_words(table: Table, name: str, required: bool) -> Table:
    """Rows with a word of a finished run. Without a known word, an error if one is required, else all rows."""
    cells = cell_texts(table.frame[name])
    by_cell = {cell: _normalised(cell) for cell in set(cells)}
    states = [by_cell[cell] for cell in cells]
    present = {state for state in states if state}
    if _is_code(table, name):
        notes = [f"{name} has numbers and is not used as the state of runs"] if present else []
        return table.with_notes(*notes)
    finished_states = present & FINISHED or present & FINISHED_ALONE
    unknown_states = {state for state in present - finished_states if not UNFINISHED.fullmatch(state)}
    if unknown_states and all(len(state) < SHORTEST_STATE for state in present - unknown_states):
        if not required:
            return table
        example = next(cell for cell in cells if cell)
        raise DataError(
            f"{table.name}: column {name}: no known state of a run ({_counts(cells)}): if it is one, select rows with "
            f"--where \"{_mention(name)}=='{example}'\"; if not, keep all with --where \"{_mention(name)}!=''\""
        )
    if not finished_states:
        finished_states = {""}  # only rows of runs that did not finish are marked
    finished = np.array([state in finished_states for state in states], bool)
    unknown = np.array(
        [state in unknown_states or (not state and state not in finished_states) for state in states], bool
    )
    left_out = [cell for cell, row in zip(cells, ~finished & ~unknown, strict=True) if row]
    if left_out:
        table = table.with_notes(f"{plural(len(left_out), 'run')} left out: {_counts(left_out)}")
    if unknown.any():
        named = _counts([cell for cell, row in zip(cells, unknown, strict=True) if row])
        table = table.with_notes(
            f"{plural(int(unknown.sum()), 'run')} left out, because the state in {name} is not known: {named}; "
            f"a --where with {name} replaces this filter"
        )
    return table if finished.all() else table.select(finished)


def _is_code(table: Table, name: str) -> bool:
    """Whether a column has only numbers, or exit codes such as 0:0."""
    return all(re.fullmatch(r"(-?\d+(\.0*)?(:\d+)?)?", cell) for cell in cell_texts(table.frame[name]))


def _by_codes(table: Table, name: str) -> Table:
    """Rows with exit code 0, or without one."""
    cells = cell_texts(table.frame[name])
    rows = np.array([re.fullmatch(r"(0(\.0*)?(:0)?)?", cell) is not None for cell in cells], bool)
    if rows.all():
        return table
    codes = _counts([cell for cell, row in zip(cells, ~rows, strict=True) if row])
    return table.select(rows).with_notes(f"{plural(int(np.sum(~rows)), 'run')} left out by {name}: {codes}")


def _by_flags(table: Table, name: str, finished: bool) -> Table:
    """Rows of which a column of true and false has the finished value; other columns select nothing."""
    cells = [cell.lower() for cell in cell_texts(table.frame[name])]
    if not set(cells) <= {*TRUE, *FALSE, ""} or not set(cells) & {*TRUE, *FALSE}:
        return table
    rows = np.array([not cell or (cell in TRUE) == finished for cell in cells], bool)
    if rows.all():
        return table
    return table.select(rows).with_notes(
        f"{plural(int(np.sum(~rows)), 'run')} left out: {name} is {'false' if finished else 'true'}"
    )


def _counts(cells: list[str]) -> str:
    """Cells with their numbers, such as "2 TIMEOUT, 1 FAILED"."""
    counts = Counter(cell or "without a state" for cell in cells)
    return join_names(f"{number} {cell[:40]}" for cell, number in counts.most_common())


def _mention(name: str) -> str:
    """A column in a filter expression."""
    return name if name.isidentifier() else f"col('{name}')"
