"""Which interface terms to use: a bandit that learns from problem to problem."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import scipy.linalg
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._checks import whole
from .._errors import ConfigError, DataError, ShapeError, nearest
from ._given import of_kind
from ._interface import TERMS


Choice: TypeAlias = tuple[str, ...]
"""The terms that are on."""

_SCALES = (0.5, 1.0, 2.0, 4.0)  # of the kernel, tried against the likelihood
_NOISE = (1e-4, 1e-2, 1e-1)  # of the rewards' variance, likewise


class TermBandit:
    r"""A contextual bandit over sets of terms, its rewards a Gaussian process.

    $$ k\big((c, z), (c', z')\big) = e^{-|c - c'|^2 / 2 \ell_c^2}\,
       e^{-|z - z'|_1 / \ell_z}, \qquad
       z_t = \arg\max_z\; \mu_t(c_t, z) + \sqrt{\beta}\,\sigma_t(c_t, z) $$

    z has a 1 for each term that is on, c are the problem's parameters. Length scales
    and noise are those of largest likelihood on a small grid. It is written out here:
    no package that the others stand on has Gaussian processes.

    For networks that are trained in two phases take two bandits, one for each.

    **Arguments:** `terms`: that may be chosen, at least one of them is on; `always`:
    terms that are always on; `beta`: how much the unknown is worth; `scale`: of each
    parameter in a context, the length over which it matters.
    **Source:** Li, Penwarden, Xu, Tillinghast, Narayan, Kirby, Zhe 2022 (METALIC),
    arXiv:2210.12669, sections 3-4; Srinivas, Krause, Kakade, Seeger 2010,
    arXiv:0912.3995 (upper confidence bounds).

    ```python
    >>> from pendula.solutions import TermBandit
    >>> bandit = TermBandit(("value", "flux"))
    >>> bandit.tell(("value",), -1.0)
    >>> bandit.tell(("value", "flux"), 3.0)
    >>> bandit.best()
    ('value', 'flux')

    ```
    """

    def __init__(
        self,
        terms: Sequence[str] = TERMS,
        *,
        always: Sequence[str] = (),
        beta: float = 4.0,
        scale: ArrayLike = 1.0,
    ) -> None:
        of_kind("TermBandit: terms are", terms, list | tuple, 'a list: ["value"]')
        if not terms or len(set(terms)) < len(terms):
            raise ConfigError(f"TermBandit: terms are {terms}; give each one once.")
        for term in always:
            if term not in terms:
                raise ConfigError(
                    f'TermBandit: "{term}" is always on, but no term.'
                    f"{nearest(term, terms)} Terms are {', '.join(terms)}."
                )
        if not (math.isfinite(beta) and beta >= 0.0):
            raise ConfigError(f"TermBandit: beta is {beta}; it is finite, 0 or more.")
        self.terms, self.beta = tuple(terms), float(beta)
        self.scale = np.asarray(scale, np.float64)
        if not (np.isfinite(self.scale) & (self.scale > 0.0)).all():
            raise ConfigError(
                f"TermBandit: scale is {scale}; lengths are finite and above 0."
            )
        every = itertools.product((0.0, 1.0), repeat=len(terms))
        held = [terms.index(term) for term in always]
        kept = [z for z in every if any(z) and all(z[k] for k in held)]
        self.arms = np.asarray(kept)
        self.contexts: list[np.ndarray] = []
        self.chosen: list[np.ndarray] = []
        self.rewards: list[float] = []

    def choose(self, context: Sequence[float] | np.ndarray = ()) -> Choice:
        """The terms with the highest upper bound; untried ones first where all are
        alike."""
        mean, spread = self.predict(context)
        return self._words(self.arms[_largest(mean + math.sqrt(self.beta) * spread)])

    def best(self, context: Sequence[float] | np.ndarray = ()) -> Choice:
        """The terms with the highest expected reward."""
        return self._words(self.arms[_largest(self.predict(context)[0])])

    def tell(
        self,
        choice: Sequence[str],
        reward: float,
        context: Sequence[float] | np.ndarray = (),
    ) -> None:
        """What a choice has brought; more is better. **Raises:** `DataError` for a
        reward that is not finite, `ShapeError` for a context of another length."""
        if not math.isfinite(reward):
            raise DataError(
                f"TermBandit: the reward is {reward}; give failures a finite one."
            )
        for term in choice:
            if term not in self.terms:
                raise ConfigError(
                    f'TermBandit: unknown term "{term}".{nearest(term, self.terms)} '
                    f"Terms are {', '.join(self.terms)}."
                )
        self.contexts.append(self._context(context))
        self.chosen.append(np.asarray([float(t in choice) for t in self.terms]))
        self.rewards.append(float(reward))

    def predict(
        self, context: Sequence[float] | np.ndarray = ()
    ) -> tuple[Float[np.ndarray, "arm"], Float[np.ndarray, "arm"]]:
        """Expected reward and its standard deviation for every set of terms, in the
        order of `arms`."""
        here = np.tile(self._context(context), (len(self.arms), 1))
        if not self.rewards:
            return np.zeros(len(self.arms)), np.ones(len(self.arms))
        seen, chosen = np.stack(self.contexts), np.stack(self.chosen)
        y = np.asarray(self.rewards)
        centre, size = y.mean(), max(float(y.std()), 1e-12)
        if len(y) == 1:
            size = 1.0
        z = (y - centre) / size
        _, _, (lc, lz, noise) = max(
            self._likelihood(seen, chosen, z, scales, number)
            for number, scales in enumerate(itertools.product(_SCALES, _SCALES, _NOISE))
        )
        factor = _factor(_kernel(seen, chosen, seen, chosen, lc, lz), noise)
        cross = _kernel(here, self.arms, seen, chosen, lc, lz)
        mean = cross @ scipy.linalg.cho_solve(factor, z)
        inner = scipy.linalg.solve_triangular(factor[0], cross.T, lower=True)
        variance = np.maximum(1.0 - np.sum(inner * inner, axis=0), 0.0)
        return centre + size * mean, size * np.sqrt(variance)

    def _likelihood(
        self,
        seen: np.ndarray,
        chosen: np.ndarray,
        z: np.ndarray,
        scales: tuple[float, float, float],
        number: int,
    ) -> tuple[float, int, tuple[float, float, float]]:
        """Of the rewards so far; of equal ones the first."""
        lc, lz, noise = scales
        factor = _factor(_kernel(seen, chosen, seen, chosen, lc, lz), noise)
        fit = z @ scipy.linalg.cho_solve(factor, z)
        volume = 2.0 * np.sum(np.log(np.diag(factor[0])))
        return -0.5 * float(fit + volume), -number, scales

    def _context(self, context: Sequence[float] | np.ndarray) -> np.ndarray:
        own = np.atleast_1d(np.asarray(context, np.float64)).ravel()
        if self.contexts and len(own) != len(self.contexts[0]):
            raise ShapeError(
                f"TermBandit: the context has {len(own)} numbers, those before had "
                f"{len(self.contexts[0])}."
            )
        if not np.isfinite(own).all():
            raise DataError("TermBandit: the context holds NaN or infinity.")
        return own / self.scale if len(own) else own

    def _words(self, arm: np.ndarray) -> Choice:
        return tuple(t for t, on in zip(self.terms, arm, strict=True) if on)


@dataclasses.dataclass(frozen=True)
class Selection:
    """What `select_terms` found: the best terms, and all that was tried."""

    terms: Choice
    tried: tuple[tuple[Choice, float], ...]
    bandit: TermBandit


def select_terms(
    reward: Callable[[Choice, np.ndarray], float],
    terms: Sequence[str] = TERMS,
    *,
    rounds: int = 20,
    contexts: Sequence[Sequence[float] | np.ndarray] = ((),),
    target: Sequence[float] | np.ndarray | None = None,
    always: Sequence[str] = (),
    beta: float = 4.0,
    scale: ArrayLike = 1.0,
) -> Selection:
    """Try sets of interface terms, and say which is the best.

    **Arguments:**
    - `reward(terms, context)`: how well they do, more is better; for instance minus
      the decimal logarithm of the largest residual that `solve_subdomains` reports.
    - `terms`: that may be chosen.
    - `rounds`: how many are tried.
    - `contexts`: parameters of problems, taken in turn.
    - `target`: the context that the answer is for, the first one by default.
    - `always`, `beta`, `scale`: as for `TermBandit`.

    **Returns:** `Selection`.
    **Raises:** `ConfigError` for no rounds or contexts; what `TermBandit` raises.
    **Source:** as `TermBandit`.

    ```python
    >>> from pendula.solutions import select_terms
    >>> reward = lambda terms, context: len({"value", "flux"} & set(terms))
    >>> select_terms(reward, ("value", "flux", "residual"), rounds=8).terms[:2]
    ('value', 'flux')

    ```
    """
    of_kind("select_terms: reward is", reward, Callable, "a function")
    whole(1, "select_terms", rounds=rounds)
    if not len(contexts):
        raise ConfigError("select_terms: there are no contexts. Give at least one.")
    bandit = TermBandit(terms, always=always, beta=beta, scale=scale)
    tried = []
    for number in range(rounds):
        context = np.asarray(contexts[number % len(contexts)], np.float64)
        choice = bandit.choose(context)
        found = float(reward(choice, context))
        bandit.tell(choice, found, context)
        tried.append((choice, found))
    return Selection(
        bandit.best(contexts[0] if target is None else target), tuple(tried), bandit
    )


def _kernel(
    c: np.ndarray,
    z: np.ndarray,
    c2: np.ndarray,
    z2: np.ndarray,
    lc: float,
    lz: float,
) -> np.ndarray:
    """Covariances of two lists of contexts and choices."""
    far = np.sum((c[:, None] - c2[None]) ** 2, axis=-1)
    differ = np.sum(np.abs(z[:, None] - z2[None]), axis=-1)
    return np.exp(-0.5 * far / lc**2 - differ / lz)


def _factor(kernel: np.ndarray, noise: float) -> tuple[np.ndarray, bool]:
    return scipy.linalg.cho_factor(kernel + noise * np.eye(len(kernel)), lower=True)


def _largest(values: np.ndarray) -> int:
    """The first of the largest, up to rounding."""
    return int(np.flatnonzero(values >= values.max() - 1e-12)[0])
