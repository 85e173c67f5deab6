"""Audits a table of losses before a fit: printed against recomputed FLOPs, missing values, replicates, groups.

The budgets of this sweep are thirds of a decade apart, and were printed with one digit.
"""

import numpy as np
import pandas as pd

from analysis import audit_source

rows = []
for printed, flops in ((1e18, 1e18), (2e18, 2.154e18), (5e18, 4.642e18), (1e19, 1e19)):
    for size in np.geomspace(0.4, 2.5, 5):
        N = size * (flops / 120) ** 0.5
        D = flops / 6 / N
        loss = 1.8 + 450 / N**0.34 + 1800 / D**0.36
        rows.append({"budget": printed, "params": round(N), "tokens": round(D), "val_loss": round(loss, 4)})

audit = audit_source(pd.DataFrame(rows))
print(audit.summary)
for finding in audit.findings:
    print(f"{finding.severity}: {finding.text}")
for row in audit.budgets:
    print(f"printed {row.printed:g}, recomputed {row.median:.4g}: {row.verdict}")
