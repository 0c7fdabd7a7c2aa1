"""In which ways a new member leaves the family that was learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ._field import terms_of
from ._reaction import Reaction


if TYPE_CHECKING:
    from ._family import Family

FAR = 4.0  # Mahalanobis distance beyond which a member is outside the family
OUTSIDE = 0.2  # share of the range visited in training
LOOSE = 2.0  # residuals over those accounted for above which another law may act
SMALL = 0.01  # residuals, in spreads, below which a law holds whatever was expected


def eta_outside(family: Family, eta: np.ndarray) -> list[str]:
    """In which ways an eta leaves the family."""
    said = []
    off = eta - family.mean
    distance = float(np.sqrt(off @ np.linalg.solve(family.covariance, off)))
    low, high = family.etas.min(0), family.etas.max(0)
    beyond = np.flatnonzero((eta < low - 1e-9) | (eta > high + 1e-9))
    if distance > FAR:
        said.append(
            f"eta is {distance:.1f} standard deviations from those of the training "
            "systems"
        )
    for k in beyond:
        side = "above" if eta[k] > high[k] else "below"
        said.append(
            f"eta[{k}] = {eta[k]:.4g} is {side} the training range "
            f"[{low[k]:.4g}, {high[k]:.4g}]"
        )
    if not said and (away := beyond_hull(family.etas, eta)) is not None:
        said.append(
            "eta is outside the convex hull of those of the training systems, toward "
            f"{np.array2string(away, precision=2)}"
        )
    return said


def law_outside(misfit: float, residual: float) -> list[str]:
    """What is said of a `residual`, in spreads, `misfit` times what is accounted
    for."""
    if not (misfit > LOOSE and residual > SMALL):
        return []
    return [
        f"its residuals, {100 * residual:.2g} % of the spread, are {misfit:.2g} times "
        "what noise and the error of the law account for: another law may act on it, "
        "or the record is longer than this one stays good"
    ]


def law_lines(about: dict[str, Any]) -> list[str]:
    """A sentence where the law misses the clips of its own training by more than their
    noise."""
    share = np.asarray(about["noise"]) / np.asarray(about["spread"])
    size, noise = np.sqrt(about["variance"]), np.sqrt(np.mean(share**2))
    if not size > max(LOOSE * noise, SMALL):
        return []
    return [
        f"The law misses the clips of its training by {100 * size:.2g} % of the "
        f"spread, their noise is {100 * noise:.2g} %: something else acts on these "
        "systems, the order of a channel is another one, or the training was too "
        "short. Let it learn more, or give eta another entry."
    ]


def states_outside(
    family: Family, lowest: Float[np.ndarray, "obs"], highest: Float[np.ndarray, "obs"]
) -> list[str]:
    """Which channels of a record leave the range that the training visited."""
    said = []
    where = np.asarray(family.plan.observed)
    bottom = np.asarray(family.about["low"])[where]
    top = np.asarray(family.about["high"])[where]
    if any(isinstance(t, Reaction) for t in terms_of(family.model.field)):
        # what one node visited is known for all
        bottom, top = np.full_like(bottom, bottom.min()), np.full_like(top, top.max())
    margin = OUTSIDE * (top - bottom)
    names = family.about["names"]
    for j in np.flatnonzero(lowest < bottom - margin):
        said.append(f"{names[j]} reaches {lowest[j]:.4g}, below {bottom[j]:.4g}")
    for j in np.flatnonzero(highest > top + margin):
        said.append(f"{names[j]} reaches {highest[j]:.4g}, above {top[j]:.4g}")
    return said


def beyond_hull(
    etas: Float[np.ndarray, "system eta"], eta: Float[np.ndarray, " eta"]
) -> Float[np.ndarray, " eta"] | None:
    """The way out of the convex hull of the training etas, of length 1 in standard
    deviations; None inside it, or less than a hundredth outside."""
    from scipy.optimize import nnls

    spread = etas.std(axis=0) + 1e-12
    points = (etas - etas.mean(axis=0)) / spread
    z = (eta - etas.mean(axis=0)) / spread
    heavy = 1e4  # the weights of the corners sum to 1
    rows = np.vstack([points.T, np.full(len(points), heavy)])
    weights, _ = nnls(rows, np.append(z, heavy))
    off = z - points.T @ weights
    distance = float(np.linalg.norm(off))
    return off / distance if distance > 0.01 else None
