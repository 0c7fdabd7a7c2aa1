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
    RK4 in eighths of depth; between them by a shorter step from the last one, so that
    theta(t) does not depend on where else it is asked for.

    **Shapes**: M = 2. The basis holds N, which is trained with the rest; `OdeBlock`
    draws its hidden weights from its own key.
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

    def redraw(self, key: PRNGKeyArray) -> Evolved:
        """The same basis with fresh random weights of its network."""
        return Evolved(self.cells, self.net.redraw(key))

    def values(self, coefficients: Any, places: Sequence[Place]) -> Any:
        eighths = [int(p.t * STEPS) for p in places]
        rests = [p.t - Fraction(k, STEPS) for p, k in zip(places, eighths, strict=True)]
        between = [k for k, rest in enumerate(rests) if rest]

        def one(both: Any) -> Any:
            at = lambda x: jnp.asarray([float(v) for v in x], both.dtype)
            path = self._path(both)[jnp.asarray(eighths)]
            if not between:
                return path
            begins = at([Fraction(eighths[k], STEPS) for k in between])
            more = at([rests[k] for k in between])
            rows = jnp.asarray(between)
            step = lambda theta, t, h: self._step(theta, both[1], t, h)
            return path.at[rows].set(jax.vmap(step)(path[rows], begins, more))

        return jax.tree.map(
            lambda v: one(v) if eqx.is_inexact_array(v) else v, coefficients
        )

    def _path(self, both: Any) -> Any:
        """theta at every eighth of depth, `"stop ..."`."""
        h = jnp.asarray(1.0 / STEPS, both.dtype)

        def step(theta: Any, t: Any) -> Any:
            new = self._step(theta, both[1], t, h)
            return new, new

        times = jnp.arange(STEPS, dtype=both.dtype) / STEPS
        _, path = jax.lax.scan(step, both[0], times)
        return jnp.concatenate([both[:1], path])

    def _step(self, theta: Any, drive: Any, t: Any, h: Any) -> Any:
        """theta at t + h; t and h are arrays of one number each."""

        def rate(j: int, y: Any) -> Any:
            now = jnp.broadcast_to(t + RK4.c[j] * h, y.shape)
            seen = jnp.stack([y, drive, now], axis=-1).reshape(-1, 3)
            more = jax.vmap(self.net)(seen)[:, 0]
            return drive + more.reshape(y.shape)

        return explicit_step(rate, RK4, theta, h)[0]

    def refine(self, coefficients: Any) -> tuple[AbstractBasis, Any]:
        raise ConfigError(
            'basis "evolved" has a start and a drive and cannot be refined. Project it '
            "onto a piecewise basis first, or take more steps (manifest)."
        )

    def regions(self) -> PiecewiseConstant:
        return PiecewiseConstant((1, 1))
