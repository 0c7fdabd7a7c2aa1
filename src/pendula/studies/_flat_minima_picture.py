"""Part `picture` of study `flat_minima`: a loss of one weight with a sharp and a flat
minimum, smoothed in two ways, and slopes of random samples beside the integrals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..train import EntropySGD, Smoothed
from ._claim import Claim
from ._figures import COLOURS, figure
from ._flat_minima import flat_minima
from ._row import Row
from ._study import Run


_P = "flat_minima.picture"
_WIDTH = 0.4  # standard deviation of the noise q
_POINTS = (-2.0, -1.1, 0.3)
_LOSS = f"loss of one weight, noise of standard deviation {_WIDTH}"
_AT = f"at w = {', '.join(f'{w:g}' for w in _POINTS)}"
_TRIED = "Nothing else: this is the first way that was written."
# Nesterov's momentum of 0.9 makes the pull of a walk ten times as strong, and leaves
# its noise: with this factor the samples are of temperature 1, as in the integral
_EPS = 10.0**0.5


def _rows() -> Iterator[Row]:
    for name, words in (
        ("smoothed", "slopes under noise (HA-SGD) and the slope of E J"),
        ("entropy", "slopes weighted by exp(-J) and the slope of -log E exp(-J)"),
    ):
        yield Row(
            f"{_P}.{name}_off",
            f"{_LOSS}: distance of the mean of sampled {words} by quadrature, in "
            f"standard errors, largest {_AT}.",
            target=3,
            source="Wang 2023, figs. 2.11, 2.12",
            tried=_TRIED,
        )
    yield Row(
        f"{_P}.walk_off",
        f"{_LOSS}: distance of the mean gradient of Entropy-SGD (2000 walks of 10 000 "
        "steps of 3e-5, noise for temperature 1) and the slope of -log E exp(-J), over "
        f"the largest of these slopes, largest {_AT}.",
        target=0.15,
        source="Chaudhari et al. 2017, arXiv:1611.01838",
        tried=_TRIED,
    )
    for name, words in (
        ("loss", "J"),
        ("smoothed", "E J"),
        ("entropy", "-log E exp(-J)"),
    ):
        yield Row(
            f"{_P}.lowest_{name}",
            f"{_LOSS}: where {words} is lowest (sharp minimum at -1.5, flat one at "
            "1.5).",
            better="equal",
        )


def loss(w: Any, numpy: Any = np) -> Any:
    """A narrow and deep, and a wide and less deep minimum in a bowl."""
    sharp = 1.6 * numpy.exp(-0.5 * ((w + 1.5) / 0.2) ** 2)
    flat = 1.3 * numpy.exp(-0.5 * ((w - 1.5) / 0.8) ** 2)
    return 2.0 + 0.03 * w**2 - sharp - flat


def _slope(w: np.ndarray) -> np.ndarray:
    """dJ/dw."""
    sharp = 1.6 * np.exp(-0.5 * ((w + 1.5) / 0.2) ** 2) * (w + 1.5) / 0.2**2
    flat = 1.3 * np.exp(-0.5 * ((w - 1.5) / 0.8) ** 2) * (w - 1.5) / 0.8**2
    return 0.06 * w + sharp + flat


@dataclasses.dataclass(frozen=True)
class Integrals:
    """E J, -log E exp(-J) and their slopes `"w"`."""

    smoothed: np.ndarray
    entropy: np.ndarray
    smoothed_slope: np.ndarray
    entropy_slope: np.ndarray


def integrals(w: np.ndarray) -> Integrals:
    """By the trapezoidal rule, exact to rounding for what falls off like a Gaussian."""
    z = np.linspace(-9.0, 9.0, 4001)
    q = np.exp(-0.5 * z**2)
    q /= q.sum()
    there = w[:, None] + _WIDTH * z
    values, slopes = loss(there), _slope(there)
    tilted = q * np.exp(-values)
    mass = tilted.sum(axis=1)
    return Integrals(
        values @ q, -np.log(mass), slopes @ q, (tilted * slopes).sum(axis=1) / mass
    )


@flat_minima.part(
    "picture",
    tuple(_rows()),
    full={"samples": 4000, "walks": 2000, "steps": 10_000},
    quick={"samples": 200, "walks": 20, "steps": 300},
)
def picture(run: Run) -> Iterator[Claim]:
    """The estimators of `pendula.train` at three points, and the figure."""
    s = run.settings
    points = np.array(_POINTS)
    truth = integrals(points)
    where, slopes = _samples(points, s["samples"])
    mean, error = slopes.mean(axis=1), slopes.std(axis=1, ddof=1)
    off = np.abs(mean - truth.smoothed_slope) / (error / np.sqrt(s["samples"]))
    yield run.row(f"{_P}.smoothed_off").measured(float(off.max()), n=s["samples"])
    weights = np.exp(-loss(where))
    weights /= weights.sum(axis=1, keepdims=True)
    tilted = (weights * slopes).sum(axis=1)
    # of a ratio of means, to first order
    error = np.sqrt(np.sum((weights * (slopes - tilted[:, None])) ** 2, axis=1))
    off = np.abs(tilted - truth.entropy_slope) / error
    yield run.row(f"{_P}.entropy_off").measured(float(off.max()), n=s["samples"])
    walked = _walked(points, s["walks"], s["steps"])
    off = np.abs(walked - truth.entropy_slope) / np.abs(truth.entropy_slope).max()
    yield run.row(f"{_P}.walk_off").measured(float(off.max()), n=s["walks"])
    w = np.linspace(-2.6, 3.0, 1121)
    curves = integrals(w)
    for name, values in (
        ("loss", loss(w)),
        ("smoothed", curves.smoothed),
        ("entropy", curves.entropy),
    ):
        lowest = float(w[np.argmin(values)])
        yield run.row(f"{_P}.lowest_{name}").measured(round(lowest, 3))
    _draw(run.figures / "smoothing.svg", w, curves, truth, slopes, weights)


def _jax_loss(w: Array, key: Any) -> Array:
    return loss(w, jnp)


def _bowl(w: Array, key: Any) -> Array:
    """Its slope is w itself."""
    return 0.5 * w**2


def _gradients(
    estimator: Any, points: np.ndarray, count: int, of: Any = _jax_loss
) -> np.ndarray:
    """Gradients `"point sample"` by an estimator, each with its own key."""
    vg: Callable[..., Any] = estimator.around(of)
    at = lambda w, keys: jax.vmap(lambda key: vg(w, key)[1])(keys)
    keys = jax.random.split(jax.random.key(0), (len(points), count))
    found = jax.jit(jax.vmap(at))(jnp.asarray(points, jnp.float32), keys)
    return np.asarray(found, np.float64)


def _samples(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Disturbed weights and the slopes there, `"point sample"`: those of `Smoothed`."""

    def perturb(w: Array, key: Any, level: Array, statistics: Any) -> Array:
        return w + level * jax.random.normal(key, w.shape)

    estimator = Smoothed(perturb, _WIDTH)
    where = _gradients(estimator, points, count, _bowl)
    return where, _gradients(estimator, points, count)


def _walked(points: np.ndarray, count: int, steps: int) -> np.ndarray:
    """The mean gradient of Entropy-SGD, `"point"`, with the factor gamma that it
    leaves to the rate; walks are equally long in time."""
    gamma = _WIDTH**-2
    estimator = EntropySGD(
        steps, gamma0=gamma, scoping=0.0, eps=_EPS, inner_lr=0.3 / steps, alpha=0.0
    )
    return gamma * _gradients(estimator, points, count).mean(axis=1)


def _draw(
    path: Path,
    w: np.ndarray,
    curves: Integrals,
    truth: Integrals,
    slopes: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Both smoothed losses with slopes of 25 samples and their mean at the points."""
    rng = np.random.default_rng(0)
    panels = (
        ("E J", curves.smoothed, truth.smoothed, None),
        ("-log E exp(-J)", curves.entropy, truth.entropy, weights),
    )
    with figure(path, 2, 5.6) as axes:
        for ax, (title, curve, heights, chosen) in zip(axes, panels, strict=True):
            ax.plot(w, loss(w), color="#767676", linewidth=0.9, label="J")
            ax.plot(w, curve, color=COLOURS[0], linewidth=1.3, label=title)
            for k, (point, height) in enumerate(zip(_POINTS, heights, strict=True)):
                share = None if chosen is None else chosen[k]
                drawn = rng.choice(slopes[k], size=25, p=share)
                mean = float(np.average(slopes[k], weights=share))
                for slope in drawn:
                    _short(ax, point, height, slope, COLOURS[5], 0.5)
                _short(ax, point, height, mean, COLOURS[1], 2.0)
            for colour, text in ((COLOURS[5], "25 samples"), (COLOURS[1], "mean")):
                ax.plot([], [], color=colour, label=f"slopes: {text}")
            ax.set_ylabel("loss")
            ax.legend(
                frameon=False,
                fontsize=8,
                loc="lower center",
                bbox_to_anchor=(0.47, 0.0),
            )
            ax.margins(x=0)
        axes[-1].set_xlabel("w")


def _short(
    ax: Any, at: float, height: float, slope: float, colour: str, width: float
) -> None:
    """A piece of a line through a point, of one length to the eye."""
    half = 0.35 / np.hypot(1.0, slope)
    ends = np.array([-half, half])
    ax.plot(at + ends, height + slope * ends, color=colour, linewidth=width)
