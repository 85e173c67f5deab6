"""The process inside a sandbox, as tester or as candidate. Standard library only: it runs as `python -c SOURCE`.

The tester has the benchmark's tests, the candidate the program that a model wrote. The tester calls the candidate's
function through two pipes; arguments and results are literals in JSON, so that nothing of the candidate is executed in
the tester. The tester's exit status is the verdict, which the candidate cannot set.

    candidate  -> "ready"
    tester     -> {"program": source, "entry_point": name}
    candidate  -> ["value", null]                          the program was loaded
    tester     -> [args, kwargs]
    candidate  -> ["value", result] | ["error", [names of the class and its bases], message]

Anything else from the candidate, also its end, is a failed test.
"""

from __future__ import annotations

import builtins
import json
import os
import re
import resource
import struct
import sys
import types

TYPE_CHECKING = False  # as in typing, whose import takes time
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

PASSED, FAILED, NO_CANDIDATE = 40, 41, 42  # exit statuses of the tester
READY, LOADED = "ready", ["value", None]
MAX_MESSAGE_BYTES = 4 * 2**20
MAX_ERROR_LENGTH = 1000  # characters
MAX_JSON_INTEGER = 2**63  # larger ones are hexadecimal: decimal ones have a limit of 4,300 digits
HEADER = struct.Struct("=I")  # length of a message, in bytes
CONTAINERS: dict[str, Callable[[list[Any]], Any]] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "iterator": iter,
}  # fmt: skip


class ProtocolError(Exception):
    """The other side has ended, or sent something that is no message."""


class Channel:
    """Two pipes to the other side, with messages in both directions."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        """Opens the pipes.

        Args:
            incoming: File descriptor to read from.
            outgoing: File descriptor to write to.
        """
        self.incoming, self.outgoing = os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")

    def send(self, message: Any) -> None:
        """Sends one message.

        Args:
            message: A value that JSON has.

        Raises:
            ProtocolError: It is too long, or the other side has ended.
        """
        data = json.dumps(message).encode()
        if len(data) > MAX_MESSAGE_BYTES:
            raise ProtocolError("the message is too long")
        try:
            self.outgoing.write(HEADER.pack(len(data)) + data)
            self.outgoing.flush()
        except OSError as error:
            raise ProtocolError("the other side has ended") from error

    def receive(self) -> Any:
        """Returns the next message.

        Raises:
            ProtocolError: The other side has ended, or what it sent is no message.
        """
        header = self.incoming.read(HEADER.size)
        if len(header) < HEADER.size:
            raise ProtocolError("the other side has ended")
        [size] = HEADER.unpack(header)
        if size > MAX_MESSAGE_BYTES:
            raise ProtocolError("the message is too long")
        data = self.incoming.read(size)
        if len(data) < size:
            raise ProtocolError("the other side has ended")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ProtocolError("the message is not JSON") from error


def encode(value: Any) -> Any:
    """Returns a literal as JSON: plain where JSON has the type, otherwise as [type, contents...].

    Args:
        value: A number, text, bytes, None, or a list, tuple, set, dict or iterator of such. Instances of subclasses
            are sent as the built-in type; other iterables as iterators over their values.

    Raises:
        TypeError: It is another object.
    """
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < MAX_JSON_INTEGER else ["int", hex(value)]
    if isinstance(value, complex):
        return ["complex", value.real, value.imag]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", value.hex()]
    if isinstance(value, dict):
        return ["dict", *([encode(key), encode(entry)] for key, entry in value.items())]
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return [kind.__name__, *map(encode, value)]
    return ["iterator", *map(encode, iter(value))]  # TypeError where it is not iterable


def decode(data: Any) -> Any:
    """Returns the literal of a JSON value.

    Args:
        data: What `encode` returns, or anything else that JSON has.

    Raises:
        ProtocolError: It is not the form of a literal.
    """
    try:
        return decode_literal(data)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ProtocolError("the value is not a literal") from error


def decode_literal(data: Any) -> Any:
    """Returns the literal of a JSON value; raises an error of some built-in class where it has another form.

    Args:
        data: The value.
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if not isinstance(data, list):
        raise TypeError("JSON objects stand for nothing")
    kind, *contents = data
    if kind == "int":
        [digits] = contents
        return int(digits, 16)
    if kind == "complex":
        return complex(*contents)
    if kind == "bytes":
        [digits] = contents
        return bytes.fromhex(digits)
    if kind == "dict":
        return {decode_literal(key): decode_literal(entry) for key, entry in contents}
    return CONTAINERS[kind]([decode_literal(entry) for entry in contents])


def rebuild_error(names: Sequence[str], message: str) -> Exception:
    """Returns an exception of the first built-in class among those named.

    Args:
        names: Names of a class and of its bases, from the candidate.
        message: Text of the exception.

    Returns:
        The exception. Those that end an iteration become RuntimeError: a test that iterates would end early.
    """
    for name in names:
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception):
            if issubclass(kind, (StopIteration, StopAsyncIteration)):
                break
            try:
                return kind(message)
            except TypeError:  # a class that takes more than a message
                continue
    return RuntimeError(message)


def detach_standard_streams() -> None:
    """Points standard input, output and error to the null device."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)
    os.close(null)


def main_module() -> dict[str, Any]:
    """Returns an empty module that is `__main__`, for source that is executed as a script."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    return module.__dict__


def run_candidate(channel: Channel) -> NoReturn:
    """Loads the program and answers calls until the tester ends.

    Args:
        channel: The channel to the tester.
    """
    channel.send(READY)
    detach_standard_streams()
    request = channel.receive()
    namespace = main_module()
    exec(compile(request["program"], "<program>", "exec"), namespace)
    function = namespace[request["entry_point"]]
    channel.send(LOADED)
    while True:
        args, kwargs = map(decode, channel.receive())
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            channel.send(["error", names, str(error)[:MAX_ERROR_LENGTH]])
        else:
            channel.send(["value", encode(result)])  # an object that is no literal ends the candidate


def call_candidate(channel: Channel, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Calls the candidate's function.

    Args:
        channel: The channel to the candidate.
        args: Positional arguments, literals.
        kwargs: Keyword arguments, literals.

    Returns:
        Its result.

    Raises:
        Exception: What the function raised, where that is of a built-in class.
    """
    channel.send([encode(args), encode(kwargs)])
    answer = channel.receive()
    if isinstance(answer, list) and len(answer) == 2 and answer[0] == "value":
        return decode(answer[1])
    if isinstance(answer, list) and len(answer) == 3 and answer[0] == "error":
        names, message = answer[1:]
        if isinstance(names, list) and all(isinstance(name, str) for name in names) and isinstance(message, str):
            raise rebuild_error(names, message)
    raise ProtocolError("the answer is neither a value nor an error")


def helper_source(prompt: str, entry_point: str) -> str:
    """Returns what a prompt defines before the function that is to be completed, which tests may use.

    Args:
        prompt: The prompt, which ends with the head of the function.
        entry_point: Name of the function.

    Returns:
        Its source; empty where that cannot be compiled.
    """
    head = rf"^(?:@.*\n)*(?:async\s+def|def|class)\s+{re.escape(entry_point)}\b"
    heads = list(re.finditer(head, prompt, re.MULTILINE))
    source = prompt[: heads[-1].start()] if heads else prompt
    try:
        compile(source, "<prompt>", "exec")
    except (SyntaxError, ValueError):
        return ""
    return source


def run_tester(channel: Channel, problem: dict[str, str]) -> NoReturn:
    """Runs the tests on the candidate and ends the process with the verdict.

    Args:
        channel: The channel to the candidate.
        problem: The program and the prompt, test and entry_point of the benchmark.
    """
    try:
        if channel.receive() != READY:
            raise ProtocolError
    except ProtocolError:
        os._exit(NO_CANDIDATE)
    detach_standard_streams()

    def candidate(*args: Any, **kwargs: Any) -> Any:
        try:
            return call_candidate(channel, args, kwargs)
        except ProtocolError:  # here, so that no `except` of a test hides it
            os._exit(FAILED)

    try:
        channel.send({"program": problem["program"], "entry_point": problem["entry_point"]})
        if channel.receive() != LOADED:
            raise ProtocolError
        namespace = main_module()
        exec(helper_source(problem["prompt"], problem["entry_point"]), namespace)
        namespace[problem["entry_point"]] = candidate
        exec(compile(problem["test"], "<test>", "exec"), namespace)
        namespace["check"](candidate)
    except BaseException:
        os._exit(FAILED)
    os._exit(PASSED)


def limit_resources(limits: dict[str, int]) -> None:
    """Sets the limits of this process for good.

    Args:
        limits: Limit by name, without the `RLIMIT_`.
    """
    for name, limit in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))


def main() -> NoReturn:
    """Runs the part that the arguments name: `candidate LIMITS` or `tester LIMITS INCOMING OUTGOING`."""
    part, limits, *descriptors = sys.argv[1:]
    os.environ.clear()
    limit_resources(json.loads(limits))
    if part == "candidate":
        run_candidate(Channel(os.dup(0), os.dup(1)))
    else:
        run_tester(Channel(*map(int, descriptors)), json.load(sys.stdin))


if __name__ == "__main__":
    main()
