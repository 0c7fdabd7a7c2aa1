"""Motion of a chain of rings: leapfrog on the group of rotations."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ShapeError
from .._precision import cast, precision
from .._types import State
from ..systems import Rings, flat_rings, unflat_rings
from ._bars_run import path_times
from ._ring_chain import RingChain, RingState


@dataclasses.dataclass(frozen=True)
class RingPath:
    """Times `"time"`, `rings` with leading axis `"time"`, parts of the energy [J]
    `"time"`; NaN from a failure on."""

    ts: Float[np.ndarray, "time"]
    rings: Rings
    energy: dict[str, Float[np.ndarray, "time"]]

    @property
    def total(self) -> Float[np.ndarray, "time"]:
        """The energy [J]."""
        return sum(self.energy.values(), np.zeros(len(self.ts)))

    @property
    def good(self) -> bool:
        """Whether every state is finite."""
        return bool(np.isfinite(self.rings.x).all())


def ring_frame(
    chain: RingChain, y: State, dt: Float[Array, ""], substeps: int
) -> Float[Array, "dim"]:
    r"""The flat state `substeps` leapfrog steps later, dt [s] in all.

    Half a kick by forces and torques, free flight (exact for a symmetric top), half a
    kick: of order 2, symplectic and reversible without drag, which takes its part
    before and after. One evaluation of the forces a step, and one.
    **Source:** Hairer, Lubich, Wanner, Geometric Numerical Integration, 2nd ed. 2006,
    section VII.5.
    """
    h = dt / substeps
    keep = jnp.exp(-0.5 * h * chain.world.loss.astype(y.dtype))

    def one(carry: tuple, _: None) -> tuple[tuple, None]:
        s, (pull, spin) = carry
        half = 0.5 * h
        s = s._replace(v=keep * s.v + half * pull, w=keep * s.w + half * spin)
        s = chain.coast(s, h)
        pull, spin = chain.pushes(s)
        v, w = keep * (s.v + half * pull), keep * (s.w + half * spin)
        return (s._replace(v=v, w=w), (pull, spin)), None

    s = RingState.of(y)
    moving = chain.moving(s.x)
    s = s._replace(v=moving * s.v, w=moving * s.w)
    (s, _), _ = jax.lax.scan(one, (s, chain.pushes(s)), None, length=substeps)
    return s.flat()


def ring_steps(
    chain: RingChain, y0: State, dts: Float[Array, "step"], substeps: int
) -> Float[Array, "time dim"]:
    """Flat states along a grid given by its steps, the first included."""

    def one(y: State, dt: Array) -> tuple[State, State]:
        y = ring_frame(chain, y, dt, substeps)
        return y, y

    return jnp.concatenate([y0[None], jax.lax.scan(one, y0, dts)[1]])


def ring_path(
    chain: RingChain,
    ts: Any,
    start: Rings,
    *,
    substeps: int | None = None,
    dtype: Any = np.float32,
) -> RingPath:
    """The motion of a chain from its rings at the first time.

    Leapfrog of `substeps` to each interval of `ts` `"time"` [s] (default: 5, or more
    where their steps would be longer than 2 ms); 2 ms are stable for the Slinky,
    stiffer or lighter chains need shorter ones.
    **Raises:** `ShapeError` for rings or times that do not fit, `ConfigError` for fewer
    than one substep.

    ```python
    >>> import numpy as np
    >>> from pendula.dynamics import ElasticRings, RingChain, RingWorld, ring_path
    >>> from pendula.systems import Slinky, to_rings
    >>> law = ElasticRings.of([65.0, 170.0, 170.0, 0.09, 0.08, 0.08], 7e-4)
    >>> start = to_rings(Slinky(cycles=5).points())
    >>> chain = RingChain(law, RingWorld.of(), True, False)
    >>> path = ring_path(chain, np.arange(0, 0.05, 0.01), start)
    >>> bool(path.rings.x[-1, -1, 1] < -0.001), path.good  # the free end sinks
    (True, True)

    ```
    """
    if start.x.ndim != 2 or len(start.x) < 3:
        raise ShapeError(
            f"rings of shape {start.x.shape}; expected (ring, 3), of at least 3 rings "
            "at one time: take them by rings.at(0)."
        )
    ts, substeps = path_times(ts, substeps)
    dtype = np.dtype(dtype)
    with precision(dtype):
        put = lambda x: jnp.asarray(x, dtype)
        ys, energy = _path(
            cast(jax.tree.map(jnp.asarray, chain), dtype),
            put(flat_rings(start)),
            put(np.diff(ts)),
            substeps,
        )
        rings = unflat_rings(np.asarray(ys, np.float64))
        parts = {k: np.asarray(e, np.float64) for k, e in energy.items()}
    return RingPath(ts, rings, parts)


@eqx.filter_jit
def _path(
    chain: RingChain, y0: Array, dts: Array, substeps: int
) -> tuple[Array, dict[str, Array]]:
    ys = ring_steps(chain, y0, dts, substeps)
    return ys, jax.vmap(chain.total)(ys)
