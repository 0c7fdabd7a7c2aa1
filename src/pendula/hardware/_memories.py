"""Memories whose statistics were measured: phase change, resistive, charge trapping."""

from __future__ import annotations

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import positive
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ._pairs import AbstractPair, check_split


DAY = 86400.0
"""Seconds of a day."""
_FIRST, _PULSE = 20.0, 250e-9  # seconds until the first read, and of a read


@register("device", "pcm")
class PCM(AbstractPair):
    r"""Phase-change memory: programming error, drift, and read noise.

    With $g$ the target as a share of $G_{max}$, errors in uS for 25 uS:

    $$ \sigma_p = \max(0,\ 0.26348 + 1.9650\, g - 1.1731\, g^2), \qquad
       G(t) = G_p \Big(\frac{t + t_0}{t_0}\Big)^{-\nu}, \quad
       \nu = |N(\mu, s^2)| $$
    $$ \mu = \mathrm{clip}(0.0244 - 0.0155 \ln g,\ 0.049,\ 0.1), \quad
       s = \mathrm{clip}(-0.0125 \ln g - 0.0059,\ 0.008,\ 0.045) $$
    $$ \sigma_r = G(t)\, Q \sqrt{\ln\frac{t + t_0 + t_r}{2 t_r}}, \quad
       Q = \min\big(0.0088 / \max(g^{0.65}, 10^{-3}),\ 0.2\big) $$

    with $t_0 = 20$ s and $t_r = 250$ ns. The level multiplies both errors, not the
    drift: 1 is the device as measured.

    **Arguments:** `g_max` in uS; `read`: whether one draw of the read noise is part of
    a chip; `split`.
    **Raises:** `ConfigError`.
    **Source:** Nandakumar et al. 2019, ICECS, statistical model of doped
    Ge2Sb2Te5 mushroom cells.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import DAY, PCM
    >>> later = PCM().program(jax.random.key(0), jnp.ones(1000), 1.0, DAY)
    >>> 0.4 < float(later.mean()) < 0.7  # a day's drift
    True

    ```
    """

    source: ClassVar[Source] = Source("Nandakumar2019", "statistical model")

    g_max: float = eqx.field(static=True, default=25.0)
    """Largest conductance, uS."""
    read: bool = eqx.field(static=True, default=True)
    """Whether read noise is drawn."""
    split: str = eqx.field(static=True, kw_only=True, default="one_sided")
    """How a weight is shared between the cells."""
    default_level: float = eqx.field(static=True, kw_only=True, default=1.0)
    """1: errors as measured."""

    def __check_init__(self) -> None:
        check_split("PCM", self.split)
        positive("PCM", g_max=self.g_max)

    def cell_sigma(
        self, g: Float[Array, "..."], level: Float[Array, ""]
    ) -> Float[Array, "..."]:
        written = self._written(g, level)
        if not self.read:
            return written
        share, since = self._reading(g, jnp.zeros((), g.dtype))
        return jnp.hypot(written, level * g * share * since)

    def _written(
        self, g: Float[Array, "..."], level: Float[Array, ""]
    ) -> Float[Array, "..."]:
        """Standard deviation of programming."""
        micro = 0.26348 + 1.9650 * g - 1.1731 * g * g
        return level * jnp.maximum(micro, 0.0) / 25.0

    def _reading(
        self, g: Float[Array, "..."], t: Float[Array, ""]
    ) -> tuple[Float[Array, "..."], Float[Array, ""]]:
        """Q, and what it grows by until a time: their product is the standard
        deviation of a reading as a share of what is read."""
        power = jnp.maximum(g, 1e-6) ** 0.65  # at 0 it has no slope
        share = jnp.minimum(0.0088 / jnp.maximum(power, 1e-3), 0.2)
        return share, jnp.sqrt(jnp.log((t + _FIRST + _PULSE) / (2.0 * _PULSE)))

    def cell(
        self,
        key: PRNGKeyArray,
        g: Float[Array, "..."],
        level: Float[Array, ""],
        t: Float[Array, ""],
    ) -> Float[Array, "..."]:
        keys = jax.random.split(key, 3)
        unit = lambda k: jax.random.normal(k, g.shape, g.dtype)
        made = jnp.maximum(g + self._written(g, level) * unit(keys[0]), 0.0)
        log_g = jnp.log(jnp.maximum(g, 1e-6))
        mean = jnp.clip(0.0244 - 0.0155 * log_g, 0.049, 0.1)
        spread = jnp.clip(-0.0125 * log_g - 0.0059, 0.008, 0.045)
        nu = jnp.abs(mean + spread * unit(keys[1]))
        made = made * ((t + _FIRST) / _FIRST) ** (-nu)
        if not self.read:
            return made
        share, since = self._reading(g, t)
        read = level * made * share * since * unit(keys[2])
        return jnp.maximum(made + read, 0.0)


_RERAM = (  # standard deviation in uS as a polynomial in g, constant first
    (0.348, 16.030, -43.853, 45.393, -16.815),
    (0.701, 22.086, -50.773, 47.095, -16.458),
    (0.782, 20.274, -43.507, 37.062, -11.934),
)


@register("device", "reram")
class ReRAM(AbstractPair):
    r"""Resistive memory: errors that depend on the conductance and grow with time.

    $$ \sigma(g, t) = \sum_k c_k(t)\, g^k \ \ [\mu S], \qquad g = G / G_{max} $$

    with coefficients for 1 second, 1 day and 2 days after programming; between them
    the standard deviation is linear in the logarithm of time (ours), beyond them
    constant. The level multiplies it.

    **Arguments:** `g_max` in uS: errors scale with it; `split`.
    **Raises:** `ConfigError`.
    **Source:** Wan et al. 2022, Nature 608, 504-512 (polynomial approximation of its
    measurements, 40 uS).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import ReRAM
    >>> round(float(ReRAM().cell_sigma(jnp.zeros(1), jnp.asarray(1.0))[0] * 40), 3)
    0.348

    ```
    """

    source: ClassVar[Source] = Source("Wan2022", "relaxation of conductances")

    g_max: float = eqx.field(static=True, default=40.0)
    """Largest conductance, uS."""
    split: str = eqx.field(static=True, kw_only=True, default="one_sided")
    """How a weight is shared between the cells."""
    default_level: float = eqx.field(static=True, kw_only=True, default=1.0)
    """1: errors as measured."""

    def __check_init__(self) -> None:
        check_split("ReRAM", self.split)
        positive("ReRAM", g_max=self.g_max)

    def spread(
        self, g: Float[Array, "..."], t: Float[Array, ""]
    ) -> Float[Array, "..."]:
        """Standard deviation as a share of the largest conductance."""
        table = jnp.asarray(_RERAM, g.dtype)
        times = jnp.log(jnp.asarray((1.0, DAY, 2.0 * DAY), g.dtype))
        now = jnp.log(jnp.maximum(t, 1.0))
        row = jax.vmap(lambda column: jnp.interp(now, times, column))(table.T)
        micro = jnp.polyval(row[::-1], g)
        return jnp.maximum(micro, 0.0) / 40.0

    def cell_sigma(
        self, g: Float[Array, "..."], level: Float[Array, ""]
    ) -> Float[Array, "..."]:
        return level * self.spread(g, jnp.zeros((), g.dtype))

    def cell(
        self,
        key: PRNGKeyArray,
        g: Float[Array, "..."],
        level: Float[Array, ""],
        t: Float[Array, ""],
    ) -> Float[Array, "..."]:
        error = level * self.spread(g, t) * jax.random.normal(key, g.shape, g.dtype)
        return jnp.maximum(g + error, 0.0)


@register("device", "sonos")
class SONOS(AbstractPair):
    r"""Charge trapping in silicon-oxide-nitride-oxide-silicon cells.

    $$ \sigma(I) = A\, (1 - e^{-I / B}) \ \ [nA] $$

    (A, B) = (19.887, 176.31) after programming and (34.579, 207.34) after 5 days;
    between them the standard deviation is linear in log(1 + t / 60 s) (ours), then
    constant. Read noise with (12.580, 215.37). The level multiplies both.

    **Arguments:** `i_max`: largest current in nA, at most 3200; `read`: whether one
    draw of the read noise is part of a chip; `split`.
    **Raises:** `ConfigError`.
    **Source:** Agrawal et al. 2022, IEDM.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import SONOS
    >>> float(SONOS().cell_sigma(jnp.zeros(1), jnp.asarray(1.0))[0])
    0.0

    ```
    """

    source: ClassVar[Source] = Source("Agrawal2022", "state-dependent errors")

    i_max: float = eqx.field(static=True, default=3200.0)
    """Largest current, nA."""
    read: bool = eqx.field(static=True, default=True)
    """Whether read noise is drawn."""
    split: str = eqx.field(static=True, kw_only=True, default="one_sided")
    """How a weight is shared between the cells."""
    default_level: float = eqx.field(static=True, kw_only=True, default=1.0)
    """1: errors as measured."""

    def __check_init__(self) -> None:
        check_split("SONOS", self.split)
        positive("SONOS", i_max=self.i_max)
        if self.i_max > 3200.0:
            raise ConfigError(
                f"SONOS: i_max is {self.i_max:g} nA; the measurements end at 3200 nA. "
                "Take a smaller one."
            )

    def _law(
        self, g: Float[Array, "..."], height: float, bend: float
    ) -> Float[Array, "..."]:
        current = self.i_max * jnp.maximum(g, 0.0)
        return height * -jnp.expm1(-current / bend) / self.i_max

    def cell_sigma(
        self, g: Float[Array, "..."], level: Float[Array, ""]
    ) -> Float[Array, "..."]:
        read = self._law(g, 12.580, 215.37) if self.read else jnp.zeros_like(g)
        return level * jnp.hypot(self._law(g, 19.887, 176.31), read)

    def cell(
        self,
        key: PRNGKeyArray,
        g: Float[Array, "..."],
        level: Float[Array, ""],
        t: Float[Array, ""],
    ) -> Float[Array, "..."]:
        first, second = jax.random.split(key)
        unit = lambda k: jax.random.normal(k, g.shape, g.dtype)
        share = jnp.log1p(t / 60.0) / math.log1p(5.0 * DAY / 60.0)
        share = jnp.minimum(share, 1.0)
        early, late = self._law(g, 19.887, 176.31), self._law(g, 34.579, 207.34)
        spread = (1.0 - share) * early + share * late
        made = jnp.maximum(g + level * spread * unit(first), 0.0)
        if not self.read:
            return made
        read = level * self._law(made, 12.580, 215.37)
        return jnp.maximum(made + read * unit(second), 0.0)
