"""Frozen random features: hidden layers that are drawn and not trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._source import Source


class TanhFeatures(eqx.Module):
    r"""A layer of random neurons.

    $$ \phi_j(x, s) = \tanh\big(a_j \cdot (z(x) - z(c_j)) + b_j (s - s_j)\big) $$

    z(x) is x mapped to [-1, 1], or cos, sin of its multiples where it is periodic; s in
    [0, 1] is the time in the window. Each neuron has its steepest place at a random
    point (c_j, s_j).

    **Shapes and units**: called with points `"point coord"`, the last one s where there
    is time; returns `"point feature"`.
    **Source:** Datar et al. 2024, arXiv:2405.20836 (frozen networks for equations in
    time); the layer of centres and slopes is our own choice.
    """

    source: ClassVar[Source] = Source("Datar2024", "section 3")

    weight: Float[Array, "input feature"]
    bias: Float[Array, "feature"]
    lo: Float[Array, "space"]
    length: Float[Array, "space"]
    harmonics: tuple[int, ...] = eqx.field(static=True)
    """Multiples of each coordinate in space, 0 where it is not periodic."""
    has_time: bool = eqx.field(static=True)

    def __call__(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point feature"]:
        """The features at points."""
        z = _embed(points, self.lo, self.length, self.harmonics, self.has_time)
        return jnp.tanh(z @ self.weight + self.bias[None, :])

    @property
    def size(self) -> int:
        """Number of features."""
        return self.bias.shape[0]


def _embed(
    points: Array, lo: Array, length: Array, harmonics: Sequence[int], has_time: bool
) -> Array:
    columns = []
    for k, most in enumerate(harmonics):
        unit = (points[:, k] - lo[k]) / length[k]
        if most:
            for m in range(1, most + 1):
                columns += [
                    jnp.cos(2.0 * np.pi * m * unit),
                    jnp.sin(2.0 * np.pi * m * unit),
                ]
        else:
            columns.append(2.0 * unit - 1.0)
    if has_time:
        columns.append(points[:, -1])
    return jnp.stack(columns, axis=1)


def draw_features(
    bounds: Float[np.ndarray, "space 2"],
    harmonics: Sequence[int],
    count: int,
    *,
    has_time: bool,
    slope_x: float,
    slope_t: float,
    centres: Float[np.ndarray, "feature space"] | None = None,
    sharpness: Float[np.ndarray, "feature"] | None = None,
    partners: Float[np.ndarray, "feature"] | None = None,
    seed: int = 0,
) -> TanhFeatures:
    """Draw a layer.

    **Arguments:** `bounds` `"space 2"`; `harmonics`: 0 for a coordinate that is not
    periodic, else how many multiples; `slope_x`, `slope_t`: slopes are uniform between
    minus and plus that; `centres`: where the neurons are steep (uniform without);
    `sharpness`: factors on each neuron's slopes in space; `partners`: on a circle,
    where else the neurons are as steep.
    """
    rng = np.random.default_rng(seed)
    space = len(bounds)
    lo, length = bounds[:, 0], bounds[:, 1] - bounds[:, 0]
    uniform = lo + length * rng.uniform(size=(count, space))
    centres = uniform if centres is None else centres
    middle = np.c_[centres, rng.uniform(size=count)] if has_time else centres
    num = sum(2 * m if m else 1 for m in harmonics)
    slopes = rng.uniform(-slope_x, slope_x, (count, num))
    if sharpness is not None:
        slopes = slopes * sharpness[:, None]
    if partners is not None:
        first, second = (
            2.0 * np.pi * (x - lo[0]) / length[0] for x in (centres[:, 0], partners)
        )
        slopes = _two_places(first, second, np.linalg.norm(slopes, axis=1), num)
    if has_time:
        slopes = np.c_[slopes, rng.uniform(-slope_t, slope_t, count)]
    lo, length = jnp.asarray(lo), jnp.asarray(length)
    z = np.asarray(_embed(jnp.asarray(middle), lo, length, harmonics, has_time))
    bias = -np.sum(z * slopes, axis=1)
    return TanhFeatures(
        jnp.asarray(slopes.T), jnp.asarray(bias), lo, length, tuple(harmonics), has_time
    )


def _two_places(
    first: Float[np.ndarray, "feature"],
    second: Float[np.ndarray, "feature"],
    steep: Float[np.ndarray, "feature"],
    num: int,
) -> Float[np.ndarray, "feature num"]:
    r"""Slopes of neurons that are steep at two angles of a circle and nowhere else.

    $\tanh(A (\cos(\theta - \varphi) - \cos w))$ crosses 0 at $\varphi \pm w$, with
    slope $A \sin w$. A slope that is drawn for each harmonic crosses 0 elsewhere, too,
    as steeply, and there may be no points there.
    """
    half = 0.5 * np.angle(np.exp(1j * (second - first)))
    # no bump is narrower than a step of that slope
    half = np.where(half < 0.0, -1.0, 1.0) * np.maximum(
        np.abs(half), 1.0 / np.maximum(steep, 1.0)
    )
    size = steep / np.sin(half)
    out = np.zeros((len(first), num))
    out[:, 0], out[:, 1] = size * np.cos(first + half), size * np.sin(first + half)
    return out


class Combination(eqx.Module):
    """A trial network: features and the coefficients of each field."""

    features: TanhFeatures
    weights: Float[Array, "feature field"]

    def __call__(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point field"]:
        """The network at points, time as s."""
        return self.features(points) @ self.weights
