"""Messages between the tests and the program: literals arrive unchanged, and anything else is an error of its own."""

import contextlib
import json
import math
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.evaluation.harness.sandbox import worker
from scaling.evaluation.harness.sandbox.worker import Channel, ProtocolError, decode, encode, helper_source

ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary()
HASHABLE = st.recursive(ATOMS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
LITERALS = st.recursive(
    HASHABLE | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.sets(HASHABLE) | st.dictionaries(HASHABLE, inner) | st.tuples(inner),
    max_leaves=10,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(list(worker.CONTAINERS)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=30, deadline=None)
@given(LITERALS)
def test_literals_arrive_unchanged(value: object) -> None:
    """By their repr: it tells types, signs of zero and nan apart."""
    result = decode(json.loads(json.dumps(encode(value))))
    if "{" in repr(value):  # sets and dicts, whose order may differ
        assert type(result) is type(value) and (result == value or "nan" in repr(value))
    else:
        assert repr(result) == repr(value)


@settings(max_examples=30, deadline=None)
@given(JSON)
def test_any_json_is_a_literal_or_an_error_of_the_protocol(data: object) -> None:
    with contextlib.suppress(ProtocolError):
        decode(data)


@pytest.mark.parametrize("value", [len, object(), type, [object()], {"a": ValueError()}])
def test_other_objects_are_not_sent(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)


def channel_with(data: bytes) -> Channel:
    """A channel on which data has arrived, after which the other side has ended."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return Channel(reading, os.open(os.devnull, os.O_WRONLY))


LENGTH = worker.HEADER.pack


NO_MESSAGES = {
    "nothing": b"", "half a length": b"\0", "half a message": LENGTH(3) + b"1", "no JSON": LENGTH(1) + b"{",
    "too long": LENGTH(2**32 - 1), "no text": LENGTH(2) + b"\xff\xff", "too deep": LENGTH(9000) + b"[" * 9000,
}  # fmt: skip


@pytest.mark.parametrize("name", NO_MESSAGES)
def test_what_is_no_message_is_an_error(name: str) -> None:
    channel = channel_with(NO_MESSAGES[name])
    with pytest.raises(ProtocolError):
        channel.receive()
    channel.incoming.close()
    channel.outgoing.close()


def test_errors_are_those_of_the_nearest_built_in_class() -> None:
    def rebuilt(*names: str) -> type:
        return type(worker.rebuild_error(names, "text"))

    assert rebuilt("OwnError", "KeyError", "LookupError") is KeyError
    assert rebuilt("UnicodeDecodeError", "UnicodeError", "ValueError") is UnicodeError  # the first takes five arguments
    for name in ("StopIteration", "StopAsyncIteration", "SystemExit", "KeyboardInterrupt", "print", "__import__", "?"):
        assert rebuilt(name, "object") is RuntimeError


HEAD = "def f(x):\n    '''Doc.'''\n"


@pytest.mark.parametrize(
    ("prompt", "helpers"),
    [
        (f"import math\n\n\ndef g(x):\n    return 1\n\n\n{HEAD}", "import math\n\n\ndef g(x):\n    return 1\n\n\n"),
        (f"@cache\n{HEAD}", ""),
        (f"def f2(x):\n    def f(x): return 1\n\n{HEAD}", "def f2(x):\n    def f(x): return 1\n\n"),
        ("Write a function f:\n", ""),
        ("", ""),
        ("x = 1\n", "x = 1\n"),
    ],
)
def test_helpers_are_what_precedes_the_function(prompt: str, helpers: str) -> None:
    assert helper_source(prompt, "f") == helpers


def test_numbers_keep_their_digits() -> None:
    assert decode(encode(10**5000)) == 10**5000 and encode(2**62) == 2**62
    assert math.copysign(1, decode(json.loads(json.dumps(encode(-0.0))))) == -1
