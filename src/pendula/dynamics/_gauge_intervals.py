"""Measured parameters with intervals, and whether a system was calibrated for."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from .._checks import between, choice
from .._errors import ConfigError, DataError, ShapeError
from .._numbers import numbers
from .._source import Source
from ._gauge_labels import check_covariance, logarithms


if TYPE_CHECKING:
    from ._gauge import Gauge

KINDS = ("laplace", "conformal")
FAR = 4.0  # Mahalanobis distance from the calibrated etas that is called far
BEYOND = 0.2  # share of the labels' range that a parameter may lie outside of it
OPEN = 10.0  # standard error, in spreads of the labels, of a parameter left open
THIN = 1e-4  # variance, in units of the etas' spread, below which none is resolved


@dataclasses.dataclass(frozen=True, eq=False)
class Measurement:
    """Physical parameters of one system, with intervals.

    **Shapes and units:** `value`, `standard_error`, `low`, `high` `"param"` in
    `units`. An end is infinite (0 below on a log scale) and the standard error
    infinite where the record leaves the parameter open: `identified` is False there.
    `level` of the interval, `method` `"laplace"` or `"conformal"`. `extrapolating`:
    the system lies outside the calibrated ones; `text` says it all in words, and
    in which direction.
    **Source:** Barber, Candes, Ramdas, Tibshirani 2021, equation 1.7 (jackknife+).
    """

    source: ClassVar[Source] = Source("Barber2021", "equation 1.7")

    value: Float[np.ndarray, " param"]
    standard_error: Float[np.ndarray, " param"]
    low: Float[np.ndarray, " param"]
    high: Float[np.ndarray, " param"]
    level: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    method: str
    extrapolating: bool
    text: str

    @property
    def identified(self) -> Bool[np.ndarray, " param"]:
        """Which parameters the record determines."""
        return np.isfinite(self.standard_error)


def measurement(
    gauge: Gauge, eta: Any, covariance: Any, interval: str, level: float
) -> Measurement:
    """What `Gauge.measure` returns."""
    _check_kind(interval, level, gauge.num_systems)
    count = gauge.etas.shape[1]
    eta = numbers("eta", eta)
    known = np.zeros((count, count)) if covariance is None else covariance
    known = numbers("the covariance of eta", known)
    if eta.shape != (count,) or known.shape != (count, count):
        raise ShapeError(
            f"eta has shape {eta.shape} and its covariance {known.shape}; the gauge "
            f"takes ({count},) and ({count}, {count})."
        )
    if not np.isfinite(eta).all():
        raise DataError(
            f"eta is {eta.tolist()}, which is not finite. Adapt the system again."
        )
    check_covariance(known, "the covariance of eta")
    middle, slope, others = moments(gauge, eta)
    pushed, unknown = push(slope, known)
    variance = gauge.spread + pushed
    unknown |= np.sqrt(variance) > OPEN
    if interval == "laplace":
        half = _student(level, gauge, variance) * np.sqrt(variance)
        low, high = middle - half, middle + half
    else:
        low, high = _jackknife(gauge, others, np.sqrt(variance), level)
        low, high = np.minimum(low, middle), np.maximum(high, middle)
    low, high = np.where(unknown, -np.inf, low), np.where(unknown, np.inf, high)
    value = gauge.physical(middle)
    with np.errstate(over="ignore"):  # a very wide interval on a log scale
        low, high = gauge.physical(low), gauge.physical(high)
    error = np.sqrt(variance) * gauge.scale * np.where(gauge.log, value, 1.0)
    error = np.where(unknown, np.inf, error)
    outside = [*_far(gauge, eta), *_beyond(gauge, middle)]
    text = _in_words(gauge, value, low, high, interval, level, unknown)
    text = " ".join([text, *outside, *gauge.warnings])
    return Measurement(
        value, error, low, high, float(level), gauge.names, gauge.units, interval,
        bool(outside), text,
    )  # fmt: skip


def left_out(gauge: Gauge, level: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `Gauge.left_out` returns."""
    _check_kind("laplace", level, gauge.num_systems)
    goal = (logarithms(gauge.labels, np.array(gauge.log)) - gauge.mean) / gauge.scale
    middle = goal + gauge.errors
    half = _student(level, gauge, gauge.spread) * np.sqrt(gauge.spread)
    low, high = (gauge.physical(middle + sign * half) for sign in (-1.0, 1.0))
    return gauge.physical(middle), low, high


def _check_kind(interval: str, level: float, count: int) -> None:
    choice("interval", interval, KINDS)
    between(0, 1, level=level)
    needed = math.ceil(1 / (1 - level) - 1e-9) - 1
    if interval == "conformal" and count < needed:
        raise ConfigError(
            f"a conformal interval of level {level:g} needs {needed} calibrated "
            f"systems, and the gauge has {count}: calibrate on more, lower the level "
            f'to {count / (count + 1):.2g} or below, or take interval="laplace".'
        )


def moments(gauge: Gauge, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scaled parameters `"param"` at eta, their Jacobian `"param eta"`, and what the
    flows fitted without a system say `"fold param"`."""
    with jax.enable_x64(True):
        told = _moments(gauge, jnp.asarray(eta, np.float64))
        return tuple(np.asarray(x) for x in told)  # type: ignore[return-value]  # three


@eqx.filter_jit
def _moments(gauge: Gauge, eta: Any) -> Any:
    inside = jnp.abs(eta) if gauge.fold else eta
    others = eqx.filter_vmap(
        lambda flow: flow.forward(inside), in_axes=(eqx.if_array(0),)
    )(gauge.members)
    size = len(gauge.names)
    return gauge.scaled(eta), jax.jacfwd(gauge.scaled)(eta), others[:, :size]


def push(slope: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances of the scaled parameters `"param"` from a covariance `"eta eta"`, and
    which parameters feel an eta whose variance is not finite."""
    bad = ~np.isfinite(covariance)
    blind = np.any(bad, axis=0) | np.any(bad, axis=1)
    finite = np.where(blind[:, None] | blind[None], 0.0, covariance)
    variance = np.maximum(np.einsum("pi,ij,pj->p", slope, finite, slope), 0.0)
    felt = np.abs(slope) > 1e-6 * np.abs(slope).max()
    return variance, np.any(felt & blind, axis=1)


def _student(level: float, gauge: Gauge, variance: np.ndarray) -> np.ndarray:
    """Quantiles of Student's t: the calibration's share of the variance has one
    degree of freedom less than there are systems, the other share has many."""
    from scipy.stats import t  # half a second: only when it is needed

    share = gauge.spread / np.maximum(variance, np.finfo(float).tiny)
    degrees = (gauge.num_systems - 1) / np.maximum(share**2, 1e-6)
    return t.ppf(0.5 + level / 2, degrees)


def _jackknife(
    gauge: Gauge, others: np.ndarray, sd: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the jackknife+ interval, scaled: quantiles over the calibrated systems
    of what the flow without each says, minus and plus its score."""
    count = gauge.num_systems
    rank = math.ceil(level * (count + 1) - 1e-9)
    centre, reach = others[gauge.fold_of], gauge.scores * sd
    low = np.sort(centre - reach, axis=0)[count - rank]
    return low, np.sort(centre + reach, axis=0)[rank - 1]


def _far(gauge: Gauge, eta: np.ndarray) -> list[str]:
    """A sentence when eta lies far from the calibrated ones."""
    eta = np.abs(eta) if gauge.fold else eta
    scaled = (gauge.etas - gauge.flow.shift) / gauge.flow.scale
    away = (eta - gauge.flow.shift) / gauge.flow.scale
    spread = scaled.T @ scaled / (len(scaled) - 1) + THIN * np.eye(len(eta))
    pull = np.linalg.solve(spread, away)
    distance = math.sqrt(away @ pull)
    if distance <= FAR:
        return []
    k = int(np.argmax(away * pull))  # the share of each eta in the distance
    side = "above" if away[k] > 0 else "below"
    return [
        f"Extrapolating: eta lies {distance:.1f} standard deviations from the "
        f"calibrated systems, most of it {side} them in eta {k + 1}."
    ]


def _beyond(gauge: Gauge, middle: np.ndarray) -> list[str]:
    """A sentence for each (scaled) parameter outside the box of the calibrated ones."""
    out = []
    labels = logarithms(gauge.labels, np.array(gauge.log))
    labels = (labels - gauge.mean) / gauge.scale
    low, high = labels.min(axis=0), labels.max(axis=0)
    over, under = (middle - high) / (high - low), (low - middle) / (high - low)
    value = gauge.physical(middle)
    for k, (name, unit) in enumerate(zip(gauge.names, gauge.units, strict=True)):
        if max(over[k], under[k]) > BEYOND:
            side = "above" if over[k] > 0 else "below"
            ends = gauge.labels[:, k].min(), gauge.labels[:, k].max()
            text = f"{name} = {value[k]:.3g} lies {side} the calibrated {ends[0]:.3g}"
            out.append(f"Extrapolating: {text} to {ends[1]:.3g} {unit}".rstrip() + ".")
    return out


def _digits(low: float, high: float) -> int:
    """Significant digits that show the width of an interval, 4 to 8: a sharp one
    is else a single number."""
    size, width = max(abs(low), abs(high)), high - low
    if not (np.isfinite(size) and width > 0):
        return 4
    return int(np.clip(math.ceil(math.log10(size / width)) + 2, 4, 8))


def _in_words(
    gauge: Gauge,
    value: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    interval: str,
    level: float,
    unknown: np.ndarray,
) -> str:
    parts = []
    for k, (name, unit) in enumerate(zip(gauge.names, gauge.units, strict=True)):
        if unknown[k]:
            parts.append(f"{name} is not identified by this record")
            continue
        digits = _digits(low[k], high[k])
        text = f"{name} = {value[k]:.{digits}g} {unit}".rstrip()
        parts.append(f"{text} ({low[k]:.{digits}g} to {high[k]:.{digits}g})")
    return f"{'; '.join(parts)} ({100 * level:g} %, {interval})."
