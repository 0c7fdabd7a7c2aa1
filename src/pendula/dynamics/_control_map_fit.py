"""Fitting the map from settings to etas: one Gaussian process for each eta."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._errors import DataError, DataWarning
from ._control_map import WIDE, ControlMap
from ._gauge_labels import (
    covariance_table,
    log_columns,
    logarithms,
    named_columns,
    row_tables,
)


# of the kernel: (median and factor of the prior, least, most), in spreads of settings
# and etas; without a prior few systems are fitted by any kernel, and all seems known
AMPLITUDE = (1.0, 2.7, 1e-3, 10.0)
LENGTH = (2.0, 2.0, 0.2, 100.0)
NOISE = (0.01, 4.5, 1e-3, 1.0)
STARTS = 3  # lengths from which the search begins


def fit_control_map(
    settings: Any,
    etas: Any,
    names: Sequence[str] = (),
    units: Sequence[str] = (),
    *,
    covariances: Any = None,
    log: bool | Sequence[bool] | None = None,
) -> ControlMap:
    r"""Learn which eta belongs to which settings, from systems that were adapted.

    $$ \max_{s, l, \sigma} \; -\tfrac12 y^\top K^{-1} y - \tfrac12 \log |K|
       + \log p(s, l, \sigma), \qquad
       K = w^2 (1 + \tilde C \tilde C^\top) + k(\tilde C, \tilde C)
           + \sigma^2 I + \mathrm{diag}(\Sigma_\eta) $$

    by L-BFGS-B from three lengths, for each eta by itself, in standardised (log)
    settings and etas. The affine mean has a wide Gaussian prior (w = 10 spreads), so
    that its uncertainty is part of the prediction's; p is log-normal, so that a bend
    which few systems cannot rule out is, too.

    **Shapes and units:** `settings` `"system setting"` in `units`, `etas`
    `"system eta"`, `covariances` `"system eta eta"` of the etas (their diagonals are
    used) or None. One row a system.
    **Arguments:** `names`, `units` of the settings; `log`: which of them are taken on
    a log scale; None: those that are positive in all systems.
    **Returns:** `ControlMap`.
    **Raises:** `DataError` for fewer than 3 systems, values that are missing, a
    logarithm of what is not positive, a matrix that is no covariance; `ConfigError`,
    `ShapeError`.
    **Behaviour / good values:** five systems or more for each setting that matters;
    tenths of a second for 30 of them. A setting that never varied stays in the map
    with a `DataWarning`: away from its value the variance grows.
    **Source:** Rasmussen, Williams 2006, equation 5.8 and section 2.7.

    ```python
    >>> import numpy as np
    >>> from pendula.dynamics import fit_control_map
    >>> rng = np.random.default_rng(0)
    >>> modulus, density = rng.uniform(50, 80, 15), rng.uniform(2, 8, 15)
    >>> eta = np.sqrt(modulus / density)[:, None]
    >>> made = fit_control_map(np.column_stack([modulus, density]), eta, ("E", "rho"))
    >>> a, b = made(np.array([60.0, 4.0])), made(np.array([75.0, 5.0]))
    >>> bool(abs(a[0] - b[0]) < 0.03)  # the same E/rho
    True

    ```
    """
    settings, etas, told = _tables(settings, etas)
    names, units = named_columns(settings.shape[1], names, units, "c")
    logs = log_columns(settings, log, names)
    values = logarithms(settings, logs)
    shift, mean = values.mean(axis=0), etas.mean(axis=0)
    still = np.ptp(values, axis=0) <= 1e-9 * np.maximum(np.abs(values).max(0), 1e-300)
    width = np.where(still, 1.0, values.std(axis=0))
    scale = np.where(np.ptp(etas, axis=0) > 0, etas.std(axis=0), 1.0)
    for k in np.flatnonzero(still):
        told.append(
            f"setting {names[k]} is the same in all systems: what it does is not known."
        )
        warnings.warn(told[-1], DataWarning, stacklevel=2)
    at, goal = (values - shift) / width, (etas - mean) / scale
    known = _variances(covariances, etas) / scale**2
    parts = [_fit_one(at, goal[:, j], known[:, j]) for j in range(etas.shape[1])]
    weights, whiten, amplitude, lengths, noise = (
        np.stack(x) for x in zip(*parts, strict=True)
    )
    level = WIDE**2 * weights.sum(axis=1)  # the affine mean's share of the kernel
    slope = WIDE**2 * weights @ at
    return ControlMap(
        at, level, slope, weights, whiten, lengths, amplitude, noise, shift, width,
        mean, scale, tuple(bool(x) for x in logs), names, units, tuple(told),
    )  # fmt: skip


def _tables(settings: Any, etas: Any) -> tuple[np.ndarray, np.ndarray, list[str]]:
    settings, etas = row_tables(settings=settings, etas=etas)
    for name, table in (("settings", settings), ("etas", etas)):
        bad = np.argwhere(~np.isfinite(table))
        if len(bad):
            i, k = bad[0]
            raise DataError(
                f"{name} of system {i}, column {k + 1}, is {table[i, k]}; every value "
                "is needed. Give it, or leave the system out."
            )
    if len(etas) < 3:
        raise DataError(
            f"{len(etas)} systems; a map from settings needs 3, and about 5 for each "
            "setting. Adapt more systems."
        )
    told = []
    if len(etas) < settings.shape[1] + 2:
        told.append(f"{len(etas)} systems hardly tell {settings.shape[1]} slopes.")
    return settings, etas, told


def _variances(covariances: Any, etas: np.ndarray) -> np.ndarray:
    """Variances of the etas `"system eta"`; what is not identified counts as noise."""
    if covariances is None:
        return np.zeros_like(etas)
    found = covariance_table(covariances, etas)
    own = np.diagonal(found, axis1=1, axis2=2)
    most = 1e6 * np.maximum(etas.var(axis=0), 1e-300)
    return np.where(np.isfinite(own), np.clip(own, 0.0, most), most)


def _fit_one(at: np.ndarray, goal: np.ndarray, known: np.ndarray) -> tuple:
    """Kernel weights, whitening, amplitude, lengths and noise of one eta."""
    from scipy.optimize import minimize  # a quarter second: only when it is needed

    number = at.shape[1]
    plain = WIDE**2 * (1.0 + at @ at.T)
    square = (at[:, None] - at[None]) ** 2
    ranges = [AMPLITUDE, *[LENGTH] * number, NOISE]
    middle, factor, low, high = np.log(ranges).T
    bounds = list(zip(low, high, strict=True))

    def parts(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size, length, noise = np.exp(raw[0]), np.exp(raw[1:-1]), np.exp(raw[-1])
        bend = size**2 * np.exp(-0.5 * (square / length**2).sum(axis=2))
        whole = plain + bend + np.diag(known + noise**2)
        return np.linalg.cholesky(whole), bend

    def cost(raw: np.ndarray) -> tuple[float, np.ndarray]:
        lower, bend = parts(raw)
        whiten = np.linalg.solve(lower, np.eye(len(goal)))
        inverse = whiten.T @ whiten
        weights = inverse @ goal
        off = (raw - middle) / factor
        value = 0.5 * (goal @ weights + off @ off) + np.log(np.diag(lower)).sum()
        pull = inverse - np.outer(weights, weights)
        slopes = [np.sum(pull * bend)]
        for k in range(number):
            slopes.append(
                0.5 * np.sum(pull * bend * square[:, :, k]) / np.exp(2 * raw[1 + k])
            )
        slopes.append(np.trace(pull) * np.exp(2 * raw[-1]))
        return float(value), np.array(slopes) + off / factor

    found = []
    for length in np.geomspace(0.5, 2.0, STARTS) * LENGTH[0]:
        first = np.log([AMPLITUDE[0], *[length] * number, NOISE[0]])
        found.append(minimize(cost, first, jac=True, bounds=bounds, method="L-BFGS-B"))
    best = min(found, key=lambda result: result.fun).x
    lower, _ = parts(best)
    whiten = np.linalg.solve(lower, np.eye(len(goal)))
    size, length, noise = np.exp(best[0]), np.exp(best[1:-1]), np.exp(best[-1])
    return whiten.T @ (whiten @ goal), whiten, size, length, noise
