"""Which terms of a library the data do not ask for: backward elimination."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from jaxtyping import Bool, Float

from ._library import Library


DEGREE = 0.1  # how much more of its price a term pays for each degree


def eliminate(
    values: Float[np.ndarray, "coefficient"],
    covariance: Float[np.ndarray, "coefficient coefficient"],
    kept: Bool[np.ndarray, "coefficient"],
    degree: Float[np.ndarray, "coefficient"],
    threshold: float,
) -> tuple[Bool[np.ndarray, "coefficient"], Float[np.ndarray, "coefficient"]]:
    r"""The support S that the data ask for, and the best coefficients on it.

    $$ \max_S \; b_S^\top P_{SS}^{-1} b_S - \theta^2 \sum_{k \in S} w_k, \qquad
       P = C^{-1}, \quad b = P c $$

    With a Gaussian posterior of mean c and covariance C the first term is what a
    support explains (twice the log posterior), the second what its terms must be worth:
    a single coefficient that lies `threshold` standard deviations from 0 pays for
    itself. Terms of higher degree pay a little more: along few orbits many monomials
    imitate each other. Searched from two sides, all terms dropped one by one (of those
    not worth their price one of the highest degree first) and none, then by adding,
    dropping and exchanging single terms until nothing gains.

    **Returns:** what is left of `kept`, and its values (0 for what is not).
    **Source:** conditional Gaussians, Rasmussen and Williams 2006, appendix A.2; the
    search is ours.
    """
    index = np.flatnonzero(kept)
    c = covariance[np.ix_(index, index)]
    precision = np.linalg.inv(c)
    score = _Score(
        precision,
        precision @ values[index],
        threshold**2 * (1.0 + DEGREE * degree[index]),
    )
    backward = _backward(values[index], c, degree[index], score.price)
    starts = [backward, np.zeros(0, int)]
    best = max((_improved(score, s) for s in starts), key=lambda s: score(s[None])[0])
    out = np.zeros_like(values)
    out[index[best]] = score.solved(best)
    left = np.zeros_like(kept)
    left[index[best]] = True
    return left, out


@dataclasses.dataclass(frozen=True)
class _Score:
    """What supports are worth: see `eliminate`."""

    precision: np.ndarray
    b: np.ndarray
    price: np.ndarray

    def __call__(self, supports: np.ndarray) -> np.ndarray:
        """Worth of supports of equal size `"support term"`."""
        if not supports.size:
            return np.zeros(len(supports))
        b = self.b[supports]
        p = self.precision[supports[:, :, None], supports[:, None, :]]
        found = np.linalg.solve(p, b[..., None])[..., 0]
        return np.sum(b * found, axis=1) - np.sum(self.price[supports], axis=1)

    def solved(self, support: np.ndarray) -> np.ndarray:
        """The best coefficients on a support."""
        p = self.precision[np.ix_(support, support)]
        return np.linalg.solve(p, self.b[support])


def _backward(
    p: np.ndarray, c: np.ndarray, degree: np.ndarray, price: np.ndarray
) -> np.ndarray:
    """Terms dropped one by one. Setting $c_k = 0$ costs $c_k^2 / C_{kk}$ and moves the
    others by $-C_{:k} c_k / C_{kk}$."""
    left = np.ones(len(p), bool)
    while left.any():
        cost = np.where(left, p**2 / np.where(left, np.diag(c), 1.0), np.inf)
        free = np.flatnonzero(cost < price)
        if not len(free):
            break
        k = int(free[np.lexsort((cost[free], -degree[free]))[0]])
        column = c[:, k] / c[k, k]
        p = p - column * p[k]
        c = c - np.outer(column, c[k])
        left[k] = False
    return np.flatnonzero(left)


def _improved(score: _Score, support: np.ndarray) -> np.ndarray:
    """Single terms added, dropped or exchanged as long as that gains."""
    now = score(support[None])[0]
    while True:
        others = np.setdiff1d(np.arange(len(score.b)), support)
        n, m = len(support), len(others)
        added = np.concatenate([np.tile(support, (m, 1)), others[:, None]], axis=1)
        without = np.array([np.delete(support, i) for i in range(n)], int)
        without = without.reshape(n, max(n - 1, 0))
        swapped = np.concatenate(
            [np.repeat(without, m, axis=0), np.tile(others, n)[:, None]], axis=1
        )
        moves = [s for s in (added, without, swapped) if len(s)]
        if not moves:
            return support
        tried = [(score(s), s) for s in moves]
        gains, supports = max(tried, key=lambda pair: pair[0].max())
        if not gains.max() > now + 1e-9 * (1.0 + abs(now)):
            return support
        now, support = gains.max(), supports[int(gains.argmax())]


def degrees(library: Library) -> Float[np.ndarray, "coefficient"]:
    """Degree of every coefficient's term; a sine or cosine counts as linear."""
    terms = [float(sum(row)) for row in library.powers] + [1.0] * 2 * len(library.waves)
    return np.repeat(terms, library.coefficients.shape[-1])


def rate_covariance(
    library: Library,
    states: Float[np.ndarray, "point in"],
    rates: Float[np.ndarray, "point out"],
) -> Float[np.ndarray, "coefficient coefficient"]:
    """Covariance of the coefficients from the regression of estimated rates, as flat
    as the coefficients are: each rate has its own block."""
    terms = np.asarray(jax.jit(jax.vmap(library.terms))(states))
    scale = np.asarray(library.scale.out)
    kept = np.asarray(library.scale.kept) > 0
    found = terms @ (np.asarray(library.coefficients) * kept)
    prior = float(library.scale.precision) * np.eye(terms.shape[1])
    count, out = terms.shape[1], len(scale)
    whole = np.zeros((count, out, count, out))
    for j in range(out):
        variance = max(
            float(np.mean((rates[:, j] / scale[j] - found[:, j]) ** 2)), 1e-12
        )
        here = terms * kept[:, j]
        whole[:, j, :, j] = np.linalg.inv(here.T @ here / variance + prior)
    return whole.reshape(count * out, count * out)
