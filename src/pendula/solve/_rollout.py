"""The fixed-grid rollout: a scan over a scheme's step, with a status."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int8

from .._errors import ConfigError, ShapeError, Status
from .._types import AnyArray, Context, State, Time
from ._schemes import RK4, AbstractScheme, Field, scheme as find_scheme


class Rollout(eqx.Module):
    """States along a time grid, and how it went.

    **Shapes and units**: `ys` `"time dim"` (NaN from the failure on), `status` an
    int8 (`pendula.Status`), `t_fail` the time at which it first held (infinite
    when nothing failed), `steps` the number of solver steps. Under `vmap` every
    array gains a leading axis.
    """

    ys: Float[Array, "*batch time dim"]
    status: Int8[Array, "*batch"]
    t_fail: Float[Array, "*batch"]
    steps: Int[Array, "*batch"]


def _polynomial(coefficients: Float[Array, "4 ctrl"]):
    """u(s) = c0 + s (c1 + s (c2 + s c3)) within one sampling interval."""

    def at(s: Time) -> Float[Array, " ctrl"]:
        c0, c1, c2, c3 = coefficients
        return c0 + s * (c1 + s * (c2 + s * c3))

    return at


def linear_path(
    us: Float[Array, "time ctrl"], dts: Float[Array, "step"]
) -> Float[Array, "step 4 ctrl"]:
    """Coefficients of inputs that run straight from sample to sample."""
    safe = jnp.where(dts > 0, dts, 1.0)[:, None]
    slope = (us[1:] - us[:-1]) / safe
    zero = jnp.zeros_like(slope)
    return jnp.stack([us[:-1], slope, zero, zero], axis=1)


def rollout_steps(
    field: Field,
    y0: State,
    t0: Time,
    dts: Float[Array, "step"],
    us: Float[Array, "step 4 ctrl"] | None = None,
    context: Context = None,
    *,
    scheme: AbstractScheme = RK4,
    substeps: int = 1,
    checkpoint: int | None = None,
    bound: float | None = None,
) -> Rollout:
    """The compiled core of `rollout`: steps are given, nothing is checked.

    A step of length 0 (padding) leaves the state alone. `checkpoint` is the
    number of samples per block that is recomputed in the backward pass instead
    of stored.
    """
    ends = t0 + jnp.cumsum(dts)
    starts = jnp.concatenate([jnp.reshape(t0, (1,)).astype(ends.dtype), ends[:-1]])
    limit = jnp.inf if bound is None else bound

    def one_sample(carry, xs):
        y, status, t_fail = carry
        t, dt, coefficients = xs
        path = (lambda s: None) if us is None else _polynomial(coefficients)
        h = dt / substeps

        def one_substep(y, k):
            s = k * h
            return scheme.step(field, t + s, y, h, lambda r: path(s + r), context)

        if substeps == 1:
            y = one_substep(y, jnp.zeros((), h.dtype))
        else:
            y, _ = jax.lax.scan(
                lambda y, k: (one_substep(y, k), None),
                y,
                jnp.arange(substeps, dtype=h.dtype),
            )
        finite = jnp.all(jnp.isfinite(y))
        now = jnp.where(
            finite,
            jnp.where(jnp.any(jnp.abs(y) > limit), Status.diverged, Status.ok),
            Status.non_finite_state,
        ).astype(jnp.int8)
        t_fail = jnp.where((status == 0) & (now > 0), t + dt, t_fail)
        status = jnp.maximum(status, now)
        y = jnp.where(status >= Status.diverged, jnp.full_like(y, jnp.nan), y)
        return (y, status, t_fail), y

    good = jnp.all(jnp.isfinite(y0))
    if us is not None:
        good &= jnp.all(jnp.isfinite(us))
    status = jnp.where(good, Status.ok, Status.non_finite_input).astype(jnp.int8)
    t_fail = jnp.where(good, jnp.inf, t0).astype(ends.dtype)
    xs = (starts, dts, us)
    carry = (y0, status, t_fail)
    num = dts.shape[0]
    if checkpoint is not None and 0 < checkpoint < num and num % checkpoint == 0:
        blocks = jax.tree.map(
            lambda x: x.reshape(num // checkpoint, checkpoint, *x.shape[1:]), xs
        )
        inner = jax.checkpoint(lambda c, b: jax.lax.scan(one_sample, c, b))
        (_, status, t_fail), ys = jax.lax.scan(inner, carry, blocks)
        ys = ys.reshape(num, *ys.shape[2:])
    else:
        (_, status, t_fail), ys = jax.lax.scan(one_sample, carry, xs)
    return Rollout(
        jnp.concatenate([y0[None], ys]),
        status,
        t_fail,
        jnp.asarray(num * substeps),
    )


def rollout(
    field: Field,
    y0: Float[AnyArray, "dim"],
    ts: Float[AnyArray, "time"],
    us: Any = None,
    context: Context = None,
    *,
    scheme: str | AbstractScheme = "rk4",
    substeps: int = 1,
    checkpoint: int | None = None,
    bound: float | None = None,
) -> Rollout:
    r"""Integrate a field over a given time grid with a scheme of fixed step.

    $$ \dot y = f(t, y, u(t), c), \qquad y(t_0) = y_0 $$

    **Arguments:**
    - `field`: `field(t, y, u, context) -> dy`, a known system or a learned one.
    - `y0`: state `"dim"`; `ts`: times `"time"`, increasing, at least two; they
      are differenced in float64 on the host when they are NumPy arrays.
    - `us`: inputs, samples `"time ctrl"` (joined by straight lines) or the
      coefficients `"step 4 ctrl"` of `pendula.data.input_path`.
    - `substeps`: solver steps per sampling interval.
    - `checkpoint`: samples per recomputed block (memory of the backward pass).
    - `bound`: the state counts as diverged when a component exceeds it.

    **Returns:** `Rollout`; a failure is a status, never an exception.
    **Raises:** `ShapeError`, `ConfigError` for grids that cannot be used.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solve import rollout
    >>> out = rollout(lambda t, y, u, c: -y, jnp.ones(1), np.linspace(0, 1, 11))
    >>> round(float(out.ys[-1, 0]), 4)
    0.3679

    ```
    """
    if substeps < 1:
        raise ConfigError(f"substeps is {substeps}; it must be at least 1.")
    if jnp.ndim(ts) != 1 or ts.shape[0] < 2:
        raise ShapeError(
            f"ts has shape {jnp.shape(ts)}; a rollout needs a vector of at least "
            "two times."
        )
    if isinstance(ts, np.ndarray | list | tuple):
        host = np.asarray(ts, dtype=np.float64)
        if not np.all(np.diff(host) >= 0):
            k = int(np.argmin(np.diff(host) >= 0))
            raise ConfigError(
                f"ts goes backwards: {host[k + 1]:g} after {host[k]:g} (entry "
                f"{k + 1}). Times must increase; sort them."
            )
        dts = jnp.asarray(np.diff(host), dtype=y0.dtype)
        t0 = jnp.asarray(host[0], dtype=y0.dtype)
    else:
        dts, t0 = jnp.diff(ts).astype(y0.dtype), ts[0].astype(y0.dtype)
    if us is not None:
        us = jnp.asarray(us, dtype=y0.dtype)
        steps = dts.shape[0]
        if us.ndim == 2 and us.shape[0] == steps + 1:
            us = linear_path(us, dts)
        elif us.ndim != 3 or us.shape[:2] != (steps, 4):
            raise ShapeError(
                f"us has shape {us.shape}; expected samples ({steps + 1}, ctrl) or "
                f"coefficients ({steps}, 4, ctrl)."
            )
    return rollout_steps(
        field,
        y0,
        t0,
        dts,
        us,
        context,
        scheme=find_scheme(scheme),
        substeps=substeps,
        checkpoint=checkpoint,
        bound=bound,
    )
