"""Programming in a loop: read what was written, write again what missed."""

from __future__ import annotations

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import not_negative, whole
from .._errors import ConfigError
from .._registry import register
from .._source import Source
from ._device import AbstractDevice, AbstractOnBase, Scalar, in_float32


@register("device", "write_verify")
class WriteVerify(AbstractOnBase):
    r"""Each device is read after it is written, and written again with a fresh error
    while it misses its target.

    $$ \text{while } |w' + \mu - w| > \epsilon\, \mathrm{range}(w): \quad
       w' \leftarrow p(w), \qquad \mu \sim N(0, (m\, \mathrm{range}(w))^2) $$

    With exact reading the errors that are left follow the base's law cut off at the
    tolerance, but for those that missed in all pulses.

    **Arguments:** `base`: the device; `tolerance`: eps, a share of the range; `pulses`:
    how often a device is written at most; `meas_noise`: m, a share of the range.
    **Raises:** `ConfigError`.
    **Source:** Wang 2023, section 2.2.1 (program and verify).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import RangeNoise, WriteVerify
    >>> device = WriteVerify(RangeNoise(range=2.0), tolerance=0.02, pulses=60)
    >>> made = device.program(jax.random.key(0), jnp.zeros(1000), 0.05)
    >>> float(jnp.abs(made).max()) <= 0.04
    True

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "section 2.2.1")

    base: AbstractDevice
    tolerance: float
    pulses: int = eqx.field(static=True)
    """How often a device is written at most."""
    meas_noise: float
    default_level: float = eqx.field(static=True)
    """The base's."""

    def __init__(
        self,
        base: AbstractDevice,
        tolerance: float = 0.02,
        pulses: int = 10,
        meas_noise: float = 0.0,
    ) -> None:
        not_negative("WriteVerify", tolerance=tolerance, meas_noise=meas_noise)
        self.base, self.pulses = base, whole(1, "WriteVerify", pulses=pulses)
        self.tolerance, self.meas_noise = float(tolerance), float(meas_noise)
        self.default_level = base.default_level

    def program(
        self,
        key: PRNGKeyArray,
        w: Float[Array, "..."],
        level: Scalar,
        t: Scalar = 0.0,
        *,
        scale: Float[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        wide = in_float32(w)
        scale = self.scale(wide) if scale is None else in_float32(scale)
        full = jnp.broadcast_to(scale, w.shape)

        def misses(k: Array, held: Array) -> Array:
            noise = jax.random.normal(k, w.shape, wide.dtype)
            read = held + self.meas_noise * full * noise
            return jnp.abs(read - wide) > self.tolerance * full

        def pulse(carry: tuple[Array, Array], k: Array) -> tuple:
            chosen, again = carry
            write, read = jax.random.split(jax.random.fold_in(key, k))
            # what counts is the error just after writing
            held = self.base.program(write, wide, level, 0.0, scale=scale)
            chosen = jnp.where(again, k, chosen)
            return (chosen, again & misses(read, held)), None

        start = (jnp.zeros(w.shape, jnp.int32), jnp.ones(w.shape, bool))
        count = jnp.arange(self.pulses, dtype=jnp.int32)
        (chosen, _), _ = jax.lax.scan(pulse, start, count)

        # the pulse that each device kept, `t` seconds later
        def later(made: Array, k: Array) -> tuple[Array, None]:
            write, _ = jax.random.split(jax.random.fold_in(key, k))
            held = self.base.program(write, wide, level, t, scale=scale)
            return jnp.where(chosen == k, held, made), None

        made, _ = jax.lax.scan(later, wide, count)
        return made.astype(w.dtype)

    def sigma(
        self,
        w: Float[Array, "..."],
        level: Scalar,
        *,
        scale: Float[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        raise ConfigError(
            "the error that write and verify leaves is not additive: it has no "
            "standard deviation ahead of the drawing. Draw chips instead; shortcuts "
            "need one: of a model with such take shortcut=False."
        )
