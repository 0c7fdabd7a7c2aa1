"""Weights that follow an equation of their own in depth."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ..nn import MLP
from ..solve import RK4
from ._basis import AbstractBasis, PiecewiseConstant
from ._places import Place
from ._step import explicit_step


STEPS = 8
"""Steps of RK4 over all of depth in which the weights are followed."""


@register("module")
@register("depth_basis", "evolved")
class Evolved(AbstractBasis):
    r"""theta(t) as the solution of a small equation, the same for every weight.

    $$ \frac{d\theta}{dt} = d + N(\theta, d, t), \qquad \theta(0) = \theta_0 $$

    Each weight has a start $\theta_0$ and a drive d, the two coefficients; the network
    N of three numbers is shared by all weights of the block and starts at zero. The
    drives start at zero too: at first the weights do not depend on depth. Solved by
    RK4 in eighths of depth; between them by a shorter step.

    **Shapes**: M = 2. The basis holds N, which is trained with the rest.
    **Raises:** `ConfigError` for another M, or when asked to refine.
    **Source:** Zhang, Yao, Gholami, Keutzer, Gonzalez, Biros, Mahoney 2019,
    arXiv:1906.04596: weights with a differential equation of their own;
    an equation a weight, without coupling in space, is ours.

    ```python
    >>> from fractions import Fraction
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import Evolved, Place
    >>> basis = Evolved.of(2, key=jax.random.key(0))
    >>> half = [Place(Fraction(1, 2), False)]
    >>> basis.values(jnp.asarray([1.0, 4.0]), half).tolist()
    [3.0]

    ```
    """

    source: ClassVar[Source] = Source("Zhang2019", "ANODEV2")
    name: ClassVar[str] = "evolved"

    net: MLP

    @classmethod
    def of(
        cls,
        n_basis: int = 2,
        cells: Sequence[float] | None = None,
        *,
        width: int = 8,
        key: PRNGKeyArray | None = None,
    ) -> Evolved:
        """The basis with a network of `width` neurons."""
        if n_basis != 2 or cells is not None:
            raise ConfigError(
                f'basis "evolved": n_basis is {n_basis}; it must be 2, a start and a '
                "drive for each weight, without cells."
            )
        drawn = jax.random.key(0) if key is None else key
        net = MLP(3, 1, width=width, depth=1, zero_last=True, key=drawn)
        return cls((1,), net)

    @property
    def n_basis(self) -> int:
        return 2

    def start(self, drawn: Any) -> Any:
        rest = lambda v: jnp.concatenate([v[:1], jnp.zeros_like(v[1:])])
        return jax.tree.map(lambda v: rest(v) if eqx.is_inexact_array(v) else v, drawn)

    def values(self, coefficients: Any, places: Sequence[Place]) -> Any:
        wanted = sorted({p.t for p in places})
        stops = sorted({*wanted, *(Fraction(k, STEPS) for k in range(STEPS + 1))})
        order = [stops.index(p.t) for p in places]

        def one(v: Any) -> Any:
            path = self._path(v, stops)
            return path[jnp.asarray(order)]

        return jax.tree.map(
            lambda v: one(v) if eqx.is_inexact_array(v) else v, coefficients
        )

    def _path(self, both: Any, stops: list[Fraction]) -> Any:
        """theta at each of the stops, `"stop ..."`."""
        theta, drive = both[0], both[1]
        times = jnp.asarray([float(t) for t in stops], theta.dtype)

        def step(theta: Any, begin_and_end: Any) -> Any:
            t, h = begin_and_end  # arrays of one number each

            def rate(j: int, y: Any) -> Any:
                now = jnp.broadcast_to(t + RK4.c[j] * h, y.shape)
                seen = jnp.stack([y, drive, now], axis=-1).reshape(-1, 3)
                more = jax.vmap(self.net)(seen)[:, 0]
                return drive + more.reshape(y.shape)

            new, _ = explicit_step(rate, RK4, theta, h)
            return new, new

        _, path = jax.lax.scan(step, theta, (times[:-1], times[1:] - times[:-1]))
        return jnp.concatenate([theta[None], path])

    def refine(self, coefficients: Any) -> tuple[AbstractBasis, Any]:
        raise ConfigError(
            'basis "evolved" has a start and a drive and cannot be refined. Project it '
            "onto a piecewise basis first, or take more steps (manifest)."
        )

    def regions(self) -> PiecewiseConstant:
        return PiecewiseConstant((1, 1))
