"""What a curvature says about a loss under noise, from products with random signs."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from ._hessian import AbstractCurvature
from ._trace import rademacher


_GROUPS = 10  # of probes, for the error of a sum over pairs of them


@dataclasses.dataclass(frozen=True)
class Probed:
    """Estimates on A at level 1, each with its standard error.

    `gap`: tr A / 2; `curvature`: tr A^2 / 2; `kurtosis`: sum (kappa_i - 3) A_ii^2 / 4;
    `second`: error of the sum of the last two; `blocks`: path of an array -> its part
    of `gap` and the error of that.
    """

    gap: tuple[float, float]
    curvature: float
    kurtosis: float
    second: float
    blocks: dict[str, tuple[float, float]]


def probed(
    op: AbstractCurvature, kurtosis: np.ndarray, probes: int, key: PRNGKeyArray
) -> Probed:
    r"""All estimates from the same products A z with random signs z.

    With d = z * (A z), whose mean is the diagonal of A, the mean of
    $(\sum_i w_i d_i d'_i)$ over all pairs of different probes is
    $\sum_i w_i A_{ii}^2$ without bias: the square of a mean would add its variance.
    The error of that sum is the jackknife's over ten groups of probes.
    """
    excess = kurtosis - 3.0
    groups = min(_GROUPS, probes) if excess.any() else 1
    sums = np.zeros((groups, op.size))
    gap, second, own = np.zeros((3, probes))
    pieces = np.zeros((probes, len(op.slices)))
    for i in range(probes):
        z = rademacher(op, jax.random.fold_in(key, i))
        az = op(z).astype(np.float64)
        d = z * az
        gap[i], second[i] = 0.5 * d.sum(), 0.5 * (az @ az)
        pieces[i] = [0.5 * d[at].sum() for at in op.slices.values()]
        if groups > 1:
            sums[i % groups] += d
            own[i] = excess @ d**2
    columns = zip(op.slices, pieces.T, strict=True)
    blocks = {name: mean_error(column) for name, column in columns}
    curvature, error = mean_error(second)
    if groups == 1:
        return Probed(mean_error(gap), curvature, 0.0, error, blocks)
    total = sums.sum(axis=0)
    whole = 0.25 * _pairs(total, own, excess)
    without = []
    for g in range(groups):
        rest = np.arange(probes) % groups != g
        pairs = 0.25 * _pairs(total - sums[g], own[rest], excess)
        without.append(second[rest].mean() + pairs)
    spread = np.sum((np.array(without) - np.mean(without)) ** 2)
    error = float(np.sqrt((groups - 1) / groups * spread))
    return Probed(mean_error(gap), curvature, whole, error, blocks)


def _pairs(total: np.ndarray, own: np.ndarray, excess: np.ndarray) -> float:
    """sum_i w_i A_ii^2 from the sum of d over probes, and each one's w_i d_i^2."""
    count = len(own)
    return float((excess @ total**2 - own.sum()) / (count * (count - 1)))


def mean_error(samples: np.ndarray) -> tuple[float, float]:
    """Mean and its standard error."""
    with np.errstate(invalid="ignore"):
        error = samples.std(ddof=1) / np.sqrt(len(samples))
        return float(samples.mean()), float(error)


def variance_error(samples: np.ndarray) -> tuple[float, float]:
    """Variance and its standard error."""
    count = len(samples)
    with np.errstate(invalid="ignore"):
        off = samples - samples.mean()
        variance = float(off @ off) / (count - 1)
        fourth = float(np.mean(off**4))
        left = fourth - variance**2 * (count - 3) / (count - 1)
        return variance, float(np.sqrt(np.maximum(left, 0.0) / count))
