"""A layer of a network that is a physical system, which no one differentiates."""

from __future__ import annotations

import abc
import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError, DataError, ShapeError
from .._tree import Fixed


Bounds = tuple[float, float]


class AbstractPhysicalLayer(Fixed):
    """A physical system as a layer: numbers are applied to it, and others are read.

    No gradient is promised: `physics_aware` gives it that of a model, and
    `fit_forward_forward` trains around it. What the system is made of is never
    trained; what can be set on it are its `params`.

    **Shapes**: params `"param"`, of which zeros leave the system as it is; input
    `"in"`; output `"out"`; batches by `jax.vmap`.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import AbstractPhysicalLayer
    >>> class Square(AbstractPhysicalLayer):  # one of your own
    ...     in_size: int = 2
    ...     out_size: int = 2
    ...     n_params: int = 0
    ...     in_bounds: tuple = (-1.0, 1.0)
    ...     out_bounds: tuple = (0.0, 1.0)
    ...     noise: float = 0.0
    ...     def forward(self, params, x, key):
    ...         return jnp.clip(x, *self.in_bounds) ** 2
    ...     def drift(self, t):
    ...         return self
    >>> Square().forward(jnp.zeros(0), jnp.asarray([0.5, 2.0]), jax.random.key(0))
    Array([0.25, 1.  ], dtype=float32)

    ```
    """

    in_size: eqx.AbstractVar[int]
    """Numbers that are applied."""
    out_size: eqx.AbstractVar[int]
    """Numbers that are read."""
    n_params: eqx.AbstractVar[int]
    """Numbers that can be set."""
    in_bounds: eqx.AbstractVar[Bounds]
    """What can be applied; beyond it the driver saturates."""
    out_bounds: eqx.AbstractVar[Bounds]
    """What can be read; beyond it the reader saturates."""
    noise: eqx.AbstractVar[float]
    """Standard deviation of an output read again."""

    @abc.abstractmethod
    def forward(
        self,
        params: Float[Array, " param"],
        x: Float[Array, " in"],
        key: PRNGKeyArray,
    ) -> Float[Array, " out"]:
        """What is read; `key` draws the noise."""

    @abc.abstractmethod
    def drift(self, t: float | Float[Array, ""]) -> AbstractPhysicalLayer:
        """The system as it is `t` seconds later; itself where no law is known."""


def within(values: Array, bounds: Bounds) -> Array:
    """What a driver applies or a reader gives, saturating at its bounds."""
    return jnp.clip(values, *bounds)


def in_kind(own: Array, *values: Array) -> tuple[Array, ...]:
    """Values in the precision of a system's own numbers."""
    return tuple(value.astype(own.dtype) for value in values)


def reading(y: Array, noise: float, bounds: Bounds, key: PRNGKeyArray) -> Array:
    """Outputs with the noise of the reader, which saturates at its bounds."""
    if noise:
        y = y + noise * jax.random.normal(key, y.shape, y.dtype)
    return within(y, bounds)


def check_box(
    name: str, sizes: dict[str, int], bounds: dict[str, Bounds], noise: float
) -> None:
    """Refuse sizes, bounds and noise that cannot be."""
    for what, size in sizes.items():
        least = 0 if what == "n_params" else 1
        if isinstance(size, bool) or not isinstance(size, int) or size < least:
            raise ConfigError(
                f"{name}: {what} is {size!r}; it must be a whole number of at least "
                f"{least}."
            )
    for what, (low, high) in bounds.items():
        if not low < high:
            raise ConfigError(
                f"{name}: {what} is ({low}, {high}); the first must be the lower one."
            )
    if not (np.isfinite(noise) and noise >= 0.0):
        raise ConfigError(
            f"{name}: noise is {noise}; a standard deviation must be at least 0."
        )


class _Host:
    """The function of a box that is not JAX, called sample by sample and checked."""

    def __init__(self, function: Callable[..., Any], name: str, out_size: int) -> None:
        self.function, self.name, self.out_size = function, name, out_size
        self.fault: DataError | ShapeError | None = None

    def __call__(self, params: Any, xs: Any) -> np.ndarray:
        params, xs = np.asarray(params), np.asarray(xs)
        lead = np.broadcast_shapes(params.shape[:-1], xs.shape[:-1])
        count = math.prod(lead)  # there may be no params
        rows = [
            np.broadcast_to(a, (*lead, a.shape[-1])).reshape(count, a.shape[-1])
            for a in (params, xs)
        ]
        out = np.empty((len(rows[1]), self.out_size), xs.dtype)
        for index, (p, x) in enumerate(zip(*rows, strict=True)):
            out[index] = self._one(index, p, x)
        return out.reshape(*lead, self.out_size)

    def _one(self, index: int, params: np.ndarray, x: np.ndarray) -> np.ndarray:
        y = np.asarray(self.function(params, x))
        try:
            check_shape(self.name, index, y.shape, self.out_size)
            check_finite(self.name, index, y)
        except (DataError, ShapeError) as fault:
            self.fault = fault  # what XLA makes of it hides the sentence
            raise
        return y


def check_shape(name: str, index: int, found: tuple[int, ...], out: int) -> None:
    """Refuse an output of another shape, naming layer and sample."""
    if found != (out,):
        raise ShapeError(
            f"physical layer {name}, sample {index}: it returned the shape {found}; "
            f"expected ({out},). Correct its function, or out_size."
        )


def check_finite(name: str, index: int, y: np.ndarray) -> None:
    """Refuse an output that is not finite, naming layer and sample."""
    bad = np.flatnonzero(~np.isfinite(y))
    if bad.size:
        raise DataError(
            f"physical layer {name}, sample {index}: output {bad[0]} is {y[bad[0]]} "
            f"({bad.size} of {y.size} are not finite). Check the system, or keep its "
            "inputs within in_bounds."
        )


class External(AbstractPhysicalLayer):
    """A system outside of JAX: an instrument, or another simulator.

    Its function is called on the host, one sample at a time, by `jax.pure_callback`:
    it works under `jit` and `vmap`, has no gradient, and must give the same for the
    same numbers (but for its noise). What it returns is checked.

    **Shapes**: params `"param"`, input `"in"`, output `"out"`.
    **Arguments:**
    - `function`: `function(params, x) -> y` of NumPy arrays.
    - `in_size`, `out_size`, `n_params`; `in_bounds`: to these the input is clipped
      before the function sees it; `out_bounds` likewise.
    - `noise`: what its readings scatter by, for information: nothing is added.
    - `name`: what messages call it.

    **Raises:** `ConfigError`; when it is called, `ShapeError` for another shape and
    `DataError` for a number that is not finite, with the name and the sample. Inside
    your own compiled function JAX wraps them; `boundary` takes them out.

    ```python
    >>> import jax, jax.numpy as jnp, numpy as np
    >>> from pendula.hardware import External
    >>> box = External(lambda p, x: np.tanh(x[:1] * x[1:]), 2, 1, name="mixer")
    >>> ys = jax.vmap(box.forward, (None, 0, None))(
    ...     jnp.zeros(0), jnp.ones((3, 2)), jax.random.key(0))
    >>> ys.shape
    (3, 1)

    ```
    """

    host: _Host = eqx.field(static=True)
    """The function with its checks."""
    in_size: int = eqx.field(static=True)
    """Numbers that are applied."""
    out_size: int = eqx.field(static=True)
    """Numbers that are read."""
    n_params: int = eqx.field(static=True)
    """Numbers that can be set."""
    in_bounds: Bounds = eqx.field(static=True)
    """What can be applied."""
    out_bounds: Bounds = eqx.field(static=True)
    """What can be read."""
    noise: float = eqx.field(static=True)
    """Standard deviation of an output read again."""
    name: str = eqx.field(static=True)
    """What messages call it."""

    def __init__(
        self,
        function: Any,
        in_size: int,
        out_size: int,
        n_params: int = 0,
        *,
        in_bounds: Bounds = (-1e6, 1e6),
        out_bounds: Bounds = (-1e6, 1e6),
        noise: float = 0.0,
        name: str = "external",
    ) -> None:
        sizes = {"in_size": in_size, "out_size": out_size, "n_params": n_params}
        check_box(
            name, sizes, {"in_bounds": in_bounds, "out_bounds": out_bounds}, noise
        )
        if not callable(function):
            raise ConfigError(
                f"{name}: its function is a {type(function).__name__}; expected "
                "function(params, x) -> y of NumPy arrays."
            )
        self.host = _Host(function, name, out_size)
        self.in_size, self.out_size, self.n_params = in_size, out_size, n_params
        self.in_bounds, self.out_bounds = in_bounds, out_bounds
        self.noise, self.name = float(noise), name

    def forward(
        self,
        params: Float[Array, " param"],
        x: Float[Array, " in"],
        key: PRNGKeyArray,
    ) -> Float[Array, " out"]:
        x = within(x, self.in_bounds)
        shape = jax.ShapeDtypeStruct((self.out_size,), x.dtype)
        y = jax.pure_callback(self.host, shape, params, x, vmap_method="expand_dims")
        return within(y, self.out_bounds)

    def drift(self, t: float | Float[Array, ""]) -> External:
        return self


@contextlib.contextmanager
def boundary(*layers: Any) -> Iterator[None]:
    """Inside, a fault of an `External` box in a compiled function is raised as itself.

    **Arguments:** `layers`: the boxes, or any pytrees that hold them.
    **Raises:** `ShapeError` or `DataError` of the box.

    ```python
    >>> from pendula.hardware import External, boundary
    >>> box = External(lambda p, x: x, 2, 2)
    >>> with boundary(box):
    ...     pass  # a training

    ```
    """
    hosts = [layer.host for layer in _externals(layers)]
    for host in hosts:
        host.fault = None
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError):  # jit makes it the one or other
        for host in hosts:
            if host.fault is not None:
                raise host.fault from None
        raise


def _externals(tree: Any) -> list[External]:
    leaves = jax.tree.leaves(tree, is_leaf=lambda n: isinstance(n, External))
    return [leaf for leaf in leaves if isinstance(leaf, External)]


def measure(
    layer: AbstractPhysicalLayer,
    xs: Any,
    params: Any = None,
    *,
    key: PRNGKeyArray,
) -> np.ndarray:
    """Outputs of a layer for a batch of inputs, checked.

    **Arguments:**
    - `xs`: inputs `"sample in"`.
    - `params`: `"param"`, or one a sample, `"sample param"`; default zeros.
    - `key`: of its noise.

    **Returns:** `"sample out"`.
    **Raises:** `DataError` for empty data, and for inputs or outputs that are not
    finite; `ShapeError`, with the name of the layer and the sample.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.hardware import UnknownGain, measure
    >>> layer = UnknownGain(3, key=jax.random.key(0))
    >>> measure(layer, np.zeros((2, 3), np.float32), key=jax.random.key(1)).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]

    ```
    """
    name = name_of_layer(layer)
    xs = _rows(name, "inputs", xs, layer.in_size)
    if params is None:
        params = np.zeros(layer.n_params, xs.dtype)
    params = np.asarray(params, xs.dtype)
    if params.ndim < 2:
        params = np.broadcast_to(params, (len(xs), *params.shape))
    params = _rows(name, "params", params, layer.n_params)
    if len(params) != len(xs):
        raise ShapeError(
            f"physical layer {name}: {len(params)} params for {len(xs)} samples. Give "
            "one set, or one a sample."
        )
    if isinstance(layer, External):
        ys = layer.host(params, np.clip(xs, *layer.in_bounds))
        return np.clip(ys, *layer.out_bounds)
    keys = jax.random.split(key, len(xs))
    shape = jax.eval_shape(layer.forward, params[0], xs[0], keys[0]).shape
    check_shape(name, 0, shape, layer.out_size)
    ys = np.asarray(_outputs(layer, params, xs, keys))
    for index, y in enumerate(ys):
        check_finite(name, index, y)
    return ys


@eqx.filter_jit
def _outputs(layer: AbstractPhysicalLayer, params: Any, xs: Any, keys: Any) -> Array:
    return jax.vmap(layer.forward)(jnp.asarray(params), jnp.asarray(xs), keys)


def name_of_layer(layer: Any) -> str:
    """What messages call a layer."""
    return str(getattr(layer, "name", type(layer).__name__))


def _rows(name: str, what: str, given: Any, width: int) -> np.ndarray:
    """A finite array `"sample width"` of at least one row, of floats."""
    rows = np.asarray(given)
    if not np.issubdtype(rows.dtype, np.floating):
        rows = rows.astype(np.float32)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ShapeError(
            f"physical layer {name}: its {what} have the shape {rows.shape}; expected "
            f"(samples, {width})."
        )
    if not len(rows):
        raise DataError(f"physical layer {name}: there are no {what}. Give some.")
    bad = np.argwhere(~np.isfinite(rows))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"physical layer {name}, sample {row}: its {what} hold "
            f"{rows[row, column]} at {column}. Leave it out, or correct it."
        )
    return rows
