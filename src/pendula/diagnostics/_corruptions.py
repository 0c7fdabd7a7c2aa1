"""What can be done to the inputs of a classifier: noise, lost pixels, attacks."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import lookup, register


Slope = Callable[[Float[Array, "*input"]], Float[Array, "*input"]]


class AbstractCorruption(eqx.Module):
    """A change of one input, of a strength `level`; 0 leaves it as it is."""

    name: ClassVar[str]
    random: ClassVar[bool] = True
    """Whether it draws, so that several seeds tell its spread."""

    @abc.abstractmethod
    def __call__(
        self,
        x: Float[Array, "*input"],
        level: Float[Array, ""],
        slope: Slope,
        key: PRNGKeyArray,
    ) -> Float[Array, "*input"]:
        """The changed input; `slope(x)` is the gradient of the loss at an input."""


@register("corruption", "white")
class White(AbstractCorruption):
    """White noise: x + level xi, xi from N(0, 1) at every entry."""

    name: ClassVar[str] = "white"

    def __call__(
        self, x: Array, level: Array, slope: Slope, key: PRNGKeyArray
    ) -> Array:
        return x + level * jax.random.normal(key, x.shape, x.dtype)


@register("corruption", "multiplicative")
class Multiplicative(AbstractCorruption):
    """Noise in proportion: x (1 + level xi), xi from N(0, 1) at every entry."""

    name: ClassVar[str] = "multiplicative"

    def __call__(
        self, x: Array, level: Array, slope: Slope, key: PRNGKeyArray
    ) -> Array:
        return x * (1.0 + level * jax.random.normal(key, x.shape, x.dtype))


@register("corruption", "salt_and_pepper")
class SaltAndPepper(AbstractCorruption):
    """With probability `level` an entry becomes `low` or `high`, half each.

    **Arguments:** `low`, `high`: 0 and 1 for pixels; of signals the least and the
    largest value of the training data.
    """

    name: ClassVar[str] = "salt_and_pepper"

    low: float = 0.0
    high: float = 1.0

    def __call__(
        self, x: Array, level: Array, slope: Slope, key: PRNGKeyArray
    ) -> Array:
        drawn = jax.random.uniform(key, x.shape, x.dtype)
        ends = jnp.where(drawn < 0.5 * level, self.low, self.high).astype(x.dtype)
        return jnp.where(drawn < level, ends, x)


@register("corruption", "fgsm")
class SignOfGradient(AbstractCorruption):
    """One step up the loss: x + level sign(dL/dx), the fast gradient sign method.

    **Source:** Goodfellow, Shlens, Szegedy, Explaining and harnessing adversarial
    examples, ICLR 2015, section 4.
    """

    name: ClassVar[str] = "fgsm"
    random: ClassVar[bool] = False

    def __call__(
        self, x: Array, level: Array, slope: Slope, key: PRNGKeyArray
    ) -> Array:
        return x + level * jnp.sign(slope(x))


def corruption(which: str | AbstractCorruption) -> AbstractCorruption:
    """A corruption by its name (`"white"`, `"multiplicative"`, `"salt_and_pepper"`,
    `"fgsm"`), or the corruption itself.

    **Raises:** `ConfigError` with the nearest name.

    ```python
    >>> from pendula.diagnostics import corruption
    >>> corruption("fgsm").random
    False

    ```
    """
    if isinstance(which, AbstractCorruption):
        return which
    return lookup("corruption", which)()
