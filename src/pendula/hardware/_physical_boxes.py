"""Simulated physical layers: coupled oscillators, scattered light, saturating gains."""

from __future__ import annotations

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import positive
from .._registry import register
from .._source import Source
from ..solve import rollout
from ._physical_layer import (
    AbstractPhysicalLayer,
    Bounds,
    check_box,
    in_kind,
    reading,
    within,
)


Time = float | Float[Array, ""]


def _aged(values: Array, rates: Array, t: Time) -> tuple[Array, Array]:
    """Numbers that change by relative rates, and the rates relative to them as they
    then are: a second later twice is two seconds later."""
    growth = 1.0 + rates * jnp.asarray(t, values.dtype)
    return values * growth, rates / jnp.where(growth == 0.0, 1.0, growth)


@register("module")
class OscillatorChain(AbstractPhysicalLayer):
    r"""A chain of masses on hardening springs, driven by the input and read later.

    $$ \ddot q_i = -(k_i + p_i) q_i - c\,\dot q_i - b\,q_i^3
       + \kappa\,(q_{i-1} - 2 q_i + q_{i+1}) + g\,x_i, \qquad y_i = q_i(T) $$

    From rest, ends free of the coupling beyond them, force held until T; the Runge-
    Kutta method of order 4.

    **Shapes and units**: input, params, output `"mass"`, without unit (masses are 1).
    **Arguments:**
    - `size`: number of masses.
    - `stiffness`: mean of k, each drawn with a relative spread of `spread`; params are
      added to k.
    - `damping` c, `cubic` b, `coupling` kappa, `drive` g.
    - `time` T, in which `steps` steps are made.
    - `noise`: standard deviation of a reading; `drifting`: that of the relative change
      of a k per unit of the drift's time.
    - `key`: draws the chain.

    **Raises:** `ConfigError`.
    **Source:** Wright et al. 2022, the demonstration on coupled oscillators; a Duffing
    chain of our own numbers.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import OscillatorChain
    >>> chain = OscillatorChain(2, coupling=0.0, spread=0.0, cubic=0.0, damping=0.0,
    ...                         time=3.14159265, steps=40, key=jax.random.key(0))
    >>> y = chain.forward(jnp.zeros(2), jnp.asarray([0.5, 0.0]), jax.random.key(1))
    >>> [round(float(v), 3) for v in y]  # x (1 - cos T)
    [1.0, 0.0]

    ```
    """

    source: ClassVar[Source] = Source("Wright2022", "coupled oscillators")

    stiffness: Float[Array, " mass"]
    """k of each mass."""
    rates: Float[Array, " mass"]
    """Relative change of k per unit of time."""
    damping: Float[Array, ""]
    cubic: Float[Array, ""]
    coupling: Float[Array, ""]
    drive: Float[Array, ""]
    time: float = eqx.field(static=True)
    """When it is read."""
    steps: int = eqx.field(static=True)
    """Steps until then."""
    in_size: int = eqx.field(static=True)
    """Masses."""
    out_size: int = eqx.field(static=True)
    """Masses."""
    n_params: int = eqx.field(static=True)
    """Masses."""
    in_bounds: Bounds = eqx.field(static=True)
    """Forces that can be applied, by the drive."""
    out_bounds: Bounds = eqx.field(static=True)
    """Displacements that can be read."""
    noise: float = eqx.field(static=True)
    """Standard deviation of a displacement read again."""

    def __init__(
        self,
        size: int,
        *,
        stiffness: float = 1.0,
        spread: float = 0.1,
        damping: float = 0.2,
        cubic: float = 1.0,
        coupling: float = 0.3,
        drive: float = 1.0,
        time: float = 3.0,
        steps: int = 12,
        in_bounds: Bounds = (-4.0, 4.0),
        out_bounds: Bounds = (-4.0, 4.0),
        noise: float = 0.0,
        drifting: float = 0.1,
        key: PRNGKeyArray,
    ) -> None:
        sizes = {"size": size, "steps": steps}
        bounds = {"in_bounds": in_bounds, "out_bounds": out_bounds}
        check_box("OscillatorChain", sizes, bounds, noise)
        positive("OscillatorChain", stiffness=stiffness, time=time)
        drawn, moving = jax.random.normal(key, (2, size))
        self.stiffness = stiffness * (1.0 + spread * drawn)
        self.rates = drifting * moving
        self.damping, self.cubic = jnp.asarray(damping), jnp.asarray(cubic)
        self.coupling, self.drive = jnp.asarray(coupling), jnp.asarray(drive)
        self.time, self.steps = float(time), steps
        self.in_size = self.out_size = self.n_params = size
        self.in_bounds, self.out_bounds = in_bounds, out_bounds
        self.noise = float(noise)

    def forward(
        self,
        params: Float[Array, " param"],
        x: Float[Array, " in"],
        key: PRNGKeyArray,
    ) -> Float[Array, " out"]:
        params, x = in_kind(self.stiffness, params, x)
        force = self.drive * within(x, self.in_bounds)
        springs = self.stiffness + params
        n = self.in_size

        def field(t: Array, y: Array, u: None, context: None) -> Array:
            q, v = y[:n], y[n:]
            stretch = jnp.diff(q)  # of the springs between neighbours
            between = jnp.pad(stretch, (0, 1)) - jnp.pad(stretch, (1, 0))
            pull = -(springs + self.cubic * q * q) * q - self.damping * v
            return jnp.concatenate([v, pull + self.coupling * between + force])

        rest = jnp.zeros(2 * n, x.dtype)
        ts = np.asarray([0.0, self.time])
        path = rollout(field, rest, ts, substeps=self.steps)
        return reading(path.ys[-1, :n], self.noise, self.out_bounds, key)

    def drift(self, t: Time) -> OscillatorChain:
        changed = _aged(self.stiffness, self.rates, t)
        return eqx.tree_at(lambda b: (b.stiffness, b.rates), self, changed)


@register("module")
class Diffractive(AbstractPhysicalLayer):
    r"""Light through a medium that scatters it, of which a camera sees the intensity.

    $$ y_i = \Big| \sum_j T_{ij}\, e^{i (p_j + r_j t)} x_j \Big|^2, \qquad
       T_{ij} \sim \mathcal{CN}(0, 1/n) $$

    **Shapes and units**: input `"in"` (amplitudes), params `"in"` (phases [rad]),
    output `"out"` (intensities, 1 in the mean for inputs of mean square 1).
    **Arguments:**
    - `in_size`, `out_size`; `noise`: standard deviation of a reading.
    - `drifting`: standard deviation of the rates r [rad per unit of the drift's time].
    - `key`: draws the medium.

    **Raises:** `ConfigError`.
    **Source:** Momeni et al. 2023, the optical network; the law of the medium is ours.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import Diffractive
    >>> layer = Diffractive(64, 256, key=jax.random.key(0))
    >>> y = layer.forward(jnp.zeros(64), jnp.ones(64), jax.random.key(1))
    >>> bool((y >= 0).all()), bool(abs(y.mean() - 1) < 0.2)
    (True, True)

    ```
    """

    source: ClassVar[Source] = Source("Momeni2023", "optical network")

    real: Float[Array, "out in"]
    """Real part of T."""
    imaginary: Float[Array, "out in"]
    """Imaginary part of T."""
    phases: Float[Array, " in"]
    """What the phases have drifted by [rad]."""
    rates: Float[Array, " in"]
    """How fast they drift."""
    in_size: int = eqx.field(static=True)
    """Amplitudes."""
    out_size: int = eqx.field(static=True)
    """Pixels of the camera."""
    n_params: int = eqx.field(static=True)
    """Phases, one an input."""
    in_bounds: Bounds = eqx.field(static=True)
    """Amplitudes that can be applied."""
    out_bounds: Bounds = eqx.field(static=True)
    """Intensities that can be read."""
    noise: float = eqx.field(static=True)
    """Standard deviation of an intensity read again."""

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        in_bounds: Bounds = (-4.0, 4.0),
        out_bounds: Bounds = (0.0, 8.0),
        noise: float = 0.0,
        drifting: float = 0.1,
        key: PRNGKeyArray,
    ) -> None:
        bounds = {"in_bounds": in_bounds, "out_bounds": out_bounds}
        sizes = {"in_size": in_size, "out_size": out_size}
        check_box("Diffractive", sizes, bounds, noise)
        medium, moving = jax.random.split(key)
        width = math.sqrt(0.5 / in_size)
        drawn = width * jax.random.normal(medium, (2, out_size, in_size))
        self.real, self.imaginary = drawn
        self.phases = jnp.zeros(in_size)
        self.rates = drifting * jax.random.normal(moving, (in_size,))
        self.in_size, self.out_size, self.n_params = in_size, out_size, in_size
        self.in_bounds, self.out_bounds = in_bounds, out_bounds
        self.noise = float(noise)

    def forward(
        self,
        params: Float[Array, " param"],
        x: Float[Array, " in"],
        key: PRNGKeyArray,
    ) -> Float[Array, " out"]:
        params, x = in_kind(self.real, params, x)
        # the medium turned, not the input: a batch shares it
        angle = self.phases + params
        c, s = jnp.cos(angle)[None], jnp.sin(angle)[None]
        x = within(x, self.in_bounds)
        real = (self.real * c - self.imaginary * s) @ x
        imaginary = (self.real * s + self.imaginary * c) @ x
        y = real**2 + imaginary**2
        return reading(y, self.noise, self.out_bounds, key)

    def drift(self, t: Time) -> Diffractive:
        phases = self.phases + self.rates * jnp.asarray(t, self.rates.dtype)
        return eqx.tree_at(lambda b: b.phases, self, phases)


@register("module")
class UnknownGain(AbstractPhysicalLayer):
    r"""Amplifiers that saturate, each of a gain that nobody has measured.

    $$ y_i = \tanh\big(g_i (1 + r_i t) (x_i + p_i)\big), \qquad
       g_i \sim \mathcal N(g, (s g)^2) $$

    **Shapes**: input, params and output `"channel"`.
    **Arguments:**
    - `size`: number of channels; `gain`: g; `spread`: s.
    - `noise`: standard deviation of a reading; `drifting`: that of the rates r.
    - `key`: draws the amplifiers.

    **Raises:** `ConfigError`.
    **Source:** Momeni et al. 2023, on layers of unknown response; the law is ours.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import UnknownGain
    >>> layer = UnknownGain(2, spread=0.0, key=jax.random.key(0))
    >>> y = layer.forward(jnp.zeros(2), jnp.asarray([0.0, 9.0]), jax.random.key(1))
    >>> [round(float(v), 3) for v in y]
    [0.0, 0.999]

    ```
    """

    source: ClassVar[Source] = Source("Momeni2023", "layers of unknown response")

    gains: Float[Array, " channel"]
    """g of each channel."""
    rates: Float[Array, " channel"]
    """Relative change of g per unit of time."""
    in_size: int = eqx.field(static=True)
    """Channels."""
    out_size: int = eqx.field(static=True)
    """Channels."""
    n_params: int = eqx.field(static=True)
    """Offsets, one a channel."""
    in_bounds: Bounds = eqx.field(static=True)
    """What can be applied."""
    out_bounds: Bounds = eqx.field(static=True)
    """What can be read."""
    noise: float = eqx.field(static=True)
    """Standard deviation of an output read again."""

    def __init__(
        self,
        size: int,
        *,
        gain: float = 1.0,
        spread: float = 0.3,
        in_bounds: Bounds = (-4.0, 4.0),
        noise: float = 0.0,
        drifting: float = 0.1,
        key: PRNGKeyArray,
    ) -> None:
        self.out_bounds = (-1.0, 1.0)
        bounds = {"in_bounds": in_bounds}
        check_box("UnknownGain", {"size": size}, bounds, noise)
        drawn, moving = jax.random.normal(key, (2, size))
        self.gains = gain * (1.0 + spread * drawn)
        self.rates = drifting * moving
        self.in_size = self.out_size = self.n_params = size
        self.in_bounds = in_bounds
        self.noise = float(noise)

    def forward(
        self,
        params: Float[Array, " param"],
        x: Float[Array, " in"],
        key: PRNGKeyArray,
    ) -> Float[Array, " out"]:
        params, x = in_kind(self.gains, params, x)
        y = jnp.tanh(self.gains * (within(x, self.in_bounds) + params))
        return reading(y, self.noise, self.out_bounds, key)

    def drift(self, t: Time) -> UnknownGain:
        changed = _aged(self.gains, self.rates, t)
        return eqx.tree_at(lambda b: (b.gains, b.rates), self, changed)
