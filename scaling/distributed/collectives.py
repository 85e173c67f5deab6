"""Exchange of small values between the hosts of a run: broadcast, gather, and stop signals."""

from __future__ import annotations

import itertools
import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from scaling.config.exit_status import STOPPED
from scaling.config.user_code.process_exit import END_PROCESS
from scaling.config.validation import ConfigError, one_line

DEADLINE_SECONDS = 300.0  # longest time in which a host must start or respond

T = TypeVar("T")


class HostLostError(RuntimeError):
    """Another host was lost; the run can be resumed on the remaining hosts."""


class MainHostError(RuntimeError):
    """A call failed on host 0."""


def host_lost_message(deadline: float) -> str:
    """Returns the message for a host that was lost or has not responded for `deadline` seconds."""
    return f"another host was lost or did not respond for {deadline:g} s; run again on the remaining hosts"


_deadline = DEADLINE_SECONDS


def set_deadline(seconds: float) -> None:
    """Sets how long a host waits for the others, in seconds."""
    global _deadline
    _deadline = seconds


_calls = itertools.count()  # numbers the exchanges: every host makes the same calls in the same order


def _client() -> Any:
    from jax._src import distributed  # there is no public name; Orbax imports it from here too

    return distributed.global_state.client


def is_multi_host() -> bool:
    """Returns whether the run has more than one host."""
    import jax

    return jax.process_count() > 1


def is_main_host() -> bool:
    """Returns whether this is host 0, which writes records and output."""
    import jax

    return jax.process_index() == 0


def call_on_main_host(function: Callable[[], T]) -> T:
    """Calls a function on host 0 and returns its result (JSON types) on every host.

    Raises:
        MainHostError: The function failed on host 0 (raised on the other hosts; host 0 raises the original error).
        HostLostError: Host 0 was lost.
    """
    if not is_multi_host():
        return function()
    key = f"scaling/{next(_calls)}"
    if is_main_host():
        try:
            value = function()
        except Exception as error:
            _client().key_value_set(key, json.dumps({"error": one_line(error)}))
            raise
        _client().key_value_set(key, json.dumps({"value": value}))
        return value
    message = json.loads(_with_deadline(lambda wait: _client().blocking_key_value_get(key, wait)))
    if "error" in message:
        raise MainHostError(message["error"])
    return message["value"]


def gather(value: T) -> list[T]:
    """Returns the `value` of every host (JSON types), in the order of hosts, once all hosts have called it."""
    return exchange(str(next(_calls)), value) if is_multi_host() else [value]


def exchange(name: str, value: T) -> list[T]:
    """Returns what `gather` does, for threads beside the one that calls `gather`.

    Args:
        name: Name of this call, the same on every host and used once.
        value: This host's value (JSON types).
    """
    if not is_multi_host():
        return [value]
    import jax

    key = f"scaling/{name}"
    _client().key_value_set(f"{key}/{jax.process_index()}", json.dumps(value))
    _with_deadline(lambda wait: _client().wait_at_barrier(key, wait))
    texts = (_client().blocking_key_value_get(f"{key}/{i}", 1000) for i in range(jax.process_count()))
    return [json.loads(text) for text in texts]


def _with_deadline(call: Callable[[int], T]) -> T:
    """Calls a function with the deadline in milliseconds; raises HostLostError if the deadline is exceeded."""
    try:
        return call(int(_deadline * 1000))
    except Exception as error:
        raise as_host_lost(error) from error


def as_host_lost(error: Exception) -> Exception:
    """Returns a HostLostError if `error` was caused by the loss of another host, else `error`."""
    import jax

    is_runtime = isinstance(error, jax.errors.JaxRuntimeError | ValueError) and not isinstance(error, ConfigError)
    if not is_multi_host() or not is_runtime:
        return error
    signs = ("Gloo", "UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "Connection")
    return HostLostError(host_lost_message(_deadline)) if any(sign in str(error) for sign in signs) else error


def exit_after_host_loss(error: HostLostError) -> NoReturn:
    """Prints the error and ends the process at once, because JAX's shutdown would wait for the lost host."""
    import jax

    if os.environ.get("SCALING_TRACEBACK"):
        traceback.print_exception(error)
    print(f"scaling train: host {jax.process_index()} of {jax.process_count()}: {error}", file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    END_PROCESS(STOPPED)


def shut_down() -> None:
    """Waits for the other hosts before this process ends."""
    if is_multi_host():
        import jax

        jax.distributed.shutdown()


RUN_LOST, STOP, SAVE = 3, 2, 1  # signals; a more urgent signal is larger


class SignalExchange:
    """Exchanges one signal per step between hosts: all hosts receive the largest one at the same step.

    With several hosts, the result is that of the previous step, so that no host waits for the exchange.
    """

    def __init__(self) -> None:
        self._previous: Any = None
        if is_multi_host():
            import jax
            from jax.sharding import Mesh, NamedSharding, PartitionSpec

            mesh = Mesh(jax.devices(), ("host",))
            self._per_device = NamedSharding(mesh, PartitionSpec("host"))
            replicated = NamedSharding(mesh, PartitionSpec())
            self._largest = jax.jit(lambda signals: signals.max(), out_shardings=replicated)

    def exchange(self, signal: int) -> int:
        """Sends this host's signal (0: none) and returns the largest of all hosts."""
        if not is_multi_host():
            return signal
        import jax
        import numpy as np

        previous = self._previous
        signals = np.full(jax.local_device_count(), signal, np.int32)
        self._previous = self._largest(
            jax.make_array_from_process_local_data(self._per_device, signals, (jax.device_count(),))
        )
        return 0 if previous is None else int(previous)
