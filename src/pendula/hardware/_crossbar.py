"""Arrays of random device pairs, and how they are read."""

from __future__ import annotations

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import at_least
from .._errors import ConfigError, DataError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from ._noise import AbstractNoise, Uniform, as_noise


Number = float | Float[Array, ""]


class RandomPairs(eqx.Module):
    r"""Weights that nobody programs: differences of two conductances as they come.

    $$ w = G_+ - G_-, \qquad
       G_\pm = \mathrm{clip}(\mu + s\,\xi_\pm,\; 0,\; 1) $$

    in units of the largest conductance, so that weights lie in -1 .. 1.

    **Arguments:**
    - `dist`: law of xi, of mean 0 and variance 1; default uniform.
    - `mean`: mu; `spread`: s. The defaults fill the range evenly.

    **Raises:** `ConfigError`.
    **Source:** Lin et al. 2023 (differential pairs of as-formed resistive memories);
    the laws are ours.

    ```python
    >>> import jax
    >>> from pendula.hardware import RandomPairs
    >>> w = RandomPairs().draw(jax.random.key(0), (200, 100))
    >>> bool(abs(w).max() <= 1.0), round(float(w.std()), 2)  # sqrt(1 / 6)
    (True, 0.41)

    ```
    """

    dist: AbstractNoise
    mean: float = eqx.field(static=True)
    """Mean conductance, share of the largest."""
    spread: float = eqx.field(static=True)
    """Standard deviation of conductances, share of the largest."""

    def __init__(
        self,
        dist: AbstractNoise | None = None,
        mean: float = 0.5,
        spread: float = 1.0 / math.sqrt(12.0),
    ) -> None:
        if not 0.0 <= mean <= 1.0:
            raise ConfigError(
                f"RandomPairs: mean is {mean}; conductances are shares of the largest "
                "one, between 0 and 1."
            )
        if not (math.isfinite(spread) and spread > 0.0):
            raise ConfigError(
                f"RandomPairs: spread is {spread}; it must be above 0, or all weights "
                "are 0."
            )
        self.dist = as_noise(Uniform() if dist is None else dist)
        self.mean = float(mean)
        self.spread = float(spread)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """One chip's weights, in units of the largest conductance."""
        plus, minus = jax.random.split(key)

        def conductance(key: PRNGKeyArray) -> Array:
            made = self.mean + self.spread * self.dist(key, shape, jnp.float32)
            return jnp.clip(made, 0.0, 1.0)

        return conductance(plus) - conductance(minus)


@register("module")
class Crossbar(Fixed):
    r"""An array of device pairs: one product a read, with fresh noise each time.

    $$ y = s\, w\, x + \sigma\, \lVert x \rVert\, \epsilon, \qquad
       \sigma = \eta\, 2 s, \qquad \epsilon \sim N(0, 1) $$

    which is the law of independent Gaussian errors of standard deviation $\sigma$ on
    every weight, 2 s being the range of a pair's weights.

    **Shapes**: input `"in"`, output `"out"`.
    **Arguments:** `weight`: w in units of the largest conductance; `scale`: s, the
    weight that the largest conductance stands for.
    **Source:** Lin et al. 2023 (random arrays read with noise); the level eta is the
    standard deviation over the range, Wang 2023, section 2.3.1.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import Crossbar, RandomPairs
    >>> bar = Crossbar.draw(3, 2, key=jax.random.key(0))
    >>> bar(jnp.zeros(3), key=jax.random.key(1), level=0.05).tolist()
    [0.0, 0.0]

    ```
    """

    source: ClassVar[Source] = Source("Lin2023", "random arrays of pairs")

    weight: Float[Array, "out in"]
    """Differences of conductances, shares of the largest."""
    scale: Float[Array, ""]
    """The weight that the largest conductance stands for."""

    @classmethod
    def draw(
        cls,
        in_size: int,
        out_size: int,
        *,
        scale: float = 1.0,
        pairs: RandomPairs | None = None,
        key: PRNGKeyArray,
    ) -> Crossbar:
        """An array as it comes from `pairs`.

        **Raises:** `ConfigError` for sizes below 1 and a scale that is no number.
        """
        at_least(1, "Crossbar", in_size=in_size, out_size=out_size)
        if not math.isfinite(scale):
            raise ConfigError(f"Crossbar: scale is {scale}; it must be finite.")
        weight = (pairs or RandomPairs()).draw(key, (out_size, in_size))
        return cls(weight, jnp.asarray(scale, weight.dtype))

    @property
    def matrix(self) -> Float[Array, "out in"]:
        """s w."""
        return self.scale * self.weight

    def rescaled(self, radius: float) -> Crossbar:
        """The same devices, read at a scale that gives this spectral radius.

        **Raises:** `ConfigError` for a radius that is negative or not finite,
        `DataError` for weights whose spectral radius is 0.
        """
        if not (math.isfinite(radius) and radius >= 0.0):
            raise ConfigError(
                f"the spectral radius is {radius}; it must be finite and at least 0."
            )
        found = spectral_radius(self.weight)
        if not found > 0.0:
            raise DataError(
                "the weights have spectral radius 0, no scale gives them another. Draw "
                "them anew, or leave the radius out."
            )
        scale = jnp.asarray(radius / found, self.weight.dtype)
        return Crossbar(self.weight, scale)

    def __call__(
        self,
        x: Float[Array, " in"],
        *,
        key: PRNGKeyArray | None = None,
        level: Number = 0.0,
    ) -> Float[Array, " out"]:
        """One read; without a key it is exact."""
        if key is None:
            return self.read(x)
        out = self.weight.shape[0]
        return self.read(x, jax.random.normal(key, (out,), x.dtype), level)

    def read(
        self,
        x: Float[Array, " in"],
        epsilon: Float[Array, " out"] | None = None,
        level: Number = 0.0,
    ) -> Float[Array, " out"]:
        """One read with standard normal numbers that were drawn before."""
        y = self.scale * (self.weight @ x)
        if epsilon is None:
            return y
        sigma = jnp.asarray(level, y.dtype) * 2.0 * jnp.abs(self.scale)
        return y + sigma * jnp.sqrt(jnp.sum(x * x)) * epsilon


def spectral_radius(matrix: Float[Array, "n n"] | np.ndarray) -> float:
    """Largest modulus of the eigenvalues, in float64.

    ```python
    >>> import numpy as np
    >>> from pendula.hardware import spectral_radius
    >>> round(spectral_radius(np.asarray([[0.0, -2.0], [2.0, 0.0]])), 9)
    2.0

    ```
    """
    values = np.linalg.eigvals(np.asarray(matrix, np.float64))
    return float(np.max(np.abs(values)))


def check_level(level: Number, key: PRNGKeyArray | None, what: str) -> None:
    """Refuse a level of read noise that cannot be; traced ones pass."""
    try:
        level = float(level)
    except jax.errors.ConcretizationTypeError:
        return
    if not (math.isfinite(level) and level >= 0.0):
        raise ConfigError(
            f"{what}: the level of the read noise is {level}; it must be finite and at "
            "least 0. Give a share of the range, such as 0.05."
        )
    if level > 0.0 and key is None:
        raise ConfigError(f"{what}: reads of level {level} draw noise; give a key.")
