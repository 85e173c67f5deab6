"""Judges whether scores rise suddenly with scale, or whether the metric only makes it look so.

An answer of six tokens is right if all are: exact match jumps although each token improves steadily.
"""

import numpy as np
import pandas as pd

from analysis import EmergenceOptions, emergence_study

noise = np.random.default_rng(0)
C = np.geomspace(1e18, 1e22, 12)
token = np.linspace(0.1, 0.9, 12)  # probability that a token is right
probabilities = {"one-token": token, "six-tokens": token**6, "jump": np.where(C < 1e20, 0.1, 0.9)}
rows = [
    {"task": task, "C": c, "score": noise.binomial(500, p) / 500, "n": 500, "logp": np.log(p), "chance": 0.0}
    for task, values in probabilities.items()
    for c, p in zip(C, values, strict=True)
]
study = emergence_study(pd.DataFrame(rows), EmergenceOptions(bootstrap=200))
for finding in study.findings:
    print(f"{finding.task.name:11} {finding.verdict.verdict}: {finding.verdict.reason}")
