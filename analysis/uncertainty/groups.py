"""Group effects: residuals, or the law itself, that differ between corpora, architectures or other named groups.

Two F tests for each column of labels, of the law linearised at its fit: whether the mean residuals of the groups
differ, and whether the parameters of the law differ between groups (Chow 1960). The checkpoints of
a run count as one point.

Key: P coordinates, n points, G groups. u coordinates, r residuals, J ∂r/∂u, Q orthonormal basis of the weighted J,
Z directions of a test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from analysis.data.points import Points
from analysis.format import signed
from analysis.solver.problem import Problem
from analysis.solver.robust import robust_std
from analysis.uncertainty.resampling import clusters
from analysis.uncertainty.verdicts import warning

CHANCE = 0.01  # probability of a false warning of a fit, over all columns and both tests
CLIP = 2.5  # robust standard deviations at which residuals are clipped, because an outlier is no group
EXACT = 1e-9  # residuals below this share of the output are rounding errors
SAME = 1e-3  # relative range up to which an input is constant within a group
MIN_SPARE = 3  # smallest number of residual degrees of freedom of a test
MAX_LISTED = 5  # largest number of groups listed in a warning


@dataclass(frozen=True)
class GroupEffect:
    """The test of one column of labels.

    Attributes:
        column: Name of the column.
        p: Smaller p-value of the two tests, times their number.
        offsets: Mean of measured minus predicted output of each group, on the scale of the link.
        counts: Number of points of each group.
    """

    column: str
    p: float
    offsets: dict[str, float]
    counts: dict[str, int]

    def _offset_text(self, name: str, relative: bool) -> str:
        offset = self.offsets[name]
        return signed(np.expm1(offset), ".1%") if relative else signed(offset, ".3g")

    def sentence(self, relative: bool) -> str:
        """Sentence for a verdict; `relative` for offsets of logarithms."""
        names = sorted(self.offsets, key=lambda name: self.offsets[name])
        if len(names) > MAX_LISTED:
            names = [*names[:2], *names[-2:]]
        texts = [
            f"{name or '(empty)'} {self._offset_text(name, relative)} ({self.counts[name]} points)" for name in names
        ]
        total = f", of {len(self.offsets)} groups" if len(names) < len(self.offsets) else ""
        return (
            f"the runs differ by {self.column} (p = {self.p:.1g}); mean deviation from the common law: "
            f"{', '.join(texts)}{total}: fit each with --by {self.column}"
        )


def find_group_effects(problem: Problem, u_P: np.ndarray, points: Points) -> list[GroupEffect]:
    """Tests each column of labels, for any p-value.

    Columns that determine an input of the law, such as the name of the model size, are not tested, because their effect
    is that of the input.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points.
    """
    columns = points.labels if points.labels or points.groups is None else {"group": points.groups}
    columns = {name: labels for name, labels in columns.items() if len(set(labels)) > 1}
    if not columns:
        return []
    r, J = clusters.linearised_runs(problem, u_P, points)
    scale = robust_std(r)
    if scale < EXACT * max(float(np.abs(problem.y).mean()), 1e-300):
        return []
    r, Q = np.clip(r, -CLIP * scale, CLIP * scale), np.linalg.qr(J)[0]
    root_n = np.sqrt(problem.weights)
    effects = []
    for name, labels in columns.items():
        names, codes_n = np.unique(np.array(labels), return_inverse=True)
        codes, root = _codes_of_runs(codes_n, points), clusters.mean_by_run(root_n, clusters.run_labels(points))
        if codes is None or _determines_input(problem, codes_n):
            continue
        is_group = codes[:, None] == np.arange(len(names))
        p = _p_value(r, Q, is_group * root[:, None], (is_group[:, :, None] * J[:, None]).reshape(len(r), -1))
        if p is not None:
            residual_n = -problem.residual(u_P[None])[0]
            offsets = {str(key): float(np.mean(residual_n[codes_n == g])) for g, key in enumerate(names)}
            counts = {str(key): int(np.sum(codes_n == g)) for g, key in enumerate(names)}
            effects.append(GroupEffect(name, p, offsets, counts))
    return effects


def check_groups(problem: Problem, u_P: np.ndarray, points: Points) -> list[str]:
    """Warns of columns whose groups differ by more than chance explains.

    Args:
        problem: The law on points.
        u_P: Coordinates of the optimum.
        points: The points.
    """
    effects = find_group_effects(problem, u_P, points)
    relative = problem.objective.link == "log"
    return [
        warning("group-effect", effect.sentence(relative)) for effect in effects if effect.p * len(effects) <= CHANCE
    ]


def _codes_of_runs(codes_n: np.ndarray, points: Points) -> np.ndarray | None:
    """Code of each run; None if the rows of a run differ."""
    labels_n = clusters.run_labels(points)
    mean = clusters.mean_by_run(codes_n.astype(float), labels_n)
    return np.rint(mean).astype(int) if np.allclose(mean[labels_n], codes_n) else None


def _determines_input(problem: Problem, codes_n: np.ndarray) -> bool:
    """Whether an input of the law is constant within every group, but not in all points."""
    groups = [codes_n == g for g in np.unique(codes_n)]
    for x in problem.inputs:
        tolerance = SAME * float(np.abs(x).max())
        if np.ptp(x) > tolerance and all(np.ptp(x[rows]) <= SAME * float(np.abs(x[rows]).max()) for rows in groups):
            return True
    return False


def _p_value(r: np.ndarray, Q: np.ndarray, *tests: np.ndarray) -> float | None:
    """The smallest p-value of F tests of directions Z in addition to Q, times the number of tests; None without any."""
    r = r - Q @ (Q.T @ r)
    total, p_values = float(r @ r), []
    for Z in tests:
        rest = Z - Q @ (Q.T @ Z)
        u, s, _ = np.linalg.svd(rest / np.maximum(np.linalg.norm(Z, axis=0), 1e-300), full_matrices=False)
        u = u[:, s > 1e-6]
        dof = len(r) - Q.shape[1] - u.shape[1]
        if not u.shape[1] or dof < MIN_SPARE:
            continue
        explained = float(np.sum((u.T @ r) ** 2))
        F = explained / u.shape[1] / max((total - explained) / dof, 1e-300)
        p_values.append(float(fdtrc(u.shape[1], dof, F)))
    return min(p_values) * len(p_values) if p_values else None
