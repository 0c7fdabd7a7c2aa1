"""Neural controlled differential equations: irregular and incomplete sequences."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from .._checks import choice, whole
from .._errors import DataError, ShapeError
from .._registry import register
from .._source import Source
from ..nn import MLP
from ._cell import AbstractCell
from ._model import RecurrentModel


Path = Literal["rectilinear", "filled", "linear"]
_RULES = {"euler": 1, "midpoint": 2, "rk4": 4}


@register("module")
class NeuralCDE(AbstractCell):
    r"""A controlled differential equation along a path of straight pieces.

    $$ dz = f(z)\, dX, \qquad f(z) = \tanh(\mathrm{net}(z)) \in
       \mathbb{R}^{\mathrm{hidden} \times \mathrm{channel}} $$

    An input is the step of the path over one piece (`control_path` makes them), not a
    value. With `areas` each input also holds the areas $A_{ij}$ that the path sweeps
    within a window of pieces, and the step is that of the log-ODE of depth 2:

    $$ \dot z = \sum_i f_i(z)\, \Delta X_i + \sum_{i < j} [f_i, f_j](z)\, A_{ij},
       \quad [f_i, f_j] = Df_j\, f_i - Df_i\, f_j $$

    **Shapes:** input `"in"`: `channels` steps, and with areas channels (channels - 1) /
    2 areas; state z `"hidden"`.
    **Arguments:** `width`, `depth`: of the network; `rule`: of the step over one piece,
    `"euler"`, `"midpoint"` or `"rk4"`.
    **Raises:** `ConfigError` for sizes or names that cannot be.
    **Source:** Kidger, Morrill, Foster, Lyons, Neural controlled differential equations
    for irregular time series, 2020, arXiv:2005.08926, equation 4; log-ODE: Morrill,
    Salvi, Kidger, Foster, Lyons 2021, arXiv:2009.08295, equation 7.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import NeuralCDE, advance
    >>> cell = NeuralCDE(3, 8, width=16, key=jax.random.key(0))
    >>> z = jnp.ones(8)
    >>> bool((advance(cell, z, jnp.zeros(3)) == z).all())  # a path that stands still
    True

    ```
    """

    source: ClassVar[Source] = Source("Kidger2020", "equation 4")

    net: MLP
    channels: int = eqx.field(static=True)
    """Channels of the path, time included."""
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    rule: str = eqx.field(static=True)
    """`"euler"`, `"midpoint"` or `"rk4"`."""
    areas: bool = eqx.field(static=True)
    """Whether inputs hold areas."""

    def __init__(
        self,
        channels: int,
        size: int,
        *,
        width: int = 32,
        depth: int = 1,
        rule: str = "midpoint",
        areas: bool = False,
        key: PRNGKeyArray,
    ) -> None:
        whole(1, "NeuralCDE", channels=channels, size=size)
        choice("rule", rule, _RULES)
        self.net = MLP(size, size * channels, width, depth, activation="silu", key=key)
        self.channels, self.size, self.rule, self.areas = channels, size, rule, areas
        self.in_size = channels + (channels * (channels - 1) // 2 if areas else 0)

    @property
    def dt(self) -> Float[Array, ""]:
        """1: a piece of the path."""
        return jnp.ones((), self.net.weight_out.dtype)

    def start(self) -> Float[Array, " hidden"]:
        """Zero; a model's `initial` network gives the state from the first value."""
        return jnp.zeros(self.size, self.net.weight_out.dtype)

    def weights(self) -> MLP:
        """The network."""
        return self.net

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " in"]:
        """The step of the path, as it is."""
        return u

    def step(
        self,
        weights: Any,
        state: Float[Array, " hidden"],
        fed: Float[Array, " in"],
    ) -> Float[Array, " hidden"]:
        """Over one piece of the path."""
        f = lambda z: self._slope(weights, z, fed)
        one = f(state)
        if self.rule == "euler":
            return state + one
        two = f(state + 0.5 * one)
        if self.rule == "midpoint":
            return state + two
        three = f(state + 0.5 * two)
        return state + (one + 2.0 * two + 2.0 * three + f(state + three)) / 6.0

    def _slope(self, net: MLP, z: Array, moved: Array) -> Array:
        matrix = lambda z: jnp.tanh(net(z)).reshape(self.size, self.channels)
        c = self.channels
        if not self.areas:
            return matrix(z) @ moved
        upper = jnp.zeros((c, c), z.dtype).at[np.triu_indices(c, 1)].set(moved[c:])
        whole, bend = jax.linearize(matrix, z)
        # sum over i of A_ij f_i is the direction along which f_j is differentiated
        ways = whole @ (upper - upper.T)
        bent = jax.vmap(bend, in_axes=1, out_axes=2)(ways)  # hidden, channel, way
        return whole @ moved[:c] + jnp.einsum("hjj->h", bent)

    def drift(
        self, state: Float[Array, " hidden"], u: Float[Array, " in"]
    ) -> Float[Array, " hidden"]:
        """dz per piece of the path."""
        return self._slope(self.net, state, u)

    def read(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """z."""
        return state


def neural_cde(
    channels: int,
    size: int,
    out_size: int,
    *,
    mode: str = "last",
    width: int = 32,
    depth: int = 1,
    rule: str = "midpoint",
    areas: bool = False,
    key: PRNGKeyArray,
) -> RecurrentModel:
    """A model on paths: the first input, the value where the path begins, gives the
    first state by a network; every further one moves it.

    ```python
    >>> import jax, numpy as np
    >>> from pendula.sequences import control_path, neural_cde
    >>> ts, xs = np.linspace(0, 1, 9)[None], np.zeros((1, 9, 2))
    >>> xs[0, 3] = np.nan  # a sample that is missing
    >>> us, lengths = control_path(ts, xs)
    >>> model = neural_cde(us.shape[2], 8, 1, key=jax.random.key(0))
    >>> model(us[0], lengths[0]).shape
    (1,)

    ```
    """
    one, two, three = jax.random.split(key, 3)
    how: dict[str, Any] = {"width": width, "depth": depth, "rule": rule}
    cell = NeuralCDE(channels, size, areas=areas, key=one, **how)
    initial = MLP(cell.in_size, size, width, 1, activation="silu", key=two)
    return RecurrentModel(
        cell, MLP(size, out_size, depth=0, key=three), mode, None, initial
    )


def control_path(
    ts: ArrayLike,
    xs: ArrayLike,
    *,
    kind: str = "rectilinear",
    counters: bool = True,
    lengths: ArrayLike | None = None,
    window: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The steps of a path through irregular, incomplete samples.

    **Shapes:** `ts` `"sample time"`, increasing; `xs` `"sample time channel"`, what is
    missing as NaN; `lengths` `"sample"`: samples of each sequence, the rest padding.
    **Arguments:**
    - `kind`: `"rectilinear"`: first time moves, then the values, so that no value is
      known before its time (two pieces a sample); `"filled"`: both at once, missing
      values held at the last seen one: what is read at a sample depends on no later
      one; `"linear"`: missing values on straight lines between their neighbours, which
      look ahead.
    - `counters`: for every channel how many of its values have been seen, as a share of
      all samples of the sequence, as further channels of the path: what is missing
      tells something, too. By the share the path knows how long the sequence is.
    - `window`: pieces that are joined to one, with the areas swept within (for a
      `NeuralCDE` with `areas`).

    **Returns:** inputs `"sample piece in"` for a `neural_cde` (time, values, counters;
    then the areas), of which the first is where the path begins, and the number of
    them `"sample"`. Rows in which nothing was seen only let time pass and are left out,
    save the last one. Values before the first seen one count as 0, with `"linear"` as
    that one. With `"rectilinear"` the state after sample i of those that are kept is
    that after input 2 i.
    Times come in as they are, the first one too: let them begin near 0, and their
    steps be near 1.
    **Raises:** `DataError` for times that do not increase or a value that is infinite;
    `ShapeError`; `ConfigError`.
    **Source:** Kidger et al. 2020, section 3.2 and appendix A; Morrill, Kidger, Yang,
    Lyons 2022, arXiv:2106.11028 (which paths look ahead).

    ```python
    >>> import numpy as np
    >>> from pendula.sequences import control_path
    >>> xs = np.array([[[1.0], [np.nan], [3.0]]])
    >>> us, lengths = control_path([[0.0, 1.0, 2.0]], xs, kind="filled", counters=False)
    >>> us[0].tolist(), lengths.tolist()
    ([[0.0, 1.0], [2.0, 2.0]], [2])

    ```
    """
    choice("kind", kind, get_args(Path))
    if window is not None:
        whole(1, window=window)
    times, values = np.asarray(ts, np.float64), np.asarray(xs, np.float64)
    if values.ndim != 3 or times.shape != values.shape[:2] or 0 in values.shape:
        raise ShapeError(
            f"times {times.shape} and values {values.shape} do not fit; expected "
            "(sample, time) and (sample, time, channel), none of them 0."
        )
    ends = (
        np.full(len(times), times.shape[1]) if lengths is None else np.asarray(lengths)
    )
    if (
        ends.shape != (len(times),)
        or not np.issubdtype(ends.dtype, np.integer)
        or ends.min() < 1
        or ends.max() > times.shape[1]
    ):
        raise DataError(
            f"lengths {ends.tolist()}: a whole number a sequence is needed, from 1 to "
            f"{times.shape[1]}."
        )
    paths = [
        _pieces(t[:n], x[:n], kind, counters, k)
        for k, (t, x, n) in enumerate(zip(times, values, ends, strict=True))
    ]
    if window is not None:
        paths = [_joined(path, window) for path in paths]
    count = np.array([len(path) for path in paths], np.int32)
    out = np.zeros((len(paths), count.max(), paths[0].shape[1]), np.float32)
    for row, path in zip(out, paths, strict=True):
        row[: len(path)] = path
    return out, count


def _pieces(
    t: np.ndarray, x: np.ndarray, kind: str, counters: bool, index: int
) -> np.ndarray:
    """Begin and steps of one path."""
    bad = ~np.isfinite(t)
    bad[1:] |= ~(t[1:] > t[:-1])
    if bad.any():
        where = int(np.argmax(bad))
        raise DataError(
            f"sequence {index}, sample {where}: the time {t[where]:g} does not "
            "increase. Sort the samples, and cut what is no number."
        )
    if np.isinf(x).any():
        where = np.argwhere(np.isinf(x))[0].tolist()
        raise DataError(
            f"sequence {index}, {where}: a value is infinite. Mark it as NaN."
        )
    seen = ~np.isnan(x)
    any_seen = np.asarray(seen.any(axis=1))
    any_seen[[0, -1]] = True
    filled = np.stack([_filled(column, kind, t) for column in x.T], axis=1)
    parts = [t[:, None], filled]
    if counters:
        parts.append(np.cumsum(seen, axis=0) / max(len(t), 1))
    path = np.concatenate(parts, axis=1)[any_seen]
    steps = np.diff(path, axis=0)
    if kind == "rectilinear":
        later, moved = steps.copy(), steps.copy()
        later[:, 1:] = 0.0
        moved[:, 0] = 0.0
        steps = np.stack([later, moved], axis=1).reshape(-1, path.shape[1])
    return np.concatenate([path[:1], steps])


def _filled(x: np.ndarray, kind: str, t: np.ndarray) -> np.ndarray:
    """One channel without gaps."""
    seen = np.flatnonzero(~np.isnan(x))
    if not len(seen):
        return np.zeros_like(x)
    if kind == "linear":
        return np.interp(t, t[seen], x[seen])
    last = np.searchsorted(seen, np.arange(len(x)), side="right") - 1
    return np.where(last >= 0, x[seen[np.maximum(last, 0)]], 0.0)


def _joined(path: np.ndarray, window: int) -> np.ndarray:
    """Windows of pieces: their sum, and the areas that they sweep (depth 2 of the
    logarithm of their signature)."""
    begin, steps = path[:1], path[1:]
    c = path.shape[1]
    rows, columns = np.triu_indices(c, 1)
    count = math.ceil(len(steps) / window)
    full = np.zeros((count * window, c))
    full[: len(steps)] = steps
    full = full.reshape(count, window, c)
    before = np.cumsum(full, axis=1) - full
    area = np.einsum("wki,wkj->wij", before, full)
    area = 0.5 * (area - np.swapaxes(area, 1, 2))
    joined = np.concatenate([full.sum(axis=1), area[:, rows, columns]], axis=1)
    blank = np.zeros((1, len(rows)))
    return np.concatenate([np.concatenate([begin, blank], axis=1), joined])
