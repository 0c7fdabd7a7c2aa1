"""What can be done to the inputs of a classifier: noise, lost pixels, attacks."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import positive, whole
from .._registry import lookup, register


Slope = Callable[[Float[Array, "*input"]], Float[Array, "*input"]]


class AbstractCorruption(eqx.Module):
    """A change of one input, of a strength `level`; 0 leaves it as it is."""

    name: ClassVar[str]
    random: ClassVar[bool] = True
    """Whether it draws, so that several seeds tell its spread."""
    most: ClassVar[float] = math.inf
    """Largest level: 1 where it is a probability."""

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
    most: ClassVar[float] = 1.0

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


@register("corruption", "pgd")
class ProjectedDescent(AbstractCorruption):
    r"""A bad input within a box: steps up the loss, cut back to it.

    $$ x_{k+1} = \Pi_{|x - x_0| \le level}
       \big(x_k + a\, level\, \mathrm{sign}(\partial L / \partial x)\big) $$

    **Arguments:** `steps` >= 1; `pace` a: of one step, as a share of the level.
    **Source:** Madry et al., Towards deep learning models resistant to adversarial
    attacks, 2018, arXiv:1706.06083, section 2.1.
    """

    name: ClassVar[str] = "pgd"
    random: ClassVar[bool] = False

    steps: int = eqx.field(static=True, default=10)
    pace: float = 0.25

    def __check_init__(self) -> None:
        whole(1, "pgd", steps=self.steps)
        positive("pgd", pace=self.pace)

    def __call__(
        self, x: Array, level: Array, slope: Slope, key: PRNGKeyArray
    ) -> Array:
        def one(moved: Array, _: None) -> tuple[Array, None]:
            moved = moved + self.pace * level * jnp.sign(slope(moved))
            return jnp.clip(moved, x - level, x + level), None

        return jax.lax.scan(one, x, None, length=self.steps)[0]


@register("corruption", "shift")
class Shift(AbstractCorruption):
    """A sequence moved in time by a whole number of samples drawn evenly up to `level`
    times its length either way; its ends stand for what lies beyond.

    **Shapes:** time in front.
    """

    name: ClassVar[str] = "shift"

    def __call__(
        self, x: Array, level: Array, slope: Slope, key: PRNGKeyArray
    ) -> Array:
        count = x.shape[0]
        share = level * jax.random.uniform(key, (), x.dtype, -1.0, 1.0)
        moved = jnp.arange(count) - jnp.round(count * share).astype(jnp.int32)
        return x[jnp.clip(moved, 0, count - 1)]


@register("corruption", "dropped")
class Dropped(AbstractCorruption):
    """With probability `level` a sample is lost, and the last one that was not stands
    for it (the first is never lost).

    **Shapes:** time in front.
    """

    name: ClassVar[str] = "dropped"
    most: ClassVar[float] = 1.0

    def __call__(
        self, x: Array, level: Array, slope: Slope, key: PRNGKeyArray
    ) -> Array:
        count = x.shape[0]
        index = jnp.arange(count)
        kept = jax.random.uniform(key, (count,), x.dtype) >= level
        last = jax.lax.cummax(jnp.where(kept, index, 0))
        return x[last]


def corruption(which: str | AbstractCorruption) -> AbstractCorruption:
    """A corruption by its name (`"white"`, `"multiplicative"`, `"salt_and_pepper"`,
    `"fgsm"`, `"pgd"`, of sequences `"shift"` and `"dropped"`), or the corruption
    itself.

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
