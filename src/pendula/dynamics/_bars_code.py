"""Coordinates of a cycle that are learned instead of made by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError
from .._precision import to_host
from .._registry import register
from .._source import Source
from .._tree import split_trainable
from ..nn import MLP
from ..train import TrainState, adam_cosine, gradient_step
from ._bars_stages import Loop


DRAWN = 512  # cycles to an update
INNER = 100  # updates to a call
UNIT = 0.1  # m, in which networks see nodes
CYCLE_POSES = (
    (-0.15, -0.55, -2.2),
    (0.15, 0.1, 2.2),
)
"""The least and the greatest pose (m, m, rad) at which the training of a `CycleCode`
puts a cycle."""


@register("module")
class CycleCode(eqx.Module):
    r"""The nodes of a cycle as k numbers, and back: one encoder for all cycles.

    $$ c = \phi(x_0, .., x_{16}), \qquad \hat x = \psi(c) $$

    **Shapes and units:** nodes `"own 3"` [m] about the place that the cycle has before
    it is let go, along fixed axes; c `"code"`, without unit.
    **Source:** Wang 2023, section 5.2.1.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.dynamics import CycleCode
    >>> code = CycleCode.create(jax.random.key(0), 3, width=8)
    >>> code.decode(code.encode(jnp.zeros((17, 3)))).shape
    (17, 3)

    ```
    """

    source: ClassVar[Source] = Source("Wang2023", "section 5.2.1")

    encoder: MLP
    decoder: MLP

    @classmethod
    def create(
        cls, key: PRNGKeyArray, size: int, *, nodes: int = 17, width: int = 128
    ) -> CycleCode:
        """A fresh one of `size` numbers: two hidden layers each way."""
        there, back = jax.random.split(key)
        encoder = MLP(3 * nodes, size, width, 2, init="lecun", key=there)
        return cls(encoder, MLP(size, 3 * nodes, width, 2, init="lecun", key=back))

    def encode(self, nodes: Float[Array, "own 3"]) -> Float[Array, "code"]:
        """The cycle's numbers."""
        return self.encoder(nodes.ravel() / UNIT)

    def decode(self, code: Float[Array, "code"]) -> Float[Array, "own 3"]:
        """The cycle again."""
        return UNIT * self.decoder(code).reshape(-1, 3)

    def redraw(self, key: PRNGKeyArray) -> CycleCode:
        """The same with fresh random weights."""
        there, back = jax.random.split(key)
        return CycleCode(self.encoder.redraw(there), self.decoder.redraw(back))


def fit_code(
    shapes: Float[np.ndarray, "sample own 3"],
    size: int,
    *,
    width: int = 128,
    steps: int = 4000,
    lr: float = 3e-3,
    seed: int = 0,
    minutes: float = 30.0,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> tuple[CycleCode, dict[str, Any]]:
    r"""Learn `size` numbers from which the nodes of any cycle come back.

    $$ \min \; \mathrm{E}\, |\psi(\phi(g s)) - g s|^2, \qquad g \text{ a motion of the
       plane} $$

    **Arguments:** `shapes` of `pendula.systems.cycle_shapes`; each is put somewhere
    else at every update, since one record fills a surface of two dimensions only
    (cycle and time), on which two numbers would do; `width` of the layers, `steps`
    updates of Adam from `lr` by a cosine.
    **Returns:** the code and a record of the training.
    **Raises:** `ConfigError` for a size below 1 or shapes that are no nodes.
    **Source:** Wang 2023, section 5.2.1; motions of the plane are ours.
    """
    told = np.shape(shapes)
    if size < 1 or len(told) != 3 or told[-1] != 3 or 0 in told:
        raise ConfigError(
            f"size is {size} and shapes has shape {told}; expected at least 1 and "
            "(sample, node, 3)."
        )
    if not np.isfinite(shapes).all():
        raise ConfigError("shapes are not all finite. Leave these samples out.")
    code = CycleCode.create(jax.random.key(seed), size, nodes=told[1], width=width)
    params, static = split_trainable(code)
    low, high = (jnp.asarray(x, jnp.float32) for x in CYCLE_POSES)

    def loss(params: Any, shapes: Array, key: Any) -> Array:
        own = eqx.combine(params, static)
        which, where = jax.random.split(key)
        s = shapes[jax.random.randint(which, (DRAWN,), 0, shapes.shape[0])]
        at = jax.random.uniform(where, (DRAWN, 3), jnp.float32)
        x = moved_cycles(s, low[None] + (high - low)[None] * at)
        again = jax.vmap(lambda x: own.decode(own.encode(x)))(x)
        return jnp.mean(jnp.sum(((again - x) / UNIT) ** 2, axis=-1))

    total = max(INNER, steps // INNER * INNER)
    transform = adam_cosine(lr, total)
    step = gradient_step(loss, transform, inner=INNER)
    state = TrainState.start(params, transform.init(params), jax.random.key(seed))
    loop = Loop(None, False, tell, minutes, time.perf_counter())
    batch = jnp.asarray(np.asarray(shapes), jnp.float32)
    params, told = loop(
        f"code of {size}", step, state, batch, total, every=INNER, inner=INNER
    )
    return to_host(eqx.combine(params, static)), told


def moved_cycles(
    shapes: Float[Array, "sample own 3"], bars: Float[Array, "sample 3"]
) -> Float[Array, "sample own 3"]:
    """Shapes of `pendula.systems.cycle_shapes` where bars (x, y, alpha) are.

    ```python
    >>> import jax.numpy as jnp, numpy as np
    >>> from pendula.dynamics import moved_cycles
    >>> from pendula.systems import Slinky, cycle_shapes, to_bars
    >>> points = Slinky(3).points()
    >>> put = lambda x: jnp.asarray(x, jnp.float32)
    >>> again = moved_cycles(put(cycle_shapes(points)), put(to_bars(points)[0]))
    >>> bool(np.abs(again[1] - points[16:33])[:, :2].max() < 1e-7)
    True

    ```
    """
    c, s = jnp.cos(bars[:, 2])[:, None], jnp.sin(bars[:, 2])[:, None]
    x, y, z = shapes[..., 0], shapes[..., 1], shapes[..., 2]
    here = [bars[:, :1] + c * x - s * y, bars[:, 1:2] + s * x + c * y, z]
    return jnp.stack(here, axis=-1)
