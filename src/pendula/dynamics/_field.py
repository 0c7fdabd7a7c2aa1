"""What every vector field of this room is, and how fields add up."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._types import Context, Control, State, Time


class AbstractField(eqx.Module):
    """A vector field, or a term of one: the call of `pendula.systems`, learned.

    A learned field can stand wherever a known system does, and the other way
    round. It must return finite values everywhere: solvers look outside the data.
    """

    @abc.abstractmethod
    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        """The term's value at time t, state y `"dim"`, input u `"ctrl"`."""


@register("module")
class Sum(AbstractField):
    r"""A sum of terms, known and learned.

    $$ f(t, y, u, c) = \sum_k f_k(t, y, u, c) $$

    **Shapes:** every term returns `"out"`.
    **Raises:** `ConfigError` without a term.
    **Source:** Yin et al. 2021, arXiv:2010.04456, section 3: known physics plus a
    learned rest.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Known, Sum
    >>> force = Sum((Known("spring", k=4.0), Known("viscous", c=0.5)))
    >>> force(0.0, jnp.array([1.0, 2.0]), None, None).tolist()
    [-5.0]

    ```
    """

    source: ClassVar[Source] = Source("Yin2021", "section 3")

    terms: tuple[AbstractField, ...]

    def __check_init__(self) -> None:
        if not self.terms:
            raise ConfigError("a Sum needs at least one term.")

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        total = self.terms[0](t, y, u, context)
        for term in self.terms[1:]:
            total = total + term(t, y, u, context)
        return total


@register("module")
class SecondOrder(AbstractField):
    r"""Newton's form: positions q, velocities v, and what drives them.

    $$ \dot q = v, \qquad (\dot v, \dot z) = f(t, (q, v, z), u, c) $$

    **Shapes:** state `y = (q, v, z)`, q and v `"n"`, z (channels of first order,
    often none) `"m"`; `force` returns `"n + m"`: accelerations, then dz/dt.
    **Raises:** `ConfigError` if `n < 1`.
    **Source:** Norcliffe et al. 2020, arXiv:2006.07220 (second-order neural ODE).

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Known, SecondOrder
    >>> field = SecondOrder(Known("spring", n=1, k=4.0), n=1)
    >>> field(jnp.zeros(()), jnp.array([1.0, 0.5]), None, None).tolist()
    [0.5, -4.0]

    ```
    """

    source: ClassVar[Source] = Source("Norcliffe2020", "second-order neural ODE")

    force: AbstractField
    n: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"SecondOrder needs n >= 1 coordinates; n is {self.n}.")

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        velocity = y[self.n : 2 * self.n]
        return jnp.concatenate([velocity, self.force(t, y, u, context)])


def terms_of(field: Any) -> list[Any]:
    """The leaves of a field's tree of sums, `SecondOrder` wrappers opened; a
    `Lagrangian` is followed by the forces on it, a `ReactionDiffusion` by its
    sources."""
    if hasattr(field, "body") and hasattr(field, "forces"):
        return [field] + [leaf for term in field.forces for leaf in terms_of(term)]
    if hasattr(field, "sources"):
        return [field] + [leaf for term in field.sources for leaf in terms_of(term)]
    if isinstance(field, Sum):
        return [leaf for term in field.terms for leaf in terms_of(term)]
    if isinstance(field, SecondOrder):
        return terms_of(field.force)
    return [field]
