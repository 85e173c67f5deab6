"""Names of a sweep's jobs in a cluster: unique per run, sweep and bucket, and short enough for every cluster."""

from __future__ import annotations

import hashlib
import re

from sweeps.errors import SweepError

LABEL_LENGTH = 50  # characters of a sweep's label; Kubernetes allows 63
SHORT_LABEL_LENGTH = 20  # characters of the label within a job's name
HASH_LENGTH = 6  # hexadecimal digits
RUN_LENGTH = 16  # characters of a run_id within a job's name


def bucket_name(bucket: str) -> str:
    """Returns the name of a bucket without gs://; raises SweepError if it is not a valid name."""
    name = bucket.removeprefix("gs://").rstrip("/")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]", name):
        raise SweepError(
            f"--option bucket={bucket}: must be the name of a bucket without a folder, such as gs://my-runs"
        )
    return name


def job_name(sweep: str, digest: str, run_id: str) -> str:
    """Returns the name of the job whose first run is `run_id`: at most 44 letters, digits and dashes.

    Args:
        sweep: Name of the sweep.
        digest: `sweep_hash` of the bucket and the sweep.
        run_id: The first run that the job trains.
    """
    return f"{job_name_prefix(sweep, digest)}{run_id[:RUN_LENGTH]}"


def job_name_prefix(sweep: str, digest: str) -> str:
    """Returns the common beginning of the names of a sweep's jobs.

    Args:
        sweep: Name of the sweep.
        digest: `sweep_hash` of the bucket and the sweep.
    """
    return f"{sweep_label(sweep)[:SHORT_LABEL_LENGTH].rstrip('-')}-{digest}-"


def sweep_hash(bucket: str, sweep: str) -> str:
    """Returns a hash that separates sweeps in different buckets, and sweeps whose labels are the same.

    Args:
        bucket: The bucket, with or without gs://.
        sweep: Name of the sweep.
    """
    return hashlib.sha256(f"{bucket_name(bucket)}/{sweep}".encode()).hexdigest()[:HASH_LENGTH]


def sweep_label(sweep: str) -> str:
    """Returns a sweep's name as a label of a cluster: lower-case letters, digits and dashes, a letter first."""
    text = re.sub(r"[^a-z0-9]+", "-", sweep.lower()).strip("-")[:LABEL_LENGTH].rstrip("-")
    return text if text[:1].isalpha() else f"s-{text}".rstrip("-")
