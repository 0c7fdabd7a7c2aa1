"""The fixed-grid rollout: a scan over a scheme's step, with a status."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int8

from .._checks import whole
from .._errors import ConfigError, Status
from .._types import Context, State, Time
from ._field import as_field, check_rate
from ._grid import all_finite, as_grid, as_path, as_state, polynomial, safe
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


def rollout_steps(
    field: Field,
    y0: State,
    t0: Time,
    dts: Float[Array, " step"],
    us: Float[Array, "step 4 ctrl"] | None = None,
    context: Context = None,
    *,
    scheme: AbstractScheme = RK4,
    substeps: int | Int[Array, ""] = 1,
    checkpoint: int | None = None,
    bound: Float[Array, ""] | float | None = None,
) -> Rollout:
    """The compiled core of `rollout`: steps are given, nothing is checked.

    A step of length 0 (padding) leaves the state alone. `checkpoint` is the number
    of samples per block that is recomputed in the backward pass instead of stored.
    `substeps` may be an array: other numbers then do not recompile, but there is no
    gradient.

    After a failure the scan goes on from the last good state and reports NaN: a
    loss that masks the NaN has a finite gradient as long as the failing step itself
    is finite, which a `bound` sees to.
    """
    num = dts.shape[0]
    good = all_finite(y0, t0, dts, us, context)
    y0, dts, us, context = safe((y0, dts, us, context), good)
    ends = t0 + jnp.cumsum(dts)
    starts = jnp.concatenate([jnp.reshape(t0, (1,)).astype(ends.dtype), ends[:-1]])
    limit = jnp.inf if bound is None else bound

    def one_sample(carry: tuple, xs: tuple) -> tuple[tuple, State]:
        y, status, t_fail = carry
        t, dt, coefficients = xs
        path = (lambda s: None) if us is None else polynomial(coefficients)
        h = dt / jnp.asarray(substeps, dt.dtype)

        def one_substep(y: State, k: Array) -> State:
            s = k * h
            return scheme.step(field, t + s, y, h, lambda r: path(s + r), context)

        if not isinstance(substeps, int):
            count = lambda k, y: one_substep(y, k.astype(h.dtype))
            moved = jax.lax.fori_loop(0, substeps, count, y)
        elif substeps == 1:
            moved = one_substep(y, jnp.zeros((), h.dtype))
        else:
            moved = scheme.steps(field, t, y, h, substeps, path, context)
        now = jnp.where(
            jnp.all(jnp.isfinite(moved)),
            jnp.where(jnp.any(jnp.abs(moved) > limit), Status.diverged, Status.ok),
            Status.non_finite_state,
        ).astype(jnp.int8)
        t_fail = jnp.where((status == 0) & (now > 0), t + dt, t_fail)
        status = jnp.where(status == 0, now, status)
        y = jnp.where(status == 0, moved, y)
        return (y, status, t_fail), jnp.where(status == 0, y, jnp.nan)

    status = jnp.where(good, Status.ok, Status.non_finite_input).astype(jnp.int8)
    t_fail = jnp.where(good, jnp.inf, t0).astype(ends.dtype)
    carry, xs = (y0, status, t_fail), (starts, dts, us)
    if checkpoint is None or checkpoint >= num:
        (_, status, t_fail), ys = jax.lax.scan(one_sample, carry, xs)
    else:
        inner = jax.checkpoint(lambda c, block: jax.lax.scan(one_sample, c, block))
        held = lambda x: None if x is None else _blocks(x, checkpoint, hold=True)
        blocks = held(starts), _blocks(dts, checkpoint, hold=False), held(us)
        (_, status, t_fail), ys = jax.lax.scan(inner, carry, blocks)
        ys = ys.reshape(-1, *ys.shape[2:])[:num]
    first = jnp.where(good, y0, jnp.nan)[None]
    return Rollout(
        jnp.concatenate([first, ys]), status, t_fail, jnp.asarray(num * substeps)
    )


def _blocks(x: Array, size: int, *, hold: bool) -> Array:
    """`"step ..."` -> `"block size ..."`; the last block is filled up with the last
    entry (`hold`: a field need not be finite at time 0 or without its inputs) or with
    zeros, which are steps of length 0."""
    fill = -x.shape[0] % size
    more = jnp.repeat(x[-1:], fill, axis=0)
    x = jnp.concatenate([x, more if hold else jnp.zeros_like(more)])
    return x.reshape(-1, size, *x.shape[1:])


def rollout(
    field: Field,
    y0: Any,
    ts: Any,
    us: Any = None,
    context: Context = None,
    *,
    scheme: str | AbstractScheme = "rk4",
    substeps: int = 1,
    checkpoint: int | None = None,
    bound: Float[Array, ""] | float | None = None,
) -> Rollout:
    r"""Integrate a field over a given time grid with a scheme of fixed step.

    $$ \dot y = f(t, y, u(t), c), \qquad y(t_0) = y_0 $$

    For smooth, sampled data: Heun or RK4 with one step per sample. For long
    horizons with a conserved energy: leapfrog or Yoshida's scheme, and the implicit
    midpoint rule where the state is not (q, v). For stiff problems, or where
    accuracy and not the sampling limits the step: `integrate`.

    **Arguments:**
    - `field`: `field(t, y, u, context) -> dy`, a known system or a learned one; or
      `field(t, y)`.
    - `y0`: state `"dim"`; `ts`: times `"time"`, increasing, at least two; they are
      differenced in float64 on the host when they are NumPy arrays or lists.
    - `us`: inputs, samples `"time ctrl"` (joined by straight lines) or the
      coefficients `"step 4 ctrl"` of `pendula.data.input_path`.
    - `context`: what varies in a family, handed to the field.
    - `scheme`: a name (`pendula.solve.scheme`) or a scheme.
    - `substeps`: solver steps per sampling interval.
    - `checkpoint`: samples per recomputed block (memory of the backward pass:
      about the square root of the number of samples needs least).
    - `bound`: the state counts as diverged when a component exceeds it.

    **Returns:** `Rollout`; a failure is a status, never an exception.
    **Raises:** `ShapeError`, `ConfigError` for grids and settings that cannot be
    used, for what is no field, and one whose dy has not the state's shape.
    **Behaviour:** the work is traced anew at every call outside `jit`; wrap repeated
    calls in `equinox.filter_jit`.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.solve import rollout
    >>> out = rollout(lambda t, y, u, c: -y, jnp.ones(1), np.linspace(0, 1, 11))
    >>> round(float(out.ys[-1, 0]), 4)
    0.3679

    ```
    """
    substeps = whole(1, substeps=substeps)
    checkpoint = None if checkpoint is None else whole(1, checkpoint=checkpoint)
    method, law = find_scheme(scheme), as_field(field)
    if method.needs_second_order and not getattr(field, "second_order", True):
        raise ConfigError(
            f"{method.name} cannot step {type(field).__name__}: its state is not "
            "(q, v) with dq/dt = v. Use another scheme."
        )
    y0 = as_state(y0)
    t0, _, dts = as_grid(ts, y0.dtype)
    path = as_path(us, dts)
    check_rate(law, t0, y0, None if path is None else path[0, 0], context)
    return rollout_steps(
        law,
        y0,
        t0,
        dts,
        path,
        context,
        scheme=method,
        substeps=substeps,
        checkpoint=checkpoint,
        bound=bound,
    )
