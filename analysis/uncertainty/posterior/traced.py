"""Laws on JAX arrays: NumPy's functions on a `TracedArray` are those of JAX, so that JAX can differentiate a law.

A law is one function of NumPy for every use. NumPy dispatches functions of other array types to that type (NEP 13 and
NEP 18), and here it dispatches them to the function of the same name in `jax.numpy` or `jax.scipy.special`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special
from numpy.lib.mixins import NDArrayOperatorsMixin


class TracedArray(NDArrayOperatorsMixin):
    """An array of JAX that NumPy's functions accept.

    Attributes:
        value: The array.
    """

    __array_priority__ = 1000

    def __init__(self, value: jax.Array) -> None:
        self.value = value

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = getattr(jnp, ufunc.__name__, None) or getattr(special, ufunc.__name__, None)
        if method != "__call__" or function is None or kwargs.keys() - {"dtype"}:
            return NotImplemented
        return TracedArray(function(*(_unwrap(x) for x in inputs)))

    def __array_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Any, kwargs: Mapping[str, Any]
    ) -> Any:
        other = getattr(jnp, function.__name__, None)
        if other is None:
            return NotImplemented
        return _wrap(other(*_unwrap(args), **_unwrap(dict(kwargs))))

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("a value of JAX cannot become an array of NumPy")

    def __getitem__(self, key: Any) -> TracedArray:
        return TracedArray(self.value[_unwrap(key)])

    def __len__(self) -> int:
        return len(self.value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        attribute = getattr(self.value, name)
        if callable(attribute):
            return lambda *args, **kwargs: _wrap(attribute(*_unwrap(args), **_unwrap(kwargs)))
        return _wrap(attribute)


def _unwrap(x: Any) -> Any:
    if isinstance(x, TracedArray):
        return x.value
    if isinstance(x, list | tuple):
        return type(x)(_unwrap(y) for y in x)
    return {name: _unwrap(y) for name, y in x.items()} if isinstance(x, dict) else x


def _wrap(x: Any) -> Any:
    if isinstance(x, jax.Array):
        return TracedArray(x)
    return type(x)(_wrap(y) for y in x) if isinstance(x, list | tuple) else x


def law_on_jax(
    function: Callable[..., Any], inputs: Sequence[jax.Array | np.ndarray], params: Mapping[str, jax.Array | float]
) -> jax.Array:
    """Returns the output of a law on arrays of JAX.

    Args:
        function: Function of the law. It may compute with the functions and operators of NumPy and with scalar
            functions of `scipy.special`, without loops over values, branches on values or assignment to elements.
        inputs: Inputs of the law, (n,) each.
        params: Parameters of the law, scalars.

    Raises:
        TypeError: The function does something else with its arguments.
    """
    wrapped = [x if isinstance(x, np.ndarray) else TracedArray(x) for x in inputs]
    output = function(*wrapped, **{name: TracedArray(jnp.asarray(value)) for name, value in params.items()})
    return jnp.asarray(_unwrap(output))
