"""Precision belongs to the object: scopes of float64 that callers do not see."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np


F = TypeVar("F", bound=Callable[..., Any])


@contextlib.contextmanager
def precision(dtype: Any) -> Iterator[None]:
    """Inside, JAX makes arrays of ``dtype`` (float64 switches x64 on here only)."""
    with jax.enable_x64(np.dtype(dtype) == np.float64):
        yield


@contextlib.contextmanager
def exact_products(dtype: Any) -> Iterator[None]:
    """As `precision`, and products of matrices are not shortened: accelerators would
    round the factors of float32 to fewer digits, which differences do not survive."""
    with precision(dtype), jax.default_matmul_precision("highest"):
        yield


def to_host(tree: Any) -> Any:
    """JAX arrays -> NumPy arrays: a float64 JAX array that leaves its scope would
    silently become float32 at its next operation; keys are left alone."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and not jnp.issubdtype(
            leaf.dtype, jax.dtypes.prng_key
        ):
            return np.asarray(leaf)
        return leaf

    return jax.tree.map(one, tree)


def to_device(tree: Any) -> Any:
    """NumPy arrays -> JAX arrays, the inverse of `to_host`; all else is left alone."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, tree
    )


def cast(tree: Any, dtype: Any) -> Any:
    """Floating leaves of a pytree (NumPy or JAX) as NumPy arrays of ``dtype``."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(
            leaf.dtype, jax.dtypes.prng_key
        ):
            return leaf
        if isinstance(leaf, (jax.Array, np.ndarray)) and np.issubdtype(
            leaf.dtype, np.floating
        ):
            return np.asarray(leaf, dtype=dtype)
        return leaf

    return jax.tree.map(one, tree)


def scoped(dtype: Any) -> Callable[[F], F]:
    """Decorator for a public entry that promises ``dtype``: it enters the scope
    (in worker threads too), casts the inputs and hands back NumPy arrays."""

    def wrap(function: F) -> F:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            with precision(dtype):
                args, kwargs = cast((args, kwargs), dtype)
                return to_host(function(*args, **kwargs))

        return inner  # type: ignore[return-value]  # same signature by wraps

    return wrap
