"""The analog twin of a model: which arrays are devices, and chips drawn from it."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
import zlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._checks import not_negative
from .._errors import ConfigError, PendulaWarning, nearest
from .._precision import to_device
from ..nn import Draw
from ._component import KINDS, Component, fits
from ._device import AbstractDevice, AbstractOnBase, Scalar, in_shares, there
from ._noise import NoiseLevel
from ._norms import Statistics, statistics
from ._relaxing import GlobalDriftCompensation
from ._twin_table import conventions, table_rows, table_text


Level = Any
"""A number or array, a `NoiseLevel`, or a dict of such by kind or path."""


class AnalogWarning(PendulaWarning):
    """A conversion, or a level, that was accepted but deserves a look."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a twin was made: `bias` (a name, or the number s), `bias_rows`."""

    bias: str | float
    bias_rows: int


class AnalogTwin(eqx.Module):
    """A model whose weights are devices. `sample` gives one chip: a model of the same
    classes and the same call, with other numbers in it.

    `model`: the digital one; `device`; `components`: the table, which `print` shows;
    `digital`: path and reason of every array that stays exact; `settings`.
    Made by `to_analog`.
    """

    model: Any
    device: AbstractDevice
    running: Statistics
    components: tuple[Component, ...] = eqx.field(static=True)
    digital: tuple[tuple[str, str], ...] = eqx.field(static=True)
    settings: Settings = eqx.field(static=True)

    def sample(
        self, key: PRNGKeyArray, level: Level = None, t: Scalar | None = None
    ) -> Any:
        """One chip, `t` seconds after it was programmed (0 without).

        **Arguments:** `key`: one key is one chip, whatever level and time; `level`: a
        number, an array of one, a `NoiseLevel`, or a dict of such by kind
        (`"linear"`, `"bias"`...) or by path with wildcards, of which later ones win;
        what is not named, and all without a level, has the device's own.
        **Raises:** `ConfigError` for a negative or unknown level, or a negative time.
        **Warns:** `AnalogWarning` for errors above half of the range, and for a kind
        that no component is of.
        """
        return self.perturbed(self.model, key, level, t, self.running)

    def perturbed(
        self,
        params: Any,
        key: PRNGKeyArray,
        level: Level = None,
        t: Scalar | None = None,
        running: Statistics | None = None,
    ) -> Any:
        """The same errors on arrays that stand where the model's do (the trained ones
        alone, say, others being None). Their range is their own."""
        leaves, structure = jax.tree.flatten(params, is_leaf=lambda x: x is None)
        running = self.running if running is None else running
        weights = self._weights(leaves, running)
        scales = self._scales(weights)
        t = 0.0 if t is None else moment(t)
        made: list[Array | None] = []
        levels = levels_of(self, level)
        for c, w, scale, eta in zip(
            self.components, weights, scales, levels, strict=True
        ):
            if w is None:
                made.append(None)
                continue
            mine = jax.random.fold_in(key, zlib.crc32(c.path.encode()))
            if c.role == "draw":
                made.append(self._drawn(c, w, scale, eta))
                leaves[c.leaf + 1] = Draw.seeded(mine)
            else:
                made.append(self._programmed(c, mine, w, scale, eta, t))
        self._put(leaves, made, running)
        return jax.tree.unflatten(structure, leaves)

    def programmed(self) -> list[Array | None]:
        """What the devices of each component are programmed to."""
        leaves = jax.tree.leaves(self.model, is_leaf=lambda x: x is None)
        return self._weights(leaves, self.running)

    def scales(self) -> list[Array | None]:
        """The range of each component, as its errors go by it."""
        return self._scales(self.programmed())

    def sigmas(self, level: Level = None) -> Any:
        """Standard deviation of the error of every weight just after programming, a
        tree like the model (0 where it is digital), for `diagnostics.flatness`. It says
        nothing of errors whose mean is not 0 (conductances that are cut off at 0,
        programming beyond the target): give `flatness` a `draw` of chips too.

        **Raises:** `ConfigError` for batch norms (errors of their two numbers are
        correlated), errors drawn at the call and weights in several places, which one
        error moves together."""
        leaves, structure = jax.tree.flatten(self.model, is_leaf=lambda x: x is None)
        out = [
            jnp.zeros(x.shape, x.dtype) if eqx.is_inexact_array(x) else None
            for x in leaves
        ]
        weights = self._weights(leaves, self.running)
        levels = levels_of(self, level)
        for c, w, scale, eta in zip(
            self.components, weights, self._scales(weights), levels, strict=True
        ):
            if c.role != "plain":
                raise ConfigError(
                    f'the errors at "{c.path}" ({c.kind}) do not belong to one array '
                    "each: there is no standard deviation of it. Leave them digital."
                )
            if c.copies:
                raise ConfigError(
                    f'the weights at "{c.path}" stand in {1 + len(c.copies)} places of '
                    "the model, and one error moves them all: no standard deviation "
                    "of each says so. Draw chips instead."
                )
            assert w is not None
            size = self.device.sigma(w, eta, scale=scale)
            rows = self.settings.bias_rows if c.kind == "bias" else 1
            out[c.leaf] = size / math.sqrt(rows)
        return jax.tree.unflatten(structure, out)

    def statistics_of(self, state: Any) -> Statistics:
        """Running statistics of another state, as `perturbed` takes them."""
        return statistics(self.model, state)

    def table(self) -> list[tuple[str, ...]]:
        """The rows of the table of components, as text: `TABLE_COLUMNS`."""
        return table_rows(self)

    def conventions(self) -> str:
        """The device's own level in both conventions: the standard deviation of errors
        as a share of the range, and of the largest weight."""
        return conventions(self)

    def __str__(self) -> str:
        return table_text(self)

    def _weights(self, leaves: list[Any], running: Statistics) -> list[Array | None]:
        """What the devices of each component are programmed to; None for arrays that
        are not there."""
        out: list[Array | None] = []
        leaves = to_device(leaves)  # a model that was loaded has NumPy arrays
        for c in self.components:
            w = leaves[c.leaf]
            if w is None:
                out.append(None)
            elif c.role == "draw":
                reference = None if c.of is None else leaves[c.of]
                out.append(jnp.ones(()) if reference is None else reference)
            elif c.role == "scale":
                assert c.norm is not None
                out.append(w * running[c.norm][1].astype(w.dtype))
            elif c.role == "offset":
                assert c.norm is not None
                assert c.partner is not None
                gain = out[c.partner]
                assert gain is not None
                out.append(w - running[c.norm][0].astype(w.dtype) * gain)
            else:
                out.append(w)
        return out

    def _scales(self, weights: list[Array | None]) -> list[Array | None]:
        """The range that each component's errors go by: that of its die, and of a bias
        that of the inputs which it is multiplied with."""
        own = [
            None if w is None else jax.lax.stop_gradient(self._own(c, w))
            for c, w in zip(self.components, weights, strict=True)
        ]
        dies = self._dies(weights, own)
        out: list[Array | None] = []
        for k, c in enumerate(self.components):
            mine = own[k]
            if mine is None or c.kind == "shortcut":
                out.append(mine)
            elif c.partner is None or self.settings.bias == "own_die":
                die = dies.get(k, mine)
                out.append(jnp.where(mine > 0, die, 0.0))
            else:
                out.append(self._of_bias(k, own, dies))
        return out

    def _own(self, c: Component, w: Array) -> Array:
        if c.kind == "pulse":
            return jnp.ones_like(w)  # a share of the longest
        if c.kind == "shortcut":
            return jnp.full(w.shape, self.device.mirror_scale(), w.dtype)
        # zeros are no devices, whatever the full scale of the hardware
        some = jnp.any(w != 0, tuple(range(c.stack, w.ndim)), keepdims=True)
        return jnp.where(some, self.device.scale(w, c.stack), 0.0)

    def _of_bias(
        self, k: int, own: list[Array | None], dies: dict[int, Array]
    ) -> Array:
        """s times the range of the die: the range of the bias itself, where s is the
        matched one and the die belongs to the layer."""
        c, mine = self.components[k], own[k]
        assert mine is not None
        assert c.partner is not None
        whole = own[c.partner]
        if whole is None or c.role == "draw":
            return mine
        whole = whole.reshape(mine.shape)
        die = dies.get(c.partner, whole).reshape(mine.shape)
        if isinstance(self.settings.bias, str):  # matched, offsets of norms always
            safe = jnp.where(whole > 0, whole, 1.0)
            return jnp.where(whole > 0, mine / safe * die, mine)
        return jnp.where(mine > 0, self.settings.bias * die, 0.0)

    def _dies(
        self, weights: list[Array | None], own: list[Array | None]
    ) -> dict[int, Array]:
        """Ranges of weights that share theirs: with other layers, or with a bias that
        is not matched."""
        s = self.settings.bias
        found: dict[int, Array] = {}
        for k, (c, w) in enumerate(zip(self.components, weights, strict=True)):
            biases = self._biases(k, weights)
            if isinstance(s, float) and w is not None and biases:
                rows = [b / s for b in biases]
                whole = _union(self.device, w, rows, c.stack)
                found[k] = jax.lax.stop_gradient(whole)
        names = [c.die for c in self.components]
        for die in dict.fromkeys(names):
            members = [
                k
                for k, c in enumerate(self.components)
                if c.die == die
                and (c.partner is None or s == "own_die")
                and own[k] is not None
            ]
            if len(members) > 1:
                tops = [jnp.max(there(found.get(k, own[k]))) for k in members]
                top = jnp.max(jnp.stack([t.astype(tops[0].dtype) for t in tops]))
                for k in members:
                    mine = there(own[k])
                    found[k] = jnp.full(mine.shape, 1.0, mine.dtype) * top.astype(
                        mine.dtype
                    )
        return found

    def _biases(self, k: int, weights: list[Array | None]) -> list[Array]:
        """The biases of a weight: several where layers share it."""
        pairs = zip(self.components, weights, strict=True)
        return [b for c, b in pairs if c.partner == k and b is not None]

    def _programmed(
        self,
        c: Component,
        key: PRNGKeyArray,
        w: Array,
        scale: Array | None,
        eta: Scalar,
        t: Scalar,
    ) -> Array:
        shape, stack = w.shape, c.stack
        if math.prod(shape[:stack]) == 1:  # a stack of one layer is a layer
            w, stack = w.reshape(shape[stack:]), 0
            scale = scale if scale is None else scale.reshape(scale.shape[c.stack :])
        turn: tuple[Any, Any] = ((), ())
        if _by_output(self.device) and w.ndim > stack:
            # devices know outputs by the first axis after that of layers
            turn = (stack + c.out % (w.ndim - stack), stack)
        w = jnp.moveaxis(w, *turn)

        def one(key: PRNGKeyArray) -> Array:
            made = self.device.program(key, w, eta, t, scale=scale)
            return jnp.moveaxis(made, *turn[::-1]).reshape(shape)

        rows = self.settings.bias_rows
        if c.kind != "bias" or rows == 1:
            return one(key)
        made = jax.lax.map(one, jax.random.split(key, rows))
        return jnp.mean(made, axis=0)

    def _drawn(self, c: Component, w: Array, scale: Array | None, eta: Scalar) -> Array:
        """sigma of an error that is drawn at the call: of circuits a share of the
        range, whatever law the devices follow."""
        if c.level is not None:
            size = jnp.max(there(scale)).astype(jnp.float32)
            return jnp.asarray(eta, jnp.float32) * size
        size = self.device.sigma(w, eta, scale=scale)
        return jnp.max(size).astype(jnp.float32)

    def _put(
        self, leaves: list[Any], made: list[Array | None], running: Statistics
    ) -> None:
        """Devices back into the arrays of the model, copies too."""
        for k, c in enumerate(self.components):
            value = made[k]
            if value is None:
                continue
            if c.role == "scale":
                assert c.norm is not None
                value = value / running[c.norm][1].astype(value.dtype)
            elif c.role == "offset":
                assert c.norm is not None
                assert c.partner is not None
                gain = made[c.partner]
                assert gain is not None
                value = value + running[c.norm][0].astype(value.dtype) * gain
            for leaf in (c.leaf, *c.copies):
                if leaves[leaf] is not None:
                    leaves[leaf] = value


def _by_output(device: AbstractDevice) -> bool:
    """Whether something in a device goes by outputs."""
    while isinstance(device, AbstractOnBase):
        if isinstance(device, GlobalDriftCompensation) and device.per == "column":
            return True
        device = device.base
    return False


def _union(device: AbstractDevice, w: Array, more: list[Array], stack: int) -> Array:
    """The range of weights and biases together."""
    layers = w.shape[:stack]
    parts = [part.reshape(*layers, -1) for part in (w, *more)]
    flat = jnp.concatenate(parts, axis=-1)
    return device.scale(flat, stack).reshape(layers + (1,) * (w.ndim - stack))


def levels_of(twin: AnalogTwin, level: Level) -> list[Scalar]:
    """The level of each component.

    **Raises:** `ConfigError`.
    """
    if level is None:
        level = twin.device.default_level
    if not isinstance(level, Mapping):
        told = _told(twin, checked(level))
        return [told if c.level is None else c.level for c in twin.components]
    parts = twin.components
    out: list[Scalar] = [
        twin.device.default_level if c.level is None else c.level for c in parts
    ]
    paths = [c.path for c in parts]
    for name, value in level.items():
        value = _told(twin, checked(value, name))
        hit = [k for k, c in enumerate(parts) if c.kind == name or fits(c.path, name)]
        if not hit and name not in KINDS:
            raise ConfigError(
                f'level "{name}" is neither a kind of component nor a path of one.'
                f"{nearest(name, (*KINDS, *paths))} Kinds: {', '.join(KINDS)}."
            )
        if not hit and _known(value) is not None:  # else told before
            warnings.warn(
                f'there is no component of the kind "{name}": its level does nothing. '
                f"Kinds here: {', '.join(dict.fromkeys(c.kind for c in parts))}.",
                AnalogWarning,
                stacklevel=3,
            )
        for k in hit:
            out[k] = value
    return out


def checked(level: Any, name: str = "level") -> Scalar:
    """A level as a number; where it is known already, it must make sense.

    **Raises:** `ConfigError`.
    """
    if isinstance(level, NoiseLevel):
        level = level.eta
    try:
        value = np.asarray(level)
    except jax.errors.TracerArrayConversionError:
        return level  # known only when the program runs
    if value.size != 1 or not np.issubdtype(value.dtype, np.number):
        raise ConfigError(
            f"{name} is {level!r}; expected one number, at least 0 (or a dict of "
            "numbers by kind or path)."
        )
    plain = float(value.reshape(()))
    if not (math.isfinite(plain) and plain >= 0.0):
        raise ConfigError(
            f"{name} is {plain}; a level of noise is finite and at least 0."
        )
    return jnp.asarray(level).reshape(()) if eqx.is_array(level) else plain


def moment(t: Scalar) -> Scalar:
    """Seconds after programming; where they are known already, they must make sense.

    **Raises:** `ConfigError`.
    """
    with contextlib.suppress(jax.errors.ConcretizationTypeError):
        not_negative(t=float(t))  # else known only when the program runs
    return t


def _told(twin: AnalogTwin, level: Scalar) -> Scalar:
    """The level, with a warning where it cannot be meant: of devices whose level is a
    share of the range, above half of it."""
    plain = _known(level)
    if plain is not None and in_shares(twin.device) and plain > 0.5:
        warnings.warn(
            f"the level is {plain:g}: errors above half of the range. Levels are "
            "shares of the range, 0.05 is 5 %.",
            AnalogWarning,
            stacklevel=4,
        )
    return level


def _known(level: Scalar) -> float | None:
    """A level as a number; None where it is known only when the program runs."""
    try:
        return float(level)
    except jax.errors.ConcretizationTypeError:
        return None
