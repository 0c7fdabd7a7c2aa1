"""What joins blocks of different width and resolution, and the rival of a block."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from .._registry import register
from .._source import Source
from ..nn import Convolution
from ._unit import ConvUnit, norm_layer


@register("module")
class Stitch(eqx.Module):
    r"""A residual unit that changes width or resolution; not continuous.

    $$ y = S(x) + s\, R(x) $$

    with S a 1 x 1 convolution of the same stride, with `shortcut_norm` normalised
    behind it, or the identity where nothing changes. s is the step
    $\varepsilon / N_t$ of the block that follows as it was made, 1 in a residual
    network; later changes of that block's steps leave it alone, or the network would
    not be the same function.

    **Shapes**: `"height width in"` to `"rows cols out"`.
    **Raises:** `ConfigError` as the unit.
    **Source:** Queiruga, Erichson, Taylor, Mahoney 2020, arXiv:2008.02389; the norm
    behind the shortcut: Queiruga, Erichson, Hodgkinson, Mahoney 2021,
    arXiv:2106.10820.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import Stitch
    >>> stitch = Stitch(4, 8, stride=2, norm="group", key=jax.random.key(0))
    >>> stitch(jnp.ones((8, 8, 4)), None)[0].shape
    (4, 4, 8)

    ```
    """

    source: ClassVar[Source] = Source("Queiruga2020", "ContinuousNet")

    unit: ConvUnit
    shortcut: Convolution | None
    scale: float = eqx.field(static=True)
    """The factor s of the residual."""
    shortcut_norm: Any = None
    """The norm behind the shortcut's convolution, or None."""

    def __init__(
        self,
        in_size: int,
        out_size: int,
        *,
        stride: int = 1,
        scale: float = 1.0,
        order: str = "pre",
        norm: str = "batch",
        logarithmic: bool = True,
        shortcut_norm: bool = False,
        key: PRNGKeyArray,
    ) -> None:
        one, two = jax.random.split(key)
        self.unit = ConvUnit(
            in_size,
            out_size,
            stride=stride,
            order=order,
            norm=norm,
            logarithmic=logarithmic,
            key=one,
        )
        same = stride == 1 and in_size == out_size
        self.shortcut = (
            None if same else Convolution(in_size, out_size, 1, stride=stride, key=two)
        )
        self.scale = scale
        self.shortcut_norm = (
            norm_layer(norm, out_size, logarithmic=logarithmic)
            if shortcut_norm and not same
            else None
        )

    def __call__(
        self, x: Float[Array, "height width chan"], state: Any = None
    ) -> tuple[Float[Array, "rows cols out"], Any]:
        """The joined image, and the next state."""
        short = x if self.shortcut is None else self.shortcut(x)
        if self.shortcut_norm is None:
            r, state = self.unit(x, state)
            return short + self.scale * r, state
        mine, behind = (None, None) if state is None else state
        r, mine = self.unit(x, mine)
        short, behind = self.shortcut_norm(short, behind)
        return short + self.scale * r, None if state is None else (mine, behind)

    def initial_state(self) -> Any:
        """That of the unit; with a norm behind the shortcut a pair of both."""
        mine = self.unit.initial_state()
        if self.shortcut_norm is None or mine is None:
            return mine
        return mine, self.shortcut_norm.initial_state()


@register("module")
class ResidualChain(eqx.Module):
    r"""Residual units one after another: what a block is the continuous form of.

    $$ x_{k+1} = x_k + R(x_k, \theta_k) $$

    **Shapes**: those of the units, which are independent of each other.
    **Source:** He, Zhang, Ren, Sun 2016, arXiv:1603.05027, equation 3.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.depth import DenseUnit, ResidualChain
    >>> units = tuple(DenseUnit(2, 4, key=jax.random.key(k)) for k in range(3))
    >>> ResidualChain(units)(jnp.zeros(2))[0].tolist()
    [0.0, 0.0]

    ```
    """

    source: ClassVar[Source] = Source("He2016", "equation 3")

    units: tuple[Any, ...]

    def __call__(self, x: Array, state: Any = None) -> tuple[Array, Any]:
        """x after the last unit, and the next states."""
        new = []
        for k, unit in enumerate(self.units):
            r, after = unit(x, None if state is None else state[k])
            x = x + r
            new.append(after)
        return x, None if state is None else tuple(new)

    def initial_state(self) -> Any:
        """One a unit, or None."""
        states = tuple(unit.initial_state() for unit in self.units)
        return None if all(s is None for s in states) else states
