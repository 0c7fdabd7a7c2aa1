"""The linear recurrent unit: diagonal, complex, all states by one parallel scan."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from .._checks import whole
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ._cell import AbstractLinearCell


@register("module")
class LinearRecurrentUnit(AbstractLinearCell):
    r"""A diagonal linear recurrence in complex numbers, and a gate behind it.

    $$ x^+ = \lambda \odot x + \gamma \odot B u, \quad
       \lambda = e^{-e^{\nu} + i e^{\theta}}, \quad
       a = \mathrm{gelu}(\mathrm{Re}\, C x^+ + D u), \quad
       h = a \odot \mathrm{sigmoid}(G a + g) $$

    The exact solution over a step of 1, the input held, of
    $\dot x = \ln \lambda\, (x + \gamma B u / (\lambda - 1))$.

    **Shapes:** input `"in"`; state (x, D u), `"hidden"` each, x complex; a head sees h
    `"hidden"`.
    **Arguments:** `radii`: the moduli of lambda start uniform on this ring of the
    plane, 0 <= low < high <= 1; `turn`: its largest angle. gamma starts as
    sqrt(1 - |lambda|^2), and is trained.
    **Raises:** `ConfigError` for sizes or a ring that cannot be.
    **Good values:** radii (0.9, 0.999) for long memories.
    **Source:** Orvieto et al., Resurrecting recurrent neural networks for long
    sequences, 2023, arXiv:2303.06349, equations 5-7 and section 3.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import LinearRecurrentUnit
    >>> cell = LinearRecurrentUnit(1, 4, key=jax.random.key(0))
    >>> states, _ = cell.states(jnp.ones((9, 1)), cell.start())
    >>> states.shape
    (9, 4)

    ```
    """

    source: ClassVar[Source] = Source("Orvieto2023", "equations 5-7")
    stacked: ClassVar[tuple[str, ...]] = ("input", "output")

    nu: Float[Array, " hidden"]
    theta: Float[Array, " hidden"]
    log_gamma: Float[Array, " hidden"]
    input: Float[Array, "part hidden in"]
    """B, its real and imaginary part."""
    output: Float[Array, "part hidden hidden"]
    """C, its real and imaginary part."""
    skip: Float[Array, "hidden in"]
    """D."""
    gate: Float[Array, "hidden hidden"]
    """G."""
    bias: Float[Array, " hidden"]
    """g."""
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self,
        in_size: int,
        size: int,
        *,
        radii: tuple[float, float] = (0.9, 0.999),
        turn: float = 2.0 * math.pi,
        key: PRNGKeyArray,
    ) -> None:
        whole(1, "LinearRecurrentUnit", in_size=in_size, size=size)
        low, high = radii
        if not (0 <= low < high <= 1 and 0 < turn <= 2 * math.pi):
            raise ConfigError(
                f"radii are {radii} and turn {turn:g}; expected 0 <= low < high <= 1 "
                "and a turn in (0, 2 pi]."
            )
        keys = jax.random.split(key, 6)
        drawn = jax.random.uniform(keys[0], (2, size), minval=1e-4)
        squared = drawn[0] * (high**2 - low**2) + low**2  # |lambda|^2
        self.nu = jnp.log(-0.5 * jnp.log(squared))
        self.theta = jnp.log(turn * drawn[1])
        self.log_gamma = 0.5 * jnp.log1p(-squared)
        normal = jax.random.normal
        self.input = normal(keys[1], (2, size, in_size)) / math.sqrt(2 * in_size)
        self.output = normal(keys[2], (2, size, size)) / math.sqrt(size)
        self.skip = normal(keys[3], (size, in_size)) / math.sqrt(in_size)
        self.gate = normal(keys[4], (size, size)) / math.sqrt(size)
        self.bias = jnp.zeros(size)
        self.in_size, self.size = in_size, size

    @property
    def dt(self) -> Float[Array, ""]:
        """1."""
        return jnp.ones((), self.bias.dtype)

    @property
    def eigenvalue(self) -> Complex[Array, " hidden"]:
        """lambda."""
        return jnp.exp(self._rate())

    def start(self) -> tuple[Complex[Array, " hidden"], Float[Array, " hidden"]]:
        """Both zero."""
        zero = jnp.zeros(self.size, self.bias.dtype)
        return jax.lax.complex(zero, zero), zero

    def weights(self) -> Complex[Array, " hidden"]:
        """lambda."""
        return self.eigenvalue

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " fed"]:
        """gamma B u, real and imaginary part, and D u."""
        scaled = jnp.exp(self.log_gamma)[None, :] * (self.input @ u)
        return jnp.concatenate([scaled[0], scaled[1], self.skip @ u])

    def step(
        self,
        weights: Any,
        state: tuple[Array, Array],
        fed: Float[Array, " fed"],
    ) -> tuple[Array, Array]:
        """One of the recurrence's."""
        pushed, skipped = self._parts(fed)
        return weights * state[0] + pushed, skipped

    def states(
        self, us: Float[Array, "time in"], state: tuple[Array, Array]
    ) -> tuple[Complex[Array, "time hidden"], Float[Array, "time hidden"]]:
        """All states by a parallel scan over the maps x -> lambda x + gamma B u."""
        pushed, skipped = jax.vmap(lambda u: self._parts(self.feed(u)))(us)
        lam = self.eigenvalue
        pushed = pushed.at[0].add(lam * state[0])
        lams = jnp.broadcast_to(lam, pushed.shape)

        def after(one: tuple, two: tuple) -> tuple:
            return one[0] * two[0], two[0] * one[1] + two[1]

        return jax.lax.associative_scan(after, (lams, pushed))[1], skipped

    def drift(
        self, state: tuple[Array, Array], u: Float[Array, " in"]
    ) -> tuple[Array, Array]:
        """dx/dt, and what brings D u to its value within one step of Euler's."""
        rate = self._rate()
        pushed, skipped = self._parts(self.feed(u))
        x, before = state
        return rate * (x + pushed / jnp.expm1(rate)), skipped - before

    def read(self, state: tuple[Array, Array]) -> Float[Array, " hidden"]:
        """h, the gated output."""
        x, skipped = state
        a = self.output[0] @ x.real - self.output[1] @ x.imag + skipped
        a = jax.nn.gelu(a, approximate=False)
        return a * jax.nn.sigmoid(self.gate @ a + self.bias)

    def _rate(self) -> Complex[Array, " hidden"]:
        """ln lambda."""
        return jax.lax.complex(-jnp.exp(self.nu), jnp.exp(self.theta))

    def _parts(self, fed: Float[Array, " fed"]) -> tuple[Array, Array]:
        n = self.size
        return jax.lax.complex(fed[:n], fed[n : 2 * n]), fed[2 * n :]
