"""The start carried along by the dissipative linear part of an equation.

An ansatz u = h(x) + s N(x, t) with smooth N keeps every kink of h for all times, and
so solves a problem with a hidden point source. Carried by diffusion, the kink goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from ._derivatives import Orders
from ._law import Law


_MOST = 2048
_GRID = 8 * _MOST  # what a kink has beyond is not folded back onto what is kept
_TAIL = 1e-12  # of the largest amplitude: what is left out
_GONE = -100.0  # exponent at which a mode is nothing, its derivatives too
_FULL = 2  # values of a whole grid for each point: still less than point by point
_CHUNK = 1024  # x, and points that are no grid, at once


class Carried(eqx.Module):
    r"""A truncated Fourier series that decays.

    $$ g(x, t) = \sum_k \hat h_k\, e^{\min(\lambda_k, 0) (t - t_0)}\, e^{i k x} $$

    `lost`: the RMS of the start's part that was left out.
    """

    cosine: Float[Array, "mode"]
    sine: Float[Array, "mode"]
    rate: Float[Array, "mode"]
    number: Float[Array, "mode"]
    lo: Float[Array, ""]
    t0: Float[Array, ""]
    lost: float = eqx.field(static=True)

    def __call__(self, points: Float[Array, "point coord"]) -> Float[Array, "point"]:
        """The series at points (x, t)."""
        phase = (points[:, :1] - self.lo) * self.number[None, :]
        decay = jnp.exp(self.rate[None, :] * (points[:, 1:2] - self.t0))
        wave = self.cosine[None, :] * jnp.cos(phase) + self.sine[None, :] * jnp.sin(
            phase
        )
        return jnp.sum(decay * wave, axis=1)

    def partial(
        self, points: Float[np.ndarray, "point coord"], wanted: Iterable[Orders]
    ) -> dict[Orders, Float[np.ndarray, "point"]]:
        r"""Its partial derivatives in NumPy, by what is known of each mode.

        $$ \partial_x^a \partial_t^b g = \sum_k \hat h_k\,
           (i k)^a \lambda_k^b\, e^{\lambda_k (t - t_0)} e^{i k x} $$

        Hand-written beside `derivatives(self, ...)`: sines are taken once for each x
        and not for each point, modes that are gone at the first of the times are left
        out, and nothing is compiled. It was most of a window's time beside least
        squares.
        """
        out = {orders: np.empty(len(points)) for orders in wanted}
        x, at_x = np.unique(points[:, 0], return_inverse=True)
        for first in range(0, len(x), _CHUNK):
            few = np.flatnonzero((at_x >= first) & (at_x < first + _CHUNK))
            own = x[first : first + _CHUNK], at_x[few] - first
            for orders, values in self._few(*own, points[few, 1], wanted):
                out[orders][few] = values
        return out

    def _few(
        self, x: np.ndarray, at_x: np.ndarray, times: np.ndarray, wanted: Iterable
    ) -> Iterator[tuple[Orders, np.ndarray]]:
        """`partial` where there are not many x."""
        t, at_t = np.unique(times, return_inverse=True)
        since = t - float(self.t0)
        left = np.flatnonzero(np.asarray(self.rate) * since[0] > _GONE)
        kept = slice(0, int(left.max(initial=0)) + 1)
        rate, number = np.asarray(self.rate)[kept], np.asarray(self.number)[kept]
        cosine, sine = np.asarray(self.cosine)[kept], np.asarray(self.sine)[kept]
        phase = (x[:, None] - float(self.lo)) * number
        cos, sin = np.cos(phase), np.sin(phase)
        decay = np.exp(since[:, None] * rate)
        for a, b in wanted:
            c, s = [(cosine, sine), (sine, -cosine)][a % 2]
            sign = -1.0 if a % 4 > 1 else 1.0
            wave = (sign * number**a * rate**b) * (c * cos + s * sin)
            if len(x) * len(t) <= _FULL * len(times):
                yield (a, b), (wave @ decay.T)[at_x, at_t]
                continue
            each = np.array_split(np.arange(len(times)), len(times) // _CHUNK + 1)
            parts = [np.sum(wave[at_x[i]] * decay[at_t[i]], axis=1) for i in each]
            yield (a, b), np.concatenate(parts)


def carried(
    law: Law,
    start: Callable[[np.ndarray], np.ndarray],
    bounds: tuple[float, float],
    time: tuple[float, float],
    params: dict[str, Array],
) -> Carried | None:
    r"""The start in modes that decay as the equation's even derivatives say.

    $\lambda_k = -\sum_\alpha c_\alpha (i k)^\alpha / c_t$ over even orders
    $\alpha \ge 2$ in x, with $c$ the slopes of the residual at u = 0. None where there
    are none, where they vary in space or time, or nothing decays.

    **Arguments:** `start`: x `"point"` to values; `bounds`: of the periodic coordinate.
    """
    if len(law.fields) > 1 or len(law.coords) != 2 or law.order("t") != 1:
        return None
    symbol = _symbol(law, bounds, time, params)
    if not symbol or max(symbol) < 2:
        return None
    lo, hi = bounds
    x = lo + (hi - lo) * np.arange(_GRID) / _GRID
    values = start(x)
    spectrum = np.fft.rfft(values) / _GRID
    large = np.flatnonzero(np.abs(spectrum) > _TAIL * np.abs(spectrum).max())
    kept = min(_MOST, int(large.max(initial=0)) + 1)
    number = 2.0 * np.pi / (hi - lo) * np.arange(kept)
    rate = decay_rates(symbol, number)
    if not (rate < 0.0).any():
        return None
    twice = np.where(np.arange(kept) == 0, 1.0, 2.0)
    lost = float(np.sqrt(2.0 * np.sum(np.abs(spectrum[kept:]) ** 2)))
    make = lambda a: jnp.asarray(a)
    return Carried(
        make(twice * spectrum[:kept].real),
        make(-twice * spectrum[:kept].imag),
        make(rate),
        make(number),
        make(np.asarray(lo)),
        make(np.asarray(time[0])),
        lost,
    )


def decay_rates(
    shares: Mapping[int, ArrayLike], number: Float[np.ndarray, "mode"]
) -> Float[np.ndarray, "*set mode"]:
    """min(lambda_k, 0) at wave numbers k. **Arguments:** `shares`: even order -> its
    coefficient over that of u_t, a number or one for each set."""
    each = [
        -np.asarray(c)[..., None] * (-1.0) ** (order // 2) * number**order
        for order, c in shares.items()
    ]
    return np.minimum(sum(each), 0.0)


def _symbol(
    law: Law, bounds: tuple[float, float], time: tuple[float, float], params: dict
) -> dict[int, float] | None:
    """Order in x -> coefficient over that of u_t, for even orders; None where they
    are no constants."""
    rng = np.random.default_rng(3)
    points = np.stack([rng.uniform(*bounds, 4), rng.uniform(*time, 4)], -1)
    values = jnp.zeros((4, len(law.needs)))
    slope = jax.vmap(jax.jacfwd(law), in_axes=(0, 0, None))
    found = np.asarray(slope(values, jnp.asarray(points), params))[:, 0, :]
    orders = [need.orders for need in law.needs]
    if law.equations != 1 or (0, 1) not in orders:
        return None
    if not np.allclose(found, found[0], rtol=1e-9, atol=1e-12):
        return None
    by = dict(zip(orders, found[0], strict=True))
    even = [o for o in orders if o[1] == 0 and o[0] >= 2 and o[0] % 2 == 0]
    return {o[0]: float(by[o] / by[0, 1]) for o in even if by[o] != 0.0}
