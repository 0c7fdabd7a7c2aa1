"""How well measurements determine what was looked for: Laplace's approximation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from .._errors import DataError, ShapeError
from ._unknown import Unknown
from ._window import CUT, System


_LIMIT = 1.959963984540054  # 97.5 % of a normal distribution lie below
_FLAT = 1e-11  # of a column: what is left of it then is rounding


@dataclasses.dataclass(frozen=True)
class Estimated:
    """A number that was found: value, standard deviation, and the interval that holds
    it with 95 %.

    The interval of a positive unknown is symmetric in its logarithm.
    """

    value: float
    sd: float
    interval: tuple[float, float]


def marginal(
    rows_of_parameters: Float[np.ndarray, "row parameter"],
    rows_of_weights: Float[np.ndarray, "other weight"] | None = None,
) -> Float[np.ndarray, "parameter parameter"]:
    r"""The covariance of parameters where the weights are unknown, too.

    $$ C = \big(J_p^\top (1 - P_w) J_p\big)^{-1} $$

    with $P_w$ the projection on what the weights can do: the inverse of the Schur
    complement of $J^\top J$, without forming that product.

    **Shapes and units**: slopes of rows whose standard deviation is 1. **Returns:**
    the covariance; infinite on the diagonal for a parameter that the rows do not
    determine.
    **Raises:** `ShapeError` for different numbers of rows; `DataError` for slopes that
    are not finite.
    **Source:** MacKay 1992, A practical Bayesian framework for backpropagation
    networks, Neural Computation 4, 448-472, equation 2.6.

    ```python
    >>> import numpy as np
    >>> from pendula.solutions._laplace import marginal
    >>> line = np.stack([np.ones(4), np.arange(4.0)], axis=1)
    >>> float(marginal(line[:, 1:], line[:, :1])[0, 0].round(12))
    0.2

    ```
    """
    own = rows_of_parameters
    if rows_of_weights is not None:
        if len(rows_of_weights) != len(own):
            raise ShapeError(
                f"marginal: {len(own)} rows of parameters and {len(rows_of_weights)} "
                "of weights. Both belong to the same rows."
            )
        if not np.isfinite(rows_of_weights).all():
            raise DataError("marginal: slopes in the weights hold NaN or infinity.")
    if not np.isfinite(own).all():
        raise DataError("marginal: slopes in the parameters hold NaN or infinity.")
    size = np.maximum(np.linalg.norm(own, axis=0), 1e-300)
    left = own / size
    if rows_of_weights is not None:
        left = _without(left, rows_of_weights)
    _, s, vt = np.linalg.svd(left)
    kept = np.concatenate([s, np.zeros(len(vt) - len(s))]) > _FLAT
    s = s[s > _FLAT]
    inverse = vt[kept].T / s
    covariance = inverse @ inverse.T
    lost = np.any(np.abs(vt[~kept]) > 1e-6, axis=0)
    covariance[lost, lost] = np.inf
    return covariance / size[:, None] / size[None, :]


def _without(columns: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What is left of columns when the span of others is taken out; twice, as one pass
    leaves rounding of the size of what was taken."""
    u, s, _ = scipy.linalg.svd(others, full_matrices=False, check_finite=False)
    u = u[:, s > CUT * s.max(initial=0.0)]
    for _ in range(2):
        columns = columns - u @ (u.T @ columns)
    return columns


def estimated(unknown: Unknown, raw: float, sd: float) -> Estimated:
    """From what was solved for, and its standard deviation, to the number itself.

    **Arguments:** `raw`: 0 at the guess, as `Unknown.raw` gives; `sd`: of it.
    **Returns:** `Estimated`; its standard deviation by the slope of the transform, its
    interval by the transform of the ends.

    ```python
    >>> from pendula.solutions import Unknown
    >>> from pendula.solutions._laplace import estimated
    >>> found = estimated(Unknown("k", init=2.0, positive=True), 0.0, 0.1)
    >>> found.value, round(found.sd, 12)
    (2.0, 0.2)

    ```
    """
    value = exact(unknown, raw)
    low, high = raw - _LIMIT * sd, raw + _LIMIT * sd
    slope = unknown.scale * (value if unknown.positive else 1.0)
    return Estimated(value, slope * sd, (_safe(unknown, low), _safe(unknown, high)))


def exact(unknown: Unknown, raw: float) -> float:
    """`Unknown.value` in the host's float64, whatever the scope."""
    z = raw * unknown.scale
    return unknown.init * math.exp(z) if unknown.positive else unknown.init + z


def _safe(unknown: Unknown, raw: float) -> float:
    """The same where it may be infinite."""
    try:
        return exact(unknown, raw)
    except OverflowError:
        return math.inf


def posterior(system: System, found: Any) -> dict[str, Estimated]:
    r"""What the last window's rows say about the unknown parameters.

    Residuals of the equation count in units of $\sigma_r$ (`FrozenConfig.sigma_r`),
    measurements in units of their own standard deviation; the output weights are
    integrated out.

    **Arguments:** `system`: the window's equations; `found`: its solution, `Solved`.
    **Returns:** name -> `Estimated`.
    **Source:** as `marginal`.
    """
    _, matrix, _, _ = system.assemble(found.weights, found.unknown, True, None)
    assert matrix is not None
    first = system.layout.rows[0].block.num
    matrix = matrix * (np.sqrt(first) / system.layout.config.sigma_r)
    return of_rows(matrix, system.layout.problem.unknowns, found.unknown)


def of_rows(
    rows: Float[np.ndarray, "row column"],
    unknowns: Mapping[str, Unknown],
    raw: Float[np.ndarray, "unknown"],
) -> dict[str, Estimated]:
    """What rows of standard deviation 1 say about the unknown parameters, whose columns
    are the last, at `raw`."""
    count = len(unknowns)
    sd = np.sqrt(np.diag(marginal(rows[:, -count:], rows[:, :-count])))
    return {
        key: estimated(unknown, float(raw[k]), float(sd[k]))
        for k, (key, unknown) in enumerate(unknowns.items())
    }
