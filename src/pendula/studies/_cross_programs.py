"""The compiled programs of part `cross`: once for each kind of start and number of
points, not anew for every seed."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ..dynamics import energy, rate_loss
from ..solve import rollout_steps


@eqx.filter_jit
def rate_losses(start: Any, rate: Any, tasks: Any, clean: Any, steps: int) -> Any:
    """Median over tasks of the error at clean points after `steps` at a rate."""
    one = lambda task, at: rate_loss(start.adapt(task, steps, rate), at)
    return jnp.median(jax.vmap(one)(tasks, clean))


@eqx.filter_jit
def predicted(
    start: Any, y0: Any, dts: Any, sets: Any, rate: Any, steps: int
) -> tuple[Any, Any]:
    """Motions `"set start time 4"` of the field that each set adapts, and its own
    energy along them."""

    def one(points: Any) -> Any:
        field = start.adapt(points, steps, rate)
        held = lambda t, y, u, c: points.mask * field(t, y, u, c)

        def run(y: Any) -> Any:
            ys = rollout_steps(held, y, jnp.zeros((), y.dtype), dts).ys
            return ys, jax.vmap(lambda y: energy(field, y))(ys)

        return jax.vmap(run)(y0)

    return jax.lax.map(one, sets)
