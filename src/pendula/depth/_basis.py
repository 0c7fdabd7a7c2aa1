"""Weights as functions of depth: theta(t) from the values at a few nodes."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, ClassVar, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._checks import at_least, whole
from .._errors import ConfigError
from .._registry import lookup, register
from .._source import Source
from ._places import Place, halved, knots, lengths, locate


class AbstractBasis(eqx.Module):
    r"""How a tree of arrays depends on depth t in [0, 1].

    $$ \theta(t) = \sum_{\beta=1}^{M} \phi^\beta(t)\, \theta^\beta $$

    The coefficients are a tree whose arrays have a leading axis of length M.
    """

    source: ClassVar[Source] = Source("Queiruga2021", "basis functions")
    name: ClassVar[str]
    """The name of the kind."""
    cells: tuple[int, ...] = eqx.field(static=True)
    """Lengths of the cells, whole numbers in their ratio."""

    @property
    @abc.abstractmethod
    def n_basis(self) -> int:
        """Number M of coefficients."""

    @abc.abstractmethod
    def values(self, coefficients: Any, places: Sequence[Place]) -> Any:
        """theta at each of the places: a tree with a leading axis of them."""

    @abc.abstractmethod
    def start(self, drawn: Any) -> Any:
        """Coefficients to begin with, from M that were drawn at random."""

    @abc.abstractmethod
    def refine(self, coefficients: Any) -> tuple[AbstractBasis, Any]:
        """A finer basis, and the coefficients with which it is the same function."""

    @abc.abstractmethod
    def regions(self) -> PiecewiseConstant:
        """The part of depth that belongs to each node: where a state is kept."""


class AbstractLinearBasis(AbstractBasis):
    """A basis whose values are linear in the coefficients."""

    @abc.abstractmethod
    def row(self, place: Place) -> list[Fraction | float]:
        """All basis functions at one place, `"M"`."""

    @abc.abstractmethod
    def split(self, which: Sequence[int]) -> AbstractLinearBasis:
        """The basis with the cells named cut in two; it holds this one's functions."""

    @abc.abstractmethod
    def sites(self) -> list[Place]:
        """M places whose values determine the coefficients."""

    def start(self, drawn: Any) -> Any:
        return drawn

    def values(self, coefficients: Any, places: Sequence[Place]) -> Any:
        return apply(self.matrix(places), coefficients)

    def matrix(self, places: Sequence[Place]) -> np.ndarray:
        """The basis functions at each place, `"place M"`."""
        rows = [[float(v) for v in self.row(p)] for p in places]
        return np.asarray(rows, np.float64).reshape(len(places), self.n_basis)

    def refine(self, coefficients: Any) -> tuple[AbstractBasis, Any]:
        return self.cut(coefficients, range(len(self.cells)))

    def cut(
        self, coefficients: Any, which: Sequence[int]
    ) -> tuple[AbstractLinearBasis, Any]:
        """The basis with some cells cut in two, and coefficients of the same
        function in it.

        **Raises:** `ConfigError` for cells that it has not.
        """
        there = len(self.cells)
        for cell in which:
            if not 0 <= cell < there:
                raise ConfigError(
                    f'basis "{self.name}": there is no cell {cell} to cut; they are '
                    f"0 to {there - 1}."
                )
        new = self.split(which)
        return new, apply(embedding(self, new), coefficients)


def apply(matrix: np.ndarray, tree: Any) -> Any:
    """The matrix times each array's leading axis; rows that pick one entry pick it,
    so that its bits are those of the entry."""
    picks = matrix.argmax(1) if matrix.size else np.zeros(len(matrix), int)
    only = np.zeros_like(matrix)
    only[np.arange(len(matrix)), picks] = 1.0
    plain = np.array_equal(matrix, only)
    same = plain and np.array_equal(picks, np.arange(matrix.shape[1]))

    def one(x: Any) -> Any:
        if same:
            return x
        if plain:
            return x[picks]
        weights = jnp.asarray(matrix, x.dtype)
        return jnp.tensordot(weights, x, 1, precision=jax.lax.Precision.HIGHEST)

    return jax.tree.map(one, tree)


def embedding(old: AbstractLinearBasis, new: AbstractLinearBasis) -> np.ndarray:
    """The matrix from coefficients to those of the same function in a basis that
    holds it: values at the new basis' sites, which its coefficients are."""
    return old.matrix(new.sites())


@register("module", "PiecewiseConstant")
@register("depth_basis", "piecewise_constant")
class PiecewiseConstant(AbstractLinearBasis):
    r"""One value a cell: $\phi^\beta$ is 1 in the cell $\beta$ and 0 elsewhere.

    **Shapes:** M cells of equal length, or of the lengths given.
    **Source:** Queiruga, Erichson, Taylor, Mahoney 2020, arXiv:2008.02389.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.depth import PiecewiseConstant
    >>> basis, finer = PiecewiseConstant.of(2).refine(jnp.asarray([1.0, 5.0]))
    >>> basis.n_basis, finer.tolist()
    (4, [1.0, 1.0, 5.0, 5.0])

    ```
    """

    name: ClassVar[str] = "piecewise_constant"

    @classmethod
    def of(cls, n_basis: int, cells: Sequence[float] | None = None) -> Any:
        """M values, on cells of equal or given lengths."""
        return cls(_cells(n_basis, cells, n_basis, cls.name))

    @property
    def n_basis(self) -> int:
        return len(self.cells)

    def row(self, place: Place) -> list[Fraction | float]:
        cell, _ = locate(place, knots(self.cells))
        return [float(i == cell) for i in range(self.n_basis)]

    def split(self, which: Sequence[int]) -> PiecewiseConstant:
        return PiecewiseConstant(halved(self.cells, which))

    def sites(self) -> list[Place]:
        at = knots(self.cells)
        return [Place((a + b) / 2, False) for a, b in itertools.pairwise(at)]

    def regions(self) -> PiecewiseConstant:
        return self


@register("module", "Linear")
@register("depth_basis", "linear")
class Linear(AbstractLinearBasis):
    r"""Continuous and linear in each cell: hat functions, one a knot.

    **Shapes:** M >= 2 nodes on M - 1 cells; M = 1 is a constant. Refined, 1 becomes
    two equal nodes and M becomes 2 M - 1.
    **Source:** Queiruga, Erichson, Hodgkinson, Mahoney 2021, arXiv:2106.10820.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.depth import Linear
    >>> basis, finer = Linear.of(2).refine(jnp.asarray([1.0, 5.0]))
    >>> finer.tolist()
    [1.0, 3.0, 5.0]

    ```
    """

    name: ClassVar[str] = "linear"
    single: bool = eqx.field(static=True)
    """Whether there is one node only: a constant."""

    @classmethod
    def of(cls, n_basis: int, cells: Sequence[float] | None = None) -> Any:
        """M nodes, on cells of equal or given lengths."""
        number = max(n_basis - 1, 1) if n_basis >= 1 else n_basis
        return cls(_cells(number, cells, n_basis, cls.name), n_basis == 1)

    @property
    def n_basis(self) -> int:
        return 1 if self.single else len(self.cells) + 1

    def row(self, place: Place) -> list[Fraction | float]:
        row: list[Fraction | float] = [Fraction(0)] * self.n_basis
        if self.single:
            return [Fraction(1)]
        cell, u = locate(place, knots(self.cells))
        row[cell], row[cell + 1] = 1 - u, u
        return row

    def split(self, which: Sequence[int]) -> Linear:
        if self.single:
            return Linear(self.cells, False)
        return Linear(halved(self.cells, which), False)

    def sites(self) -> list[Place]:
        if self.single:
            return [Place(Fraction(1, 2), False)]
        return [Place(t, t == 1) for t in knots(self.cells)]

    def regions(self) -> PiecewiseConstant:
        if self.single:
            return PiecewiseConstant((1,))
        inner = [a + b for a, b in zip(self.cells[:-1], self.cells[1:], strict=True)]
        return PiecewiseConstant((self.cells[0], *inner, self.cells[-1]))


@register("module", "PiecewiseLinear")
@register("depth_basis", "piecewise_linear")
class PiecewiseLinear(AbstractLinearBasis):
    r"""Linear in each cell, free to jump between cells: two values a cell.

    **Shapes:** M even, the values at the begin and at the end of M / 2 cells.
    **Source:** Queiruga, Erichson, Taylor, Mahoney 2020, arXiv:2008.02389.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.depth import PiecewiseLinear
    >>> basis, finer = PiecewiseLinear.of(2).refine(jnp.asarray([1.0, 5.0]))
    >>> finer.tolist()
    [1.0, 3.0, 3.0, 5.0]

    ```
    """

    name: ClassVar[str] = "piecewise_linear"

    @classmethod
    def of(cls, n_basis: int, cells: Sequence[float] | None = None) -> Any:
        """M / 2 cells of equal or given lengths."""
        if n_basis % 2:
            raise ConfigError(
                f'basis "piecewise_linear": n_basis is {n_basis}; it must be even, two '
                f"values a cell. Give {n_basis + 1}."
            )
        return cls(_cells(n_basis // 2, cells, n_basis, cls.name))

    @property
    def n_basis(self) -> int:
        return 2 * len(self.cells)

    def row(self, place: Place) -> list[Fraction | float]:
        row: list[Fraction | float] = [Fraction(0)] * self.n_basis
        cell, u = locate(place, knots(self.cells))
        row[2 * cell], row[2 * cell + 1] = 1 - u, u
        return row

    def split(self, which: Sequence[int]) -> PiecewiseLinear:
        return PiecewiseLinear(halved(self.cells, which))

    def sites(self) -> list[Place]:
        at = knots(self.cells)
        ends = itertools.pairwise(at)
        return [p for a, b in ends for p in (Place(a, False), Place(b, True))]

    def regions(self) -> PiecewiseConstant:
        return PiecewiseConstant(halved(self.cells, range(len(self.cells))))


@register("module", "Polynomial")
@register("depth_basis", "polynomial")
class Polynomial(AbstractLinearBasis):
    r"""A polynomial of degree M - 1: Legendre polynomials on [0, 1].

    $$ \phi^\beta(t) = P_{\beta - 1}(2 t - 1), \quad
       \int_0^1 \phi^\alpha \phi^\beta\, dt = \frac{\delta_{\alpha\beta}}{2\beta - 1} $$

    **Shapes:** M coefficients of rising degree; refined, the degrees above are zero.
    **Source:** Queiruga, Erichson, Hodgkinson, Mahoney 2021, arXiv:2106.10820; the
    polynomials: Abramowitz, Stegun 1964, chapter 22.

    ```python
    >>> from fractions import Fraction
    >>> from pendula.depth import Place, Polynomial
    >>> [float(v) for v in Polynomial.of(3).row(Place(Fraction(1, 2), False))]
    [1.0, 0.0, -0.5]

    ```
    """

    name: ClassVar[str] = "polynomial"
    degree: int = eqx.field(static=True)
    """Largest degree, M - 1."""

    @classmethod
    def of(cls, n_basis: int, cells: Sequence[float] | None = None) -> Any:
        """Degrees 0 to M - 1; there are no cells to give."""
        _cells(n_basis, None, n_basis, cls.name)
        if cells is not None:
            raise ConfigError(
                'basis "polynomial" has no cells: it is one function on all of depth. '
                "Leave the knots out, or take a piecewise basis."
            )
        return cls((1,), n_basis - 1)

    @property
    def n_basis(self) -> int:
        return self.degree + 1

    def row(self, place: Place) -> list[Fraction | float]:
        z = 2 * place.t - 1
        values: list[Fraction | float] = [Fraction(1), z]
        for n in range(1, self.degree):  # the three-term recurrence
            values.append(((2 * n + 1) * z * values[n] - n * values[n - 1]) / (n + 1))
        return values[: self.n_basis]

    def split(self, which: Sequence[int]) -> Polynomial:
        raise ConfigError(
            'basis "polynomial" has no cells to cut: it is one function on all of '
            "depth. Project it onto a piecewise basis, or refine it."
        )

    def refine(self, coefficients: Any) -> tuple[AbstractBasis, Any]:
        more = np.eye(2 * self.n_basis, self.n_basis)
        return Polynomial(self.cells, 2 * self.n_basis - 1), apply(more, coefficients)

    def sites(self) -> list[Place]:
        at = np.polynomial.legendre.leggauss(self.n_basis)[0]
        return [Place(Fraction(float(0.5 * (z + 1))), False) for z in at]

    def regions(self) -> PiecewiseConstant:
        return PiecewiseConstant((1,) * self.n_basis)


def _cells(
    number: int, cells: Sequence[float] | None, n_basis: int, name: str
) -> tuple[int, ...]:
    """Lengths of the cells of a basis, checked."""
    at_least(1, f'basis "{name}"', n_basis=n_basis)
    if cells is None:
        return (1,) * number
    if len(cells) != number:
        raise ConfigError(
            f'basis "{name}": n_basis {n_basis} has {number} cells, but {len(cells)} '
            "lengths are given. Give one length a cell."
        )
    return lengths(cells, "cells")


def make_basis(
    basis: str | AbstractBasis,
    n_basis: SupportsIndex | None = None,
    cells: Sequence[float] | None = None,
) -> AbstractBasis:
    """A basis by its name (`"piecewise_constant"`, `"linear"`, `"piecewise_linear"`,
    `"polynomial"`) and the number M of its coefficients, or the basis itself.

    **Arguments:** `cells`: lengths of the cells that sum to 1; equal ones without.
    **Raises:** `ConfigError` for an unknown name (with the nearest), or an M or
    lengths that the basis cannot have; for a basis that is given, with cells.

    ```python
    >>> from pendula.depth import make_basis
    >>> make_basis("linear", 5).n_basis
    5

    ```
    """
    if isinstance(basis, AbstractBasis):
        if n_basis not in (None, basis.n_basis) or cells is not None:
            raise ConfigError(
                f"the basis has {basis.n_basis} coefficients and cells of its own; "
                f"n_basis is {n_basis}, cells {cells}. Leave both out."
            )
        return basis
    if n_basis is None:
        raise ConfigError(f'basis "{basis}": n_basis is missing.')
    number = whole(1, f'basis "{basis}"', n_basis=n_basis)
    return lookup("depth_basis", basis).of(number, cells)
