"""A kubectl whose cluster is this machine: a JobSet's command runs here, and again as its failure policy has it.

STORE stands for the bucket. CLUSTER/NAME.json is what was applied, NAME.status how it stands, NAME.log what was said.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CLUSTER, STORE = Path(os.environ["CLUSTER"]), os.environ["STORE"]


def main(words: list[str]) -> None:
    if words[0] == "apply":
        result = json.load(sys.stdin)
        name = result["metadata"]["name"]
        (CLUSTER / f"{name}.json").write_text(json.dumps(result))
        write(name, {})
        subprocess.Popen(
            [sys.executable, __file__, "keep", name], start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    elif words[0] == "keep":
        keep(words[1])
    elif words[0] == "get":
        names = [path.stem for path in sorted(CLUSTER.glob("*.json"))]
        status = {name: json.loads((CLUSTER / f"{name}.status").read_text()) for name in names}
        result = {name: json.loads((CLUSTER / f"{name}.json").read_text()) for name in names}
        print(json.dumps({"items": [{**result[name], "status": status[name]} for name in names]}))
    elif words[0] == "logs":
        print("".join(path.read_text() for path in sorted(CLUSTER.glob("*.log"))))


def keep(name: str) -> None:
    """What the JobSet controller does."""
    spec = json.loads((CLUSTER / f"{name}.json").read_text())["spec"]
    pod = spec["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    command = [argument.replace("/store", STORE) for argument in pod["containers"][0]["command"]]
    counted = 0
    while True:
        with (CLUSTER / f"{name}.log").open("a") as log:
            env = {**os.environ, "XLA_FLAGS": ""}
            finished = subprocess.run([sys.executable, *command[1:]], stdout=log, stderr=log, env=env, check=False)
        if finished.returncode == 0:
            return write(name, {"conditions": [{"type": "Completed", "status": "True"}]})
        if finished.returncode != 75:
            counted += 1
            if finished.returncode == 2 or counted > spec["failurePolicy"]["maxRestarts"]:
                return write(name, {"conditions": [{"type": "Failed", "status": "True", "reason": "ItFailed"}]})
        write(name, {"restartsCountTowardsMax": counted})


def write(name: str, status: dict[str, Any]) -> None:
    (CLUSTER / f"{name}.new").write_text(json.dumps(status))
    os.replace(CLUSTER / f"{name}.new", CLUSTER / f"{name}.status")


main(sys.argv[1:])
