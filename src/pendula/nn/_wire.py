"""Errors of hardware where no array of a model stands for them: drawn at the call."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice
from .._errors import ConfigError
from .._registry import register
from .._source import Source


Granularity = Literal["channel", "element"]
_DIGITS = 2**24  # whole numbers below it are exact in float32


@register("module")
class Draw(eqx.Module):
    """A random number that a simulated chip keeps: `sigma` says how large it is, `seed`
    two whole numbers which one. Both are arrays as weights are, so that whatever
    disturbs weights reaches them; no gradient flows into them, and they start at 0.

    ```python
    >>> from pendula.nn import Draw
    >>> float(Draw.none()((2,)).sum())
    0.0

    ```
    """

    sigma: Float[Array, ""]
    seed: Float[Array, "2"]

    @staticmethod
    def none() -> Draw:
        """No error."""
        return Draw(jnp.zeros(()), jnp.zeros(2))

    @staticmethod
    def seeded(key: PRNGKeyArray) -> Float[Array, "2"]:
        """Two whole numbers from a key."""
        return jax.random.randint(key, (2,), 0, _DIGITS).astype(jnp.float32)

    def key(self) -> PRNGKeyArray:
        """The key that the seed stands for."""
        # a mirrored error has both signs turned: the same numbers, the other way
        whole = jnp.abs(jax.lax.stop_gradient(self.seed)).astype(jnp.uint32)
        first = jax.random.fold_in(jax.random.key(0), whole[0])
        return jax.random.fold_in(first, whole[1])

    def __call__(self, shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Independent normal numbers of standard deviation sigma; nothing is drawn
        where sigma is 0."""
        sigma, key = jax.lax.stop_gradient(self.sigma), self.key()
        draw = lambda: sigma * jax.random.normal(key, shape, sigma.dtype)
        return jax.lax.cond(sigma != 0, draw, lambda: jnp.zeros(shape, sigma.dtype))


@register("module")
class Shortcut(eqx.Module):
    r"""The wire of a residual connection, as hardware has it: a mirror for each value.

    $$ y = (1 + u)\, x, \qquad u \sim N(0, \sigma^2) $$

    with sigma = 0, so y = x, until a simulated chip puts an error there.

    **Shapes:** any array to the same.
    **Arguments:** `granularity`: `"channel"`, one u for each channel, or `"element"`,
    one for each value; `axis`: where the channels are, -1 or 0.
    **Raises:** `ConfigError`.
    **Source:** Wang 2023, section 2.3.2 (shortcuts).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.nn import Shortcut
    >>> Shortcut()(jnp.arange(3.0)).tolist()
    [0.0, 1.0, 2.0]

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "section 2.3.2")

    error: Draw
    granularity: str = eqx.field(static=True)
    """What has an error of its own."""
    axis: int = eqx.field(static=True)
    """Axis of the channels."""

    def __init__(self, granularity: str = "channel", axis: int = -1) -> None:
        known = get_args(Granularity)
        choice("granularity", granularity, known, "Shortcut")
        if axis not in (-1, 0):
            raise ConfigError(f"Shortcut: axis is {axis}; it must be -1 or 0.")
        self.error = Draw.none()
        self.granularity, self.axis = granularity, axis

    def __call__(self, x: Array, *, key: Any = None) -> Array:
        """The value behind the wire; `key` is ignored."""
        shape = x.shape
        if self.granularity == "channel" and x.ndim:
            wide = [1] * x.ndim
            wide[self.axis] = x.shape[self.axis]
            shape = tuple(wide)
        u = self.error(shape).astype(x.dtype)
        return x + jnp.broadcast_to(u, x.shape) * x
