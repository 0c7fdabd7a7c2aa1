"""A layered network that settles at a fixed point, and how it gets there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int, PRNGKeyArray

from .._checks import positive
from .._errors import ConfigError, Status, nearest
from .._registry import register
from .._source import Source


Neurons = tuple[Inexact[Array, "..."], ...]
"""One array a layer, real or complex."""
Number = float | Inexact[Array, ""]
Real = float | Float[Array, ""]

# holomorphic in a strip about the real line: that is what complex nudges need
HOLOMORPHIC: dict[str, Callable[[Array], Array]] = {
    "sigmoid": jax.lax.logistic,
    "shifted_sigmoid": lambda u: jax.lax.logistic(4.0 * u - 2.0),
    "tanh": jnp.tanh,
}
"""Name -> activation of an `EquilibriumNet`. The shifted sigmoid, that of 4u - 2, stays
close to u between 0 and 1."""


class Relaxed(NamedTuple):
    """Where a relaxation ended.

    `states` u, one array a layer; `residual`: the largest component of the last
    change; `steps` done; `status`: the value of a `Status`, `max_steps_reached` where
    the residual is still above the tolerance, `non_finite_state` where it is no number.
    """

    states: Neurons
    residual: Float[Array, ""]
    steps: Int[Array, ""]
    status: Int[Array, ""]

    def summary(self) -> str:
        """One sentence for one sample."""
        found = f"residual {float(self.residual):.3g} after {int(self.steps)} steps"
        if int(self.status) == Status.ok:
            return f"Settled: {found}."
        return (
            f"Not settled ({Status(int(self.status)).name}): {found}. Raise steps, "
            "loosen tol, lower rate, or make the weights or the nudge smaller."
        )


@register("module")
class EquilibriumNet(eqx.Module):
    r"""Layers that drive each other up and down until nothing changes.

    $$ u_l \leftarrow F_l = W_l\, \sigma(u_{l-1}) + b_l + B_l\, \sigma(u_{l+1}),
       \qquad \sigma(u_0) = x, \qquad
       p = \mathrm{softmax}(C\, \sigma(u_L) + c) $$

    Forward matrices W and backward ones B are separate weights. A nudge of strength
    beta pushes the last layer down the slope of the loss, the cross-entropy of p:
    $F_L - \beta\, C^\top (p - e_y)$.

    **Shapes**: input `"in"`, `"class"` logits. One sample a call.
    **Arguments:**
    - `sizes`: numbers of inputs and of neurons of each layer; `classes`.
    - `angle`: between each B and the transposed W above it at the start, 0 to 90
      degrees: $B_l = \cos\alpha\, W_{l+1}^\top + \sin\alpha\, R$ with R random,
      orthogonal to it and of the same norm.
    - `activation`: a name of `HOLOMORPHIC`.
    - `gain`, `readout_gain`: weights are drawn from N(0, gain^2 / fan), those of the
      readout with its own gain; biases are zero.
    - `key`: draws them.

    **Raises:** `ConfigError`.
    **Source:** Laborieux, Zenke 2024, arXiv:2309.02214, section 3.

    ```python
    >>> import jax, jax.numpy as jnp
    >>> from pendula.hardware import EquilibriumNet
    >>> net = EquilibriumNet((5, 4, 3), 2, key=jax.random.key(0))
    >>> found = net.relax(jnp.ones(5))
    >>> found.summary().startswith("Settled"), net(jnp.ones(5)).shape
    (True, (2,))

    ```
    """

    source: ClassVar[Source] = Source("Laborieux2024", "section 3")

    forward: tuple[Float[Array, "..."], ...]
    """W, from layer 1 on."""
    backward: tuple[Float[Array, "..."], ...]
    """B, from layer 1 on; none into the last one."""
    biases: tuple[Float[Array, "..."], ...]
    """b."""
    readout: Float[Array, "class fan"]
    """C."""
    readout_bias: Float[Array, " class"]
    """c."""
    sizes: tuple[int, ...] = eqx.field(static=True)
    """Inputs, and neurons of each layer."""
    activation: str = eqx.field(static=True)
    """Its name."""

    def __init__(
        self,
        sizes: Sequence[int],
        classes: int,
        *,
        angle: float = 0.0,
        activation: str = "sigmoid",
        gain: float = 1.0,
        readout_gain: float = 1.0,
        key: PRNGKeyArray,
    ) -> None:
        _check(
            sizes,
            classes,
            angle,
            activation,
            {"gain": gain, "readout_gain": readout_gain},
        )
        keys = jax.random.split(key, 3)
        draw = lambda k, rows, fan: jax.random.normal(k, (rows, fan)) / math.sqrt(fan)
        self.forward = tuple(
            gain * draw(jax.random.fold_in(keys[0], k), rows, fan)
            for k, (fan, rows) in enumerate(itertools.pairwise(sizes))
        )
        self.backward = tuple(
            turned(w.T, angle, jax.random.fold_in(keys[1], k))
            for k, w in enumerate(self.forward[1:])
        )
        self.biases = tuple(jnp.zeros(rows) for rows in sizes[1:])
        self.readout = readout_gain * draw(keys[2], classes, sizes[-1])
        self.readout_bias = jnp.zeros(classes)
        self.sizes, self.activation = tuple(sizes), activation

    def __call__(self, x: Float[Array, " in"]) -> Float[Array, " class"]:
        """Logits at the free fixed point, reached in at most 200 steps."""
        return self.logits(self.active(self.relax(x).states))

    def active(self, states: Neurons) -> Neurons:
        """sigma(u)."""
        return tuple(HOLOMORPHIC[self.activation](u) for u in states)

    def drive(self, x: Float[Array, " in"]) -> Float[Array, " first"]:
        """What the input gives to the first layer, the same at every step."""
        return self.forward[0] @ x + self.biases[0]

    def field(self, active: Neurons, drive: Float[Array, " first"]) -> Neurons:
        """F, of the activated state."""
        return tuple(
            self._into(k, active, drive.astype(active[0].dtype))
            for k in range(len(active))
        )

    def _into(self, k: int, active: Neurons, drive: Array) -> Array:
        """F of one layer."""
        total = drive
        if k > 0:
            below = times(self.forward[k], active[k - 1])
            total = below + self.biases[k].astype(below.dtype)
        if k < len(self.backward):
            total = total + times(self.backward[k], active[k + 1])
        return total

    def logits(self, active: Neurons) -> Inexact[Array, " class"]:
        """What the readout says."""
        last = times(self.readout, active[-1])
        return last + self.readout_bias.astype(last.dtype)

    def slope(self, active: Neurons, label: Int[Array, ""]) -> Inexact[Array, " last"]:
        """C^T (p - e_y): the slope of the loss by the activated last layer."""
        logits = self.logits(active)
        shares = jnp.exp(logits - jnp.max(logits.real).astype(logits.dtype))
        shares = shares / jnp.sum(shares)
        wrong = shares - jax.nn.one_hot(label, shares.size, dtype=shares.dtype)
        return times(self.readout.T, wrong)

    def start(self, dtype: jnp.dtype | None = None) -> Neurons:
        """The state zero."""
        return tuple(jnp.zeros(b.shape, dtype or b.dtype) for b in self.biases)

    def step(
        self,
        states: Neurons,
        drive: Float[Array, " first"],
        beta: Number,
        label: Int[Array, ""],
    ) -> Neurons:
        """One step: F of the state, less beta times the slope in the last layer."""
        active = self.active(states)
        new = self.field(active, drive)
        push = jnp.asarray(beta, new[-1].dtype) * self.slope(active, label)
        return (*new[:-1], new[-1] - push)

    def relax(
        self,
        x: Float[Array, " in"],
        beta: Number = 0.0,
        target: int | Int[Array, ""] = 0,
        *,
        start: Neurons | None = None,
        steps: int = 200,
        tol: Real = 1e-5,
        rate: Real = 1.0,
    ) -> Relaxed:
        """All layers at once, step by step, until no component of F - u is larger than
        the tolerance.

        **Arguments:**
        - `beta`: strength of the nudge; a complex one gives complex states.
        - `target`: the right class; of no matter without a nudge.
        - `start`: where to begin, zero without.
        - `steps`: at most; `tol`: of the largest component.
        - `rate`: share of F - u that is added, 1 is u <- F; smaller where states swing.

        **Returns:** a `Relaxed`. One that did not settle says so in its status.
        """
        begun = self.start() if start is None else start
        begun = in_kind(begun, beta)
        drive, label = self.drive(x), jnp.asarray(target)
        limit, share = (jnp.asarray(v, self.readout.dtype) for v in (tol, rate))

        def go_on(carry: tuple) -> Array:
            _, residual, count = carry
            return (count < steps) & (residual > limit)

        def once(carry: tuple) -> tuple:
            states, _, count = carry
            new = self.step(states, drive, beta, label)
            change = tuple(n - u for n, u in zip(new, states, strict=True))
            moved = tuple(
                u + share.astype(c.dtype) * c
                for u, c in zip(states, change, strict=True)
            )
            return moved, largest(change), count + 1

        far = jnp.asarray(jnp.inf, limit.dtype)
        states, residual, count = jax.lax.while_loop(
            go_on, once, (begun, far, jnp.zeros((), jnp.int32))
        )
        return Relaxed(states, residual, count, verdict(residual, limit))

    def fluctuate(
        self,
        x: Float[Array, " in"],
        noise: Real,
        beta: Number = 0.0,
        target: int | Int[Array, ""] = 0,
        *,
        start: Neurons | None = None,
        steps: int = 200,
        average: int = 1,
        key: PRNGKeyArray,
    ) -> tuple[Neurons, Neurons]:
        """A noisy relaxation: Gaussian noise is added to u at every step.

        **Arguments:** `noise`: its standard deviation; `steps` to come near the fixed
        point, and `average` more over which the activated state is averaged; the
        others as for `relax`.
        **Returns:** the last state, and the mean of the activated one.
        """
        begun = self.start() if start is None else start
        begun = in_kind(begun, beta)
        drive, label = self.drive(x), jnp.asarray(target)
        level = jnp.asarray(noise, self.readout.dtype)

        def once(states: Neurons, k: Array) -> Neurons:
            keys = jax.random.split(jax.random.fold_in(key, k), len(states))
            new = self.step(states, drive, beta, label)
            return tuple(
                u
                + (level * jax.random.normal(one, u.shape, level.dtype)).astype(u.dtype)
                for one, u in zip(keys, new, strict=True)
            )

        def counted(carry: tuple, k: Array) -> tuple:
            states, total = carry
            states = once(states, k)
            total = jax.tree.map(jnp.add, total, self.active(states))
            return (states, total), None

        states = jax.lax.fori_loop(0, steps, lambda k, u: once(u, k), begun)
        zero = tuple(jnp.zeros_like(u) for u in states)
        more = jnp.arange(steps, steps + average)
        (states, total), _ = jax.lax.scan(counted, (states, zero), more)
        return states, tuple(a / average for a in total)


def times(weight: Float[Array, "out fan"], a: Inexact[Array, " fan"]) -> Array:
    """W a for real W and real or complex a: two real products, no complex weights."""
    if not jnp.iscomplexobj(a):
        return weight @ a
    return jax.lax.complex(weight @ a.real, weight @ a.imag)


def largest(change: Neurons) -> Float[Array, ""]:
    """The largest absolute value of all layers; not finite where one is not."""
    return jnp.max(jnp.stack([jnp.max(jnp.abs(c)) for c in change]))


def verdict(residual: Float[Array, ""], limit: Float[Array, ""]) -> Int[Array, ""]:
    """The status that goes with a residual."""
    late = jnp.where(residual <= limit, Status.ok.value, Status.max_steps_reached.value)
    lost = Status.non_finite_state.value
    return jnp.where(jnp.isfinite(residual), late, lost).astype(jnp.int32)


def in_kind(states: Neurons, beta: Number) -> Neurons:
    """The states, complex ones where the nudge is complex."""
    if not jnp.iscomplexobj(beta):
        return states
    return tuple(u.astype(np.result_type(u.dtype, np.complex64)) for u in states)


def turned(
    w: Float[Array, "out fan"], angle: float, key: PRNGKeyArray
) -> Float[Array, "out fan"]:
    """A matrix of the same norm at an angle in degrees."""
    if angle == 0.0:
        return w
    other = jax.random.normal(key, w.shape, w.dtype)
    square = jnp.sum(w * w)
    other = other - w * (jnp.sum(w * other) / square)
    other = other * jnp.sqrt(square / jnp.sum(other * other))
    alpha = math.radians(angle)
    return math.cos(alpha) * w + math.sin(alpha) * other


def _check(
    sizes: Sequence[int],
    classes: int,
    angle: float,
    activation: str,
    gains: dict[str, float],
) -> None:
    """Refuse what no network can be made of."""
    if len(sizes) < 2 or min(sizes) < 1 or classes < 2:
        raise ConfigError(
            f"EquilibriumNet: sizes {tuple(sizes)} and {classes} classes; expected the "
            "number of inputs and of the neurons of at least one layer, each above 0, "
            "and at least 2 classes."
        )
    if not 0.0 <= angle <= 90.0:
        raise ConfigError(
            f"EquilibriumNet: angle is {angle}; it is between 0 (backward weights are "
            "transposed forward ones) and 90 degrees."
        )
    if angle > 0.0 and (1, 1) in itertools.pairwise(sizes[1:]):
        raise ConfigError(
            f"EquilibriumNet: angle is {angle}, but of the layers {tuple(sizes)} two "
            "of one neuron meet: a single weight cannot be turned. Take angle 0, or "
            "more neurons."
        )
    if activation not in HOLOMORPHIC:
        raise ConfigError(
            f'EquilibriumNet: activation "{activation}" is unknown.'
            f"{nearest(activation, HOLOMORPHIC)} Allowed: {', '.join(HOLOMORPHIC)}: "
            "complex nudges need holomorphic ones."
        )
    positive("EquilibriumNet", **gains)
