"""Fast parsing of many configs: parts that several configs of a sweep share are parsed and checked only once."""

from __future__ import annotations

import dataclasses
import marshal
from typing import Any

from scaling.config.run import RunConfig
from scaling.config.validation import field_types, from_dict, nested_config

MAX_PARTS = 4096  # largest number of cached parts (model, data, ...)
_REQUIRED = {f.name for f in dataclasses.fields(RunConfig) if f.default is dataclasses.MISSING}
_parts: dict[tuple[str, bytes], Any] = {}


def run_config_from_dict(data: Any) -> RunConfig:
    """Returns the same as `from_dict(RunConfig, data)`, faster for configs with parts that were seen before."""
    hints = field_types(RunConfig)
    if not isinstance(data, dict) or not set(data) <= set(hints) or not set(data) >= _REQUIRED:
        return from_dict(RunConfig, data)  # raises an error that names the field
    parts = {
        name: _part(cls, value, name)
        for name, value in data.items()
        if (cls := nested_config(hints[name], value)) is not None
    }
    return RunConfig(**{**data, **parts})


def _part(cls: Any, value: Any, name: str) -> Any:
    key = (name, marshal.dumps(value, 2))  # unlike ==, distinguishes 1, 1.0 and True
    if key not in _parts:
        if len(_parts) > MAX_PARTS:
            _parts.clear()
        _parts[key] = from_dict(cls, value, name)
    return _parts[key]
