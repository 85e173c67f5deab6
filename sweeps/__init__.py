"""Sweeps: sets of runs that are defined, planned, priced, launched on an engine, and monitored.

In a notebook or script:

    import sweeps

    print(sweeps.plan("quickstart", store="S"))
    sweep = sweeps.launch("quickstart", store="S", wait=False)
    sweep.watch()                                # redrawn in place until the runs have ended; then sweep.status()
    sweeps.status("quickstart", "S").to_pandas()

`plan`, `launch` and `status` take what the commands take: a known sweep, "FILE.py:NAME", files of run configs such as
"runs/*.json"; and also a function, a `Definition`, or a list of RunConfig. `Sweep` watches and stops a launch.
`LaunchOptions`, `Caps` and `PlanOptions` document the options. `Engine` is what an engine of your own consists of.
Bad input raises `SweepError`. These names are imported on first use, so that `--help` stays fast.

`python -m sweeps` is the command line. The layers, from the lowest: planning, definitions, cost, engines, monitoring,
launching, interface, commands.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweeps.cost.caps import Caps
    from sweeps.cost.quote import priced_slice
    from sweeps.definitions.definition import Definition, Tasks
    from sweeps.engines.engine import Engine
    from sweeps.errors import SweepError
    from sweeps.interface.handle import Sweep
    from sweeps.interface.launch import launch
    from sweeps.interface.plan import PlanOptions, SweepPlan, plan
    from sweeps.interface.status import SweepStatus, status
    from sweeps.launching.options import LaunchOptions
    from sweeps.planning.corpus import Corpus

__all__ = [
    "Caps",
    "Corpus",
    "Definition",
    "Engine",
    "LaunchOptions",
    "PlanOptions",
    "Sweep",
    "SweepError",
    "SweepPlan",
    "SweepStatus",
    "Tasks",
    "launch",
    "plan",
    "priced_slice",
    "status",
]

_MODULES = {
    "Caps": "sweeps.cost.caps",
    "Corpus": "sweeps.planning.corpus",
    "Definition": "sweeps.definitions.definition",
    "Engine": "sweeps.engines.engine",
    "LaunchOptions": "sweeps.launching.options",
    "PlanOptions": "sweeps.interface.plan",
    "Sweep": "sweeps.interface.handle",
    "SweepError": "sweeps.errors",
    "SweepPlan": "sweeps.interface.plan",
    "SweepStatus": "sweeps.interface.status",
    "Tasks": "sweeps.definitions.definition",
    "launch": "sweeps.interface.launch",
    "plan": "sweeps.interface.plan",
    "priced_slice": "sweeps.cost.quote",
    "status": "sweeps.interface.status",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'sweeps' has no attribute {name!r}")
