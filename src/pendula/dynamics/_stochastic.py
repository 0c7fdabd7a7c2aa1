"""Stochastic fields: a drift, and the noise that drives the state."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from .._types import AnyArray, Context, Control, State, Time
from ._field import AbstractField


@register("module")
class Belief(Fixed):
    """Mean and standard deviation of a Gaussian prior on an array of raw parameters,
    of its shape."""

    mean: Float[AnyArray, "..."]
    sd: Float[AnyArray, "..."]


@register("module")
class Uncertain(eqx.Module):
    r"""An array of raw parameters with a Gaussian prior, $r \sim N(\mu, s^2)$.

    `redraw` takes a new value from the prior.

    **Raises:** `ConfigError` unless every width is positive.
    **Source:** MacKay 1992, Neural Computation 4, 415-447.
    """

    source: ClassVar[Source] = Source("MacKay1992", "Gaussian prior")

    value: Float[AnyArray, "..."]
    prior: Belief

    @classmethod
    def make(cls, mean: Any, sd: float) -> Uncertain:
        """At the mean of a prior of width `sd`."""
        if not sd > 0:
            raise ConfigError(f"the prior width sd is {sd:g}; it must be > 0.")
        mean = jnp.asarray(mean, jnp.zeros(()).dtype)
        return cls(mean, Belief(mean, jnp.full(mean.shape, sd, mean.dtype)))

    def prior_residual(self) -> Float[AnyArray, "..."]:
        """Whitened distance from the prior."""
        return (self.value - self.prior.mean) / self.prior.sd

    def redraw(self, key: PRNGKeyArray) -> Uncertain:
        """A value from the prior."""
        step = jax.random.normal(key, self.value.shape, self.value.dtype)
        return Uncertain(self.prior.mean + self.prior.sd * step, self.prior)


class AbstractStochasticField(eqx.Module):
    r"""A field with noise: $dy = f(t, y, u, c)\,dt + S(t, y, u, c)\,dW$ (Ito)."""

    @abc.abstractmethod
    def drift(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "dim"]:
        """f, per unit of time."""

    @abc.abstractmethod
    def diffusion(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "dim noise"]:
        """S, per square root of the unit of time."""

    @property
    @abc.abstractmethod
    def is_linear(self) -> bool:
        """Whether f is linear in y and u, and S is constant: its transitions are
        then exact, and the same from every state."""


def triangle(raw: Float[AnyArray, "entry"], n: int) -> Float[Array, "n n"]:
    """Lower triangle with a positive diagonal (given by its logarithm), row by row."""
    rows, columns = np.tril_indices(n)
    raw = jnp.where(rows == columns, jnp.exp(jnp.clip(raw, -30.0, 30.0)), raw)
    return jnp.zeros((n, n), raw.dtype).at[rows, columns].set(raw)


@register("module")
class Noisy(AbstractStochasticField):
    r"""Any field with additive noise of constant, unknown strength.

    $$ dy = f(t, y, u, c)\,dt + S\,dW, \qquad
       S \text{ lower triangular, } S_{ii} > 0 $$

    **Arguments:** `field`: known, learned or a sum, in the units of the state;
    `noise`: raw entries of S, row by row, the diagonal as logarithms (`make`: all
    diagonal, of one guess and with a prior about it).
    **Shapes and units:** state `"dim"`; S `"dim dim"`, unit of y per root of time.
    **Raises:** `ConfigError` for a guess that is not positive.
    **Source:** Sarkka, Solin 2019, Applied Stochastic Differential Equations, chapter
    3.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Known, Noisy, SecondOrder
    >>> field = Noisy.make(SecondOrder(Known("spring", k=4.0), 1), 2, 0.5)
    >>> field.diffusion(0.0, jnp.zeros(2), None, None).tolist()
    [[0.5, 0.0], [0.0, 0.5]]

    ```
    """

    source: ClassVar[Source] = Source("Sarkka2019", "chapter 3")

    field: AbstractField
    noise: Uncertain
    dim: int = eqx.field(static=True)

    @classmethod
    def make(
        cls, field: AbstractField, dim: int, noise: float, sd: float = 1.0
    ) -> Noisy:
        """Independent noise of about `noise` on every state entry, its logarithm known
        to `sd`."""
        if not noise > 0:
            raise ConfigError(f"the noise is {noise:g}; its guess must be > 0.")
        rows, columns = np.tril_indices(dim)
        raw = np.where(rows == columns, np.log(noise), 0.0)
        return cls(field, Uncertain.make(raw, sd), dim)

    def drift(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "dim"]:
        """The field itself."""
        return self.field(t, y, u, context)

    def diffusion(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "dim noise"]:
        """S, the same everywhere."""
        return triangle(self.noise.value, self.dim)

    @property
    def is_linear(self) -> bool:
        """Unknown of a field in general."""
        return False


@register("module")
class Stationary(AbstractStochasticField):
    r"""A linear stochastic field that has a stationary state whatever its parameters
    are, with a learned rest if there is one.

    $$ dy = (A y + B u + b + r(t, y, u, c))\,dt + S\,dW, \qquad
       A = (K - \tfrac12 S S^\top) P^{-1}, \quad K = -K^\top $$

    Without u, b and r the state is N(0, P) at all times: $A P + P A^\top + S S^\top =
    0$ holds for every skew K, and every stable A can be so written. So a prior on P
    says what a forecast comes to when all is forgotten (the climatology), K turns the
    state (oscillations), and S S^T / 2 is what forgets.

    **Arguments:** `spread`, `noise`: raw lower triangles of P = L L^T and of S;
    `turn`: the entries of K below its diagonal; `drive` `"dim ctrl"` B; `offset`
    `"dim"` b; `rest`: a further term of the drift or None; `dim`. `make` gives the
    prior: P and S S^T near identity, K, B, b near zero.
    **Shapes and units:** state `"dim"` and time scaled to order one.
    **Raises:** `ConfigError` for `dim < 1` or a prior width that is not positive.
    **Behaviour:** period 2 pi / K for a pair turned by K.
    **Source:** Gardiner 2009, Stochastic Methods, 4th ed., section 4.5.6 (stationary
    Ornstein-Uhlenbeck process); the parametrisation is its Lyapunov equation, solved
    for A.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Stationary
    >>> field = Stationary.make(2)
    >>> field.drift(0.0, jnp.array([1.0, 0.0]), None, None).tolist()
    [-0.5, 0.0]

    ```
    """

    source: ClassVar[Source] = Source("Gardiner2009", "section 4.5.6")

    spread: Uncertain
    noise: Uncertain
    turn: Uncertain
    drive: Uncertain
    offset: Uncertain
    rest: AbstractField | None
    dim: int = eqx.field(static=True)

    @classmethod
    def make(
        cls,
        dim: int,
        ctrl: int = 0,
        *,
        width: float = 1.0,
        noise: float = 1.0,
        rest: AbstractField | None = None,
    ) -> Stationary:
        """With the prior of its kind, all widths times `width`; `noise` is the guess
        at the diagonal of S, in scaled units."""
        if dim < 1:
            raise ConfigError(f"a state has dim >= 1 entries; dim is {dim}.")
        if not noise > 0:
            raise ConfigError(f"the noise is {noise:g}; its guess must be > 0.")
        rows, columns = np.tril_indices(dim)
        level = np.where(rows == columns, np.log(noise), 0.0)
        return cls(
            Uncertain.make(np.zeros(len(rows)), 0.25 * width),
            Uncertain.make(level, 0.4 * width),
            Uncertain.make(np.zeros(dim * (dim - 1) // 2), 0.5 * width),
            Uncertain.make(np.zeros((dim, ctrl)), 0.3 * width),
            Uncertain.make(np.zeros(dim), 0.1 * width),
            rest,
            dim,
        )

    def matrix(self) -> Float[Array, "dim dim"]:
        """A."""
        s, root = self._s(), triangle(self.spread.value, self.dim)
        rows, columns = np.tril_indices(self.dim, -1)
        k = jnp.zeros_like(s).at[rows, columns].set(self.turn.value)
        a = (k - k.T) - 0.5 * s @ s.T
        return jax.scipy.linalg.cho_solve((root, True), a.T).T

    def covariance(self) -> Float[Array, "dim dim"]:
        """P."""
        root = triangle(self.spread.value, self.dim)
        return root @ root.T

    def drift(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "dim"]:
        """A y + B u + b and the rest."""
        out = self.matrix() @ y + jnp.asarray(self.offset.value)
        if u is not None:
            out = out + self.drive.value @ u
        return out if self.rest is None else out + self.rest(t, y, u, context)

    def diffusion(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "dim noise"]:
        """S, the same everywhere."""
        return self._s()

    def _s(self) -> Float[Array, "dim dim"]:
        return triangle(self.noise.value, self.dim)

    @property
    def is_linear(self) -> bool:
        """Without a rest."""
        return self.rest is None
