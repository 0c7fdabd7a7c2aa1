"""A model of motion: a field, what of its state is observed, and how it is stepped."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import at_least
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._types import Context, State
from ..solve import (
    Rollout,
    Tableau,
    rollout_steps,
    rollout_strided,
    scheme as find_scheme,
)


@register("module")
class Model(eqx.Module):
    r"""What is fitted, saved and rolled out.

    $$ \dot y = f(t, y, u, c), \qquad \mathrm{obs} = y_{observed} $$

    **Arguments:** `field`: any field; `observed`: the state entry behind each
    observed channel; `dim`: size of the state; `scheme`, `substeps`: how one
    sampling interval is stepped; `stride`: sampling intervals to one step, the
    samples inside by a cubic (explicit Runge-Kutta, no inputs).
    **Shapes and units:** state `"dim"` in the units of its channels and per unit of
    time; observations `"obs"`.
    **Raises:** `ConfigError` for indices outside the state.
    **Source:** Chen et al. 2018, arXiv:1806.07366 (neural ODE), on a fixed grid.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Known, Model, SecondOrder
    >>> model = Model(SecondOrder(Known("spring", k=1.0), 1), (0,), 2)
    >>> dts = jnp.full(10, 0.1)
    >>> path = model.predict(jnp.array([1.0, 0.0]), jnp.zeros(()), dts)
    >>> round(float(path[-1, 0]), 4)  # cos(1)
    0.5403

    ```
    """

    source: ClassVar[Source] = Source("Chen2018", "neural ODE")

    field: Any
    observed: tuple[int, ...] = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    scheme: str = eqx.field(static=True, default="rk4")
    substeps: int = eqx.field(static=True, default=1)
    stride: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        scheme = find_scheme(self.scheme)
        at_least(1, substeps=self.substeps)
        if self.stride < 1 or (self.stride > 1 and not isinstance(scheme, Tableau)):
            raise ConfigError(
                f"stride is {self.stride} with the scheme {self.scheme}; it must be at "
                'least 1, and 1 without an explicit Runge-Kutta scheme ("rk4").'
            )
        if not self.observed or not all(0 <= i < self.dim for i in self.observed):
            raise ConfigError(
                f"observed entries {list(self.observed)} do not fit a state of size "
                f"{self.dim}."
            )

    def observe(self, y: State, context: Context = None) -> Float[Array, "obs"]:
        """The observed channels of a state."""
        return y[np.asarray(self.observed, int)]

    def steps(
        self,
        y0: State,
        t0: Any,
        dts: Float[Array, "step"],
        us: Any = None,
        context: Context = None,
        *,
        refine: int = 1,
    ) -> Rollout:
        """States along a grid given by its steps; `refine` multiplies the
        substeps (2 halves the step)."""
        scheme = find_scheme(self.scheme)
        stride = max(1, self.stride // refine)
        if stride > 1 and us is None and isinstance(scheme, Tableau):
            return rollout_strided(
                self.field, y0, t0, dts, context, scheme=scheme, stride=stride
            )
        return rollout_steps(
            self.field,
            y0,
            t0,
            dts,
            us,
            context,
            scheme=scheme,
            substeps=self.substeps * max(1, refine // self.stride),
        )

    def predict(
        self, y0: Any, t0: Any, dts: Any, us: Any = None, context: Any = None
    ) -> Float[Array, "time obs"]:
        """Observations along a grid."""
        ys = self.steps(y0, t0, dts, us, context).ys
        return jax.vmap(self.observe)(ys)


def weighted_residual(model: Model, y0: State, item: Any, weight: Any) -> Array:
    """(prediction - observation) x weight where observed, 0 elsewhere, raveled."""
    prediction = model.predict(y0, item.t0, item.dts, item.us, item.context)
    weight = jnp.broadcast_to(jnp.asarray(weight, prediction.dtype), prediction.shape)
    return jnp.ravel(jnp.where(item.mask, (prediction - item.ys) * weight, 0.0))
