"""Rollouts whose steps are longer than the sampling: a cubic fills in."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Float

from .._errors import Status
from .._types import Context, State, Time
from ._grid import all_finite
from ._rollout import Rollout
from ._schemes import Field, Tableau


def rollout_strided(
    field: Field,
    y0: State,
    t0: Time,
    dts: Float[jax.Array, " step"],
    context: Context = None,
    *,
    scheme: Tableau,
    stride: int,
) -> Rollout:
    r"""One step over `stride` sampling intervals at a time, the samples inside by the
    cubic through the states and rates at its ends.

    $$ y(t + \theta h) = (1 + 2\theta)(1 - \theta)^2 y_0 + \theta^2 (3 - 2\theta) y_1
        + h\,\theta (1 - \theta)^2 f_0 + h\,\theta^2 (\theta - 1) f_1 $$

    For smooth motions that are sampled more finely than they need to be stepped, fields
    without inputs, and rules whose first node is 0. Of the order of the rule, at most
    4. A rule of s stages asks for s rates a step: the last one of a step is the first
    of the next.

    **Shapes:** state `"dim"`, `dts` `"step"`; intervals of length 0 (padding) leave the
    state alone. **Returns:** `Rollout`; a step that fails takes its samples along.
    **Source:** Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I,
    section II.6.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.solve import RK4, rollout_strided
    >>> swing = lambda t, y, u, c: jnp.stack([y[1], -y[0]])
    >>> y0, dts = jnp.array([1.0, 0.0]), jnp.full(100, 0.01)
    >>> out = rollout_strided(
    ...     swing, y0, jnp.zeros(()), dts, scheme=RK4, stride=10
    ... )
    >>> bool(jnp.abs(out.ys[:, 0] - jnp.cos(jnp.arange(101) / 100)).max() < 2e-6)
    True

    ```
    """
    num = dts.shape[0]
    blocks = jnp.concatenate([dts, jnp.zeros(-num % stride, dts.dtype)])
    blocks = blocks.reshape(-1, stride)
    inside = jnp.cumsum(blocks, axis=1)
    lengths = inside[:, -1]
    ends = t0 + jnp.cumsum(lengths)
    starts = jnp.concatenate([jnp.reshape(t0, (1,)).astype(ends.dtype), ends[:-1]])

    # traced once, not at every stage
    traced = jax.jit(lambda t, y: field(t, y, None, context))
    rate_of = lambda t, y, u, c: traced(t, y)

    def one(carry: tuple, xs: tuple) -> tuple[tuple, tuple]:
        y, rate, status, t_fail = carry
        t, h = xs
        moved = scheme.step(rate_of, t, y, h, lambda s: None, context, rate)
        good = jnp.all(jnp.isfinite(moved))
        # the scan goes on from the last good state
        moved = jnp.where(good, moved, y)
        then = traced(t + h, moved)
        bad = jnp.asarray(Status.non_finite_state, jnp.int8)
        t_fail = jnp.where((status == 0) & ~good, t + h, t_fail)
        status = jnp.where((status == 0) & ~good, bad, status)
        return (moved, then, status, t_fail), (y, rate, moved, then, status)

    status = jnp.asarray(Status.ok, jnp.int8)
    t_fail = jnp.asarray(jnp.inf, ends.dtype)
    first = traced(jnp.asarray(t0, ends.dtype), y0)
    (_, _, status, t_fail), (y, f, y1, f1, failed) = jax.lax.scan(
        one, (y0, first, status, t_fail), (starts, lengths)
    )
    h = lengths[:, None, None]
    x = inside[:, :, None] / jnp.where(h > 0, h, 1.0)
    ys = (
        (1.0 + 2.0 * x) * (1.0 - x) ** 2 * y[:, None]
        + x**2 * (3.0 - 2.0 * x) * y1[:, None]
        + h * x * (1.0 - x) ** 2 * f[:, None]
        + h * x**2 * (x - 1.0) * f1[:, None]
    )
    # a rate that is not finite at the end of a step leaves nothing to fill in with
    broken = (failed == 0) & ~jnp.all(jnp.isfinite(f1), axis=1)
    status = jnp.where(jnp.any(broken), Status.non_finite_state, status)
    t_fail = jnp.where(jnp.any(broken), ends[jnp.argmax(broken)], t_fail)
    ys = jnp.where(((failed == 0) & ~broken)[:, None, None], ys, jnp.nan)
    ys = ys.reshape(-1, ys.shape[-1])[:num]
    good = all_finite(y0, t0, dts, context)
    status = jnp.where(good, status, Status.non_finite_input).astype(jnp.int8)
    t_fail = jnp.where(good, t_fail, t0).astype(ends.dtype)
    ys = jnp.where(good, jnp.concatenate([y0[None], ys]), jnp.nan)
    return Rollout(ys, status, t_fail, jnp.asarray(len(lengths)))
