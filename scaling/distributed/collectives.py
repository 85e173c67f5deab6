"""One run on many hosts: how they start, agree and stop together.

    python -m scaling train CONFIG.json --store DIR --hosts 4 --host 2 --coordinator 10.0.0.1:8482

on each host, all with the same store; or `--hosts auto` where JAX can tell by itself (TPU pods, SLURM,
Open MPI). JAX aborts a process whose fellow is lost, with a stack trace: so each host's work is done in a
child, whose end the parent turns into one line and a status that says whether to run again.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from scaling.config.validation import ConfigError

LOST = 75  # run again: the newest checkpoint is there
DEADLINE = 300.0  # seconds

T = TypeVar("T")


class HostLost(RuntimeError):
    """Another host is gone: run again, on as many as are left."""


class Elsewhere(RuntimeError):
    """What failed on host 0."""


def _lost(deadline: float) -> str:
    return f"another host was lost or silent for {deadline:g} s; run again, on the hosts that are left"


_deadline = DEADLINE


def set_deadline(seconds: float) -> None:
    """Sets how long a host waits for the others, in seconds."""
    global _deadline
    _deadline = seconds


_calls = itertools.count()  # every host makes the same calls in the same order


def _client() -> Any:
    from jax._src import distributed  # where Orbax takes it from too: JAX gives it no public name

    return distributed.global_state.client


def many() -> bool:
    """Whether there is more than one host."""
    import jax

    return jax.process_count() > 1


def first() -> bool:
    """Whether this host writes records and speaks."""
    import jax

    return jax.process_index() == 0


def agree(make: Callable[[], T]) -> T:
    """What `make()` gave on host 0 (JSON), on every host; where it raised there, all raise."""
    if not many():
        return make()
    key = f"scaling/{next(_calls)}"
    if first():
        try:
            value = make()
        except Exception as error:
            line = " ".join(str(error).split()) or type(error).__name__
            _client().key_value_set(key, json.dumps({"error": line}))
            raise
        _client().key_value_set(key, json.dumps({"value": value}))
        return value
    said = json.loads(_waited(lambda wait: _client().blocking_key_value_get(key, wait)))
    if "error" in said:
        raise Elsewhere(said["error"])
    return said["value"]


def gather(value: T) -> list[T]:
    """Each host's `value` (JSON), in order of hosts; all wait for the last."""
    if not many():
        return [value]
    import jax

    key = f"scaling/{next(_calls)}"
    _client().key_value_set(f"{key}/{jax.process_index()}", json.dumps(value))
    _waited(lambda wait: _client().wait_at_barrier(key, wait))
    texts = (_client().blocking_key_value_get(f"{key}/{i}", 1000) for i in range(jax.process_count()))
    return [json.loads(text) for text in texts]


def _waited(call: Callable[[int], T]) -> T:
    """`call` with the deadline in milliseconds; HostLost where it passes."""
    try:
        return call(int(_deadline * 1000))
    except Exception as error:
        raise told(error) from error


def told(error: Exception) -> Exception:
    """`error`, or HostLost where it is what another host's end looks like from here."""
    import jax

    if not many() or not isinstance(error, jax.errors.JaxRuntimeError | ValueError) or isinstance(error, ConfigError):
        return error
    signs = ("Gloo", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "Connection")
    return HostLost(_lost(_deadline)) if any(sign in str(error) for sign in signs) else error


def leave(error: HostLost) -> NoReturn:
    """Ends this process as one that lost another: at once, for JAX would wait for it."""
    import jax

    print(f"scaling train: host {jax.process_index()} of {jax.process_count()}: {error}", file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(LOST)


def finish() -> None:
    """Waits for the other hosts before this one's process may end."""
    if many():
        import jax

        jax.distributed.shutdown()


LOST_RUN, STOP, SAVE = 3, 2, 1


class Word:
    """A number that every host says at each step, and the largest that was said: all hear it at the same step.

    One host hears its own at once; many hear what was said a step ago, so that none waits for it.
    """

    def __init__(self) -> None:
        self.said: Any = None
        if many():
            import jax
            from jax.sharding import Mesh, NamedSharding, PartitionSpec

            mesh = Mesh(jax.devices(), ("host",))
            self.each, whole = NamedSharding(mesh, PartitionSpec("host")), NamedSharding(mesh, PartitionSpec())
            self.largest = jax.jit(lambda words: words.max(), out_shardings=whole)

    def exchange(self, word: int) -> int:
        """Says `word`; the largest that was said."""
        if not many():
            return word
        import jax
        import numpy as np

        before = self.said
        mine = np.full(jax.local_device_count(), word, np.int32)
        self.said = self.largest(jax.make_array_from_process_local_data(self.each, mine, (jax.device_count(),)))
        return 0 if before is None else int(before)
