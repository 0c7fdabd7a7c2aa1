"""Devices whose weights are differences of two conductances."""

from __future__ import annotations

import abc
import math
from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import choice, positive
from .._registry import register
from ._device import AbstractDevice, Scalar, in_float32, number, symmetric
from ._noise import AbstractNoise, Gaussian, as_eta


Split = Literal["one_sided", "balanced"]


class AbstractPair(AbstractDevice):
    r"""A weight as the difference of two conductances, each programmed by itself.

    $$ w' = (G_+ - G_-)\, w_{max} / G_{range} $$

    `"one_sided"`: one cell holds |w|, the other nothing; `"balanced"`: both lie about
    the middle. What a kind of cell does is its law `cell`.
    """

    split: eqx.AbstractVar[str]
    """How a weight is shared between the cells."""

    @abc.abstractmethod
    def cell(
        self,
        key: PRNGKeyArray,
        g: Float[Array, "..."],
        level: Float[Array, ""],
        t: Float[Array, ""],
    ) -> Float[Array, "..."]:
        """The conductance that a cell has after `t` seconds, as a share of the largest
        one, when it was programmed to the share `g` in [0, 1]."""

    def scale(self, w: Float[Array, "..."], stack: int = 0) -> Float[Array, "..."]:
        return symmetric(w, stack)

    def mirror_scale(self) -> float:
        return 2.0

    def targets(
        self, w: Float[Array, "..."], scale: Float[Array, "..."]
    ) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
        """What both cells are programmed to, as shares of the largest conductance."""
        share = jnp.clip(w * _inverse(0.5 * scale), -1.0, 1.0)
        if self.split == "balanced":
            return 0.5 * (1.0 + share), 0.5 * (1.0 - share)
        return jnp.maximum(share, 0.0), jnp.maximum(-share, 0.0)

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
        level, t = number(level, wide), number(t, wide)
        first, second = jax.random.split(key)
        plus, minus = self.targets(wide, scale)
        held = self.cell(first, plus, level, t) - self.cell(second, minus, level, t)
        made = held * jnp.broadcast_to(0.5 * scale, w.shape)
        return made.astype(w.dtype)

    def sigma(
        self,
        w: Float[Array, "..."],
        level: Scalar,
        *,
        scale: Float[Array, "..."] | None = None,
    ) -> Float[Array, "..."]:
        """Of both cells, before they are cut off at conductance 0."""
        scale = self.scale(w) if scale is None else scale
        plus, minus = self.targets(w, scale)
        level = number(level, w)
        both = self.cell_sigma(plus, level) ** 2 + self.cell_sigma(minus, level) ** 2
        return jnp.sqrt(both) * jnp.broadcast_to(0.5 * scale, w.shape)

    @abc.abstractmethod
    def cell_sigma(
        self, g: Float[Array, "..."], level: Float[Array, ""]
    ) -> Float[Array, "..."]:
        """Standard deviation of a cell just after programming, with its first reading
        where that has noise, before it is cut off at conductance 0."""


def _inverse(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 / x, and 0 where x is 0."""
    safe = jnp.where(x > 0, x, 1.0)
    return jnp.where(x > 0, 1.0 / safe, 0.0)


def check_split(kind: str, split: str) -> None:
    """Refuse a split that is none."""
    choice("split", split, get_args(Split), kind)


@register("device", "twin_cell")
class TwinCell(AbstractPair):
    r"""A pair of cells with errors of one size.

    $$ G'_\pm = G_\pm + \sigma_c \xi_\pm, \qquad
       \sigma_c = \eta\, 2 G_{range} / \sqrt 2 $$

    so that the difference has the level eta of its range -G_range .. G_range.

    **Arguments:**
    - `split`: `"one_sided"` or `"balanced"`.
    - `clip`: conductances are cut off at 0. With one-sided cells the error of the idle
      cell is then half-normal: weights shrink by about 0.40 sigma_c, and the variance
      is 1.34 sigma_c^2 in place of 2 sigma_c^2.
    - `g_range`: the largest conductance (or current), in the unit of the data sheet.
    - `dist`: the law of the errors.

    **Raises:** `ConfigError`.
    **Source:** Wang 2023, section 2.2.2 (differential pairs of charge-trap
    transistors, -600 to 600 nA).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import TwinCell
    >>> w = jnp.asarray([-1.0, 0.5])
    >>> TwinCell().program(jax.random.key(0), w, 0.0).tolist()
    [-1.0, 0.5]

    ```
    """

    split: str = eqx.field(static=True, kw_only=True, default="one_sided")
    """How a weight is shared between the cells."""
    clip: bool = eqx.field(static=True, default=True)
    """Whether conductances stay at or above 0."""
    g_range: float = eqx.field(static=True, default=600e-9)
    """Largest conductance, or current in A."""
    dist: AbstractNoise = eqx.field(default_factory=Gaussian)
    """Law of the errors."""
    default_level: float = eqx.field(
        static=True, kw_only=True, default=0.05, converter=as_eta
    )
    """Level where none is given."""

    def __check_init__(self) -> None:
        check_split("TwinCell", self.split)
        positive("TwinCell", g_range=self.g_range)

    def cell(
        self,
        key: PRNGKeyArray,
        g: Float[Array, "..."],
        level: Float[Array, ""],
        t: Float[Array, ""],
    ) -> Float[Array, "..."]:
        made = g + self.cell_sigma(g, level) * self.dist(key, g.shape, g.dtype)
        return jnp.maximum(made, 0.0) if self.clip else made

    def cell_sigma(
        self, g: Float[Array, "..."], level: Float[Array, ""]
    ) -> Float[Array, "..."]:
        return jnp.broadcast_to(math.sqrt(2.0) * level, g.shape)
