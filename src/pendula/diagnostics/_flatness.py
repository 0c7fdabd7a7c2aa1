"""A loss under noise on its parameters: predicted from curvature, beside draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._checks import choice, whole
from .._columns import columns
from .._errors import ConfigError
from ._density import SpectralDensity, spectral_density
from ._eigenvalues import Eigenvalues, top_eigenvalues
from ._flatness_draws import Draw, GaussianStep, OwnStep, changes
from ._flatness_theory import Probed, mean_error, probed, variance_error
from ._hessian import (
    AbstractCurvature,
    GaussNewtonOperator,
    HessianOperator,
    ScaledCurvature,
)
from ._per_parameter import per_parameter


Smooth = Literal["hessian", "gauss_newton", "difference"]
_APART = 0.1  # of the measured gap


@dataclasses.dataclass(frozen=True)
class Flatness:
    """A loss under noise, by theory and by draws; see `flatness`.

    All arrays are `"level"` unless said otherwise, and errors are standard errors.
    `levels`: factors of sigma; `value`: the loss J without noise.
    `gap_theory`, `gap_mc`: mean of J(w + d) - J(w).
    `var_theory`, `var_mc`: its variance; the theory's is the sum of `var_slope`,
    `var_curvature` and `var_kurtosis`.
    `values` `"draw level"`: J(w + d) - J(w) of each draw.
    `parts_at`: the lowest level at which both gaps differ by more than 10 % of the
    drawn one and twice their joint standard error; None where they never do.
    `blocks`: path of an array -> (its part of the gap at level 1, error); empty for
    `smooth="difference"`.
    `eigenvalues`, `density`: of the curvature in units of sigma at level 1; None where
    not asked for.
    `print` shows theory beside draws, level by level.
    """

    levels: np.ndarray
    value: float
    gap_theory: np.ndarray
    gap_theory_error: np.ndarray
    gap_mc: np.ndarray
    gap_mc_error: np.ndarray
    var_theory: np.ndarray
    var_theory_error: np.ndarray
    var_slope: np.ndarray
    var_curvature: np.ndarray
    var_kurtosis: np.ndarray
    var_mc: np.ndarray
    var_mc_error: np.ndarray
    values: np.ndarray
    parts_at: float | None
    blocks: dict[str, tuple[float, float]]
    eigenvalues: Eigenvalues | None
    density: SpectralDensity | None

    @property
    def ratio(self) -> np.ndarray:
        """Predicted over drawn gap; NaN at level 0."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.gap_theory / self.gap_mc

    @property
    def slope_share(self) -> np.ndarray:
        """Part of the predicted variance that the gradient makes; NaN at level 0."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.var_slope / self.var_theory

    def __str__(self) -> str:
        """A table of gap and variance, and where theory and draws part."""
        pair = lambda value, error: f"{value:.3g} +- {error:.1g}"
        rows = [
            [
                f"{level:g}",
                pair(self.gap_theory[k], self.gap_theory_error[k]),
                pair(self.gap_mc[k], self.gap_mc_error[k]),
                pair(self.var_theory[k], self.var_theory_error[k]),
                pair(self.var_mc[k], self.var_mc_error[k]),
                f"{100.0 * self.slope_share[k]:.3g} %",
            ]
            for k, level in enumerate(self.levels)
        ]
        lines = [f"loss {self.value:.4g} without noise", columns(_HEAD, rows)]
        most = self.levels.max()
        lines.append(
            f"the gaps agree within 10 % and chance up to level {most:g}"
            if self.parts_at is None
            else f"the gaps part by more than 10 % at level {self.parts_at:g}"
        )
        if self.blocks:
            parts = [[path, pair(*of)] for path, of in self.blocks.items()]
            lines.append(columns(["array", "its gap at level 1"], parts))
        if self.eigenvalues is not None:
            values = ", ".join(f"{x:.3g}" for x in self.eigenvalues.values)
            lines.append(f"eigenvalues of the curvature in units of sigma: {values}")
        return "\n".join(lines)


_HEAD = ("level", "gap", "drawn", "variance", "drawn", "of it the slope's")


def flatness(
    loss: Any,
    params: Any,
    data: Any = None,
    batch_size: int | None = None,
    *,
    sigma: Any,
    kurtosis: Any = 3.0,
    draw: Draw | None = None,
    levels: float | Sequence[float] | np.ndarray = 1.0,
    smooth: str = "hessian",
    predict: Any = None,
    probes: int = 100,
    draws: int = 200,
    eigenvalues: int = 5,
    density: int = 0,
    dtype: Any = None,
    key: PRNGKeyArray | None = None,
) -> Flatness:
    r"""Mean and variance of a loss under independent noise on its parameters, from
    gradient g and curvature H, beside the same from draws.

    $$ E[J(w + d)] - J(w) \approx \tfrac12 \mathrm{tr}(H \Sigma), $$
    $$ \mathrm{Var}\, J(w + d) \approx g^T \Sigma g + \tfrac12 \mathrm{tr}(H \Sigma H
       \Sigma) + \tfrac14 \sum_i (\kappa_i - 3) \sigma_i^4 H_{ii}^2 $$

    for d of mean 0, variances $\Sigma = \mathrm{diag}(\sigma_i^2)$ and kurtosis
    $\kappa_i$, symmetric; exact for a quadratic loss. All traces are means over the
    same products $A z$, $A = \Sigma^{1/2} H \Sigma^{1/2}$, with random signs z, all
    `probes` of them: a rule that stops once the mean hardly changes stops too soon.
    The squares of the last sum are means over pairs of different probes, without bias.

    **Arguments:**
    - `loss`, `params`, `data`, `batch_size`, `dtype`: as for `HessianOperator`.
    - `sigma`: standard deviations at level 1: one number, a flat vector `"n"`, or a
      pytree shaped like the parameters with arrays, numbers, or None for what is exact.
    - `kurtosis`: fourth moment over squared variance, at least 1, given like `sigma`
      (3 for Gaussian, 1.8 for uniform noise).
    - `draw`: the sampler of the noise, `draw(params, key) -> params`, for the draws;
      None draws Gaussian noise. Theory knows of it by `sigma` and `kurtosis` alone.
    - `levels`: factors of the noise; a level l adds l (draw(w) - w) to w.
    - `smooth`: whose curvature. `"hessian"`; `"gauss_newton"`, without the curvature
      of the network itself; `"difference"`: (J(w + d) + J(w - d) - 2 J(w)) / 2, mean
      and variance over draws of its own, at each level. The Hessian at a point does not
      see the kinks of a network of rectifiers next to it; differences do.
    - `predict`: `predict(params, batch) -> outputs`; the loss is then
      `loss(outputs, batch)`. Needed for `"gauss_newton"`.
    - `probes`: random signs, at least 4 (pairs of draws for `"difference"`); `draws`:
      at least 2.
    - `eigenvalues`: how many of A, largest in magnitude; `density`: Lanczos runs for
      its spectral density; 0 leaves either out.
    - `key`: default `jax.random.key(0)`.

    **Returns:** `Flatness`; `print` shows it as a table.
    **Raises:** `ShapeError`; `ConfigError` for numbers that make no sense or noise that
    is zero everywhere; as `HessianOperator`.
    **Source:** Wang 2023, section 2.4 (gap; variance at g = 0 and kurtosis 3);
    Hutchinson 1990, Communications in Statistics 19, 433-450.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.diagnostics import flatness
    >>> loss = lambda w, _: 0.5 * jnp.sum(jnp.asarray([1.0, 3.0]) * w**2)
    >>> found = flatness(loss, np.array([1.0, 0.0]), sigma=0.1, dtype=np.float64)
    >>> print(found.gap_theory, found.var_slope, found.var_curvature)
    [0.02] [0.01] [0.0005]
    >>> bool(abs(found.gap_mc[0] - 0.02) < 3 * found.gap_mc_error[0])
    True

    ```
    """
    levels = np.atleast_1d(np.asarray(levels, np.float64))
    _check_counts(levels, smooth, predict, probes, draws, eigenvalues, density)
    op = _operator(loss, predict, params, data, batch_size, dtype, smooth)
    deviations, fourth = _noise(sigma, kurtosis, op)
    scaled = ScaledCurvature(op, deviations)
    key = jax.random.key(0) if key is None else key
    keys = [jax.random.fold_in(key, i) for i in range(4)]
    step: Any = GaussianStep(scaled.scale)
    if draw is not None:
        step = OwnStep.checked(draw, params, op)
    slope = float(np.sum(scaled.gradient.astype(np.float64) ** 2))
    if smooth == "difference":
        pairs = changes(op, step, levels, probes, keys[1], both=True)
        theory = _differences(pairs, slope, levels)
    else:
        theory = _series(probed(scaled, fourth, probes, keys[1]), slope, levels)
    values = changes(op, step, levels, draws, keys[0])
    drawn = _drawn(values)
    count = min(eigenvalues, op.size)
    return Flatness(
        levels=levels,
        value=op.value,
        values=values,
        parts_at=_parts_at(levels, theory, drawn),
        eigenvalues=top_eigenvalues(scaled, count, key=keys[2]) if count else None,
        density=_density(scaled, density, keys[3]),
        **theory,
        **drawn,
    )


class _Composed(eqx.Module):
    """A loss of a network's outputs as one of its parameters."""

    predict: Any
    loss: Any

    def __call__(self, params: Any, batch: Any) -> Array:
        return self.loss(self.predict(params, batch), batch)


def _operator(
    loss: Any,
    predict: Any,
    params: Any,
    data: Any,
    batch_size: int | None,
    dtype: Any,
    smooth: str,
) -> AbstractCurvature:
    told = (params, data, batch_size)
    if smooth == "gauss_newton":
        return GaussNewtonOperator(predict, loss, *told, dtype=dtype)
    whole = loss if predict is None else _Composed(predict, loss)
    return HessianOperator(whole, *told, dtype=dtype)


def _noise(
    sigma: Any, kurtosis: Any, op: AbstractCurvature
) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations and kurtosis, `"n"`, checked."""
    like = op.tree(op.flat)
    deviations = per_parameter("sigma", sigma, like)
    fourth = per_parameter("kurtosis", kurtosis, like)
    for name, values, least in (("sigma", deviations, 0.0), ("kurtosis", fourth, 1.0)):
        # what is exact has no kurtosis
        good = np.isfinite(values) & ((values >= least) | (deviations == 0.0))
        if not good.all():
            first = int(np.flatnonzero(~good)[0])
            at = next(k for k, part in op.slices.items() if first < part.stop)
            raise ConfigError(
                f'{name} is {values[first]:g} in "{at}"; it must be finite and at '
                f"least {least:g}."
            )
    if not deviations.any():
        raise ConfigError(
            "sigma is zero everywhere: there is no noise and nothing to predict."
        )
    return deviations, np.where(deviations == 0.0, 3.0, fourth)


def _series(found: Probed, slope: float, levels: np.ndarray) -> dict[str, Any]:
    """Theory at all levels from its terms at level 1."""
    second, fourth = levels**2, levels**4
    slopes, bends = second * slope, fourth * found.curvature
    tails = fourth * found.kurtosis
    return {
        "gap_theory": second * found.gap[0],
        "gap_theory_error": second * found.gap[1],
        "var_theory": slopes + bends + tails,
        "var_theory_error": fourth * found.second,
        "var_slope": slopes,
        "var_curvature": bends,
        "var_kurtosis": tails,
        "blocks": found.blocks,
    }


def _differences(pairs: np.ndarray, slope: float, levels: np.ndarray) -> dict[str, Any]:
    """Theory from differences along the noise; the variance of those holds the part
    of the kurtosis."""
    gaps = np.array([mean_error(column) for column in pairs.T])
    bends = np.array([variance_error(column) for column in pairs.T])
    slopes = levels**2 * slope
    return {
        "gap_theory": gaps[:, 0],
        "gap_theory_error": gaps[:, 1],
        "var_theory": slopes + bends[:, 0],
        "var_theory_error": bends[:, 1],
        "var_slope": slopes,
        "var_curvature": bends[:, 0],
        "var_kurtosis": np.zeros(len(levels)),
        "blocks": {},
    }


def _drawn(values: np.ndarray) -> dict[str, Any]:
    gaps = np.array([mean_error(column) for column in values.T])
    spreads = np.array([variance_error(column) for column in values.T])
    return {
        "gap_mc": gaps[:, 0],
        "gap_mc_error": gaps[:, 1],
        "var_mc": spreads[:, 0],
        "var_mc_error": spreads[:, 1],
    }


def _parts_at(
    levels: np.ndarray, theory: dict[str, Any], drawn: dict[str, Any]
) -> float | None:
    """The lowest level at which the gaps differ by more than chance and 10 %."""
    error = np.hypot(theory["gap_theory_error"], drawn["gap_mc_error"])
    with np.errstate(invalid="ignore"):
        off = np.abs(theory["gap_theory"] - drawn["gap_mc"])
        near = off <= _APART * np.abs(drawn["gap_mc"]) + 2.0 * error
    # a drawn loss that is not finite is no agreement
    apart = levels[~(near & np.isfinite(drawn["gap_mc"]))]
    return float(apart.min()) if apart.size else None


def _density(
    scaled: ScaledCurvature, starts: int, key: PRNGKeyArray
) -> SpectralDensity | None:
    return spectral_density(scaled, starts=starts, key=key) if starts else None


def _check_counts(
    levels: np.ndarray,
    smooth: str,
    predict: Any,
    probes: int,
    draws: int,
    eigenvalues: int,
    density: int,
) -> None:
    choice("smooth", smooth, get_args(Smooth))
    if smooth == "gauss_newton" and predict is None:
        raise ConfigError(
            "Gauss-Newton needs the outputs apart from the loss: give "
            "predict(params, batch), and a loss of (outputs, batch)."
        )
    if levels.ndim != 1 or not levels.size or not np.all(np.isfinite(levels)):
        raise ConfigError(
            f"levels are {levels}; expected one number or several, all finite."
        )
    if levels.min() < 0.0:
        raise ConfigError(f"level {levels.min():g} is negative; it must be at least 0.")
    whole(4, probes=probes)
    whole(2, draws=draws)
    whole(0, eigenvalues=eigenvalues, density=density)
