"""Validation scores of the runs of a pack, computed for all places at once.

Axes: R runs (places of the pack), B batch, L positions.
"""

from __future__ import annotations

import jax
import numpy as np

from scaling.training import loop as loop_module
from scaling.training import validation
from scaling.training.packs.state import Pack, end_run
from scaling.training.run import Diverged


def evaluate_runs(pack: Pack, due: list[int]) -> None:
    """Evaluates runs and adds the scores to their curves; a run whose scores are not finite ends as diverged.

    Args:
        pack: The pack.
        due: Places to evaluate.
    """
    rows = {place: validation.row_sets(pack.runs[place]) for place in due}
    scores: dict[int, dict[str, float]] = {place: {} for place in due}
    for name in next(iter(rows.values()), ()):
        for place, figures in mean_scores_per_run(pack, name, {place: rows[place][name] for place in due}).items():
            scores[place] |= figures
    for place, figures in scores.items():
        run = pack.runs[place]
        if all(map(np.isfinite, figures.values())):
            run.rows[-1] |= figures
        else:
            end_run(pack, place, loop_module.final_record(run, Diverged(run.step)))


def mean_scores_per_run(pack: Pack, name: str, rows: dict[int, np.ndarray]) -> dict[int, dict[str, float]]:
    """Averages the scores of each place's set of rows, all places computed at once.

    Args:
        pack: The pack.
        name: Name of the set of rows.
        rows: The rows by place, int32 (n, X) each.

    Returns:
        The means by column of the curve, by place.
    """
    compiled, size = pack.program, next(run.config.batch for run in pack.runs.values())
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, max(map(len, rows.values())), size):
        filled_RBL = np.zeros((compiled.runs, size, *next(iter(rows.values())).shape[1:]), np.int32)
        for place, place_rows in rows.items():
            chunk = place_rows[start : start + size]
            filled_RBL[place, : len(chunk)] = chunk
        placed = jax.device_put(filled_RBL, compiled.batch_sharding)
        scores = compiled.evaluate(pack.state["params"], placed)
        parts.append({score: np.asarray(values_RB) for score, values_RB in scores.items()})

    def place_scores(place: int) -> validation.Scores:
        return lambda start, end: {score: values_RB[place] for score, values_RB in parts[start // size].items()}

    return {
        place: validation.mean_scores(name, place_rows, size, place_scores(place)) for place, place_rows in rows.items()
    }
