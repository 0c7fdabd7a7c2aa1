"""How the errors of devices are distributed, and how large they are said to be."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._checks import positive
from .._errors import ConfigError


class AbstractNoise(eqx.Module):
    """A law of mean 0 and variance 1: `noise(key, shape, dtype)` draws from it, and
    `kurtosis` is its fourth moment."""

    @abc.abstractmethod
    def __call__(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        """Independent draws of a shape."""

    @property
    @abc.abstractmethod
    def kurtosis(self) -> float:
        """The mean of the fourth power; 3 for the Gaussian."""


class Gaussian(AbstractNoise):
    """The normal law.

    ```python
    >>> from pendula.hardware import Gaussian
    >>> Gaussian().kurtosis
    3.0

    ```
    """

    def __call__(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        return jax.random.normal(key, shape, dtype)

    @property
    def kurtosis(self) -> float:
        return 3.0


class Uniform(AbstractNoise):
    """Uniform between -sqrt(3) and sqrt(3).

    ```python
    >>> from pendula.hardware import Uniform
    >>> Uniform().kurtosis
    1.8

    ```
    """

    def __call__(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        width = math.sqrt(3.0)
        return jax.random.uniform(key, shape, dtype, minval=-width, maxval=width)

    @property
    def kurtosis(self) -> float:
        return 1.8


class StudentT(AbstractNoise):
    """Student's t of `nu` degrees of freedom, divided by its standard deviation.

    **Arguments:** `nu`: above 4, so that the fourth moment is finite.
    **Raises:** `ConfigError`.

    ```python
    >>> from pendula.hardware import StudentT
    >>> StudentT(10.0).kurtosis
    4.0

    ```
    """

    nu: float = eqx.field(static=True)
    """Degrees of freedom."""

    def __check_init__(self) -> None:
        if not (math.isfinite(self.nu) and self.nu > 4.0):
            raise ConfigError(
                f"StudentT: nu is {self.nu}; it must be finite and above 4, so that "
                "the fourth moment is finite. Take a larger nu, or Gaussian()."
            )

    def __call__(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        scale = math.sqrt((self.nu - 2.0) / self.nu)
        return scale * jax.random.t(key, self.nu, shape, dtype)

    @property
    def kurtosis(self) -> float:
        return 3.0 + 6.0 / (self.nu - 4.0)


class Truncated(AbstractNoise):
    """The normal law cut off at `k` of its standard deviations and scaled back to
    variance 1.

    **Arguments:** `k`: at least 0.01; of less the law is `Uniform()`.
    **Raises:** `ConfigError`.

    ```python
    >>> from pendula.hardware import Truncated
    >>> round(Truncated(2.0).kurtosis, 3)
    2.366

    ```
    """

    k: float = eqx.field(static=True)
    """Where the law is cut, in standard deviations of the uncut one."""

    def __check_init__(self) -> None:
        positive("Truncated", k=self.k)
        if self.k < 0.01:
            raise ConfigError(
                f"Truncated: k is {self.k}; below 0.01 the law is uniform but for "
                "rounding. Take Uniform()."
            )

    def __call__(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        draws = jax.random.truncated_normal(key, -self.k, self.k, shape, dtype)
        return draws / math.sqrt(_moments_cut(self.k)[0])

    @property
    def kurtosis(self) -> float:
        second, fourth = _moments_cut(self.k)
        return fourth / second**2


def _moments_cut(k: float) -> tuple[float, float]:
    """Second and fourth moment of the normal law cut at k."""
    mass = math.erf(k / math.sqrt(2.0))
    tail = 2.0 * k * math.exp(-0.5 * k * k) / math.sqrt(2.0 * math.pi) / mass
    second = 1.0 - tail
    return second, 3.0 * second - k * k * tail


class Sampler(AbstractNoise):
    """A sampler of the user's own, `draw(key, shape, dtype)`.

    **Raises:** `ConfigError` where mean or variance of a million draws are not 0 and 1
    within 0.01.

    ```python
    >>> import jax
    >>> from pendula.hardware import Sampler
    >>> signs = lambda key, shape, dtype: jax.random.rademacher(key, shape, dtype)
    >>> round(Sampler(signs).kurtosis, 3)
    1.0

    ```
    """

    draw: Callable[..., Array] = eqx.field(static=True)
    """Gives the draws."""

    def __check_init__(self) -> None:
        mean, variance, _ = _sampled(self.draw)
        if not (abs(mean) <= 0.01 and abs(variance - 1.0) <= 0.01):
            raise ConfigError(
                f"the sampler of noise has mean {mean:.3g} and variance {variance:.3g} "
                "over a million draws; expected 0 and 1 within 0.01, so that a level "
                "is a ratio of standard deviations. Subtract the mean and divide by "
                "the standard deviation."
            )

    def __call__(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.draw(key, shape, dtype)

    @property
    def kurtosis(self) -> float:
        return _sampled(self.draw)[2]


@functools.lru_cache(maxsize=64)
def _sampled(draw: Callable[..., Array]) -> tuple[float, float, float]:
    """Mean, variance and kurtosis of a million draws."""
    made = np.asarray(draw(jax.random.key(0), (1_000_000,), jnp.float32), np.float64)
    mean, variance = float(made.mean()), float(made.var())
    fourth = float(((made - mean) ** 4).mean())
    return mean, variance, fourth / max(variance, 1e-30) ** 2


def as_noise(dist: Any) -> AbstractNoise:
    """A law of this module as it is; any other callable as a checked `Sampler`.

    **Raises:** `ConfigError` for what cannot be called, or has another mean or
    variance.
    """
    if isinstance(dist, AbstractNoise):
        return dist
    if not callable(dist):
        raise ConfigError(
            f"dist is {dist!r}; expected a law such as Gaussian(), or a callable "
            "(key, shape, dtype) of mean 0 and variance 1."
        )
    draw: Any = dist
    return Sampler(draw)


@dataclasses.dataclass(frozen=True)
class NoiseLevel:
    r"""How large errors are, in the units of several conventions.

    $$ \eta = \sigma_w / \mathrm{range}_w = \sigma_G / \mathrm{range}_G $$

    with the symmetric range 2 max|w|: half of `wmax`, the ratio to the largest weight
    that others quote.

    **Arguments:** `eta`: the level, 0 or more.
    **Raises:** `ConfigError`.
    **Source:** Wang 2023, section 2.3.1; Joshi et al. 2020, Nature Communications 11,
    2473 (ratio to the largest weight).

    ```python
    >>> from pendula.hardware import NoiseLevel
    >>> print(NoiseLevel.from_wmax(0.05))
    eta = 0.025 of the range, sigma = 0.05 of the largest weight
    >>> round(float(NoiseLevel.from_pair(0.05)), 4)
    0.0354

    ```
    """

    eta: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.eta) and self.eta >= 0.0):
            raise ConfigError(
                f"the noise level is {self.eta}; it must be finite and at least 0."
            )

    @classmethod
    def from_wmax(cls, ratio: float) -> NoiseLevel:
        """From sigma / max|w|."""
        return cls(ratio / 2.0)

    @classmethod
    def from_pair(cls, ratio: float) -> NoiseLevel:
        """From the standard deviation of each device of a differential pair, as a
        share of its largest conductance: the errors of both add up."""
        return cls(ratio / math.sqrt(2.0))

    @property
    def wmax(self) -> float:
        """sigma / max|w|, for weights of a symmetric range."""
        return 2.0 * self.eta

    def __float__(self) -> float:
        return self.eta

    def __str__(self) -> str:
        return (
            f"eta = {self.eta:g} of the range, sigma = {self.wmax:g} of the largest "
            "weight"
        )


def as_eta(level: Any) -> Any:
    """A `NoiseLevel` as the number eta; what else is given as it is."""
    return level.eta if isinstance(level, NoiseLevel) else level
