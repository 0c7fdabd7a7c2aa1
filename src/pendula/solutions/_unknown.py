"""A parameter that is looked for together with the solution."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import positive
from .._errors import ConfigError
from .._types import AnyArray
from ._given import is_number, yes_or_no


@dataclasses.dataclass(frozen=True)
class Unknown:
    r"""A number that the solver finds.

    **Arguments:** `name`: for reports; `init`: the first guess; `positive`: it is
    sought as $e^z$; `scale`: how far it may lie from the guess, in its own units (of
    z where it is positive), to measure steps in.
    **Raises:** `ConfigError` for a guess that is not finite, or not positive.

    ```python
    >>> from pendula.solutions import Unknown
    >>> round(float(Unknown("sL", init=0.4, positive=True).value(0.0)), 6)
    0.4

    ```
    """

    name: str
    init: float = 1.0
    positive: bool = False
    scale: float = 1.0

    def __post_init__(self) -> None:
        yes_or_no(f"Unknown {self.name}: positive is", self.positive)
        if not is_number(self.init) or (self.positive and self.init <= 0.0):
            raise ConfigError(
                f"Unknown {self.name}: init is {self.init}; it has to be finite"
                f"{' and above 0' if self.positive else ''}."
            )
        positive(f"Unknown {self.name}", scale=self.scale)

    def value(self, raw: AnyArray | float) -> Float[Array, ""]:
        """The number from what is solved for, 0 at the guess."""
        z = jnp.asarray(raw) * self.scale
        return self.init * jnp.exp(z) if self.positive else self.init + z

    def raw(self, value: float) -> float:
        """What is solved for from the number."""
        if self.positive:
            return math.log(value / self.init) / self.scale
        return (value - self.init) / self.scale
