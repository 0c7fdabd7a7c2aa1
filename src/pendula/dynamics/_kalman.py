"""The continuous-discrete Kalman filter: what irregular, incomplete and noisy
observations say of the state of a stochastic model, and how likely they are."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import at_least
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._types import AnyArray, State
from ..data import Batch
from ._stochastic import AbstractStochasticField, Belief, Uncertain
from ._transition import Transition, transition


@register("module")
class Stochastic(eqx.Module):
    r"""A stochastic model of motion: what moves, what of it is seen, and how exactly.

    $$ dy = f(t, y, u)\,dt + S(t, y, u)\,dW, \quad
       \mathrm{obs}_k = y_{observed}(t_k) + N(0, e^2), \quad
       y(t_0) \sim N(m_0, s_0^2) $$

    **Arguments:** `field`: a stochastic field; `error`: logarithm of e, one an
    observed channel; `start`: m_0 and s_0 `"dim"`; `observed`: the state entry behind
    each channel; `substeps`: linearisations in a sampling interval (a linear field
    needs one). `make` takes plain numbers.
    **Shapes and units:** state `"dim"`, observations `"obs"`; entries of the state
    that are not observed are hidden, and only the motion of the others tells of them.
    **Raises:** `ConfigError` for indices outside the state or numbers that are not
    positive.
    **Source:** Jazwinski 1970, Stochastic Processes and Filtering Theory, section 8.3
    (continuous-discrete filter).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Stationary, Stochastic
    >>> model = Stochastic.make(Stationary.make(3), (0, 1), 3, error=0.2)
    >>> model.observe(jnp.array([1.0, 2.0, 3.0])).tolist()
    [1.0, 2.0]

    ```
    """

    source: ClassVar[Source] = Source("Jazwinski1970", "section 8.3")

    field: AbstractStochasticField
    error: Uncertain
    start: Belief
    observed: tuple[int, ...] = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    substeps: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        at_least(1, substeps=self.substeps)
        if not self.observed or not all(0 <= i < self.dim for i in self.observed):
            raise ConfigError(
                f"observed entries {list(self.observed)} do not fit a state of size "
                f"{self.dim}."
            )

    @classmethod
    def make(
        cls,
        field: AbstractStochasticField,
        observed: tuple[int, ...],
        dim: int,
        *,
        error: float,
        error_sd: float = 0.5,
        mean: Any = 0.0,
        sd: Any = 1.0,
        substeps: int = 1,
    ) -> Stochastic:
        """`error`: guess at the sd of the observations' errors, its logarithm known to
        `error_sd`; `mean`, `sd`: of the first state, numbers or `"dim"`."""
        if not error > 0 or not np.all(np.asarray(sd) > 0):
            raise ConfigError(
                f"error is {error:g} and sd of the first state {sd}; both must be > 0."
            )
        kind = jnp.zeros(()).dtype
        full = lambda v: jnp.broadcast_to(jnp.asarray(v, kind), (dim,))
        return cls(
            field,
            Uncertain.make(np.full(len(observed), np.log(error)), error_sd),
            Belief(full(mean), full(sd)),
            tuple(observed),
            dim,
            substeps,
        )

    def observe(self, y: State, context: Any = None) -> Float[Array, "obs"]:
        """The observed entries of a state."""
        return y[np.asarray(self.observed, int)]

    def error_variance(self) -> Float[AnyArray, "obs"]:
        """Variance of the observations' errors."""
        return jnp.exp(jnp.clip(2.0 * self.error.value, -60.0, 60.0))


class Filtered(NamedTuple):
    """What a filter says at every sample: `log_likelihood` of all observations, and
    mean `"time obs"` and covariance `"time obs obs"` of each observation (its error
    included) before it is looked at."""

    log_likelihood: Float[Array, ""]
    mean: Float[Array, "time obs"]
    cov: Float[Array, "time obs obs"]


def filtered(model: Stochastic, item: Batch) -> Filtered:
    r"""Log likelihood of one trajectory by its innovations, and its predictions.

    $$ \log p = -\tfrac12 \sum_k \big( v_k^\top V_k^{-1} v_k + \log |2 \pi V_k| \big),
       \qquad v_k = \mathrm{obs}_k - H m_k, \quad V_k = H P_k H^\top + e^2 $$

    with m and P carried by `transition` from sample to sample. A missing value is one
    that is not looked at: a forecast is a filter whose later values are all missing.

    **Arguments:** `item`: one trajectory: `dts` `"step"`, `ys` and `mask` `"time obs"`,
    `us` `"step power ctrl"` or None, `context`.
    **Source:** Jazwinski 1970, section 8.3; likelihood: Schweppe 1965; update in
    Joseph's form, which keeps P positive.
    """
    y0, cov = model.start.mean, jnp.diag(model.start.sd**2)
    begins = item.t0 + jnp.cumsum(item.dts) - item.dts

    def move(y: Array, t: Array, h: Array, path: Any) -> Transition:
        linear = model.field.is_linear
        return transition(
            model.field, y, t, h, path, item.context,
            substeps=1 if linear else model.substeps,
        )  # fmt: skip

    def body(carry: tuple, x: tuple) -> tuple[tuple, tuple]:
        mean, cov, total = carry
        where, obs, seen = x
        step = where if model.field.is_linear else move(mean, *where)
        mean = step.f @ mean + step.g
        cov = step.f @ cov @ step.f.T + step.q
        mean, cov, gain, told = _look(model, mean, cov, obs, seen)
        return (mean, cov, total + gain), told

    where: Any = (begins, item.dts, item.us)
    if model.field.is_linear:  # the same from every state: all at once, not in turn
        zero = jnp.zeros_like(y0)
        where = jax.vmap(lambda t, h, path: move(zero, t, h, path))(*where)
    mean, cov, total, told = _look(model, y0, cov, item.ys[0], item.mask[0])
    (_, _, total), rest = jax.lax.scan(
        body, (mean, cov, total), (where, item.ys[1:], item.mask[1:])
    )
    join = lambda a, b: jnp.concatenate([a[None], b])
    return Filtered(total, *jax.tree.map(join, told, rest))


def _look(
    model: Stochastic, mean: Array, cov: Array, obs: Array, seen: Array
) -> tuple[Array, Array, Array, tuple[Array, Array]]:
    """Update with one observation, its log likelihood, and what it was expected to
    be. A missing value has a row of zeros in H and unit variance: it adds nothing."""
    index = np.asarray(model.observed, int)
    error = model.error_variance()
    expected = mean[index], cov[index][:, index] + jnp.diag(error)
    one = jnp.eye(model.dim, dtype=mean.dtype)
    h = jnp.where(seen[:, None], one[index], 0.0)
    error = jnp.where(seen, error, 1.0)
    surprise = jnp.where(seen, obs - expected[0], 0.0)
    root = jnp.linalg.cholesky(h @ cov @ h.T + jnp.diag(error))
    white = jax.scipy.linalg.solve_triangular(root, surprise, lower=True)
    gain = jax.scipy.linalg.cho_solve((root, True), h @ cov).T
    left = one - gain @ h
    count = jnp.sum(seen).astype(mean.dtype)
    score = -0.5 * (white @ white + count * np.log(2 * np.pi))
    score = score - jnp.sum(jnp.log(jnp.diagonal(root)))
    cov = left @ cov @ left.T + gain @ jnp.diag(error) @ gain.T
    return mean + gain @ surprise, cov, score, expected
