"""Periodic motion of a field, and whether it attracts."""

from __future__ import annotations

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError, ShapeError
from .._precision import precision
from ..solve import rollout_steps
from ._equilibria import Field, held, rates


STEPS = 1024  # RK4 steps around the cycle
CLOSED = 1e-7  # of the cycle's size
SMALLEST = 1e-3  # of the motion's size: less is a rest state
NEWTON = 20
NEUTRAL = 1e-6  # a multiplier that near to 1 is that of a family of closed orbits


@dataclasses.dataclass(frozen=True)
class LimitCycle:
    """A periodic motion.

    **Shapes and units:** `period` [time]; `ts` `"time"` and `ys` `"time dim"` once
    around; `multipliers` `"dim-1"`, complex, the largest first: the factors by which
    one turn multiplies small distances from the cycle; `trivial`: the multiplier along
    it, 1 but for the error of the integration.
    """

    period: float
    ts: np.ndarray
    ys: np.ndarray
    multipliers: np.ndarray
    trivial: float

    @property
    def is_stable(self) -> bool:
        """Whether every motion nearby ends on it; not where a multiplier is 1 to
        1e-6, which the integration cannot tell from 1."""
        return bool(np.all(np.abs(self.multipliers) < 1.0 - NEUTRAL))


def limit_cycle(
    field: Field,
    y0: ArrayLike,
    duration: float,
    *,
    dt: float,
    u: ArrayLike | None = None,
    context: Any = None,
) -> LimitCycle | None:
    r"""The periodic motion that a start runs into, closed by Newton's method.

    $$ \varphi_T(y) = y, \quad f(y_*) \cdot (y - y_*) = 0, \qquad
       M = \partial \varphi_T / \partial y $$

    The multipliers are the eigenvalues of M without the one of the direction of
    motion.

    **Arguments:**
    - `field`: `field(t, y, u, context) -> dy`, autonomous.
    - `y0`: a start `"dim"`; `duration`: long enough to reach the cycle and then go
      around it twice, in steps of `dt`, which RK4 must resolve.
    - `u`, `context`: held fixed.

    **Returns:** `LimitCycle` in float64; None when the motion leaves the finite
    numbers, comes to rest or does not come back to where it was.
    **Raises:** `ShapeError`, `ConfigError`.
    **Behaviour:** finds attracting cycles; repelling ones attract with the field
    reversed. In a conservative field every orbit is closed and the multipliers say so
    (they are 1).
    **Source:** Guckenheimer and Holmes 1983, section 1.5; shooting: Hairer, Norsett,
    Wanner, Solving Ordinary Differential Equations I, section I.15.

    ```python
    >>> from pendula.diagnostics import limit_cycle
    >>> from pendula.systems import VanDerPol
    >>> cycle = limit_cycle(VanDerPol(), [0.5, 0.0], 60.0, dt=0.02)
    >>> round(cycle.period, 5), cycle.is_stable
    (6.66329, True)

    ```
    """
    y0 = np.asarray(y0, np.float64)
    if y0.ndim != 1 or len(y0) < 2:
        raise ShapeError(f"y0 has shape {y0.shape}; expected (dim,), dim at least 2.")
    if not (np.isfinite(dt) and dt > 0 and np.isfinite(duration) and duration > 4 * dt):
        raise ConfigError(
            f"duration is {duration:g} in steps of {dt:g}; both must be above 0, and "
            "the duration many steps long."
        )
    with precision(np.float64):
        parts = held(field, u, context)
        dts = jnp.full(int(np.ceil(duration / dt)), dt)
        ys = np.asarray(_flow(*parts, jnp.asarray(y0), dts))
        guess = _return(ys, np.asarray(rates(*parts)(jnp.asarray(ys[-1]))), dt)
        if guess is None:
            return None
        size = np.ptp(ys[-int(guess / dt) - 2 :], axis=0)
        # a channel that has died away is no measure of itself
        size = np.maximum(size, 1e-3 * np.ptp(ys, axis=0))
        return _close(parts, ys[-1], guess, np.where(size > 0, size, 1.0))


@eqx.filter_jit
def _flow(field: Field, u: Any, context: Any, y: Any, dts: Any) -> Any:
    """States `"time dim"` from y on."""
    at = rates(field, u, context)
    return rollout_steps(lambda t, y, u, c: at(y), y, jnp.zeros(()), dts).ys


@eqx.filter_jit
def _turn(field: Field, u: Any, context: Any, y: Any, period: Any) -> tuple[Any, Any]:
    """Once around, and the Jacobian of the end in the start."""

    def run(y: Any) -> tuple[Any, Any]:
        ys = _flow(field, u, context, y, jnp.full(STEPS, period / STEPS))
        return ys[-1], ys

    slope, ys = jax.jacfwd(run, has_aux=True)(y)
    return ys, slope


def _return(ys: np.ndarray, along: np.ndarray, dt: float) -> float | None:
    """Time since the motion last passed through where it ends, in the same direction;
    None when it did not, or rests."""
    size = np.ptp(ys, axis=0)
    late = np.ptp(ys[-len(ys) // 4 :], axis=0)
    if not np.isfinite(ys).all() or np.all(late <= 1e-6 * size):
        return None
    weight = 1.0 / np.where(size > 0, size, 1.0) ** 2
    height = (ys - ys[-1]) @ (along * weight)
    up = np.flatnonzero((height[:-1] < 0) & (height[1:] >= 0))
    far = np.sqrt(((ys[up] - ys[-1]) ** 2) @ weight)
    near = up[(far < 0.2) & (up < len(ys) - 3)]
    if not len(near):
        return None
    k = near[-1]
    part = height[k] / (height[k] - height[k + 1])
    return float(dt * (len(ys) - 1 - k - part))


def _close(
    parts: tuple[Any, Any, Any], start: np.ndarray, period: float, size: np.ndarray
) -> LimitCycle | None:
    """Newton's method for a state and a period that close, in units of size and
    period: what a small singular value is must not hang on others. None when it does
    not close, or shrinks to a rest state, which closes after any time."""
    rate = lambda y: np.asarray(rates(*parts)(jnp.asarray(y)))
    turn = lambda y, span: [
        np.asarray(x) for x in _turn(*parts, jnp.asarray(y), jnp.asarray(span))
    ]
    across = rate(start) / size
    across = across / np.linalg.norm(across)
    y, span = start, period
    for _ in range(NEWTON):
        ys, slope = turn(y, span)
        miss = np.append((ys[-1] - y) / size, across @ ((y - start) / size))
        matrix = np.zeros((len(miss), len(miss)))
        matrix[:-1, :-1] = slope * (size / size[:, None]) - np.eye(len(y))
        matrix[:-1, -1] = rate(ys[-1]) / size * period
        matrix[-1, :-1] = across
        if not np.isfinite(matrix).all() or not np.isfinite(miss).all():
            return None
        # in a family of closed orbits no step along the family is taken
        step = np.linalg.lstsq(matrix, miss, rcond=1e-6)[0]
        y, span = y - step[:-1] * size, span - step[-1] * period
        if not 0.5 < span / period < 2.0:
            return None
        # a start on the cycle need not move: its period may still have to
        if np.abs(step).max() < 1e-11:
            break
    ys, slope = turn(y, span)
    gap, extent = np.abs((ys[-1] - y) / size), np.ptp(ys, axis=0) / size
    if not (gap.max() < CLOSED and extent.max() > SMALLEST):
        return None
    slope = slope * (size / size[:, None])
    return _cycle(ys, slope, rate(y) / size, float(span))


def _cycle(
    ys: np.ndarray, turn: np.ndarray, along: np.ndarray, period: float
) -> LimitCycle:
    """Multipliers: on the directions across the motion, so that the one along it goes
    out exactly."""
    basis = np.linalg.qr(np.column_stack([along, np.eye(len(along))]))[0]
    inner = basis.T @ turn @ basis
    values = np.linalg.eigvals(inner[1:, 1:])
    values = values[np.argsort(-np.abs(values))]
    ts = np.linspace(0.0, period, len(ys))
    return LimitCycle(period, ts, ys, values, float(inner[0, 0]))
