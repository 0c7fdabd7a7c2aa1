"""Weights of few levels, with gradients that pass as if there were none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import positive
from .._errors import ConfigError, nearest
from ._component import name_of
from ._device import AbstractDevice
from ._twin import checked, moment


Per = Literal["tensor", "channel"]
Rounding = Literal["nearest", "stochastic"]
Weights = Float[Array, "..."]
Code = Callable[..., Weights]
"""`code(w, key=key)`: the weights as the hardware holds them."""


class Quantiser(eqx.Module):
    r"""Uniform levels, symmetric about zero; the gradient passes straight through.

    $$ Q(w) = s\, \mathrm{round}(w / s), \qquad s = \frac{\max |w|}{2^{b-1} - 1},
       \qquad \frac{dQ}{dw} := 1 $$

    Stochastic rounding goes up with the probability of the remainder, so that E Q = w.
    Made by `quantise`, which says what the fields are.

    **Shapes**: any, and the same again.
    """

    bits: int = eqx.field(static=True)
    """b."""
    per: str = eqx.field(static=True)
    """What has a scale s of its own."""
    rounding: str = eqx.field(static=True)
    """How w / s becomes a whole number."""
    axis: int = eqx.field(static=True)
    """Which axis counts the channels."""
    reach: float | None = eqx.field(static=True)
    """Where weights are cut off, in root mean squares."""

    @property
    def levels(self) -> int:
        """The largest whole number, 2^(b-1) - 1."""
        return 2 ** (self.bits - 1) - 1

    def scale(self, w: Weights) -> Weights:
        """s, with axes of size 1; 1 where all weights are zero."""
        axes = tuple(range(w.ndim))
        if self.per == "channel" and w.ndim:
            kept = _channels(self.axis, w)
            axes = tuple(k for k in axes if k != kept)
        top = jnp.max(jnp.abs(w), axes, keepdims=True)
        if self.reach is not None:
            square = jnp.mean(w * w, axes, keepdims=True)
            top = jnp.minimum(top, self.reach * jnp.sqrt(square))
        return jnp.where(top > 0, top, 1.0) / self.levels

    def codes(self, w: Weights, *, key: PRNGKeyArray | None = None) -> Weights:
        """The whole numbers that are stored, between -levels and levels.

        **Raises:** `ConfigError` for stochastic rounding without a key.
        """
        ratio = jnp.clip(w / self.scale(w), -self.levels, self.levels)
        if self.rounding == "nearest":
            return jnp.round(ratio)
        if key is None:
            raise ConfigError(
                'rounding is "stochastic" and there is no key. Give key, a new one for '
                "every call."
            )
        up = jax.random.uniform(key, w.shape, w.dtype)
        return jnp.clip(jnp.floor(ratio + up), -self.levels, self.levels)

    def __call__(self, w: Weights, *, key: PRNGKeyArray | None = None) -> Weights:
        """Q(w)."""
        held = jax.lax.stop_gradient(w)
        made = self.codes(held, key=key) * self.scale(held)
        return made + (w - held)  # the levels themselves, whatever w is rounded to


def _channels(axis: int, w: Weights) -> int:
    """The axis of an array that counts its channels, from 0 on."""
    if not -w.ndim <= axis < w.ndim:
        raise ConfigError(
            f"axis is {axis}, and an array of shape {w.shape} has no such axis. Take "
            "another one, or choose arrays by where."
        )
    return axis % w.ndim


def quantise(
    bits: int,
    per: str = "tensor",
    rounding: str = "nearest",
    *,
    axis: int = 0,
    reach: float | None = None,
) -> Quantiser:
    r"""Levels for weights of a number of bits.

    $$ Q(w) = s\, \mathrm{round}(w / s), \qquad s = \frac{\max |w|}{2^{b-1} - 1} $$

    **Arguments:**
    - `bits`: b, 2 to 16; 2 bits are the levels -s, 0, s (one bit: `BiPer`).
    - `per`: one scale a `"tensor"`, or one a `"channel"`, an index of `axis` (0 is the
      output of Equinox's layers, -1 that of `pendula.nn.Convolution`).
    - `reach`: with a number the largest level is at most that many root mean squares,
      and larger weights are cut off: of two or three bits, those between the levels
      are then finer than an outlier leaves them. None: the largest weight.
    - `rounding`: `"nearest"` or `"stochastic"`, which needs a key at every call.

    **Returns:** a `Quantiser`, a function of an array whose gradient is that of the
    identity.
    **Raises:** `ConfigError`.
    **Source:** Bengio, Leonard, Courville 2013, arXiv:1308.3432 (the gradient); Gupta,
    Agrawal, Gopalakrishnan, Narayanan 2015, arXiv:1502.02551 (stochastic rounding).

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import quantise
    >>> w = jnp.asarray([-3.0, 0.4, 1.6])
    >>> print(quantise(3)(w), jax.grad(lambda w: jnp.sum(quantise(3)(w) ** 2))(w))
    [-3.  0.  2.] [-6.  0.  4.]

    ```
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 16:
        raise ConfigError(
            f"quantise: bits is {bits!r}; expected a whole number from 2 to 16. For "
            "one bit take BiPer."
        )
    for name, value, allowed in (("per", per, Per), ("rounding", rounding, Rounding)):
        if value not in get_args(allowed):
            raise ConfigError(
                f'quantise: {name} is "{value}".{nearest(value, get_args(allowed))} '
                f"Allowed: {', '.join(get_args(allowed))}."
            )
    if reach is not None and not (math.isfinite(reach) and reach > 0.0):
        raise ConfigError(f"quantise: reach is {reach}; it must be above 0, or None.")
    return Quantiser(bits, per, rounding, axis, reach)


class BiPer(eqx.Module):
    r"""Binary weights from a square wave, with the gradient of a sine wave.

    $$ B(w) = \alpha\, \mathrm{sign}(\sin \omega w), \qquad
       \frac{dB}{dw} := \alpha\, \omega \cos \omega w $$

    **Shapes**: any, and the same again.
    **Arguments:**
    - `omega`: above 0.
    - `alpha`: size of the weights; 1 / sqrt(inputs of an output) without, so that an
      output has the variance of its inputs. `axis` counts the outputs.
    - `hard`: False gives $\alpha \sin \omega w$ itself, for a first stage of training.

    **Raises:** `ConfigError`.
    **Source:** Vargas, Correa, Hinojosa, Arguello 2024, arXiv:2404.01278; there alpha
    is trained, a channel each.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import BiPer
    >>> code = BiPer(omega=2.0, alpha=0.5)
    >>> w = jnp.asarray([-0.1, 0.1, 2.0])
    >>> print(code(w), jax.grad(lambda w: code(w)[0])(jnp.zeros(1)))
    [-0.5  0.5 -0.5] [1.]

    ```
    """

    omega: Float[Array, ""]
    """Angular frequency of both waves."""
    alpha: Float[Array, ""] | None
    """Size of the weights."""
    hard: bool = eqx.field(static=True)
    """Whether the weights are binary already."""
    axis: int = eqx.field(static=True)
    """Which axis counts the outputs."""

    def __init__(
        self,
        omega: float = 20.0,
        alpha: float | None = None,
        *,
        hard: bool = True,
        axis: int = 0,
    ) -> None:
        for name, value in (("omega", omega), ("alpha", alpha)):
            if value is not None:
                positive("BiPer", **{name: value})
        self.omega = jnp.asarray(omega, float)
        self.alpha = None if alpha is None else jnp.asarray(alpha, float)
        self.hard, self.axis = hard, axis

    @property
    def bits(self) -> int:
        """One."""
        return 1

    def __call__(self, w: Weights, *, key: PRNGKeyArray | None = None) -> Weights:
        """B(w)."""
        alpha = self.alpha
        if alpha is None:
            fan = w.size // w.shape[_channels(self.axis, w)] if w.ndim else 1
            alpha = jnp.asarray(1.0 / math.sqrt(max(1, fan)))
        alpha = alpha.astype(w.dtype)
        wave = jnp.sin(self.omega.astype(w.dtype) * w)
        if not self.hard:
            return alpha * wave
        # sign(0) would be no weight
        square = jnp.where(wave < 0, -1.0, 1.0).astype(w.dtype)
        return alpha * (wave + jax.lax.stop_gradient(square - wave))


class DiscretizeThenNoise(eqx.Module):
    r"""Weights of few levels in devices that have errors: $w \to \mathrm{noise}(Q(w))$.

    **Arguments:**
    - `code`: a `Quantiser`, `BiPer` or any `code(w, key=key)`.
    - `noise`: a device, which is programmed to Q(w) at `level` and read after `t`
      seconds, or any `noise(key, w)`. The range of a device is that of Q(w).
    - `level`: eta of a device, its own without.

    **Raises:** `ConfigError` for a level without a device, and for a level or a time
    that is negative.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import DiscretizeThenNoise, RangeNoise, quantise
    >>> code = DiscretizeThenNoise(quantise(4), RangeNoise(), level=0.0)
    >>> print(code(jnp.asarray([-7.0, 2.6]), key=jax.random.key(0)))
    [-7.  3.]

    ```
    """

    code: Code
    """Makes the levels."""
    noise: Any
    """Makes the errors."""
    level: Float[Array, ""] | None
    """eta."""
    t: Float[Array, ""]
    """Seconds after programming."""

    def __init__(
        self, code: Code, noise: Any, level: float | None = None, t: float = 0.0
    ) -> None:
        device = isinstance(noise, AbstractDevice)
        if not callable(code) or not (device or callable(noise)):
            raise ConfigError(
                f"DiscretizeThenNoise: code {code!r}, noise {noise!r}; expected a "
                "function (w, key=key), and a device or a function (key, w)."
            )
        if level is not None and not device:
            raise ConfigError(
                "DiscretizeThenNoise: a level goes with a device; a function (key, w) "
                "knows its own. Leave level out."
            )
        eta: Any = level
        if device:
            eta = checked(noise.default_level if level is None else level)
        self.code, self.noise = code, noise
        self.level = None if eta is None else jnp.asarray(eta, float)
        self.t = jnp.asarray(moment(t), float)

    def __call__(self, w: Weights, *, key: PRNGKeyArray) -> Weights:
        """The weights as they are read."""
        first, second = jax.random.split(key)
        held = self.code(w, key=first)
        if isinstance(self.noise, AbstractDevice):
            assert self.level is not None
            return self.noise.program(second, held, self.level, self.t)
        return self.noise(second, held)


def matrices(path: str, array: Any) -> bool:
    """What is quantised where nothing else is said: arrays of two axes or more."""
    return array.ndim >= 2


def quantised(
    model: Any,
    code: Code,
    *,
    where: Callable[[str, Any], bool] = matrices,
    key: PRNGKeyArray | None = None,
) -> Any:
    """The model with weights of few levels; within a loss, quantisation-aware training.

    `loss = lambda model, ...: task(quantised(model, quantise(6)), ...)` is a loss of
    the exact weights, which are what is trained; gradients pass through the levels.

    **Arguments:**
    - `model`: any pytree; `code`: `quantise(...)`, `BiPer()`, `DiscretizeThenNoise` or
      any `code(w, key=key)`.
    - `where`: function of path and array that selects; all of two axes or more.
    - `key`: for codes that draw, folded for each array.

    **Returns:** the same model with other arrays.
    **Raises:** `ConfigError` where nothing is selected.

    ```python
    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> from pendula.hardware import quantise, quantised
    >>> net = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    >>> few = quantised(net, quantise(2))
    >>> len(jnp.unique(few.weight)) <= 3, bool(jnp.all(few.bias == net.bias))
    (True, True)

    ```
    """
    chosen = 0

    def one(path: Any, leaf: Any) -> Any:
        nonlocal chosen
        if not (eqx.is_inexact_array(leaf) and where(name_of(path), leaf)):
            return leaf
        chosen += 1
        sub = None if key is None else jax.random.fold_in(key, chosen)
        return code(leaf, key=sub)

    made = jax.tree_util.tree_map_with_path(one, model)
    if not chosen:
        raise ConfigError(
            "quantised: no array is selected. Without where, arrays of two axes or "
            "more are; give where(path, array)."
        )
    return made
