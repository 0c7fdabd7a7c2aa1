"""A field that is a sum of few terms from a library: monomials, sines, cosines."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from .._types import AnyArray, Context, Control, State, Time
from ._field import AbstractField


@register("module")
class LibraryScale(Fixed):
    """Units of a library, and which of its terms are there.

    `size` `"in"` of the variables, `out` `"out"` of the values, `kept` `"term out"`
    1 where a term belongs to a rate and 0 where it was dropped, `precision` the prior
    precision of the unit-free coefficients.
    """

    size: Float[AnyArray, "in"]
    out: Float[AnyArray, "out"]
    kept: Float[AnyArray, "term out"]
    precision: Float[AnyArray, ""]


@register("module")
class Library(AbstractField):
    r"""Rates that are sums of known terms with unknown coefficients.

    $$ f_j(x) = \sum_k \Xi_{kj}\, \Theta_k(x), \qquad
       \Theta = (1, x_1, x_2, \dots, x_1^{p_1} x_2^{p_2} \cdots, \sin x_i, \cos x_i) $$

    The variables x are the state, then the inputs. Which terms are there is a mask
    (`LibraryScale.kept`), so that dropping one compiles nothing anew.

    **Arguments:**
    - `powers`: the exponents of each monomial, one a variable (`exponents` gives all
      up to a degree); `waves`: the variables whose sine and cosine are terms too.
    - `out`: number of rates; `size`, `out_size`: sizes of variables and rates, in
      which coefficients are about 1; `precision`: prior precision of those.

    **Shapes and units:** `coefficients` `"term out"` unit-free; `physical` gives them
    in the units of the data. Returns `"out"`.
    **Raises:** `ConfigError` for terms that do not fit the variables, or none.
    **Behaviour:** monomials of degree two or more have no bound: outside the data a
    solution may reach infinity in finite time.
    **Source:** Brunton, Proctor, Kutz 2016, PNAS 113:3932, equations 4 and 5; the
    Gaussian prior is ours.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.dynamics import Library, exponents
    >>> field = Library(exponents(2, 1), out=2)
    >>> field = field.with_physical(jnp.array([[0.0, 0.0], [0.0, -4.0], [1.0, 0.0]]))
    >>> field(0.0, jnp.array([0.5, 2.0]), None, None).tolist()
    [2.0, -2.0]
    >>> field.equations(("q", "v"))
    ['1 v', '-4 q']

    ```
    """

    source: ClassVar[Source] = Source("Brunton2016", "equations 4 and 5")

    coefficients: Float[AnyArray, "term out"]
    scale: LibraryScale
    powers: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    waves: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        powers: Sequence[Sequence[int]],
        waves: Sequence[int] = (),
        *,
        out: int,
        size: Sequence[float] | np.ndarray | None = None,
        out_size: Sequence[float] | np.ndarray | None = None,
        precision: float = 0.01,
    ) -> None:
        self.powers = tuple(tuple(int(p) for p in row) for row in powers)
        self.waves = tuple(int(i) for i in waves)
        widths = {len(row) for row in self.powers}
        if not self.powers or len(widths) != 1 or min(map(min, self.powers)) < 0:
            raise ConfigError(
                "the monomials of a library need exponents of 0 or more, one for each "
                "variable: use exponents(variables, degree)."
            )
        variables = widths.pop()
        if not all(0 <= i < variables for i in self.waves):
            raise ConfigError(
                f"waves is {list(self.waves)}, but there are {variables} variables, "
                "counted from 0. Name those."
            )
        if out < 1 or not precision > 0:
            raise ConfigError(
                f"out is {out} and precision {precision:g}; both must be above 0."
            )
        terms = len(self.powers) + 2 * len(self.waves)
        of = lambda v, n: jnp.asarray(np.ones(n) if v is None else np.asarray(v, float))
        self.coefficients = jnp.zeros((terms, out))
        self.scale = LibraryScale(
            of(size, variables),
            of(out_size, out),
            jnp.ones((terms, out)),
            jnp.asarray(float(precision)),
        )

    def terms(self, x: Float[Array, "in"]) -> Float[Array, "term"]:
        """The values of all terms, monomials in scaled variables."""
        z = x / self.scale.size
        padded = jnp.concatenate([jnp.ones(1, z.dtype), z])
        factors = _factors(self.powers)
        value = padded[factors[:, 0]]
        for k in range(1, factors.shape[1]):
            value = value * padded[factors[:, k]]
        if not self.waves:
            return value
        angle = x[np.asarray(self.waves, int)]
        pairs = jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=1)
        return jnp.concatenate([value, jnp.ravel(pairs)])

    def __call__(
        self, t: Time | float, y: State, u: Control | None, context: Context
    ) -> Float[Array, "out"]:
        x = y if u is None else jnp.concatenate([y, u])
        weights = self.coefficients * self.scale.kept
        return self.scale.out * (self.terms(x) @ weights)

    def prior_residual(self) -> Float[Array, "prior"]:
        """sqrt(precision) times the unit-free coefficients."""
        return jnp.sqrt(self.scale.precision) * jnp.ravel(self.coefficients)

    @property
    def unit(self) -> Float[np.ndarray, "term out"]:
        """What a unit-free coefficient of 1 is in the units of the data."""
        size, out = np.asarray(self.scale.size), np.asarray(self.scale.out)
        terms = np.prod(size ** -np.asarray(self.powers, float), axis=1)
        terms = np.concatenate([terms, np.ones(2 * len(self.waves))])
        return terms[:, None] * out

    @property
    def physical(self) -> Float[np.ndarray, "term out"]:
        """The coefficients in the units of the data, 0 where a term was dropped."""
        return self.unit * np.asarray(self.coefficients) * np.asarray(self.scale.kept)

    def with_physical(self, values: Float[AnyArray, "term out"]) -> Library:
        """The library with these coefficients; those that are 0 count as dropped."""
        values = np.asarray(values, np.float64)
        return self.with_kept(values != 0, values / self.unit)

    def with_kept(self, kept: AnyArray, coefficients: AnyArray) -> Library:
        """The library with these terms `"term out"` and unit-free coefficients."""
        kept = np.asarray(kept, bool)
        dtype = self.coefficients.dtype
        new = (np.where(kept, coefficients, 0.0).astype(dtype), kept.astype(dtype))
        return eqx.tree_at(
            lambda f: (f.coefficients, f.scale.kept), self, tuple(map(jnp.asarray, new))
        )

    def words(self, variables: Sequence[str]) -> list[str]:
        """The terms in words."""
        out = []
        for row in self.powers:
            parts = [
                name if power == 1 else f"{name}^{power}"
                for name, power in zip(variables, row, strict=True)
                if power
            ]
            out.append(" ".join(parts) or "1")
        for i in self.waves:
            out += [f"sin({variables[i]})", f"cos({variables[i]})"]
        return out

    def equations(self, variables: Sequence[str]) -> list[str]:
        """Each rate as a sum of the terms that are there."""
        names, values = self.words(variables), self.physical
        out = []
        for column in values.T:
            parts = [
                f"{c:.4g}" if name == "1" else f"{c:.4g} {name}"
                for c, name in zip(column, names, strict=True)
                if c != 0
            ]
            out.append(" + ".join(parts).replace("+ -", "- ") or "0")
        return out


def exponents(variables: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """Exponents of all monomials up to a degree, lower degrees first.

    ```python
    >>> from pendula.dynamics import exponents
    >>> exponents(2, 2)
    ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))

    ```
    """
    if variables < 1 or degree < 0:
        raise ConfigError(
            f"variables is {variables} and degree {degree}; at least one variable and "
            "a degree of 0 or more are needed."
        )
    return tuple(
        tuple(chosen.count(i) for i in range(variables))
        for d in range(degree + 1)
        for chosen in itertools.combinations_with_replacement(range(variables), d)
    )


def _factors(powers: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """The factors of each monomial as indices into (1, x_1, x_2, ...)."""
    rows = [[i + 1 for i, p in enumerate(row) for _ in range(p)] for row in powers]
    width = max(1, *map(len, rows))
    return np.array([row + [0] * (width - len(row)) for row in rows])
