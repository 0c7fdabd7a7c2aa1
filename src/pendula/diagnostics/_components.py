"""How many directions of eta the systems of a family fill, by eigenvalues."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from .._errors import ConfigError, DataError, ShapeError
from ._shapes import aligned
from ._words import number, percent


SHARE = 0.99
FEWEST = 3  # two points always lie on a line
FEW = 5  # below it a direction more or less is a matter of one system


@dataclasses.dataclass(frozen=True, eq=False)
class PrincipalDimension:
    """How many principal components of eta the systems of a family fill.

    **Shapes and units:** `eigenvalues` `"eta"`, the largest first: variance of eta
    along each component; `explained` `"eta"` cumulative share of the variance;
    `share` that was asked for; `estimate`: the fewest components with at least that
    share; `elbow`: components before the sharpest bend of the logarithmic spectrum,
    None where none bends; `systems` N.
    """

    eigenvalues: np.ndarray
    explained: np.ndarray
    share: float
    estimate: int
    elbow: int | None
    systems: int

    @property
    def text(self) -> str:
        """The counts in one sentence."""
        return _sentence(self, "the variance of eta")


@dataclasses.dataclass(frozen=True, eq=False)
class SensitiveDimension:
    """How many directions of eta vary over the family and move the trajectory.

    **Shapes and units:** `eigenvalues` `"eta"`, the largest first [squared unit of the
    trajectory's residuals]: how far the trajectory moves when eta varies along a
    direction as it does over the family; `explained`, `share`, `estimate`, `elbow`,
    `systems` as in `PrincipalDimension`, of that movement; `directions` `"eta kept"`:
    the `estimate` directions that are kept, one in a column, each one standard
    deviation of eta long.
    """

    eigenvalues: np.ndarray
    explained: np.ndarray
    share: float
    estimate: int
    elbow: int | None
    systems: int
    directions: np.ndarray

    @property
    def text(self) -> str:
        """The counts in one sentence."""
        return _sentence(self, "what eta moves in the trajectory")


def principal_dimension(etas: ArrayLike, *, share: float = SHARE) -> PrincipalDimension:
    r"""Count the principal components of the adapted eta: centred, not scaled.

    $$ C = \frac{1}{N-1} \sum_i (\eta^i - \bar\eta)(\eta^i - \bar\eta)^T, \quad
       \hat d = \min \Big\{ d : \sum_{k \le d} \lambda_k \ge s \sum_k \lambda_k
       \Big\}, \quad
       d_{elbow} = \arg\max_k\, \Delta^2 \log \lambda_k $$

    with $\lambda_k$ the eigenvalues of C in decreasing order and
    $\Delta^2 \log \lambda_k = \log\lambda_k - 2\log\lambda_{k+1} + \log\lambda_{k+2}$.

    **Shapes and units**: `etas` `"system eta"`.
    **Arguments:**
    - `etas`: the vector of each system.
    - `share`: s, between 0 and 1. 0.99 as in the source.

    **Returns:** `PrincipalDimension`.
    **Raises:** `ShapeError`; `ConfigError` for a share outside (0, 1); `DataError` for
    fewer than 3 systems, for values that are not finite and for systems that all have
    the same eta.
    **Behaviour:** depends on the units of eta, which only the training has chosen
    (`sensitive_dimension` does not). A curved line counts as 2 or more. The elbow
    needs 3 eigenvalues and looks at the first N - 1 only: the others are 0 because
    systems are few, whatever the family.
    **Source:** Li, Wang, Roychowdhury, Jawed 2023, Phys. Rev. Lett. 131, 067301
    (share of 99 %); the elbow is ours.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import principal_dimension
    >>> rng = np.random.default_rng(0)
    >>> etas = rng.normal(size=(20, 2)) @ rng.normal(size=(2, 4))
    >>> found = principal_dimension(etas + 1e-3 * rng.normal(size=(20, 4)))
    >>> print(found.text)
    2 of 4 directions hold 99 % of the variance of eta over 20 systems; elbow at 2.

    ```
    """
    values = checked_etas(etas)
    _check_share(share)
    _, sizes, _ = _spread(values)
    return PrincipalDimension(*_counts(sizes**2, values.shape, share))


def sensitive_dimension(
    etas: ArrayLike, fisher: ArrayLike, *, share: float = SHARE
) -> SensitiveDimension:
    r"""Count the directions of eta that vary and also move the trajectory.

    $$ C^{1/2} F\, C^{1/2} v_k = \lambda_k v_k, \quad C = \mathrm{Cov}(\eta), \quad
       F = \frac 1N \sum_i J_i^T J_i, \quad J_i = \partial r_i / \partial \eta $$

    Where an eta may wander without effect, principal components count the wandering;
    here such a direction has $\lambda \approx 0$ and is removed. The sum of
    $\lambda$ is the mean square by which the trajectories differ, to first order.

    **Shapes and units**: `etas` `"system eta"`; `fisher` `"eta eta"` (F) or
    `"system eta eta"` ($J_i^T J_i$ of each system) [squared unit of the residuals per
    squared unit of eta].
    **Arguments:**
    - `etas`: the vector of each system.
    - `fisher`: symmetric, no negative eigenvalue.
    - `share`: of the sum of $\lambda$, between 0 and 1.

    **Returns:** `SensitiveDimension`. Its directions are $C^{1/2} v_k$.
    **Raises:** `ShapeError`; `ConfigError` for a share outside (0, 1); `DataError` as
    in `principal_dimension`, and for a `fisher` that is not finite, not symmetric, has
    a negative eigenvalue or in which no direction that varies has an effect.
    **Behaviour:** the same for $A\eta$ with $A^{-T} F A^{-1}$, whatever A: it does
    not matter in which coordinates a network has learned eta.
    **Source:** ours.

    ```python
    >>> import numpy as np
    >>> from pendula.diagnostics import principal_dimension, sensitive_dimension
    >>> etas = np.random.default_rng(0).normal(size=(20, 2))
    >>> fisher = np.diag([1.0, 1e-6])  # the second entry moves nothing
    >>> principal_dimension(etas).estimate, sensitive_dimension(etas, fisher).estimate
    (2, 1)

    ```
    """
    values = checked_etas(etas)
    _check_share(share)
    varied, matrix, unit = balanced(values, checked_fisher(fisher, values))
    _, sizes, axes = _spread(varied)
    root = sizes[:, None] * axes  # root' root = C
    eigen, vectors = np.linalg.eigh(root @ matrix @ root.T)
    order = np.argsort(eigen)[::-1]
    eigen, vectors = np.maximum(eigen[order], 0.0), vectors[:, order]
    # what is left of a sum that cancels is no effect
    scale = np.trace(matrix) * np.sum(sizes**2)
    if eigen[0] <= np.finfo(float).eps * scale:
        raise DataError(
            "fisher: eta varies over the systems only where it moves no trajectory. "
            "Expected an effect: check that J is that of these systems, or train "
            "longer."
        )
    counts = _counts(eigen, values.shape, share)
    directions = unit[:, None] * (root.T @ vectors[:, : counts[3]])
    largest = np.argmax(np.abs(directions), axis=0)
    signs = np.sign(directions[largest, np.arange(counts[3])])
    return SensitiveDimension(*counts, directions * signs)


def checked_etas(etas: ArrayLike) -> np.ndarray:
    """`"system eta"` in float64, of at least 3 systems that differ.

    **Raises:** `ShapeError`, `DataError`.
    """
    values = finite("etas", etas, "system eta")
    if len(values) < FEWEST:
        raise DataError(
            f"etas: {len(values)} systems; at least {FEWEST} are needed to tell how "
            "many directions a family fills, 10 to judge it. Adapt to more systems."
        )
    if not np.any(_varies(values)):
        raise DataError(
            f"etas: all {len(values)} systems have the same eta; expected that they "
            "differ. Check that the systems do, and that eta was adapted."
        )
    return values


def checked_fisher(fisher: ArrayLike, etas: np.ndarray) -> np.ndarray:
    """The mean sensitivity `"eta eta"`, symmetric, for checked etas.

    **Raises:** `ShapeError`, `DataError`.
    """
    given = np.asarray(fisher)
    if given.ndim not in (2, 3):
        raise ShapeError(
            f"fisher has shape {given.shape}; expected (eta, eta) or (system, eta, "
            "eta)."
        )
    axes = "eta other" if given.ndim == 2 else "system eta other"
    matrix = finite("fisher", given, axes)
    square = axes.replace("other", "eta")
    aligned(("etas", etas, "system eta"), ("fisher", matrix, square))
    matrix = matrix if matrix.ndim == 2 else matrix.mean(axis=0)
    size = float(np.max(np.abs(matrix), initial=0.0))
    lopsided = float(np.max(np.abs(matrix - matrix.T), initial=0.0))
    if lopsided > 1e-4 * size:  # sums of float32 products agree to about 1e-6
        raise DataError(
            f"fisher: not symmetric, entries differ by {number(lopsided)} of "
            f"{number(size)}; expected J'J. Give J.T @ J of the residuals."
        )
    matrix = 0.5 * (matrix + matrix.T)
    lowest = float(np.linalg.eigvalsh(matrix)[0])
    if lowest < -1e-4 * size:
        raise DataError(
            f"fisher: has a negative eigenvalue, {number(lowest)}; expected J'J, which "
            "has none. Give J.T @ J of the residuals."
        )
    return matrix


def balanced(
    etas: np.ndarray, matrix: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centred etas with each entry in units of its own spread, `matrix` in those units,
    and the units: entries of very different size then lose no digits to each other."""
    varies = _varies(etas)
    centred = np.where(varies, etas - etas.mean(axis=0), 0.0)
    unit = np.where(varies, centred.std(axis=0), 1.0)
    return centred / unit, matrix * np.outer(unit, unit), unit


def finite(name: str, values: ArrayLike, axes: str) -> np.ndarray:
    """An array of those axes without gaps; the message names the first one.

    **Raises:** `ShapeError`, `DataError`.
    """
    (array,) = aligned((name, values, axes))
    array = array.astype(np.float64)
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = ", ".join(
            f"{word} {k}" for word, k in zip(axes.split(), wrong[0], strict=True)
        )
        raise DataError(
            f"{name}, {place}: {array[tuple(wrong[0])]}; expected finite numbers. "
            "Leave that system out."
        )
    return array


def _varies(etas: np.ndarray) -> np.ndarray:
    """Bool `"eta"`: the entries that differ by more than rounding."""
    noise = len(etas) * np.finfo(float).eps * np.max(np.abs(etas), axis=0)
    return np.ptp(etas, axis=0) > noise


def _spread(etas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular value decomposition of the centred etas, scaled so that the squares of
    the singular values are variances."""
    centred = etas - etas.mean(axis=0)
    return np.linalg.svd(centred / np.sqrt(len(etas) - 1), full_matrices=False)


def _check_share(share: float) -> None:
    try:
        inside = bool(0 < share < 1)
    except (TypeError, ValueError):  # a text, None, several numbers
        inside = False
    if not inside:
        raise ConfigError(f"share is {share}; it must lie between 0 and 1.")


def _counts(
    eigen: np.ndarray, shape: tuple[int, ...], share: float
) -> tuple[np.ndarray, np.ndarray, float, int, int | None, int]:
    """The fields that both results have, from eigenvalues in decreasing order."""
    systems, size = shape
    # fewer systems than entries of eta leave directions without any variance
    eigen = np.concatenate([eigen, np.zeros(size - len(eigen))])
    explained = np.cumsum(eigen) / np.sum(eigen)
    estimate = int(np.flatnonzero(explained >= share - 1e-12)[0]) + 1
    elbow = _elbow(eigen[: systems - 1])
    return eigen, explained, float(share), estimate, elbow, systems


def _elbow(eigen: np.ndarray) -> int | None:
    """Eigenvalues before the sharpest upward bend of their logarithms."""
    if len(eigen) < 3:
        return None
    floor = len(eigen) * np.finfo(float).eps * eigen[0]
    bend = np.diff(np.log(np.maximum(eigen, floor)), 2)
    # straight to rounding, or bent down: the spectrum has no floor to reach
    return int(np.argmax(bend)) + 1 if bend.max() > 1e-9 else None


def _sentence(found: PrincipalDimension | SensitiveDimension, what: str) -> str:
    elbow = "no elbow" if found.elbow is None else f"elbow at {found.elbow}"
    verb = "holds" if found.estimate == 1 else "hold"
    return (
        f"{found.estimate} of {len(found.eigenvalues)} directions {verb} "
        f"{percent(found.share)} of {what} over {found.systems} systems; {elbow}."
    )
