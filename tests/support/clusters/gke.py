"""JobSets of a dry run for GKE, and a kubectl that writes down what it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scaling.config.run import RunConfig
from scaling.store.record import Store
from tests.support.sweeps import dry_run_text

OPTIONS = {"topology": "v5e-16", "image": "registry.example/scaling:1", "bucket": "gs://my-runs"}

KUBECTL = """#!/bin/sh
echo "$@" >> "$CLUSTER/asked"
case "$1" in
  logs) printf 'step 3\\nout of memory\\n' ;;
  apply)
    if [ -e "$CLUSTER/full" ]; then echo "no quota" >&2; exit 1; fi
    cat > "$CLUSTER/applied.json" ;;
  get) if [ -e "$CLUSTER/deaf" ]; then echo "no route to host" >&2; exit 1; fi; cat "$CLUSTER/list.json" ;;
  delete)
    if [ -e "$CLUSTER/stuck" ]; then echo "TLS handshake timeout" >&2; exit 1; fi
    echo '{"items": []}' > "$CLUSTER/list.json" ;;
esac
"""


def dry_run_jobset(tmp_path: Path, tiny: RunConfig, **options: str) -> dict[str, Any]:
    """The one JobSet of a dry run."""
    text = dry_run_text("gke", Store(tmp_path / "s"), "My_sweep", [tiny], {**OPTIONS, **options})
    return json.loads(text[text.index("{") : text.rindex("\n}") + 2])


def job_spec(jobset: dict[str, Any]) -> dict[str, Any]:
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
