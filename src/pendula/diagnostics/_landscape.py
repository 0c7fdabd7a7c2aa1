"""The loss around a point: along a line, over a plane."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import ArrayLike

from .._checks import whole
from .._errors import ConfigError, DataError, ShapeError
from .._precision import exact_products
from ._eigenvalues import top_eigenvalues
from ._hessian import AbstractCurvature
from ._landscape_plot import plot_landscape


if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class Landscape:
    """Values of a loss on a grid around parameters theta.

    `alpha` `"a"`, `beta` `"b"` (None on a line): coordinates along the directions;
    `loss` `"a"` or `"a b"`; `directions` `"d n"`, as they were used.
    """

    alpha: np.ndarray
    beta: np.ndarray | None
    loss: np.ndarray
    directions: np.ndarray

    def roughness(self) -> float:
        r"""How far from one valley the slices are: the way up and down along the grid
        lines beyond that of a curve which only falls and then rises between the same
        ends and the same lowest point, in units of the latter.

        $$ \frac{\sum |\ell_{i+1} - \ell_i| - v}{\max(v,\, \max \ell - \min \ell)},
           \quad v = (\ell_0 - \min \ell) + (\ell_{end} - \min \ell),
           \quad \ell = \log_{10} L $$

        each summed over the lines of the grid first. 0 for a landscape whose slices
        have a single lowest point each. Where they have a barrier between low ends,
        their height counts instead of the valley that is not there: 2 for a line over
        one barrier between two equally deep ends. It changes neither with the scale of
        the loss nor, on a grid fine enough, with the number of points.
        """
        logs = self._logs()
        lines = [logs] if logs.ndim == 1 else [*logs, *logs.T]
        way = sum(float(np.abs(np.diff(line)).sum()) for line in lines)
        least = sum(float(line[0] + line[-1] - 2.0 * line.min()) for line in lines)
        height = sum(float(np.ptp(line)) for line in lines)
        return max(0.0, (way - least) / max(least, height)) if height > 0.0 else 0.0

    def asymmetry(self) -> float:
        """RMS difference of log10 of the loss at opposite points, over the standard
        deviation of log10 of the loss; 0 for an even landscape. The grid has to be
        even about 0 in every direction."""
        for name, axis in (("alpha", self.alpha), ("beta", self.beta)):
            if axis is not None and not np.allclose(axis, -axis[::-1]):
                raise ConfigError(
                    f"{name} runs from {axis[0]:g} to {axis[-1]:g}: opposite points "
                    "are missing. Give a span that is even about 0."
                )
        logs = self._logs()
        spread = float(logs.std())
        gap = float(np.sqrt(np.mean((logs - np.flip(logs)) ** 2)))
        return gap / spread if spread > 0.0 else 0.0

    def plot(self, ax: Axes | None = None) -> Axes:
        """The loss on a line, or as a map with contours, on a logarithmic scale; the
        parameters themselves are marked. Values that have no logarithm are left out.

        **Raises:** `DataError` where none has one.
        """
        return plot_landscape(self, ax)

    def _logs(self) -> np.ndarray:
        """log10 of the loss, which has to be positive and finite."""
        if not (np.isfinite(self.loss).all() and (self.loss > 0.0).all()):
            raise DataError(
                "the landscape holds values that are not finite or not above 0: its "
                "logarithm cannot be taken. Shorten the span."
            )
        return np.log10(self.loss)


def landscape(
    op: AbstractCurvature,
    directions: ArrayLike | None = None,
    *,
    span: tuple[float, float] = (-0.5, 0.5),
    relative: bool = False,
    points: int = 51,
    at_once: int = 1,
    max_bytes: int = 2**30,
) -> Landscape:
    r"""The loss on a grid of a line or a plane through the parameters.

    $$ f(\alpha, \beta) = L(\theta + \alpha d_1 + \beta d_2) $$

    **Arguments:**
    - `op`: `HessianOperator` or `GaussNewtonOperator`: loss, parameters, data, batches
      and precision are its own.
    - `directions`: `"n"` or `"d n"` with d = 1 or 2, used as they are; None: the two
      leading eigenvectors of the Hessian, of length 1 (of a Gauss-Newton operator:
      its own). See `random_directions`, `line_to`.
    - `span`: range of alpha and beta; `relative`: in units of the length of theta,
      which must not be 0.
    - `points`: along each axis; odd, so that an even span meets theta.
    - `at_once`: grid points evaluated together.
    - `max_bytes`: memory that the evaluation may take.

    **Returns:** `Landscape`, float64 where the operator is.
    **Raises:** `ShapeError`; `DataError` where no value is finite; `ConfigError` for a
    span upside down, `relative` to a length of 0, or a grid that would take more than
    `max_bytes`: estimated first from the sizes of directions, grid and
    parameters, then read from the compiled program.
    **Source:** Li, Xu, Taylor, Studer, Goldstein 2018, arXiv:1712.09913; eigenvectors
    as in Krishnapriyan, Gholami, Zhe, Kirby, Mahoney 2021, arXiv:2109.01050.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import HessianOperator, landscape
    >>> loss = lambda w, _: 1.0 + jnp.sum(jnp.asarray([4.0, 1.0, 0.5]) * w**2)
    >>> op = HessianOperator(loss, np.zeros(3), dtype=np.float64)
    >>> found = landscape(op, span=(-1.0, 1.0), points=3)
    >>> print(found.loss.round(9))
    [[6. 5. 6.]
     [2. 1. 2.]
     [6. 5. 6.]]

    ```
    """
    low, high = _ends(span)
    whole(2, points=points)
    whole(1, at_once=at_once)
    along = None if directions is None else _checked(op, directions)
    axes = 2 if along is None else len(along)
    _refuse(_least_bytes(op, axes, points, at_once), max_bytes, op, points, axes)
    if along is None:
        if op.size < 2:
            raise ConfigError(
                "there is one parameter, and no plane through it. Give a direction."
            )
        along = top_eigenvalues(op, 2).vectors
    if relative:
        along = _length(op) * along
    axis = np.linspace(low, high, points)
    grid = np.stack(np.meshgrid(*[axis] * len(along), indexing="ij"), axis=-1)
    places = grid.reshape(-1, len(along)).astype(op.dtype)
    form, arrays = op.surface()
    with exact_products(op.dtype):
        told = (form, arrays, op.flat, along.astype(op.dtype), places)
        program = _values.lower(*told, at_once).compile()
        _refuse(_program_bytes(program), max_bytes, op, points, axes)
        values = np.asarray(program(*told[1:]))
    if not np.isfinite(values).any():
        raise DataError(
            "no value of the landscape is finite. Look for NaN in data, parameters and "
            "directions, or shorten the span."
        )
    shape = (points,) * len(along)
    beta = axis if len(along) == 2 else None
    return Landscape(axis, beta, values.reshape(shape), along)


@functools.partial(jax.jit, static_argnums=(0, 5))
def _values(
    form: Any, arrays: list[Any], flat: Any, along: Any, places: Any, at_once: int
) -> Array:
    """The loss at every place of the grid."""
    loss = form.join(arrays)
    at = lambda place: loss(flat + place @ along)
    if at_once == 1:
        return jax.lax.map(at, places)
    return jax.lax.map(at, places, batch_size=at_once)


def _ends(span: tuple[float, float]) -> tuple[float, float]:
    """The lower end and the upper one."""
    ends = np.asarray(span)
    real = np.issubdtype(ends.dtype, np.number) and np.isfinite(ends).all()
    if ends.shape != (2,) or not real or not ends[0] < ends[1]:
        raise ConfigError(
            f"span is {span}; it must be two numbers, a lower end below the upper one."
        )
    return float(ends[0]), float(ends[1])


def _checked(op: AbstractCurvature, directions: ArrayLike) -> np.ndarray:
    """One or two flat vectors, `"d n"`."""
    try:
        given = np.asarray(directions, op.dtype)
    except ValueError as error:
        raise ShapeError(
            f"directions are no array of numbers ({error}). Give one or two flat "
            f"vectors ({op.size},)."
        ) from None
    along = np.atleast_2d(given)
    if along.shape not in ((1, op.size), (2, op.size)):
        raise ShapeError(
            f"directions has shape {given.shape}; expected ({op.size},), "
            f"(1, {op.size}) or (2, {op.size}): one or two flat vectors."
        )
    return along


def _length(op: AbstractCurvature) -> float:
    """Of the vector of parameters, which has to have one."""
    length = float(np.linalg.norm(op.flat))
    if length == 0.0:
        raise ConfigError(
            "relative: the operator's vector of parameters has the length 0 (that of "
            "a ScaledCurvature always has): every point would be the same. Give a "
            "span in absolute units."
        )
    return length


def _least_bytes(op: AbstractCurvature, axes: int, points: int, at_once: int) -> int:
    """Grid, directions and the parameters of the points at once: what is needed at
    the least, before the network's own arrays."""
    numbers = points**axes * (1 + axes) + (1 + axes + at_once) * op.size
    return numbers * op.dtype.itemsize


def _program_bytes(program: Any) -> int:
    """Memory of the compiled program; 0 where the platform does not tell."""
    found = program.memory_analysis()
    names = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    return sum(int(getattr(found, name, 0) or 0) for name in names)


def _refuse(
    needed: int, max_bytes: int, op: AbstractCurvature, points: int, axes: int
) -> None:
    if needed > max_bytes:
        raise ConfigError(
            f"a grid of {' x '.join([str(points)] * axes)} points over {op.size} "
            f"parameters needs about {needed / 2**20:.0f} MiB; max_bytes allows "
            f"{max_bytes / 2**20:.0f}. Take fewer points, a smaller at_once, a "
            "smaller batch_size of the operator, or raise max_bytes."
        )
