"""What a network sees of a point: coordinates mapped, periodic, or as random waves."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._errors import ConfigError
from .._registry import register
from .._source import Source
from .._tree import Fixed
from ..nn import HeldNumber
from ._given import is_number


@dataclasses.dataclass(frozen=True)
class Axis:
    """One coordinate of the domain, and how a network sees it.

    **Arguments:**
    - `lo`, `hi`: the ends, finite, lo < hi, in the unit of the coordinate.
    - `periodic`: the network then is exactly periodic along it.
    - `harmonics`: how many waves of a periodic axis it sees, >= 1; 1 to 10 are usual.
    - `trainable_period`: waves whose period is trained, meant for the time of a
      travelling wave; the solution need not be periodic.
    - `period`: by default hi - lo; where only `trainable_period` is set it starts at
      2 (hi - lo), so that the two ends are told apart.

    **Raises:** `ConfigError` for ends, counts or periods that cannot be used.

    ```python
    >>> from pendula.solutions import Axis
    >>> Axis(0.0, 6.28, periodic=True, harmonics=3).outputs
    6

    ```
    """

    lo: float
    """Lower end."""
    hi: float
    """Upper end."""
    periodic: bool = False
    """Whether the network is periodic along it."""
    harmonics: int = 1
    """Number of waves."""
    trainable_period: bool = False
    """Whether the period is trained."""
    period: float | None = None
    """The period, None for the default."""

    def __post_init__(self) -> None:
        if not (is_number(self.lo) and is_number(self.hi) and self.lo < self.hi):
            raise ConfigError(
                f"Axis: the ends are {self.lo!r} and {self.hi!r}; they must be finite "
                "and lo < hi. Give the interval on which the equation holds."
            )
        if not _is_count(self.harmonics) or self.harmonics < 1:
            raise ConfigError(
                f"Axis: harmonics is {self.harmonics!r}; it must be a whole number of "
                "at least 1. Give 1 to 10."
            )
        if self.period is not None:
            if not self.waves:
                raise ConfigError(
                    f"Axis: a period of {self.period!r} was given for an axis that is "
                    "not periodic. Set periodic or trainable_period, or leave it out."
                )
            if not (math.isfinite(self.period) and self.period > 0.0):
                raise ConfigError(
                    f"Axis: period is {self.period!r}; it must be finite and positive."
                )

    @property
    def waves(self) -> int:
        """Number of waves that the network sees; 0: the mapped coordinate itself."""
        return self.harmonics if self.periodic or self.trainable_period else 0

    @property
    def outputs(self) -> int:
        """Numbers that it becomes: 1, or a cosine and a sine for each wave."""
        return 2 * self.waves or 1

    @property
    def start_period(self) -> float:
        """The period, at the start where it is trained."""
        if self.period is not None:
            return float(self.period)
        length = float(self.hi) - float(self.lo)
        return length if self.periodic or not self.trainable_period else 2.0 * length


def _is_count(value: Any) -> bool:
    """Whether it is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


@register("module")
class Frame(Fixed):
    """Where an embedding lies: `centre` and `half` the length of each axis, and the
    `period` that it has or starts with."""

    centre: Float[Array, "coord"]
    half: Float[Array, "coord"]
    period: Float[Array, "coord"]

    @classmethod
    def of(cls, axes: Sequence[Axis]) -> Frame:
        """The frame of some axes, reckoned in Python's floats."""
        ends = [
            (0.5 * (a.lo + a.hi), 0.5 * (a.hi - a.lo), a.start_period) for a in axes
        ]
        return cls(*(jnp.asarray(column) for column in zip(*ends, strict=True)))


@register("module")
class Frequencies(Fixed):
    """Frequencies of random waves that are not trained."""

    value: Float[Array, "wave in"]


@register("module")
class FourierFeatures(eqx.Module):
    r"""Random waves of what it is given.

    $$ z \mapsto (\cos B z,\ \sin B z), \quad B_{ij} \sim N(0, s^2) $$

    A network of z alone learns long waves first; of these it learns waves up to about
    s as fast.

    **Shapes and units:** input `"point in"`, output `"point num"`; no unit.
    **Arguments:**
    - `num`: outputs, even and >= 2; B has half as many rows. 256 is usual.
    - `scale`: s > 0, usually 1 to 10 for coordinates in [-1, 1].
    - `trained`: whether B is trained.

    **Raises:** `ConfigError` for a number or scale that cannot be used.
    **Source:** Tancik et al. 2020, arXiv:2006.10739 (Fourier feature mapping).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.solutions import FourierFeatures
    >>> waves = FourierFeatures(2, 6, 3.0, key=jax.random.key(0))
    >>> waves(jnp.zeros((1, 2)))[:, :3].tolist()
    [[1.0, 1.0, 1.0]]

    ```
    """

    source: ClassVar[Source] = Source("Tancik2020", "Fourier feature mapping")

    frequencies: Float[Array, "wave in"] | Frequencies
    scale: HeldNumber

    def __init__(
        self,
        in_size: int,
        num: int,
        scale: float = 1.0,
        *,
        trained: bool = False,
        key: PRNGKeyArray,
    ) -> None:
        if not _is_count(num) or num < 2 or num % 2:
            raise ConfigError(
                f"Fourier features: their number is {num!r}; it must be even and at "
                "least 2, a cosine and a sine for each wave. Give 256, for example."
            )
        if not (math.isfinite(scale) and scale > 0.0):
            raise ConfigError(
                f"Fourier features: scale is {scale!r}; it must be finite and "
                "positive. Give 1 to 10."
            )
        drawn = scale * jax.random.normal(key, (num // 2, in_size))
        self.frequencies = drawn if trained else Frequencies(drawn)
        self.scale = HeldNumber(jnp.asarray(scale, dtype=float))

    @property
    def matrix(self) -> Float[Array, "wave in"]:
        """B, trained or not."""
        held = self.frequencies
        return held.value if isinstance(held, Frequencies) else held

    @property
    def size(self) -> int:
        """Number of outputs."""
        return 2 * self.matrix.shape[0]

    def __call__(self, z: Float[Array, "point in"]) -> Float[Array, "point num"]:
        """The waves at each point."""
        angles = z @ self.matrix.T
        return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=1)

    def redraw(self, key: PRNGKeyArray) -> FourierFeatures:
        """The same features with fresh frequencies."""
        drawn = self.scale.value * jax.random.normal(key, self.matrix.shape)
        fixed = isinstance(self.frequencies, Frequencies)
        new = Frequencies(drawn) if fixed else drawn
        return eqx.tree_at(lambda waves: waves.frequencies, self, new)


@register("module")
class Embedding(eqx.Module):
    r"""What a network sees of a point.

    $$ x \mapsto \frac{2 x - lo - hi}{hi - lo} \quad\text{or}\quad
       \Big(\cos\frac{2\pi k x}{P}\Big)_{k=1}^{K},
       \Big(\sin\frac{2\pi k x}{P}\Big)_{k=1}^{K} $$

    for each coordinate in turn, and random waves of all of that where `fourier` asks
    for them. Along a periodic axis every derivative of the network is periodic, too.

    **Shapes and units:** input `"point coord"` in the units of the axes, output
    `"point size"` without unit.
    **Arguments:**
    - `axes`: one `Axis` for each coordinate. `Axis(-1, 1)` leaves it as it is.
    - `fourier`: number of random waves, even; 0 for none. `fourier_scale` is their s,
      `train_fourier` whether their frequencies are trained.
    - `key`: needed for random waves only.

    **Returns:** the numbers that the first layer sees.
    **Raises:** `ConfigError` for no axes, or waves that cannot be used.
    **Good values:** coordinates in [-1, 1] or waves, never raw ones; the fewest
    harmonics that hold the solution's shortest wave at the start.
    **Source:** Wang, Sankaran et al. 2023 (expert's guide), on exact periodic
    conditions and on Fourier features; a trained period in time is theirs, too.

    ```python
    >>> import jax.numpy as jnp
    >>> from pendula.solutions import Axis, Embedding
    >>> see = Embedding((Axis(0.0, 4.0, periodic=True), Axis(0.0, 1.0)))
    >>> see(jnp.array([[0.0, 0.25]])).tolist()
    [[1.0, 0.0, -0.5]]

    ```
    """

    source: ClassVar[Source] = Source("Wang2023pinn", "periodic and Fourier embeddings")

    frame: Frame
    log_period: Float[Array, "trained"] | None
    fourier: FourierFeatures | None
    waves: tuple[int, ...] = eqx.field(static=True)
    """Waves of each coordinate; 0: it is mapped to [-1, 1]."""
    trained: tuple[bool, ...] = eqx.field(static=True)
    """Whether the period of a coordinate is trained."""

    def __init__(
        self,
        axes: Sequence[Axis],
        *,
        fourier: int = 0,
        fourier_scale: float = 1.0,
        train_fourier: bool = False,
        key: PRNGKeyArray | None = None,
    ) -> None:
        if not axes:
            raise ConfigError(
                "Embedding: there are no axes. Give an Axis for each coordinate."
            )
        self.frame = Frame.of(axes)
        self.waves = tuple(axis.waves for axis in axes)
        self.trained = tuple(axis.trainable_period for axis in axes)
        self.log_period = _logs(self.frame, self.trained)
        self.fourier = None
        if fourier:
            if key is None:
                raise ConfigError(
                    "Embedding: random Fourier features need a key. Give "
                    "key=jax.random.key(0), for example."
                )
            self.fourier = FourierFeatures(
                sum(axis.outputs for axis in axes),
                fourier,
                fourier_scale,
                trained=train_fourier,
                key=key,
            )

    @property
    def coords(self) -> int:
        """Number of coordinates."""
        return len(self.waves)

    @property
    def size(self) -> int:
        """Number of outputs."""
        if self.fourier is not None:
            return self.fourier.size
        return sum(2 * k or 1 for k in self.waves)

    @property
    def periods(self) -> Float[Array, "coord"]:
        """The period of each coordinate, trained or not; without meaning where it has
        no waves."""
        out = self.frame.period
        if self.log_period is None:
            return out
        places = jnp.asarray([i for i, free in enumerate(self.trained) if free])
        return out.at[places].set(jnp.exp(self.log_period))

    def __call__(
        self, points: Float[Array, "point coord"]
    ) -> Float[Array, "point size"]:
        """The numbers at each point."""
        periods, columns = self.periods, []
        for i, k in enumerate(self.waves):
            x = points[:, i : i + 1]
            if k == 0:
                columns.append((x - self.frame.centre[i]) / self.frame.half[i])
                continue
            counts = jnp.arange(1, k + 1, dtype=periods.dtype)
            angles = x * (2.0 * math.pi * counts / periods[i])[None, :]
            columns += [jnp.cos(angles), jnp.sin(angles)]
        z = jnp.concatenate(columns, axis=1)
        return z if self.fourier is None else self.fourier(z)

    def over(self, axes: Sequence[Axis]) -> Embedding:
        """The same embedding, trained parts and all, over another box: a time window
        after the other runs the program of the first.

        **Raises:** `ConfigError` for axes of another kind.
        """
        kinds = tuple(axis.waves for axis in axes)
        trained = tuple(axis.trainable_period for axis in axes)
        if (kinds, trained) != (self.waves, self.trained):
            raise ConfigError(
                f"Embedding: it has axes with {self.waves} waves (trained periods "
                f"{self.trained}), the new box has {kinds} ({trained}). Make a new "
                "embedding for axes of another kind."
            )
        return eqx.tree_at(lambda e: e.frame, self, Frame.of(axes))

    def redraw(self, key: PRNGKeyArray) -> Embedding:
        """The same embedding with fresh frequencies, periods back at the start."""
        fourier = None if self.fourier is None else self.fourier.redraw(key)
        new: tuple[Any, Any] = (_logs(self.frame, self.trained), fourier)
        where = lambda e: (e.log_period, e.fourier)
        return eqx.tree_at(where, self, new, is_leaf=lambda x: x is None)


def _logs(frame: Frame, trained: tuple[bool, ...]) -> Array | None:
    """Logarithms of the periods that are trained: they stay positive."""
    places = [i for i, free in enumerate(trained) if free]
    return jnp.log(frame.period[jnp.asarray(places)]) if places else None
