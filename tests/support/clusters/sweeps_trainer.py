"""A small trainer for the tests of sweeps: a real process with the trainer's events, records, resumption and exits.

STORE/behave.json maps run ids to what shall happen: fail, diverge, die (each time), die-once, deaf (ignores SIGTERM),
clock=SECONDS (sets the clock of tests).
"all": "die-waiting" ends the process while it waits for a run of another process; "in-order" ends it with the first run
that fails.
STORE/pace is the seconds a step takes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))
from scaling.config.run import load, run_id
from scaling.store.damaged import read_or_set_aside
from scaling.store.origin.clock import CLOCK_FILE
from scaling.store.record import Record, Store

arguments = sys.argv[1:]
root = Path(arguments[arguments.index("--store") + 1])
sweep = arguments[arguments.index("--sweep") + 1]
assert "--events" in arguments
configs = [load(path) for path in arguments[: arguments.index("--store")]]
store = Store(root)
behave = json.loads((root / "behave.json").read_text()) if (root / "behave.json").exists() else {}
pace = float((root / "pace").read_text()) if (root / "pace").exists() else 0.0
stop = False


def on_term(*_: object) -> None:
    global stop
    stop = "deaf" not in behave.values()


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


signal.signal(signal.SIGTERM, on_term)
(root / "started").open("a").write(f"{os.getpid()}\n")
(root / "times").open("a").write(f"{time.monotonic()}\n")
(root / "commands").open("a").write(" ".join(arguments) + "\n")
if behave.get("all") == "die-at-once":
    print("no backend", file=sys.stderr)
    sys.exit(1)
if behave.get("all") == "die-waiting":
    say(event="waits", run_id=run_id(configs[0]), why="another process trains it")
    os.abort()
if behave.get("all") == "refuse":
    print("error: unknown argument", file=sys.stderr)
    sys.exit(2)
print("a library's greeting on standard output")
failed = False
for config in configs:
    name = run_id(config)
    known = read_or_set_aside(store, name)
    if known is not None and known.status in ("done", "diverged"):
        continue
    about = {"pid": os.getpid(), "host": socket.gethostname(), "started": datetime.now(UTC).isoformat()}
    state = store.run_dir(name) / "state"
    first = int(state.read_text()) if state.exists() else 0
    store.write(
        Record(
            run_id=name, config=config, status="running", sweep=sweep, about={**about, "started_from": {"step": first}}
        )
    )
    begun = time.monotonic()
    how = behave.get(name)
    if how and how.startswith("clock="):
        Path(os.environ[CLOCK_FILE]).write_text(how.partition("=")[2])
    if how == "die-compiling":
        os.kill(os.getpid(), signal.SIGKILL)
    say(event="start", run_id=name, steps=config.steps, **{"from": first})
    if how == "die" or (how == "die-once" and not (root / "died").exists()):
        (root / "died").touch()
        print("about to run out of memory", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    if how in ("fail", "diverge"):
        status, extra = ("failed", {"error": "a bad day"}) if how == "fail" else ("diverged", {})
        store.write(Record(run_id=name, config=config, status=status, sweep=sweep, about={**about, **extra}))
        say(event="end", run_id=name, status=status, **extra)
        failed = failed or how == "fail"
        if behave.get("all") == "in-order" and failed:
            sys.exit(1)
        continue
    for step in range(first + 1, config.steps + 1):
        time.sleep(pace)
        store.append_curve(name, [{"step": step, "loss": 5.0 / step}])
        say(event="step", run_id=name, step=step, loss=5.0 / step)
        if stop:
            state.write_text(str(step))
            store.write(Record(run_id=name, config=config, status="stopped", sweep=sweep, about=about))
            say(event="end", run_id=name, status="stopped")
            sys.exit(75)
    final = {"loss": 3.0 + 1.0 / config.model.width, "step": config.steps, "tokens": config.tokens}
    took = {**about, "seconds": time.monotonic() - begun, "steps_computed": config.steps - first}
    store.write(Record(run_id=name, config=config, status="done", sweep=sweep, final=final, about=took))
    say(event="end", run_id=name, status="done", loss=final["loss"])
sys.exit(1 if failed else 0)
