"""Configs: frozen dataclasses that are read from and written to JSON, and the hashes that identify a run.

Standard library only, so that sweeps and tools read configs without importing JAX. `run` has RunConfig and its ids,
`placement` where a run is computed, `presets` published models; `options` derives command-line flags from dataclasses,
`exit_status` and `tpu` hold constants of all packages. The names that other projects import are exported here.
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
