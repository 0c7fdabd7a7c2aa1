"""States with their rates of change, and how well a field meets them."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._errors import DataError, ShapeError
from .._numbers import numbers
from .._types import AnyArray


class RatePoints(eqx.Module):
    """Points of the motion of one kind of system, or of several kinds.

    `states` and `rates` `"*kind point dim"`, in their units and those over time;
    `mask` `"*kind dim"`, 1 where the kind has that entry of the state and 0 where it
    is there for other kinds only.
    """

    states: Float[AnyArray, "*kind point dim"]
    rates: Float[AnyArray, "*kind point dim"]
    mask: Float[AnyArray, "*kind dim"]

    @classmethod
    def of(cls, states: Any, rates: Any, mask: Any = None) -> RatePoints:
        """Checked points in the precision that is set; without a mask all entries
        are there.

        **Raises:** `ShapeError` for shapes that do not fit, `DataError` for values
        that are not finite.

        ```python
        >>> from pendula.dynamics import RatePoints
        >>> RatePoints.of([[0.0, 1.0]], [[1.0, 0.0]]).mask.tolist()
        [1.0, 1.0]

        ```
        """
        x, d = numbers("states", states), numbers("rates", rates)
        if x.shape != d.shape or x.ndim not in (2, 3):
            raise ShapeError(
                f"states has shape {x.shape} and rates {d.shape}; both must be "
                "(point, dim), or (kind, point, dim)."
            )
        shape = (*x.shape[:-2], x.shape[-1])
        m = np.ones(shape) if mask is None else numbers("mask", mask)
        if m.shape != shape:
            raise ShapeError(f"mask has shape {m.shape}; expected {shape}.")
        for name, values in (("states", x), ("rates", d), ("mask", m)):
            bad = np.argwhere(~np.isfinite(values))
            if len(bad):
                raise DataError(
                    f"{name} is {values[tuple(bad[0])]} at {tuple(map(int, bad[0]))}; "
                    "every value is needed. Leave the point out."
                )
        return cls(*(jnp.asarray(v) for v in (x * m[..., None, :], d, m)))

    def spread(
        self,
    ) -> tuple[Float[AnyArray, "*kind dim"], Float[AnyArray, "*kind dim"]]:
        """Standard deviations of the states and of the rates."""
        return jnp.std(self.states, axis=-2), jnp.std(self.rates, axis=-2)

    def drawn(
        self,
        which: Int[AnyArray, "task"],
        count: int,
        noise: float,
        key: PRNGKeyArray,
        spread: tuple[Any, Any] | None = None,
    ) -> RatePoints:
        """`count` random points of each kind in `which`, with fresh noise, a share of
        the kind's spread (computed here where it is not given)."""
        pick, *ways = jax.random.split(key, 3)
        at = jax.random.randint(pick, (which.shape[0], count), 0, self.rates.shape[-2])
        widths = self.spread() if spread is None else spread
        parts = []
        for way, of, width in zip(ways, (self.states, self.rates), widths, strict=True):
            x = of[which[:, None], at]
            shake = jax.random.normal(way, x.shape, x.dtype)
            parts.append(x + noise * width[which][:, None] * shake)
        mask = self.mask[which]
        return RatePoints(parts[0] * mask[:, None], parts[1], mask)


def rate_loss(field: Any, points: RatePoints) -> Float[Array, ""]:
    r"""How far the rates of a field are from those of points of one kind.

    $$ L = \frac1{K d} \sum_{k,j} m_j \log\cosh \frac{f_j(x_k) - \dot x_{kj}}{s},
       \qquad s^2 = \frac1{K d} \sum_{k,j} m_j \dot x_{kj}^2 $$

    in units of the size s of the rates, so that all kinds count alike.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import RatePoints, rate_loss
    >>> points = RatePoints.of([[1.0, 0.0]], [[0.0, -1.0]])
    >>> turn = lambda t, y, u, context: jnp.array([y[1], -y[0]])
    >>> float(rate_loss(turn, points))
    0.0

    ```
    """
    zero = jnp.zeros((), points.states.dtype)
    found = jax.vmap(lambda y: field(zero, y, None, None))(points.states)
    count = jnp.sum(points.mask) * points.states.shape[0]
    mask = points.mask[None]
    size = jnp.sqrt(jnp.sum(mask * points.rates**2) / count)
    off = (found - points.rates) / jnp.maximum(size, jnp.finfo(size.dtype).tiny)
    each = jnp.logaddexp(off, -off) - jnp.asarray(np.log(2.0), off.dtype)
    return jnp.sum(mask * each) / count
