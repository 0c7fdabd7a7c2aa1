"""The neural tangent kernel, term by term of a loss."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import ConfigError, DataError, ShapeError
from .._precision import cast, exact_products
from ._products import choose


Term = tuple[Callable[[Any, Any], Any], Any]


@dataclasses.dataclass(frozen=True)
class TangentKernel:
    """K = J J' of the residuals of all terms, one after the other.

    `matrix` `"r r"`, float64; `slices`: name of a term -> its rows.
    """

    matrix: np.ndarray
    slices: dict[str, slice]

    def block(self, first: str, second: str | None = None) -> np.ndarray:
        """K of one term with itself, or with another."""
        rows, columns = self._at(first), self._at(first if second is None else second)
        return self.matrix[rows, columns]

    def spectrum(self, name: str | None = None) -> np.ndarray:
        """Eigenvalues of one term's block (None: of the whole), descending. Gradient
        flow on half the squared residuals reduces them at these rates."""
        matrix = self.matrix if name is None else self.block(name)
        return np.linalg.eigvalsh(matrix)[::-1]

    def trace(self, name: str | None = None) -> float:
        """Sum of the eigenvalues: squared slopes of all residuals."""
        matrix = self.matrix if name is None else self.block(name)
        return float(np.trace(matrix))

    def weights(self, per_point: bool = False) -> dict[str, float]:
        """Weights of the terms that make them learn at one rate: tr K / tr K_i, or
        mean_j(tr K_j / n_j) / (tr K_i / n_i) with `per_point`, for losses that are
        means.

        **Raises:** `DataError` for a term that does not change with the parameters.
        """
        count = {k: at.stop - at.start if per_point else 1 for k, at in self._items()}
        rate = {k: self.trace(k) / count[k] for k in self.slices}
        for name, value in rate.items():
            if not value > 0.0:
                raise DataError(
                    f'the term "{name}" does not change with the parameters: it has '
                    "no weight. Leave it out."
                )
        total = sum(rate.values())
        if per_point:
            total /= len(rate)
        return {k: total / value for k, value in rate.items()}

    def _items(self) -> list[tuple[str, slice]]:
        return list(self.slices.items())

    def _at(self, name: str) -> slice:
        if name not in self.slices:
            raise ConfigError(
                f'there is no term "{name}". Terms: {", ".join(self.slices)}.'
            )
        return self.slices[name]


def tangent_kernel(
    terms: Mapping[str, Term],
    params: Any,
    *,
    max_points: int = 500,
    max_bytes: int = 2**31,
) -> TangentKernel:
    r"""The kernel of a network's residuals, in float64.

    $$ K_{ij} = \sum_p \frac{\partial r_i}{\partial \theta_p}
       \frac{\partial r_j}{\partial \theta_p} $$

    The Jacobian is that of one point at a time under `vmap`, array by array of the
    parameters.

    **Arguments:**
    - `terms`: name -> (`residual`, points): `residual(params, point)` gives a number or
      a vector for one point; points is an array, or a pytree of arrays, with the points
      along the leading axis. Points may be `None`: `residual(params, None)` then gives
      all residuals of the term at once (slower by the number of residuals).
    - `params`: any pytree; what counts in it, and in which mode, is as for
      `HessianOperator`.
    - `max_points`: residuals altogether at most: the kernel is dense.
    - `max_bytes`: of the Jacobian and the kernel.

    **Returns:** `TangentKernel`.
    **Raises:** `ConfigError` for no terms, no parameters, complex ones or too many
    residuals; `ShapeError` for points of different lengths or a residual that is no
    array; `DataError` for slopes that are not finite.
    **Source:** Jacot, Gabriel, Hongler 2018, arXiv:1806.07572; weights: Wang, Yu,
    Perdikaris 2022, arXiv:2007.14527, equations 6.5 and 6.6.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import tangent_kernel
    >>> line = lambda w, x: w[0] + w[1] * x
    >>> x = np.array([0.0, 1.0])
    >>> found = tangent_kernel({"here": (line, x), "far": (line, 3 * x)}, np.ones(2))
    >>> print(found.block("here"), found.weights())
    [[1. 1.]
     [1. 2.]] {'here': 4.666666666666667, 'far': 1.2727272727272727}

    ```
    """
    if not terms:
        raise ConfigError("there are no terms. Give at least one residual.")
    with exact_products(np.float64):
        chosen, rest = cast(choose(params), np.float64)
        if any(np.iscomplexobj(x) for x in jax.tree.leaves(chosen)):
            raise ConfigError(
                "there are complex parameters; the kernel is that of real ones. Keep "
                "real and imaginary parts as two real arrays."
            )
        size = sum(x.size for x in jax.tree.leaves(chosen))
        made, slices, done = [], {}, 0
        for name, (residual, points) in terms.items():
            points = cast(points, np.float64)
            jacobian = _Slopes(residual, rest, points is None)
            _check_points(name, points)
            _check_residual(name, jacobian, chosen, points)
            like = eqx.filter_eval_shape(_rows, jacobian, chosen, points)
            count = jax.tree.leaves(like)[0].shape[0]
            slices[name] = slice(done, done + count)
            done += count
            made.append((jacobian, points))
            if done > max_points:
                raise ConfigError(
                    f'with term "{name}" there are {done} residuals; max_points allows '
                    f"{max_points}. Take a part of the points, or raise max_points."
                )
            if (needed := 8 * done * (size + done)) > max_bytes:
                raise ConfigError(
                    f"slopes of {done} residuals by {size} parameters need about "
                    f"{needed / 2**20:.0f} MiB; max_bytes allows "
                    f"{max_bytes / 2**20:.0f}. Take fewer points, or raise max_bytes."
                )
        rows = [_slopes(jacobian, chosen, points) for jacobian, points in made]
        parts = [jax.tree.leaves(r) for r in rows]
        stacked = [np.concatenate(leaf) for leaf in zip(*parts, strict=True)]
    for name, at in slices.items():
        if not all(np.isfinite(leaf[at]).all() for leaf in stacked):
            raise DataError(
                f'the slopes of the term "{name}" are not finite. Look for NaN in '
                "points and parameters, or for a root or a logarithm at 0."
            )
    matrix = np.zeros((done, done))
    for leaf in stacked:
        matrix += leaf @ leaf.T
    return TangentKernel(matrix, slices)


class _Slopes(eqx.Module):
    """Residuals of one term as a function of the chosen arrays."""

    residual: Any
    rest: Any
    whole: bool = eqx.field(static=True)

    def value(self, chosen: Any, point: Any) -> Any:
        """What the residual gives at one point."""
        return self.residual(eqx.combine(chosen, self.rest), point)

    def __call__(self, chosen: Any, point: Any) -> Array:
        return jnp.ravel(self.value(chosen, point))


def _rows(slopes: _Slopes, chosen: Any, points: Any) -> Any:
    """Jacobian of one term, every leaf `"residual parameter"`."""
    one = lambda point: jax.jacrev(slopes)(chosen, point)
    found = one(points) if slopes.whole else jax.vmap(one)(points)
    count = lambda leaf, like: math.prod(leaf.shape[: leaf.ndim - like.ndim])
    flat = lambda leaf, like: leaf.reshape((count(leaf, like), like.size))
    return jax.tree.map(flat, found, chosen)


def _slopes(slopes: _Slopes, chosen: Any, points: Any) -> Any:
    """The same on the host."""
    return jax.tree.map(np.asarray, eqx.filter_jit(_rows)(slopes, chosen, points))


def _check_residual(name: str, slopes: _Slopes, chosen: Any, points: Any) -> None:
    """Refuse what is no array of real numbers."""
    one = points if slopes.whole else jax.tree.map(lambda x: x[0], points)
    found = eqx.filter_eval_shape(slopes.value, chosen, one)
    number = found if isinstance(found, jax.ShapeDtypeStruct) else np.asarray(found)
    if not np.issubdtype(number.dtype, np.floating):
        kind = type(found).__name__ if number.dtype == object else number.dtype
        raise ShapeError(
            f'the residual of term "{name}" is {kind}; expected a real number or a '
            "vector for each point. Give several as terms of their own."
        )


def _check_points(name: str, points: Any) -> None:
    """Refuse points without one leading axis in common."""
    leaves = [x for x in jax.tree.leaves(points) if eqx.is_array(x)]
    lengths = {x.shape[0] if x.ndim else 0 for x in leaves}
    if points is not None and (len(lengths) != 1 or 0 in lengths):
        raise ShapeError(
            f'the points of term "{name}" have shapes '
            f"{', '.join(str(x.shape) for x in leaves) or 'of no array'}; they need "
            "one leading axis in common, and at least one point."
        )
