"""Unknown constants: scalars of a known law, with sign, prior and interval."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from .._types import AnyArray
from ..nn import AbstractMember


Sign = Literal["any", "positive"]


@register("module")
class Given(Fixed):
    """A constant that is known: never trained."""

    number: Float[AnyArray, ""]

    @property
    def value(self) -> Float[AnyArray, ""]:
        """The constant itself."""
        return self.number


@register("module")
class PriorWidth(Fixed):
    """Mean and standard deviation of a Gaussian prior on a raw parameter."""

    mean: Float[AnyArray, ""]
    sd: Float[AnyArray, ""]


@register("module")
class Free(eqx.Module):
    r"""A constant to be found.

    Positive constants live on a log scale, $c = c_0 e^{r}$, others on
    $c = c_0 + s\,r$; the raw parameter r starts at 0 and has a Gaussian prior of
    mean 0 and width `sd` (decades are 2.3 wide on the log scale).

    **Raises:** `ConfigError` for a start that is not finite, or not positive where
    the constant is.
    **Source:** MacKay 1992, Neural Computation 4, 415-447 (Gaussian prior, Laplace
    interval).

    ```python
    >>> from pendula.dynamics import Free
    >>> round(float(Free.make(9.81, "positive").value), 2)
    9.81

    ```
    """

    source: ClassVar[Source] = Source("MacKay1992", "Laplace interval")

    raw: Float[AnyArray, ""]
    prior: PriorWidth
    start: Given
    scale: Given
    sign: Sign = eqx.field(static=True)

    @classmethod
    def make(
        cls,
        start: float,
        sign: Sign = "any",
        *,
        scale: float | None = None,
        sd: float = 5.0,
    ) -> Free:
        """A free constant near `start`; `scale` is its natural size (default:
        `start`, or 1 when that is 0)."""
        if not np.isfinite(start):
            raise ConfigError(f"a constant starts at {start}; it must be finite.")
        if sign == "positive" and not start > 0:
            raise ConfigError(
                f"a positive constant starts at {start:g}; its start must be > 0."
            )
        if not sd > 0:
            raise ConfigError(f"the prior width sd is {sd:g}; it must be > 0.")
        size = abs(start) if scale is None and start else (scale or 1.0)
        put = lambda v: jnp.asarray(float(v))
        return cls(
            put(0.0),
            PriorWidth(put(0.0), put(sd)),
            Given(put(start)),
            Given(put(size)),
            sign,
        )

    @property
    def value(self) -> Float[AnyArray, ""]:
        """The constant itself."""
        if self.sign == "positive":
            # A runaway trial step must not overflow: e^60 is far beyond physics.
            return self.start.value * jnp.exp(jnp.clip(self.raw, -60.0, 60.0))
        return self.start.value + self.scale.value * self.raw

    def prior_residual(self) -> Float[AnyArray, ""]:
        """Whitened distance from the prior."""
        return (self.raw - self.prior.mean) / self.prior.sd

    def derivative(self) -> float:
        """d value / d raw at the present value, on the host (delta method)."""
        if self.sign == "positive":
            return float(np.asarray(self.value))
        return float(np.asarray(self.scale.value))


@register("module")
class Varying(AbstractMember):
    r"""A constant that each member of a family has its own value of.

    $$ c = c_0\, e^{r + \eta_k} \quad \text{(positive)}, \qquad
       c = c_0 + s\,(r + \eta_k) \quad \text{(others)} $$

    so that the entry k of eta is the logarithm of its ratio to what the family shares,
    or the difference in natural sizes s.

    **Arguments:** `shared`: the constant for eta = 0; `entry`: k, counted from 0.
    **Raises:** `ConfigError` when it is asked for its value before an eta is bound.
    **Source:** MacKay 1992 (as `Free`).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Free, Varying
    >>> length = Varying(Free.make(0.5, "positive"), 0)
    >>> round(float(length.bind(jnp.log(jnp.array([2.0]))).value), 2)
    1.0

    ```
    """

    source: ClassVar[Source] = Source("MacKay1992", "Laplace interval")

    shared: Free
    entry: int = eqx.field(static=True)

    @property
    def value(self) -> Float[AnyArray, ""]:
        """Refused: which member of the family is not said yet."""
        raise ConfigError(
            "a varying constant has a value for each member of a family; say which: "
            "bind the model to an eta first."
        )

    def bind(self, eta: Float[AnyArray, "eta"]) -> Free:
        raw = self.shared.raw + eta[self.entry]
        return dataclasses.replace(self.shared, raw=raw)


Constant = Given | Free | Varying


def constant(
    start: float, *, free: bool, sign: Sign = "any", scale: float | None = None
) -> Constant:
    """A known constant, or one to be found."""
    if free:
        return Free.make(start, sign, scale=scale)
    if not np.isfinite(start):
        raise ConfigError(f"a constant is {start}; it must be finite.")
    return Given(jnp.asarray(float(start)))
