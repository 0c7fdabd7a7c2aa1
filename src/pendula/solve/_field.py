"""What a vector field has to be, checked before anything is stepped."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .._checks import takes
from .._errors import ConfigError, ShapeError
from .._types import Context, State
from ._schemes import Field


def as_field(field: Any) -> Field:
    r"""A vector field with the house's arguments; one of `(t, y)` alone gets them.

    $$ \dot y = f(t, y, u, c) $$

    **Raises:** `ConfigError` for what is no function of these: a fit, or its model,
    for instance.

    ```python
    >>> from pendula.solve import as_field
    >>> as_field(lambda t, y: -y)(0.0, 2.0, None, None)
    -2.0

    ```
    """
    if not callable(field):
        raise ConfigError(
            f"the field is of the type {type(field).__name__}; give a function "
            "field(t, y, u, context), of a fit fitted.model().field."
        )
    law: Any = field
    if takes(law, 4):
        return law
    if takes(law, 2):
        return TwoArguments(law)
    raise ConfigError(
        "a field is a function of (t, y, u, context), or of (t, y) alone; this one "
        "takes neither."
    )


class TwoArguments(eqx.Module):
    """`field(t, y)` as a field with an input and a context that it does not see."""

    field: Any

    def __call__(self, t: Any, y: Any, u: Any = None, context: Any = None) -> Any:
        return self.field(t, y)


def check_rate(field: Field, t0: Any, y0: State, u: Any, context: Context) -> None:
    """Look at what a field gives, without computing it: a number in place of a vector
    would be added to all components.

    **Raises:** `ShapeError` for anything but a real array of the state's shape.
    """
    found = jax.eval_shape(lambda t, y, u: field(t, y, u, context), t0, y0, u)
    real = isinstance(found, jax.ShapeDtypeStruct)
    if not real or found.shape != y0.shape or jnp.iscomplexobj(found):
        told = f"{found.dtype}{list(found.shape)}" if real else type(found).__name__
        raise ShapeError(
            f"the field gives {told} for a state {y0.dtype}{list(y0.shape)}; dy must "
            "be a real array of the state's shape. Join components with jnp.stack."
        )
