"""Orbax on gs:// and s3://, without a mount and without copies on this machine.

Orbax writes small files (metadata, the mark of a complete save) through etils.epath and arrays through TensorStore.
epath reaches both kinds of bucket through fsspec. TensorStore has drivers for both, but Orbax specifies only the one of
gs://: `enable_buckets` wraps the function that builds its specifications, so that s3:// has one as well, and so that a
server that does not answer is an error after about a minute.
"""

from __future__ import annotations

import os
from typing import Any

SCHEMES = {"gs": "gs", "gcs": "gs", "s3": "s3", "s3a": "s3"}  # of addresses, and as Orbax and epath name them
RETRIES = {"max_retries": 6, "initial_delay": "1s", "max_delay": "16s"}  # of a request, of 47 s in all


def bucket_scheme(address: str) -> str:
    """Returns gs or s3 if checkpoints at an address are written there directly, else an empty string."""
    scheme, separator, _ = address.partition("://")
    return SCHEMES.get(scheme, "") if separator else ""


def enable_buckets() -> None:
    """Lets Orbax open gs:// and s3:// in this process; calls after the first do nothing."""
    os.environ.setdefault("EPATH_USE_TF", "false")  # else epath imports TensorFlow where it is installed
    if emulator := os.environ.get("STORAGE_EMULATOR_HOST"):  # the variable of Google's clients, for TensorStore
        os.environ.setdefault("TENSORSTORE_GCS_HTTP_URL", emulator)
    from etils.epath import gpath
    from orbax.checkpoint._src.serialization import tensorstore_utils  # the only place that has the specifications

    gpath._is_tf_installed.cache_clear()  # JAX's cache of programs has asked before the variable was set

    build = tensorstore_utils.build_kvstore_tspec
    if getattr(build, "has_buckets", False):
        return

    def build_with_buckets(directory: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        directory = str(directory)
        is_s3 = directory.startswith("s3:/")
        if not is_s3 and not directory.startswith("gs:/"):
            return build(directory, *args, **kwargs)
        spec = build(f"gs://{directory[4:].lstrip('/')}", *args, **kwargs)
        return _with_driver(spec, _s3_settings() if is_s3 else {"gcs_request_retries": RETRIES})

    build_with_buckets.has_buckets = True  # type: ignore[attr-defined]
    tensorstore_utils.build_kvstore_tspec = build_with_buckets


def _with_driver(spec: Any, settings: dict[str, Any]) -> Any:
    """Returns a specification of TensorStore in which each driver of gs:// has further settings."""
    if not isinstance(spec, dict):
        return spec
    if str(spec.get("driver", "")).startswith("gcs"):
        return {**spec, **settings}
    return {name: _with_driver(value, settings) for name, value in spec.items()}


def _s3_settings() -> dict[str, Any]:
    """Returns the settings of TensorStore's driver of S3: those that s3fs and botocore read from the environment."""
    import fsspec

    settings: dict[str, Any] = {"driver": "s3", "s3_request_retries": RETRIES}
    configured = fsspec.config.conf.get("s3", {})
    endpoints = (
        configured.get("endpoint_url") or configured.get("client_kwargs", {}).get("endpoint_url"),
        os.environ.get("AWS_ENDPOINT_URL_S3"),
        os.environ.get("AWS_ENDPOINT_URL"),
    )
    if endpoint := next(filter(None, endpoints), None):
        settings["endpoint"] = endpoint
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        settings["aws_region"] = region
    if "AWS_ACCESS_KEY_ID" in os.environ:  # else the driver first prints that it finds no file of credentials
        settings["aws_credentials"] = {"type": "environment"}
    return settings
