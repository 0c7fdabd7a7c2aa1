"""Recurrent networks whose matrix is orthogonal."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice, whole
from .._registry import register
from .._source import Source
from ._cell import AbstractMapCell, uniform


Rotation = Literal["exponential", "cayley"]
Angles = Literal["uniform", "cosine"]


@register("module")
class OrthogonalCell(AbstractMapCell):
    r"""A recurrent network whose matrix Q is orthogonal whatever its parameters are.

    `rotation="exponential"` (expRNN): $Q = e^{S}$ with skew S, and

    $$ h^+ = \mathrm{modrelu}(Q h + U u), \quad
       \mathrm{modrelu}(x) = \mathrm{sign}(x)\, \max(|x| + b, 0) $$

    `rotation="cayley"`: $Q = (I + S)^{-1} (I - S)$, and
    $h^+ = \tanh(Q h + U u + b)$.

    **Shapes:** input `"in"`, state h `"hidden"`; S has the parameters of its strict
    upper triangle.
    **Arguments:** `angles`: S starts with one number s for every two entries of h, so
    that Q turns planes (by s, or for Cayley's by 2 arctan s): s uniform in (-pi, pi)
    (`"uniform"`), or sqrt((1 - cos u) / (1 + cos u)) with u from U(0, pi / 2)
    (`"cosine"`).
    **Raises:** `ConfigError` for sizes or names that cannot be.
    **Good values:** the parameters of S learn ten times slower than the rest
    (`slow`), as in the source.
    **Source:** Lezcano-Casado, Martinez-Rubio, Cheap orthogonal constraints in neural
    networks, 2019, arXiv:1901.08428, sections 4.1 and 5; Cayley: Helfrich, Willmott,
    Ye 2018, arXiv:1707.09520.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.sequences import OrthogonalCell
    >>> q = OrthogonalCell(1, 6, key=jax.random.key(0)).weights()
    >>> bool(jnp.abs(q.T @ q - jnp.eye(6)).max() < 1e-5)
    True

    ```
    """

    source: ClassVar[Source] = Source("LezcanoCasado2019", "sections 4.1 and 5")
    slow: ClassVar[tuple[str, ...]] = ("upper",)

    upper: Float[Array, " entry"]
    """S above its diagonal, row by row."""
    input: Float[Array, "hidden in"]
    """U."""
    bias: Float[Array, " hidden"]
    """b."""
    in_size: int = eqx.field(static=True)
    size: int = eqx.field(static=True)
    rotation: str = eqx.field(static=True)
    """`"exponential"` or `"cayley"`."""

    def __init__(
        self,
        in_size: int,
        size: int,
        *,
        rotation: str = "exponential",
        angles: str = "cosine",
        key: PRNGKeyArray,
    ) -> None:
        whole(1, "OrthogonalCell", in_size=in_size, size=size)
        choice("rotation", rotation, get_args(Rotation))
        choice("angles", angles, get_args(Angles))
        one, two, three = jax.random.split(key, 3)
        drawn = jax.random.uniform(one, (size // 2,))
        if angles == "uniform":
            planes = math.pi * (2.0 * drawn - 1.0)
        else:
            planes = jnp.tan(0.25 * math.pi * drawn)  # sqrt((1 - cos u) / (1 + cos u))
        start = jnp.zeros((size, size))
        first = 2 * jnp.arange(size // 2)
        start = start.at[first, first + 1].set(planes)
        self.upper = start[np.triu_indices(size, 1)]
        limit = math.sqrt(6.0 / (in_size + size))
        self.input, _ = uniform(two, size, in_size, limit)
        small = 0.01 if rotation == "exponential" else 1.0 / math.sqrt(size)
        _, self.bias = uniform(three, size, 1, small)
        self.in_size, self.size, self.rotation = in_size, size, rotation

    def start(self) -> Float[Array, " hidden"]:
        """Zero."""
        return jnp.zeros(self.size, self.bias.dtype)

    def weights(self) -> Float[Array, "hidden hidden"]:
        """Q."""
        n, dtype = self.size, self.upper.dtype
        upper = jnp.zeros((n, n), dtype).at[np.triu_indices(n, 1)].set(self.upper)
        skew = upper - upper.T
        if self.rotation == "exponential":
            return jax.scipy.linalg.expm(skew)
        one = jnp.eye(n, dtype=dtype)
        return jnp.linalg.solve(one + skew, one - skew)

    def feed(self, u: Float[Array, " in"]) -> Float[Array, " hidden"]:
        """U u, and b for Cayley's."""
        fed = self.input @ u
        return fed + self.bias if self.rotation == "cayley" else fed

    def step(
        self,
        weights: Any,
        state: Float[Array, " hidden"],
        fed: Float[Array, " hidden"],
    ) -> Float[Array, " hidden"]:
        """The turned state and the input, bent."""
        inner = weights @ state + fed
        if self.rotation == "cayley":
            return jnp.tanh(inner)
        return jnp.sign(inner) * jax.nn.relu(jnp.abs(inner) + self.bias)

    def read(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """h."""
        return state
