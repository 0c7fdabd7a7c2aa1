"""The noisy recurrent network: a Lipschitz cell whose state is shaken in training."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ..nn import HeldNumber
from ._cell import AbstractNoisyCell, held, not_negative
from ._lipschitz import LipschitzCell


Noise = Literal["ito", "research"]


class Shaken(NamedTuple):
    """Draws of one step: `added` and `factor`, each `"hidden"`."""

    added: Array
    factor: Array


@register("module")
class NoisyCell(AbstractNoisyCell):
    r"""A Lipschitz cell as a stochastic differential equation.

    $$ dh = f(h, u)\, dt
       + \epsilon (\sigma_1 I + \sigma_2\, \mathrm{diag} f(h, u))\, dB $$

    `noise="ito"`, by Euler and Maruyama, with xi from N(0, I) at every step:

    $$ h^+ = h + \delta f + \sqrt{\delta}\, \epsilon
       (\sigma_1 \xi + \sigma_2 f \odot \xi) $$

    `noise="research"`, as the authors' program has it: $h^+ = h + d \odot f \odot m
    + \sigma_1 \xi$ with m uniform in $[1 - \sigma_2, 1]$, no root of the step, and a
    trained step d of every state entry (kept above 0 by softplus).

    There is noise in training only: without it the step is that of the Lipschitz cell
    by Euler's rule.

    **Shapes:** input `"in"`, state h `"hidden"`.
    **Arguments:** `cell`: f, and the step delta; `epsilon` (of Ito's noise), `sigma1`,
    `sigma2` >= 0.
    **Raises:** `ConfigError` for constants out of range, or a cell of another scheme
    than Euler's.
    **Good values:** dt 0.01, sigma1 0.02 or 0.05, sigma2 0.02 (research).
    **Source:** Lim, Erichson, Hodgkinson, Mahoney, Noisy recurrent neural networks,
    2021, arXiv:2102.04877, equations 4-7.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import LipschitzCell, NoisyCell, advance
    >>> calm = LipschitzCell(1, 4, key=jax.random.key(0))
    >>> noisy, u = NoisyCell(calm, sigma1=0.1), jnp.ones(1)
    >>> bool((advance(noisy, noisy.start(), u) == advance(calm, calm.start(), u)).all())
    True

    ```
    """

    source: ClassVar[Source] = Source("Lim2021", "equations 4-7")

    cell: LipschitzCell
    steps: Float[Array, " hidden"] | None
    """softplus of it is the trained step (research)."""
    epsilon: HeldNumber
    sigma1: HeldNumber
    sigma2: HeldNumber
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    noise: str = eqx.field(static=True)
    """`"ito"` or `"research"`."""

    def __init__(
        self,
        cell: LipschitzCell,
        *,
        epsilon: float = 1.0,
        sigma1: float = 0.02,
        sigma2: float = 0.02,
        noise: str = "ito",
    ) -> None:
        choice("noise", noise, get_args(Noise))
        if cell.scheme != "euler":
            raise ConfigError(
                f"a noisy cell steps by Euler and Maruyama; its cell has "
                f'"{cell.scheme}". Give one with scheme "euler".'
            )
        if noise == "research" and epsilon != 1:
            raise ConfigError(
                f"epsilon is {epsilon:g}; research noise has none. Give its strength "
                "by sigma1 and sigma2."
            )
        if noise == "research" and not_negative(sigma2, "sigma2") > 1:
            raise ConfigError(
                f"sigma2 is {sigma2:g}; the factor lies in [1 - sigma2, 1], so that it "
                "must be at most 1."
            )
        self.cell, self.noise = cell, noise
        self.in_size, self.size = cell.in_size, cell.size
        self.epsilon = held(not_negative(epsilon, "epsilon"))
        self.sigma1 = held(not_negative(sigma1, "sigma1"))
        self.sigma2 = held(not_negative(sigma2, "sigma2"))
        self.steps = None
        if noise == "research":
            start = math.log(math.expm1(float(cell.dt)))
            self.steps = jnp.full(cell.size, start, cell.bias.dtype)

    @property
    def dt(self) -> Float[Array, ""]:
        """delta, the step at the begin."""
        return self.cell.dt

    def start(self) -> Float[Array, " hidden"]:
        """Zero."""
        return self.cell.start()

    def weights(self) -> Any:
        """A and W, and the step of every entry."""
        step = self.cell.dt if self.steps is None else jax.nn.softplus(self.steps)
        return self.cell.weights(), step

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " fed"]:
        """The cell's."""
        return self.cell.feed(u)

    def draw(self, steps: int, key: PRNGKeyArray) -> Shaken:
        """xi, twice the same one (ito), or xi and m."""
        one, two = jax.random.split(key)
        shape, dtype = (steps, self.size), self.cell.bias.dtype
        added = jax.random.normal(one, shape, dtype)
        if self.noise == "ito":
            return Shaken(added, added)
        drawn = jax.random.uniform(two, shape, dtype)
        return Shaken(added, 1.0 - self.sigma2.value * drawn)

    def step(
        self,
        weights: Any,
        state: Float[Array, " hidden"],
        fed: Float[Array, " fed"],
    ) -> Float[Array, " hidden"]:
        """One step without noise."""
        inner, dt = weights
        return state + dt * self.cell.slope(inner, state, fed)

    def shaken(
        self,
        weights: Any,
        state: Float[Array, " hidden"],
        fed: Float[Array, " fed"],
        noise: Shaken,
    ) -> Float[Array, " hidden"]:
        """One step under noise."""
        inner, dt = weights
        f = self.cell.slope(inner, state, fed)
        if self.noise == "research":
            return state + dt * f * noise.factor + self.sigma1.value * noise.added
        strength = self.sigma1.value + self.sigma2.value * f
        root = jnp.sqrt(dt) * self.epsilon.value
        return state + dt * f + root * strength * noise.added

    def drift(
        self, state: Float[Array, " hidden"], u: Float[Array, " in"]
    ) -> Float[Array, " hidden"]:
        """f, without noise; where steps are trained, relative to the first one."""
        (inner, dt) = self.weights()
        f = self.cell.slope(inner, state, self.feed(u))
        return f if self.steps is None else f * dt / self.dt

    def diffusion(
        self, state: Float[Array, " hidden"], u: Float[Array, " in"]
    ) -> Float[Array, " hidden"]:
        """The diagonal of the noise per root of time (ito)."""
        f = self.cell.drift(state, u)
        return self.epsilon.value * (self.sigma1.value + self.sigma2.value * f)

    def read(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """h."""
        return state
