"""Measurements of the documentation: each module measures one subject with the project's own commands.

`python -m docs.measurements NAME` (or `make measure-NAME`) runs the commands of a subject and writes its results to
docs/pages/measurements/results/NAME.json, with the commands, date, machine and commit. The page
docs/pages/measurements/NAME.md shows them through markers such as `{{ table:NAME }}` (docs/generate/measurements.py).
Subjects are grouped in `trained` (sweeps that are trained here), `fits` (fits and their intervals) and `machine`
(speed, faults, compilation). The package is not part of the wheel.
"""

from __future__ import annotations

SUBJECTS = {
    "quickstart": "trained.quickstart",
    "known-entropy": "trained.known_entropy",
    "learning-rate-transfer": "trained.transfer",
    "in-context": "trained.in_context",
    "emergence": "trained.emergence",
    "grokking": "trained.grokking",
    "double-descent": "trained.double_descent",
    "memorised-text": "trained.memorised_text",
    "block-order": "trained.block_order",
    "sweep-health": "trained.sweep_health",
    "forecasts": "trained.forecasts",
    "sae-training": "trained.sae_training",
    "sparse-autoencoders": "trained.sparse_autoencoders",
    "published-fits": "fits.published",
    "coverage": "fits.coverage",
    "calibration": "fits.calibration",
    "posterior": "fits.posterior",
    "extrapolation": "fits.extrapolation",
    "next-runs": "fits.next_runs",
    "search-speed": "fits.search_speed",
    "training-speed": "machine.training_speed",
    "sharing": "machine.sharing",
    "planning-speed": "machine.planning_speed",
    "preparation": "machine.preparation",
    "reading": "machine.reading",
    "checkpoints": "machine.checkpoints",
    "faults": "machine.faults",
    "damage": "machine.damage",
    "topology": "machine.topology",
}  # name of the page and of the results file -> module, whose `measure(session)` returns Results
