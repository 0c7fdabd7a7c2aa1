"""Spiking neurons, and pixels as the times of spikes."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._checks import whole
from .._errors import ConfigError, ShapeError
from .._registry import register
from .._source import Source
from .._tree import Fixed


Number = float | Float[Array, ""]


class LIFState(NamedTuple):
    """Membrane potentials and the samples for which each neuron is still at rest."""

    v: Float[Array, "..."]
    wait: Int[Array, "..."]


@register("module")
class LIF(Fixed):
    r"""Leaky integrate-and-fire neurons, exact for currents held over a sample.

    $$ \tau \dot v = I - v, \qquad
       v_{k+1} = v_k e^{-1/\tau} + (1 - e^{-1/\tau}) I_k $$

    Where v reaches the threshold the neuron fires, v is set back, and it takes no
    current for the samples of its refractory time.

    **Shapes and units**: any shape, one neuron an entry; times in samples, potentials
    and currents in one unit.
    **Arguments:**
    - `tau`: time constant, above 0.
    - `threshold`: above `reset`.
    - `reset`: potential after a spike.
    - `refractory`: samples without input after a spike, rounded to a whole number.

    **Raises:** `ConfigError`.
    **Source:** Gerstner et al. 2014, section 1.3.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import LIF
    >>> cell = LIF.of(tau=2.0)
    >>> state, spikes = cell(cell.start((2,)), jnp.asarray([1.0, 3.0]))
    >>> spikes.tolist(), round(float(state.v[0]), 4)
    ([0.0, 1.0], 0.3935)

    ```
    """

    source: ClassVar[Source] = Source("Gerstner2014", "section 1.3")

    tau: Float[Array, ""]
    """Time constant [samples]."""
    threshold: Float[Array, ""]
    """Where a neuron fires."""
    reset: Float[Array, ""]
    """Potential after a spike."""
    refractory: Float[Array, ""]
    """Samples without input after a spike."""

    @classmethod
    def of(
        cls,
        *,
        tau: float = 6.0,
        threshold: float = 1.0,
        reset: float = 0.0,
        refractory: float = 3.0,
    ) -> LIF:
        """Neurons of these numbers."""
        values = {"tau": tau, "threshold": threshold, "reset": reset}
        for name, value in {**values, "refractory": refractory}.items():
            if not np.isfinite(value):
                raise ConfigError(f"LIF: {name} is {value}; it must be finite.")
        if not tau > 0.0:
            raise ConfigError(f"LIF: tau is {tau} samples; it must be above 0.")
        if not threshold > reset:
            raise ConfigError(
                f"LIF: the threshold {threshold} is not above the reset {reset}; the "
                "neuron would fire for ever. Raise the threshold."
            )
        if refractory < 0.0:
            raise ConfigError(
                f"LIF: refractory is {refractory} samples; it must be at least 0."
            )
        numbers = map(float, (tau, threshold, reset, refractory))
        return cls(*map(jnp.asarray, numbers))

    def start(self, shape: tuple[int, ...]) -> LIFState:
        """Neurons at their reset."""
        v = jnp.broadcast_to(self.reset, shape)
        return LIFState(v, jnp.zeros(shape, jnp.int32))

    def __call__(
        self, state: LIFState, current: Float[Array, "..."]
    ) -> tuple[LIFState, Float[Array, "..."]]:
        """The next state, and 1 where a neuron fired in this sample, else 0."""
        keep = jnp.exp(-1.0 / self.tau)
        v = keep * state.v + (1.0 - keep) * current
        resting = state.wait > 0
        v = jnp.where(resting, self.reset, v)
        fired = (v >= self.threshold) & ~resting
        pause = jnp.round(self.refractory).astype(jnp.int32)
        wait = jnp.where(fired, pause, jnp.maximum(state.wait - 1, 0))
        return LIFState(jnp.where(fired, self.reset, v), wait), fired.astype(v.dtype)

    def rate(self, current: Float[Array, "..."]) -> Float[Array, "..."]:
        r"""Spikes a sample of a constant current in continuous time.

        $$ f = \Big(t_r + \tau \ln \frac{I - v_r}{I - \theta}\Big)^{-1},
           \qquad I > \theta $$

        and 0 below. Samples round the time between spikes up to whole ones.
        """
        above = current > self.threshold
        safe = jnp.where(above, current, self.threshold + 1.0)
        ratio = (safe - self.reset) / (safe - self.threshold)
        period = self.refractory + self.tau * jnp.log(ratio)
        return jnp.where(above, 1.0 / period, 0.0)


def latency_code(
    values: Float[Array, " chan"], num_steps: int, *, threshold: Number = 0.0
) -> Float[Array, "time chan"]:
    r"""One spike a channel, the earlier the larger its value.

    $$ k = \mathrm{round}\big((1 - x)(T - 1)\big) $$

    **Shapes and units**: values in [0, 1] `"chan"` (what lies outside is cut off);
    result `"time chan"`, 1 at a spike, else 0. A value at or below `threshold` makes no
    spike.
    **Arguments:** `num_steps`: T, at least 1.
    **Raises:** `ConfigError`, `ShapeError`.
    **Source:** the code of first spikes, Thorpe 1990; linear in the value here.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.hardware import latency_code
    >>> latency_code(jnp.asarray([1.0, 0.5, 0.0]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]

    ```
    """
    num_steps = whole(1, num_steps=num_steps)
    if not values.size:
        raise ShapeError("no values to code: the shape is (0,).")
    x = jnp.clip(values, 0.0, 1.0)
    when = jnp.round((1.0 - x) * (num_steps - 1)).astype(jnp.int32)
    spikes = jax.nn.one_hot(when, num_steps, axis=0, dtype=x.dtype)
    return spikes * (x > threshold).astype(x.dtype)[None, :]
