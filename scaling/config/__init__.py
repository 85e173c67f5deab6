"""What a run is: frozen dataclasses that are read from and written to JSON, and the hashes that identify a run.

Standard library only, so that sweeps and tools read configs without importing JAX. The public names of the
modules are exported here.
"""

from scaling.config.model import ModelConfig
from scaling.config.objective import DataConfig
from scaling.config.optimizer import OptimizerConfig
from scaling.config.placement import Placement
from scaling.config.run import EvalConfig, RunConfig, dumps, load, loads, override, prefix_id, run_id
from scaling.config.schedule import ScheduleConfig
from scaling.config.validation import ConfigError, canonical, field_types, from_dict, to_dict

__all__ = [
    "ConfigError",
    "DataConfig",
    "EvalConfig",
    "ModelConfig",
    "OptimizerConfig",
    "Placement",
    "RunConfig",
    "ScheduleConfig",
    "canonical",
    "dumps",
    "field_types",
    "from_dict",
    "load",
    "loads",
    "override",
    "prefix_id",
    "run_id",
    "to_dict",
]
