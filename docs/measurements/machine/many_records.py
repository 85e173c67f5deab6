"""Writes a store with the records of a sweep of many small runs, nine tenths of them finished.

`python -m docs.measurements.machine.many_records STORE COUNT`
"""

from __future__ import annotations

import sys

from scaling.config.run import run_id
from scaling.store.record import Record, Store
from sweeps.definitions.brackets import seeds
from sweeps.launching.launch import write_sweep
from sweeps.planning.corpus import find_or_prepare
from sweeps.planning.plan import plan_sweep
from sweeps.planning.rules import SMALL

SWEEP = "many"


def main(folder: str, count: int) -> None:
    """Writes the plan of the sweep and the records.

    Args:
        folder: Folder of the store.
        count: Number of runs.
    """
    store = Store(folder)
    corpus = find_or_prepare(store.root, "cpython", "bytes")
    configs = seeds(corpus, rule_set=SMALL, widths=(256,), count=count)
    for config in configs[: count * 9 // 10]:
        about = {"seconds": 10.0, "steps_computed": config.steps}
        final = {"loss": 2.0, "step": config.steps}
        store.write(Record(run_id=run_id(config), config=config, status="done", final=final, about=about))
    write_sweep(store, SWEEP, plan_sweep(configs, corpus))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
