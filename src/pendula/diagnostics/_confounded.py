"""Which constants the data cannot tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ._finding import Finding
from ._shapes import aligned
from ._words import listing, number, percent


CORRELATION = 0.95  # knowing one then narrows the other's interval threefold
INFLATION = 1 / (1 - CORRELATION**2)  # the same for one constant against all others
CONDITION = 100.0  # condition index 10 of Belsley, Kuh, Welsch: "weak to strong"
Z90 = 1.6448536269514722  # half width of a 90 % interval in standard deviations


def correlation_matrix(covariance: ArrayLike) -> np.ndarray:
    """Correlations `"constant constant"`; 0 for a constant without variance.

    **Raises:** `ShapeError`.
    """
    (cov,) = aligned(("covariance", covariance, "constant other"))
    aligned(("covariance", cov, "constant constant"))
    sd = np.sqrt(np.maximum(np.diag(cov), 0.0))
    safe = np.where(sd > 0, sd, 1.0)
    out = np.where(np.outer(sd, sd) > 0, cov / np.outer(safe, safe), 0.0)
    np.fill_diagonal(out, 1.0)
    return out


def condition_number(correlation: np.ndarray) -> float:
    """Largest over smallest eigenvalue; infinite when it is singular."""
    eigen = np.linalg.eigvalsh(0.5 * (correlation + correlation.T))
    return float(eigen[-1] / eigen[0]) if eigen[0] > 0 else float("inf")


def inflation(correlation: np.ndarray) -> np.ndarray:
    r"""Variance inflation factors `"constant"`: how much of a constant's variance
    comes from not knowing the others.

    $$ V_i = (C^{-1})_{ii} = 1 / (1 - R_i^2) $$
    """
    eigen, vectors = np.linalg.eigh(0.5 * (correlation + correlation.T))
    # a singular matrix gives a large finite number rather than an error
    safe = np.maximum(eigen, np.finfo(float).eps * len(eigen))
    return np.sum(vectors**2 / safe, axis=1)


def confounded(
    covariance: ArrayLike, names: Sequence[str], values: ArrayLike
) -> list[Finding]:
    r"""Judge whether each fitted constant is known by itself.

    From the covariance of the constants (Laplace: the inverse Gauss-Newton matrix,
    start states eliminated): correlations $C_{ij}$, the condition number of C, the
    variance inflation $V_i = (C^{-1})_{ii}$ and the 90 % interval of each constant.

    A pair is confounded when $|C_{ij}| > 0.95$: each interval is then
    $1/\sqrt{1 - 0.95^2} = 3.2$ times wider than if the other were known. The same
    bound on $V_i$ (10.3, the customary 10) finds constants that only several others
    together imitate. Units do not matter: C is free of them.

    **Arguments:** `covariance` `"constant constant"`, `names` one each, `values`
    `"constant"`.
    **Returns:** one Finding `constants.condition`, one `constants.pair.A.B` for each
    confounded pair, one `constants.group` for constants that are confounded without
    a pair, one `constants.width.A` for each constant whose 90 % interval reaches
    over 0. An empty list without constants.
    **Raises:** `ShapeError`.
    **Source:** Belsley, Kuh, Welsch 1980, Regression Diagnostics, chapter 3.

    ```python
    >>> from pendula.diagnostics import confounded
    >>> cov = [[0.01, -0.0099], [-0.0099, 0.01]]
    >>> for finding in confounded(cov, ["c", "d"], [1.0, 2.0]):
    ...     print(finding.verdict, finding.text)
    bad Condition number of the correlations of c and d: 199; limit 100.
    bad c and d cannot be told apart on these data: correlation -0.99; limit 0.95.
    Each interval is 7.09 times wider than if the other were known.

    ```
    """
    numbers, cov = aligned(
        ("values", values, "constant"), ("covariance", covariance, "constant other")
    )
    names = list(names)
    aligned(
        ("values", numbers, "constant"),
        ("names", np.zeros(len(names)), "constant"),
        ("covariance", cov, "constant constant"),
    )
    if not names:
        return []
    if not np.all(np.isfinite(cov)):
        return [
            Finding(
                "constants.condition",
                f"Condition number of the correlations of {listing(names)}",
                float("inf"),
                comparison=f"limit {number(CONDITION)}",
                verdict="bad",
                reasons=("The data do not determine these constants at all.",),
            )
        ]
    correlation = correlation_matrix(cov)
    found = _correlated(names, correlation) if len(names) > 1 else []
    return found + _wide(names, numbers, np.sqrt(np.maximum(np.diag(cov), 0.0)))


def _correlated(names: list[str], correlation: np.ndarray) -> list[Finding]:
    """Findings about the correlations: all together, pairs, and groups."""
    condition = condition_number(correlation)
    found = [
        Finding(
            "constants.condition",
            f"Condition number of the correlations of {listing(names)}",
            condition,
            comparison=f"limit {number(CONDITION)}",
            verdict="bad" if condition > CONDITION else "good",
        )
    ]
    paired: set[int] = set()
    for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
        value = float(correlation[i, j])
        if abs(value) <= CORRELATION:
            continue
        paired |= {int(i), int(j)}
        wider = 1 / np.sqrt(max(1 - value**2, np.finfo(float).eps))
        found.append(
            Finding(
                f"constants.pair.{names[i]}.{names[j]}",
                f"{names[i]} and {names[j]} cannot be told apart on these data: "
                "correlation",
                value,
                comparison=f"limit {number(CORRELATION)}",
                verdict="bad",
                reasons=(
                    f"Each interval is {number(wider)} times wider than if the other "
                    "were known.",
                ),
            )
        )
    factor = inflation(correlation)
    group = [i for i in np.flatnonzero(factor > INFLATION) if i not in paired]
    if group:
        worst = max(group, key=lambda i: factor[i])
        found.append(
            Finding(
                "constants.group",
                f"{listing([names[i] for i in group])} cannot be told from the other "
                f"constants together: variance inflation of {names[worst]}",
                float(factor[worst]),
                comparison=f"limit {number(INFLATION)}",
                verdict="bad",
                reasons=(
                    f"Its interval is {number(float(np.sqrt(factor[worst])))} times "
                    "wider than if the others were known.",
                ),
            )
        )
    return found


def _wide(names: list[str], values: np.ndarray, sd: np.ndarray) -> list[Finding]:
    """A finding for each constant whose sign the data leave open."""
    found = []
    for name, value, deviation in zip(names, values, sd, strict=True):
        half = Z90 * float(deviation)
        if half <= abs(value):
            continue
        found.append(
            Finding(
                f"constants.width.{name}",
                f"The 90 % interval of {name} reaches over 0: value",
                float(value),
                spread=(float(value) - half, float(value) + half),
                verdict="bad",
                reasons=(
                    (f"Half its width is {percent(half / abs(value))} of the value.",)
                    if value
                    else ()
                ),
            )
        )
    return found


def is_confounded(covariance: ArrayLike) -> np.ndarray:
    """For each constant whether another, or all others together, imitate it: bool
    `"constant"`, by the limits of `confounded`.

    **Raises:** `ShapeError`.

    ```python
    >>> from pendula.diagnostics import is_confounded
    >>> print(is_confounded([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    [ True  True False]

    ```
    """
    cov = np.asarray(covariance, np.float64)
    if not np.all(np.isfinite(cov)):
        return np.ones(len(cov), bool)
    # a pair above the limit inflates both its constants above theirs
    return inflation(correlation_matrix(cov)) > INFLATION
