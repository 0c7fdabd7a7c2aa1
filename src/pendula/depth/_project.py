"""From one basis to another: the nearest function, or the same values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._basis import AbstractBasis, AbstractLinearBasis, Polynomial
from ._places import Place, knots


def project(coefficients: Any, old: AbstractBasis, new: AbstractLinearBasis) -> Any:
    r"""Coefficients of the function of `new` that is nearest in $L_2([0, 1])$.

    $$ \sum_\beta \int_0^1 \phi'^\alpha \phi'^\beta dt\; c^\beta
       = \int_0^1 \phi'^\alpha\, \theta(t)\, dt $$

    The integrals run over the common cells of both bases by Gauss-Legendre rules that
    are exact for piecewise polynomials; everything is done in float64.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.depth import make_basis, project
    >>> four, two = (make_basis("piecewise_constant", n) for n in (4, 2))
    >>> project(jnp.asarray([1.0, 3.0, 5.0, 9.0]), four, two).tolist()
    [2.0, 7.0]

    ```
    """
    if new == old:
        return coefficients
    places, weights = quadrature(old, new)
    mine = new.matrix(places)
    inner = mine.T @ (weights[:, None] * mine)
    onto = np.linalg.solve(inner, mine.T * weights)
    return _through(onto, old, places, coefficients)


def interpolate(coefficients: Any, old: AbstractBasis, new: AbstractLinearBasis) -> Any:
    """Coefficients with which `new` has the values of the old function at its own
    sites: middles of cells, nodes of hat functions, Gauss points of a polynomial.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.depth import interpolate, make_basis
    >>> old, new = make_basis("linear", 2), make_basis("piecewise_constant", 2)
    >>> interpolate(jnp.asarray([0.0, 4.0]), old, new).tolist()
    [1.0, 3.0]

    ```
    """
    places = new.sites()
    return _through(np.linalg.inv(new.matrix(places)), old, places, coefficients)


def quadrature(
    old: AbstractBasis, new: AbstractBasis, extra: int = 0
) -> tuple[list[Place], np.ndarray]:
    """Places and weights of an integral over depth that is exact for products of
    functions of the two bases."""
    ends = sorted({*knots(old.cells), *knots(new.cells)})
    degree = _degree(new) + max(_degree(old), _degree(new))
    z, w = np.polynomial.legendre.leggauss(degree // 2 + 1 + extra)
    places, weights = [], []
    for a, b in itertools.pairwise(ends):
        for node, weight in zip(z, w, strict=True):
            u = Fraction(float(0.5 * (node + 1.0)))
            places.append(Place(a + u * (b - a), False))
            weights.append(0.5 * weight * float(b - a))
    return places, np.asarray(weights)


def _degree(basis: AbstractBasis) -> int:
    if isinstance(basis, Polynomial):
        return basis.degree
    # a basis that is no polynomial is sampled as if it were one of degree 7
    return 1 if isinstance(basis, AbstractLinearBasis) else 7


def _through(
    onto: np.ndarray, old: AbstractBasis, places: Sequence[Place], coefficients: Any
) -> Any:
    """`onto` times the old values at the places, in float64, in the old dtype."""
    if isinstance(old, AbstractLinearBasis):
        onto, samples = onto @ old.matrix(places), coefficients
    else:
        samples = old.values(coefficients, places)
    onto = np.where(np.abs(onto) < 1e-14, 0.0, onto)  # what should have cancelled

    def one(x: Any) -> Any:
        wide = np.tensordot(onto, np.asarray(x, np.float64), 1)
        return jnp.asarray(wide, x.dtype)

    arrays, rest = eqx.partition(samples, eqx.is_array)
    return eqx.combine(jax.tree.map(one, arrays), rest)
