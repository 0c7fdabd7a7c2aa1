"""Motion and rest of a chain of bars whose energy is known or was learned."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jaxtyping import Array, Float

from .._checks import whole
from .._errors import DivergedError, ShapeError, Status
from .._precision import cast, precision
from ..data import input_path
from ._bar_chain import BarChain
from ._bars_records import bar_model


SUBSTEPS = 5  # to an interval, at least
STABLE = 2e-3  # s, steps at which leapfrog is stable for the Slinky


@dataclasses.dataclass(frozen=True)
class BarPath:
    """Times `"time"`, bars `u` and rates `v` `"time bar 3"`, parts of the energy [J]
    `"time"`; NaN from a failure on."""

    ts: Float[np.ndarray, "time"]
    u: Float[np.ndarray, "time bar 3"]
    v: Float[np.ndarray, "time bar 3"]
    energy: dict[str, Float[np.ndarray, "time"]]

    @property
    def total(self) -> Float[np.ndarray, "time"]:
        """The energy [J]."""
        return sum(self.energy.values(), np.zeros(len(self.ts)))

    @property
    def good(self) -> bool:
        """Whether every state is finite."""
        return bool(np.isfinite(self.u).all())


def bar_path(
    chain: BarChain,
    ts: Any,
    u: Any,
    v: Any = None,
    *,
    substeps: int | None = None,
    ends: Any = None,
    context: Any = None,
    dtype: Any = np.float32,
) -> BarPath:
    r"""The motion of a chain from bars `u` `"bar 3"` and rates `v` (default: at rest).

    Leapfrog of `substeps` to each interval of `ts` `"time"` [s] (default: 5, or more
    where their steps would be longer than 2 ms); 2 ms are stable for the Slinky (limit
    $2/\omega$, about 3 ms), stiffer or lighter chains need shorter ones. `ends`
    `"time 6"`: accelerations of the first and of the last bar, where they are held;
    `context`: eta of a family.
    **Raises:** `ShapeError` for bars or times that do not fit, `ConfigError` for fewer
    than one substep.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.dynamics import BarChain, BarWorld, ElasticBars, bar_path
    >>> law = ElasticBars(jnp.log(jnp.array([65.0, 170.0, 0.08])), 0.0)
    >>> u = np.zeros((5, 3)); u[:, 0] = 0.005 * np.arange(5)
    >>> path = bar_path(BarChain(law, BarWorld.of()), np.arange(0, 0.1, 0.01), u)
    >>> bool(path.u[-1, 2, 1] < 0.0), path.good
    (True, True)

    ```
    """
    u, v = _bars(u, v)
    ts, substeps = path_times(ts, substeps)
    us = None
    if ends is not None:
        ends = np.asarray(ends, np.float64)
        if ends.shape != (len(ts), 6) or not np.isfinite(ends).all():
            raise ShapeError(
                f"ends have shape {ends.shape}; expected ({len(ts)}, 6) finite numbers."
            )
        us = input_path(ts, ends, "spline")
    dtype = np.dtype(dtype)
    with precision(dtype):
        put = lambda x: jnp.asarray(x, dtype)
        y0 = put(np.concatenate([u.ravel(), v.ravel()]))
        ys, energy = _path(
            cast(jax.tree.map(jnp.asarray, chain), dtype),
            y0,
            put(ts[0]),
            put(np.diff(ts)),
            None if us is None else put(us),
            None if context is None else put(context),
            substeps,
        )
        ys = np.asarray(ys, np.float64).reshape(len(ts), 2, -1, 3)
        parts = {k: np.asarray(e, np.float64) for k, e in energy.items()}
    return BarPath(ts, ys[:, 0], ys[:, 1], parts)


def path_times(ts: Any, substeps: int | None) -> tuple[Float[np.ndarray, "time"], int]:
    """Times of a motion and the substeps to each interval, by default such that the
    Slinky is stable. **Raises:** `ShapeError`, `ConfigError`."""
    ts = np.asarray(ts, np.float64)
    finite = np.isfinite(ts).all()
    if ts.ndim != 1 or len(ts) < 2 or not (finite and np.all(np.diff(ts) > 0.0)):
        raise ShapeError(
            f"times of shape {ts.shape}; expected at least two that increase."
        )
    if substeps is None:
        return ts, max(SUBSTEPS, steps_within(ts, STABLE))
    return ts, whole(1, substeps=substeps)


def _bars(u: Any, v: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Bars and rates, at rest where there are none. **Raises:** `ShapeError`."""
    u = np.asarray(u, np.float64)
    v = np.zeros_like(u) if v is None else np.asarray(v, np.float64)
    if u.ndim != 2 or u.shape[1] != 3 or len(u) < 3 or v.shape != u.shape:
        raise ShapeError(
            f"bars of shape {u.shape} with rates of shape {v.shape}; expected (bar, 3) "
            "for both, of at least 3 bars."
        )
    return u, v


def steps_within(ts: Float[np.ndarray, "time"], longest: float) -> int:
    """Steps to an interval, none of them longer than that [s]."""
    if len(ts) < 2:
        return 1
    return max(1, math.ceil(float(np.diff(ts).max()) / longest - 1e-6))


@eqx.filter_jit
def _path(
    chain: BarChain, y0: Array, t0: Any, dts: Any, us: Any, context: Any, substeps: int
) -> tuple[Array, dict[str, Array]]:
    model = bar_model(chain, y0.shape[0] // 6, substeps)
    ys = model.steps(y0, t0, dts, us, context).ys
    return ys, jax.vmap(lambda y: chain.total(y, context))(ys)


def bar_rest(
    chain: BarChain, u: Any, *, context: Any = None
) -> Float[np.ndarray, "bar 3"]:
    """The chain at rest near bars `u` `"bar 3"`, held ends where they are.

    Levenberg-Marquardt on the accelerations, in float64 (Optimistix). **Raises:**
    `ShapeError` for bars of another shape, `DivergedError` where no rest is found:
    begin nearer to it, as from the mean of a motion.
    """
    u, _ = _bars(u)
    with precision(np.float64):
        own = cast(jax.tree.map(jnp.asarray, chain), np.dtype(np.float64))
        found, status, left = _rest(own, jnp.asarray(u), context)
        if int(status) != Status.ok:
            raise DivergedError(
                f"no rest of the chain was found: {float(left):.3g} m/s^2 are left. "
                "Begin nearer to it, as from the mean of a motion."
            )
        return np.asarray(found)


@eqx.filter_jit
def _rest(chain: BarChain, u: Array, context: Any) -> tuple[Array, Array, Array]:
    one = jnp.ones((), u.dtype)
    scale = jnp.stack([one, one, chain.world.radius])  # turns count as ways
    low, high = int(chain.first), u.shape[0] - int(chain.last)

    def pull(free: Array, _: Any) -> Array:
        bars = jnp.concatenate([u[:low], free, u[high:]])
        y = jnp.concatenate([bars.ravel(), jnp.zeros(bars.size, bars.dtype)])
        out = chain(jnp.zeros((), u.dtype), y, None, context).reshape(-1, 3)
        return out[low:high] * scale[None]

    found = optx.least_squares(
        pull,
        optx.LevenbergMarquardt(1e-10, 1e-10),
        u[low:high],
        max_steps=2000,
        throw=False,
    )
    left = jnp.max(jnp.abs(pull(found.value, None)))
    bars = jnp.concatenate([u[:low], found.value, u[high:]])
    good = left < 1e-3 * 9.8
    return bars, jnp.where(good, Status.ok, Status.diverged), left
